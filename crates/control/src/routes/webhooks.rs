//! Webhooks of an organisation. Where the name in a URL leads is checked at each delivery and not here: it can change.

use std::collections::BTreeSet;

use account::{Action, EventId, EventKind, OrgId, Reach, WebhookId};
use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::Response,
};
use store::{Change, Made};
use wire::{
    admin::{
        Delivery, IssuedWebhook, List, NewWebhook, NewestFirstQuery, PartQuery, Ping, Rotation, Secret, Webhook,
        WebhookChange,
    },
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::{Body, Nothing, Posted},
    control::text,
    convert,
    error::ApiError,
    page::{self, Asked},
    precondition::{IfMatch, tagged},
    routes::organisations,
};

/// Webhooks of one organisation.
const MOST: usize = 10;

/// Shares of budgets that one webhook is told of.
const MOST_THRESHOLDS: usize = 10;

/// What one is told of, unless its maker says otherwise.
const USUAL_THRESHOLDS: [u8; 3] = [50, 80, 100];

const MOST_URL_BYTES: usize = 2048;
const MOST_DESCRIPTION_BYTES: usize = 200;

/// The webhooks of an organisation.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/webhooks", tag = "admin",
    params(("org" = String, Path, description = "Whose"), PartQuery),
    responses(
        (status = 200, description = "The answer", body = List<Webhook>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<PartQuery>,
) -> Result<Json<List<Webhook>>, ApiError> {
    let org = organisation(&control, &caller, &org).await?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let read = control.store().webhook_page(org, after, size + 1).await?;
    Ok(Json(page::part(read, size, |made| made.what.id.to_string(), convert::webhook)))
}

/// Makes a webhook and shows its secret, this once.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/webhooks", tag = "admin", request_body = NewWebhook,
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 201, description = "Made", body = IssuedWebhook),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    posted: Posted<NewWebhook>,
) -> Result<Response, ApiError> {
    let org = organisation(&control, &caller, &org).await?;
    let new = posted.body;
    let webhook = store::Webhook {
        id: WebhookId::generate()?,
        org,
        url: url(&control, &new.url)?,
        description: description(new.description.as_deref().unwrap_or_default())?,
        events: new.events.as_deref().map_or_else(|| Ok(EventKind::CHOICE.into()), events)?,
        thresholds: thresholds(new.thresholds.as_deref().unwrap_or(&USUAL_THRESHOLDS))?,
        credit_low: new.credit_low.as_deref().map(|text| convert::amount("credit_low", text)).transpose()?,
        enabled: new.enabled.unwrap_or(true),
        secret_version: 1,
        previous_until: None,
    };
    let secret = control.pepper().webhook_secret(webhook.id, webhook.secret_version);
    let answer = convert::webhook(&Made { what: webhook.clone(), created: store::now() });
    let turn = control.turn().await;
    if control.store().webhook_page(org, None, MOST as u32).await?.len() >= MOST {
        return Err(ApiError::TooMany { what: "webhooks of this organisation", most: MOST });
    }
    let changes = vec![(Change::AddWebhook(webhook), caller.act(None, Some(text(&answer))))];
    let done = control.make_all(turn, changes, posted.wish, &answer).await?;
    Ok(done.answer(IssuedWebhook { webhook: answer, secret: Some(Secret::new(secret.expose())) }))
}

/// One webhook.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/webhooks/{webhook}", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("webhook" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The answer", body = Webhook),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    caller: Caller,
    Path((org, webhook)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let found = convert::webhook(&find(&control, &caller, &org, &webhook).await?);
    Ok(tagged(&found, &found))
}

/// Changes a webhook. What waits for it is sent as it is from then on.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/webhooks/{webhook}", tag = "admin", request_body = WebhookChange,
    params(
        ("org" = String, Path, description = "Whose"), ("webhook" = String, Path, description = "Its id"),
        ("If-Match" = String, Header, description = "Its `ETag`"),
    ),
    responses(
        (status = 200, description = "Changed", body = Webhook),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change(
    State(control): State<Control>,
    caller: Caller,
    Path((org, webhook)): Path<(String, String)>,
    precondition: IfMatch,
    Body(change): Body<WebhookChange>,
) -> Result<Response, ApiError> {
    let turn = control.turn().await;
    let mut made = find(&control, &caller, &org, &webhook).await?;
    let before = convert::webhook(&made);
    precondition.check(&before)?;
    let webhook = &mut made.what;
    if let Some(wanted) = &change.url {
        webhook.url = url(&control, wanted)?;
    }
    if let Some(wanted) = &change.description {
        webhook.description = description(wanted)?;
    }
    if let Some(wanted) = &change.events {
        webhook.events = events(wanted)?;
    }
    if let Some(wanted) = &change.thresholds {
        webhook.thresholds = thresholds(wanted)?;
    }
    if let Some(wanted) = &change.credit_low {
        webhook.credit_low = wanted.as_deref().map(|text| convert::amount("credit_low", text)).transpose()?;
    }
    webhook.enabled = change.enabled.unwrap_or(webhook.enabled);
    let after = convert::webhook(&made);
    control.change(turn, &caller, Change::ChangeWebhook(made.what), &before, &after).await?;
    Ok(tagged(&after, &after))
}

/// Removes a webhook, and with it what it has not been told yet.
#[utoipa::path(
    delete, path = "/admin/v1/organisations/{org}/webhooks/{webhook}", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("webhook" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Is no more"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    caller: Caller,
    Path((org, webhook)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let turn = control.turn().await;
    let made = find(&control, &caller, &org, &webhook).await?;
    let change = Change::RemoveWebhook { org: made.what.org, webhook: made.what.id };
    let act = caller.act(Some(text(&convert::webhook(&made))), None);
    control.commit(turn, vec![(change, act)], None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook another secret and shows it, this once. For the time of grace deliveries are signed with both.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/webhooks/{webhook}/rotate", tag = "admin", request_body = Rotation,
    params(("org" = String, Path, description = "Whose"), ("webhook" = String, Path, description = "Its id")),
    responses(
        (status = 201, description = "Rotated", body = IssuedWebhook),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn rotate(
    State(control): State<Control>,
    caller: Caller,
    Path((org, webhook)): Path<(String, String)>,
    posted: Posted<Rotation>,
) -> Result<Response, ApiError> {
    let grace = convert::grace(&posted.body, "sign")?;
    let turn = control.turn().await;
    let mut made = find(&control, &caller, &org, &webhook).await?;
    let before = text(&convert::webhook(&made));
    made.what.secret_version += 1;
    made.what.previous_until = (!grace.is_zero()).then(|| store::now().after(grace));
    let secret = control.pepper().webhook_secret(made.what.id, made.what.secret_version);
    let answer = convert::webhook(&made);
    let act = caller.act(Some(before), Some(text(&answer)));
    let done = control.make_all(turn, vec![(Change::ChangeWebhook(made.what), act)], posted.wish, &answer).await?;
    Ok(done.answer(IssuedWebhook { webhook: answer, secret: Some(Secret::new(secret.expose())) }))
}

/// Sends a webhook an event `ping`, to try whether it works: what became of it is among its deliveries.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/webhooks/{webhook}/ping", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("webhook" = String, Path, description = "Its id")),
    responses(
        (status = 201, description = "It will be sent", body = Ping),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn ping(
    State(control): State<Control>,
    caller: Caller,
    Path((org, webhook)): Path<(String, String)>,
    posted: Posted<Nothing>,
) -> Result<Response, ApiError> {
    let webhook = find(&control, &caller, &org, &webhook).await?.what;
    if !webhook.enabled {
        return Err(ApiError::invalid("enabled", "the webhook is disabled: it is told nothing"));
    }
    let event = EventId::generate()?;
    let answer = Ping { event_id: event.to_string() };
    let change = Change::PingWebhook { org: webhook.org, webhook: webhook.id, event };
    let done = control.make(&caller, change, posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

/// What a webhook was told of and is to be told of, newest first.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/webhooks/{webhook}/deliveries", tag = "admin",
    params(
        ("org" = String, Path, description = "Whose"), ("webhook" = String, Path, description = "Its id"),
        NewestFirstQuery,
    ),
    responses(
        (status = 200, description = "The answer", body = List<Delivery>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn deliveries(
    State(control): State<Control>,
    caller: Caller,
    Path((org, webhook)): Path<(String, String)>,
    Asked(query): Asked<NewestFirstQuery>,
) -> Result<Json<List<Delivery>>, ApiError> {
    let webhook = find(&control, &caller, &org, &webhook).await?.what;
    let size = page::size(query.limit)?;
    let read = control.store().deliveries(webhook.org, webhook.id, query.after, size + 1).await?;
    Ok(Json(page::part(read, size, |delivery| delivery.sequence.to_string(), convert::delivery)))
}

async fn organisation(control: &Control, caller: &Caller, org: &str) -> Result<OrgId, ApiError> {
    let org = convert::id(OrgId::parse(org))?;
    caller.may(Action::ChangeOrganisation, Reach::Organisation(org))?;
    organisations::find(control, org).await?;
    Ok(org)
}

/// A webhook of an organisation whose settings the caller may change, or that there is none.
async fn find(control: &Control, caller: &Caller, org: &str, webhook: &str) -> Result<Made<store::Webhook>, ApiError> {
    let (org, webhook) = (convert::id(OrgId::parse(org))?, convert::id(WebhookId::parse(webhook))?);
    caller.may(Action::ChangeOrganisation, Reach::Organisation(org))?;
    control.store().webhook(org, webhook).await?.ok_or(ApiError::NOT_FOUND)
}

/// Where a webhook leads: over TLS, unless whoever runs the installation lists networks that need none.
fn url(control: &Control, text: &str) -> Result<Box<str>, ApiError> {
    let wrong = |message: &str| ApiError::invalid("url", message);
    if text.len() > MOST_URL_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
        let message = format!("a URL has at most {MOST_URL_BYTES} visible ASCII characters, and no fragment here");
        return Err(wrong(&message));
    }
    let uri: Uri = text.parse().map_err(|_| wrong("this is no URL; write it as https://example.org/path"))?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty());
    if authority.is_none_or(|authority| authority.as_str().contains('@')) {
        return Err(wrong("a URL names a host here, and no user; write it as https://example.org/path"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(text.into()),
        Some("http") if control.sends_without_tls() => Ok(text.into()),
        _ => Err(wrong("a webhook begins with https://; whoever runs the installation can list networks for http://")),
    }
}

fn description(text: &str) -> Result<Box<str>, ApiError> {
    if text.len() > MOST_DESCRIPTION_BYTES {
        let message = format!("a description has at most {MOST_DESCRIPTION_BYTES} bytes");
        return Err(ApiError::invalid("description", message));
    }
    Ok(text.into())
}

fn events(names: &[String]) -> Result<BTreeSet<EventKind>, ApiError> {
    let kind = |name: &String| {
        let kind = EventKind::CHOICE.into_iter().find(|kind| kind.as_str() == name);
        kind.ok_or_else(|| {
            let all = EventKind::CHOICE.map(EventKind::as_str).join(", ");
            ApiError::invalid("events", format!("a webhook is told of {all}, and not of {name:?}"))
        })
    };
    names.iter().map(kind).collect()
}

fn thresholds(percents: &[u8]) -> Result<BTreeSet<u8>, ApiError> {
    if percents.len() > MOST_THRESHOLDS || percents.iter().any(|percent| !(1..=100).contains(percent)) {
        let message = format!("at most {MOST_THRESHOLDS} shares of 1 to 100 percent are told of");
        return Err(ApiError::invalid("thresholds", message));
    }
    Ok(percents.iter().copied().collect())
}
