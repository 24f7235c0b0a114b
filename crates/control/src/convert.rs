//! Between rows and public JSON.

use std::time::Duration;

use account::{
    Billing, Class, CodeId, Email, IdentityId, InvalidId, InviteId, Key, KeyId, Limits, ModelAccess, Name, Nano, OrgId,
    PriceId, PriceVersion, ProjectId, Role, Scopes, Timestamp, UserId, WebhookId,
};
use store::{
    AuditEntry, CodeRecord, Delivery, ExternalIdentity, InviteRecord, KeyRecord, Made, Organisation, Project, User,
    Webhook,
};
use wire::admin;

use crate::error::ApiError;

/// Longest time for which two secrets are good.
const MOST_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An id of the path. A text that is none names nothing.
pub(crate) fn id<T>(parsed: Result<T, InvalidId>) -> Result<T, ApiError> {
    parsed.map_err(|_| ApiError::NOT_FOUND)
}

/// An id of the body or the query.
pub(crate) fn named<T>(parameter: &str, parsed: Result<T, InvalidId>) -> Result<T, ApiError> {
    parsed.map_err(|error| ApiError::invalid(parameter, error))
}

/// The cursor of a list.
pub(crate) trait Cursor: Sized {
    fn parse_cursor(text: &str) -> Result<Self, InvalidId>;
}

macro_rules! cursors {
    ($($id:ty),*) => {$(
        impl Cursor for $id {
            fn parse_cursor(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    )*};
}
cursors!(OrgId, ProjectId, KeyId, PriceId, CodeId, UserId, InviteId, IdentityId, WebhookId);

pub(crate) fn after<T: Cursor>(text: &Option<String>) -> Result<Option<T>, ApiError> {
    text.as_deref().map(|text| named("after", T::parse_cursor(text))).transpose()
}

pub(crate) fn name(text: &str) -> Result<Name, ApiError> {
    Name::parse(text).map_err(|error| ApiError::invalid("name", error))
}

pub(crate) fn email(text: &str) -> Result<Email, ApiError> {
    Email::parse(text).map_err(|error| ApiError::invalid("email", error))
}

pub(crate) fn role(role: admin::Role) -> Role {
    match role {
        admin::Role::Owner => Role::Owner,
        admin::Role::Admin => Role::Admin,
        admin::Role::Member => Role::Member,
        admin::Role::Viewer => Role::Viewer,
        admin::Role::Billing => Role::Billing,
    }
}

/// Nobody is an operator by a membership; should a row say so, it says nothing.
pub(crate) fn role_name(role: Role) -> admin::Role {
    match role {
        Role::Owner => admin::Role::Owner,
        Role::Admin => admin::Role::Admin,
        Role::Member => admin::Role::Member,
        Role::Viewer | Role::Operator => admin::Role::Viewer,
        Role::Billing => admin::Role::Billing,
    }
}

pub(crate) fn amount(parameter: &str, text: &str) -> Result<Nano, ApiError> {
    Nano::parse(text).map_err(|error| ApiError::invalid(parameter, error))
}

/// For how long the secret before does its work beside the new one: both `work`, or whatever secrets do.
pub(crate) fn grace(rotation: &admin::Rotation, work: &str) -> Result<Duration, ApiError> {
    let grace = Duration::from_secs(rotation.grace_seconds.unwrap_or(0));
    if grace > MOST_GRACE {
        let message = format!("both secrets {work} for at most {} seconds", MOST_GRACE.as_secs());
        return Err(ApiError::invalid("grace_seconds", message));
    }
    Ok(grace)
}

/// An amount that is more than nothing.
pub(crate) fn credit(text: &str) -> Result<Nano, ApiError> {
    let amount = amount("amount", text)?;
    if amount <= Nano::ZERO {
        return Err(ApiError::invalid("amount", "credit is more than nothing"));
    }
    Ok(amount)
}

pub(crate) fn moment(parameter: &str, text: &str) -> Result<Timestamp, ApiError> {
    Timestamp::parse(text).map_err(|error| ApiError::invalid(parameter, error))
}

pub(crate) fn scopes(names: &[String]) -> Result<Scopes, ApiError> {
    // A name with a blank would be read as two.
    if let Some(name) = names.iter().find(|name| name.contains(char::is_whitespace)) {
        return Err(ApiError::invalid("scopes", format!("`{name}` is no scope")));
    }
    Scopes::parse(&names.join(" ")).map_err(|error| ApiError::invalid("scopes", error))
}

/// Most models that a key lists.
const MOST_MODELS: usize = 1000;

pub(crate) fn models(names: Option<&[String]>) -> Result<ModelAccess, ApiError> {
    let Some(names) = names else { return Ok(ModelAccess::All) };
    if names.len() > MOST_MODELS || names.iter().any(|name| name.is_empty() || name.len() > 256) {
        let message = format!("a key lists at most {MOST_MODELS} models, by names of 1 to 256 bytes");
        return Err(ApiError::invalid("models", message));
    }
    Ok(ModelAccess::Only(names.iter().map(|name| name.as_str().into()).collect()))
}

pub(crate) fn billing(billing: admin::Billing) -> Billing {
    match billing {
        admin::Billing::Prepaid => Billing::Prepaid,
        admin::Billing::Postpaid => Billing::Postpaid,
    }
}

pub(crate) fn organisation(made: &Made<Organisation>) -> admin::Organisation {
    admin::Organisation {
        id: made.what.id.to_string(),
        name: made.what.name.to_string(),
        time_zone: made.what.zone.name().to_owned(),
        billing: match made.what.billing {
            Billing::Prepaid => admin::Billing::Prepaid,
            Billing::Postpaid => admin::Billing::Postpaid,
        },
        created_at: made.created.to_string(),
    }
}

pub(crate) fn project(made: &Made<Project>) -> admin::Project {
    admin::Project {
        id: made.what.id.to_string(),
        organisation_id: made.what.org.to_string(),
        name: made.what.name.to_string(),
        created_at: made.created.to_string(),
    }
}

pub(crate) fn user(made: &Made<User>) -> admin::User {
    admin::User {
        id: made.what.id.to_string(),
        email: made.what.email.to_string(),
        operator: made.what.operator,
        created_at: made.created.to_string(),
    }
}

pub(crate) fn identity(made: &Made<ExternalIdentity>) -> admin::ExternalIdentity {
    let ExternalIdentity { id, user, issuer, subject, verified } = &made.what;
    admin::ExternalIdentity {
        id: id.to_string(),
        user_id: user.to_string(),
        issuer: issuer.to_string(),
        subject: subject.to_string(),
        email_verified: *verified,
        created_at: made.created.to_string(),
    }
}

pub(crate) fn member((user, role): &(User, Role)) -> admin::Member {
    admin::Member { user_id: user.id.to_string(), email: user.email.to_string(), role: role_name(*role) }
}

pub(crate) fn membership((made, role): &(Made<Organisation>, Role)) -> admin::Membership {
    admin::Membership {
        organisation_id: made.what.id.to_string(),
        name: made.what.name.to_string(),
        role: role_name(*role),
    }
}

pub(crate) fn invite(record: &InviteRecord) -> admin::Invite {
    let InviteRecord { invite, created, accepted } = record;
    admin::Invite {
        id: invite.id.to_string(),
        organisation_id: invite.org.to_string(),
        email: invite.email.to_string(),
        role: role_name(invite.role),
        created_at: created.to_string(),
        expires_at: invite.expires.to_string(),
        accepted_by: accepted.map(|user| user.to_string()),
    }
}

pub(crate) fn key(record: &KeyRecord) -> admin::Key {
    let KeyRecord { key, created, last_used } = record;
    let text = |moment: &Option<Timestamp>| moment.as_ref().map(Timestamp::to_string);
    admin::Key {
        id: key.id.to_string(),
        organisation_id: key.org.to_string(),
        project_id: key.project.to_string(),
        owner_id: key.owner.map(|user| user.to_string()),
        name: key.name.to_string(),
        scopes: scope_names(key),
        models: match &key.models {
            ModelAccess::All => None,
            ModelAccess::Only(models) => Some(models.iter().map(ToString::to_string).collect()),
        },
        expires_at: text(&key.expires),
        revoked_at: text(&key.revoked),
        previous_secret_until: key.previous.as_ref().map(|previous| previous.until.to_string()),
        created_at: created.to_string(),
        last_used_at: text(last_used),
    }
}

pub(crate) fn scope_names(key: &Key) -> Vec<String> {
    key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect()
}

pub(crate) fn limits(limits: &Limits) -> admin::Limits {
    let money = |amount: Option<Nano>| amount.map(|amount| amount.to_string());
    admin::Limits {
        requests_per_minute: limits.requests_per_minute,
        input_tokens_per_minute: limits.input_tokens_per_minute,
        output_tokens_per_minute: limits.output_tokens_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
        concurrent_requests: limits.concurrent_requests,
        budget_day: money(limits.budget_day),
        budget_month: money(limits.budget_month),
        budget_ever: money(limits.budget_ever),
    }
}

pub(crate) fn new_limits(limits: &admin::Limits) -> Result<Limits, ApiError> {
    let money = |name: &str, amount: &Option<String>| amount.as_deref().map(|text| budget(name, text)).transpose();
    Ok(Limits {
        requests_per_minute: count("requests_per_minute", limits.requests_per_minute)?,
        input_tokens_per_minute: count("input_tokens_per_minute", limits.input_tokens_per_minute)?,
        output_tokens_per_minute: count("output_tokens_per_minute", limits.output_tokens_per_minute)?,
        tokens_per_minute: count("tokens_per_minute", limits.tokens_per_minute)?,
        concurrent_requests: count("concurrent_requests", limits.concurrent_requests)?,
        budget_day: money("budget_day", &limits.budget_day)?,
        budget_month: money("budget_month", &limits.budget_month)?,
        budget_ever: money("budget_ever", &limits.budget_ever)?,
    })
}

/// Limits after a change: what is absent stays, `null` is unlimited.
pub(crate) fn changed_limits(mut limits: Limits, change: &admin::LimitsChange) -> Result<Limits, ApiError> {
    let counts = [
        ("requests_per_minute", change.requests_per_minute, &mut limits.requests_per_minute),
        ("input_tokens_per_minute", change.input_tokens_per_minute, &mut limits.input_tokens_per_minute),
        ("output_tokens_per_minute", change.output_tokens_per_minute, &mut limits.output_tokens_per_minute),
        ("tokens_per_minute", change.tokens_per_minute, &mut limits.tokens_per_minute),
        ("concurrent_requests", change.concurrent_requests, &mut limits.concurrent_requests),
    ];
    for (name, change, limit) in counts {
        if let Some(allowed) = change {
            *limit = count(name, allowed)?;
        }
    }
    let budgets = [
        ("budget_day", &change.budget_day, &mut limits.budget_day),
        ("budget_month", &change.budget_month, &mut limits.budget_month),
        ("budget_ever", &change.budget_ever, &mut limits.budget_ever),
    ];
    for (name, change, limit) in budgets {
        if let Some(allowed) = change {
            *limit = allowed.as_deref().map(|text| budget(name, text)).transpose()?;
        }
    }
    Ok(limits)
}

fn budget(parameter: &str, text: &str) -> Result<Nano, ApiError> {
    let amount = amount(parameter, text)?;
    if amount.is_negative() { Err(ApiError::invalid(parameter, "a budget is not negative")) } else { Ok(amount) }
}

fn count(parameter: &str, allowed: Option<u64>) -> Result<Option<u64>, ApiError> {
    // Columns hold signed numbers.
    match allowed {
        Some(allowed) if i64::try_from(allowed).is_err() => {
            Err(ApiError::invalid(parameter, format!("{allowed} is more than any limit; leave it out for none")))
        }
        allowed => Ok(allowed),
    }
}

pub(crate) fn price(model: &str, version: &PriceVersion) -> admin::Price {
    let rate = |class| version.price.rates().of(class).to_string();
    admin::Price {
        id: version.id.to_string(),
        model: model.to_owned(),
        from: version.from.to_string(),
        input: rate(Class::Input),
        cached_input: rate(Class::CachedInput),
        output: rate(Class::Output),
        seconds: rate(Class::Seconds),
        images: rate(Class::Images),
        requests: rate(Class::Requests),
        batch_share: version.price.batch_share(),
    }
}

pub(crate) fn code(record: &CodeRecord) -> admin::Code {
    admin::Code {
        id: record.code.id.to_string(),
        amount: record.code.amount.to_string(),
        expires_at: record.code.expires.map(|moment| moment.to_string()),
        created_at: record.created.to_string(),
        redeemed_at: record.redeemed.map(|(_, at)| at.to_string()),
        redeemed_by: record.redeemed.map(|(org, _)| org.to_string()),
    }
}

pub(crate) fn audit_entry(entry: &AuditEntry) -> admin::AuditEntry {
    let json = |text: &Option<Box<str>>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
    admin::AuditEntry {
        sequence: entry.sequence,
        at: entry.at.to_string(),
        actor: entry.actor.to_string(),
        action: entry.action.to_string(),
        object: entry.object.to_string(),
        before: json(&entry.before),
        after: json(&entry.after),
        address: entry.address.as_deref().map(str::to_owned),
    }
}

pub(crate) fn webhook(made: &Made<Webhook>) -> admin::Webhook {
    let Made { what: webhook, created } = made;
    admin::Webhook {
        id: webhook.id.to_string(),
        organisation_id: webhook.org.to_string(),
        url: webhook.url.to_string(),
        description: webhook.description.to_string(),
        events: webhook.events.iter().map(|kind| kind.as_str().to_owned()).collect(),
        thresholds: webhook.thresholds.iter().copied().collect(),
        credit_low: webhook.credit_low.map(|amount| amount.to_string()),
        enabled: webhook.enabled,
        previous_secret_until: webhook.previous_until.map(|until| until.to_string()),
        created_at: created.to_string(),
    }
}

pub(crate) fn delivery(delivery: &Delivery) -> admin::Delivery {
    admin::Delivery {
        sequence: delivery.sequence,
        event_id: delivery.event.to_string(),
        r#type: delivery.kind.as_str().to_owned(),
        created_at: delivery.created.to_string(),
        status: delivery.status.as_str().to_owned(),
        attempts: delivery.attempts,
        next_attempt_at: delivery.due.map(|due| due.to_string()),
        error: delivery.error.as_deref().map(str::to_owned),
        ended_at: delivery.ended.map(|ended| ended.to_string()),
    }
}
