//! Carries a command out: ask the server, show what it answers.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use wire::admin::{
    Billing, NewCode, NewCredit, NewKey, NewOrganisation, NewPrice, NewProject, OrganisationChange, ProjectChange,
    Redemption, Rotation, Secret,
};

use super::{
    bills,
    client::Client,
    command::{
        AdminCommand, AuditArgs, CreditCommand, How, KeyCommand, LimitCommand, LimitFlags, LimitOwner, NewKeyArgs,
        NewPriceArgs, OrgCommand, PriceCommand, ProjectCommand, UsageArgs,
    },
    copies, expiry, ledger, names,
    table::{self, Columns},
    user, webhook,
};

pub(super) const ORGANISATIONS: &str = "/admin/v1/organisations";

/// Carries a command out.
pub async fn perform(command: AdminCommand, data_dir: &Path) -> Result<()> {
    let open = |how: &How| Client::open(data_dir, how.url.as_deref());
    let (show, client) = match &command {
        AdminCommand::Org(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::Project(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::User(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::Key(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::Limit(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::Price(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::Credit(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::Usage(args) => (Show(args.how.json), open(&args.how)?),
        AdminCommand::Statement(args) => (Show(args.how.json), open(&args.how)?),
        AdminCommand::Rerate(args) => (Show(args.how.json), open(&args.how)?),
        AdminCommand::Retention(args) => (Show(args.how.json), open(&args.how)?),
        AdminCommand::Tag(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::Webhook(noun) => (Show(noun.how.json), open(&noun.how)?),
        AdminCommand::EndUser(noun) => (Show(noun.how.json), open(&noun.how)?),
        // Who checks a file needs no server.
        AdminCommand::Ledger(noun) => return ledger::perform(&noun.command, || open(&noun.how)).await,
        AdminCommand::Audit(args) => (Show(args.how.json), open(&args.how)?),
        AdminCommand::Backup { folder } => return copies::backup(data_dir, folder).await,
        AdminCommand::Restore { folder } => return copies::restore(data_dir, folder),
    };
    match command {
        AdminCommand::Org(noun) => org(&client, show, noun.command).await,
        AdminCommand::Project(noun) => project(&client, show, noun.command).await,
        AdminCommand::User(noun) => user::perform(&client, show, noun.command).await,
        AdminCommand::Key(noun) => key(&client, show, noun.command).await,
        AdminCommand::Limit(noun) => limit(&client, show, noun.command).await,
        AdminCommand::Price(noun) => price(&client, show, noun.command).await,
        AdminCommand::Credit(noun) => credit(&client, show, noun.command).await,
        AdminCommand::Usage(args) => usage(&client, show, args).await,
        AdminCommand::Statement(args) => bills::statement(&client, args).await,
        AdminCommand::Rerate(args) => bills::rerate(&client, args).await,
        AdminCommand::Retention(args) => bills::retention(&client, args).await,
        AdminCommand::EndUser(noun) => bills::end_user(&client, noun.how.json, noun.command).await,
        AdminCommand::Tag(noun) => bills::tag(&client, noun.how.json, noun.command).await,
        AdminCommand::Webhook(noun) => webhook::perform(&client, show, noun.command).await,
        AdminCommand::Audit(args) => audit(&client, show, args).await,
        // Carried out above, without a client.
        AdminCommand::Ledger(_) | AdminCommand::Backup { .. } | AdminCommand::Restore { .. } => Ok(()),
    }
}

/// How answers are written: as JSON, or for people.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show(bool);

impl Show {
    pub(super) fn one(self, value: &Value) -> Result<()> {
        let mut out = io::stdout().lock();
        if self.0 { table::json(&mut out, value) } else { Ok(table::one(&mut out, value)?) }
    }

    pub(super) fn list(self, columns: Columns<'_>, rows: Vec<Value>) -> Result<()> {
        let mut out = io::stdout().lock();
        if self.0 { table::json(&mut out, &Value::Array(rows)) } else { Ok(table::list(&mut out, columns, &rows)?) }
    }

    /// Something with a secret that is shown this once: with `quiet` the secret alone.
    pub(super) fn issued(self, value: &Value, quiet: bool) -> Result<()> {
        if !quiet {
            return self.one(value);
        }
        let secret = value["secret"].as_str().context("the server answered without the secret")?;
        Ok(writeln!(io::stdout().lock(), "{secret}")?)
    }
}

async fn org(client: &Client, show: Show, command: OrgCommand) -> Result<()> {
    match command {
        OrgCommand::Create { name, time_zone, prepaid } => {
            let billing = Some(if prepaid { Billing::Prepaid } else { Billing::Postpaid });
            show.one(&client.post(ORGANISATIONS, &NewOrganisation { name, time_zone, billing }).await?)
        }
        OrgCommand::List => {
            let columns = [("name", "name"), ("billing", "billing"), ("time zone", "time_zone"), ("id", "id")];
            show.list(&columns, client.all(ORGANISATIONS, &[]).await?)
        }
        OrgCommand::Show { org } => {
            let org = names::org(client, org.as_deref()).await?;
            show.one(&client.get(&format!("{ORGANISATIONS}/{org}"), &[]).await?)
        }
        OrgCommand::Set { org, name, billing } => {
            let org = names::org(client, Some(&org)).await?;
            let billing = billing.map(|word| if word == "prepaid" { Billing::Prepaid } else { Billing::Postpaid });
            let change = OrganisationChange { name, billing };
            show.one(&client.patch(&format!("{ORGANISATIONS}/{org}"), &change).await?)
        }
    }
}

async fn project(client: &Client, show: Show, command: ProjectCommand) -> Result<()> {
    match command {
        ProjectCommand::Create { name, of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            show.one(&client.post(&format!("{ORGANISATIONS}/{org}/projects"), &NewProject { name }).await?)
        }
        ProjectCommand::List { of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let rows = client.all(&format!("{ORGANISATIONS}/{org}/projects"), &[]).await?;
            show.list(&[("name", "name"), ("id", "id"), ("made", "created_at")], rows)
        }
        ProjectCommand::Rename { project, name, of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let project = names::project(client, &org, Some(&project)).await?;
            let path = format!("{ORGANISATIONS}/{org}/projects/{project}");
            show.one(&client.patch(&path, &ProjectChange { name: Some(name) }).await?)
        }
    }
}

async fn key(client: &Client, show: Show, command: KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Create(args) => create_key(client, show, *args).await,
        KeyCommand::List { of, project, owner } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let project = match project {
                Some(project) => Some(names::project(client, &org, Some(&project)).await?),
                None => None,
            };
            let owner = match owner {
                Some(owner) => Some(names::owner(client, &org, &owner).await?),
                None => None,
            };
            let query = [("project_id", &project), ("owner", &owner)];
            let query: Vec<_> = query.iter().filter_map(|(name, id)| Some((*name, id.as_deref()?))).collect();
            let columns = [
                ("name", "name"),
                ("owner", "owner_id"),
                ("scopes", "scopes"),
                ("models", "models"),
                ("expires", "expires_at"),
                ("revoked", "revoked_at"),
                ("last used", "last_used_at"),
                ("id", "id"),
            ];
            show.list(&columns, client.all(&format!("{ORGANISATIONS}/{org}/keys"), &query).await?)
        }
        KeyCommand::Show { key, of } => {
            let path = key_path(client, of.org.as_deref(), &key).await?;
            show.one(&client.get(&path, &[]).await?)
        }
        KeyCommand::Rotate { key, of, grace, quiet } => {
            let path = key_path(client, of.org.as_deref(), &key).await?;
            let grace = grace.as_deref().map(expiry::length).transpose()?;
            let body = Rotation { grace_seconds: grace.map(|grace| grace.as_secs()) };
            show.issued(&client.post(&format!("{path}/rotate"), &body).await?, quiet)
        }
        KeyCommand::Revoke { key, of } => {
            let path = key_path(client, of.org.as_deref(), &key).await?;
            show.one(&client.post(&format!("{path}/revoke"), &json!({})).await?)
        }
    }
}

async fn create_key(client: &Client, show: Show, args: NewKeyArgs) -> Result<()> {
    let org = names::org(client, args.of.org.as_deref()).await?;
    let project = names::project(client, &org, args.project.as_deref()).await?;
    let owner_id = match args.owner {
        Some(owner) => Some(Some(names::owner(client, &org, &owner).await?)),
        None => None,
    };
    let limits = limits(&args.limits)?;
    let limits = (!limits.is_empty()).then(|| serde_json::from_value(Value::Object(limits))).transpose()?;
    let new = NewKey {
        project_id: project,
        owner_id,
        name: args.name,
        scopes: (!args.scopes.is_empty()).then_some(args.scopes),
        models: args.models,
        expires_at: args.expires.as_deref().map(|when| expiry::moment(when, store::now())).transpose()?,
        limits,
    };
    show.issued(&client.post(&format!("{ORGANISATIONS}/{org}/keys"), &new).await?, args.quiet)
}

async fn key_path(client: &Client, org: Option<&str>, key: &str) -> Result<String> {
    let org = names::org(client, org).await?;
    let key = names::key(client, &org, key).await?;
    Ok(format!("{ORGANISATIONS}/{org}/keys/{key}"))
}

async fn limit(client: &Client, show: Show, command: LimitCommand) -> Result<()> {
    match command {
        LimitCommand::Show { owner } => show.one(&client.get(&limits_path(client, owner).await?, &[]).await?),
        LimitCommand::Set { owner, limits: flags } => {
            let change = limits(&flags)?;
            ensure!(!change.is_empty(), "say which limit: --rpm, --tpm, --budget-day, …; `none` takes one away");
            show.one(&client.patch(&limits_path(client, owner).await?, &change).await?)
        }
        LimitCommand::Status => {
            let mut answer = client.get("/v1/limits", &[]).await?;
            let rows = answer["data"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let columns = [
                ("limit", "limit"),
                ("owner", "owner"),
                ("allowed", "allowed"),
                ("used", "used"),
                ("held", "held"),
                ("remaining", "remaining"),
                ("unit", "unit"),
                ("resets", "resets_at"),
            ];
            show.list(&columns, rows)
        }
    }
}

async fn limits_path(client: &Client, owner: LimitOwner) -> Result<String> {
    let org = names::org(client, owner.of.org.as_deref()).await?;
    Ok(match (owner.project, owner.key) {
        (Some(project), _) => {
            let project = names::project(client, &org, Some(&project)).await?;
            format!("{ORGANISATIONS}/{org}/projects/{project}/limits")
        }
        (None, Some(key)) => format!("{ORGANISATIONS}/{org}/keys/{}/limits", names::key(client, &org, &key).await?),
        (None, None) => format!("{ORGANISATIONS}/{org}/limits"),
    })
}

/// The limits that flags name, as JSON; `none` is null.
fn limits(flags: &LimitFlags) -> Result<Map<String, Value>> {
    let counts = [
        ("requests_per_minute", &flags.rpm),
        ("tokens_per_minute", &flags.tpm),
        ("input_tokens_per_minute", &flags.input_tpm),
        ("output_tokens_per_minute", &flags.output_tpm),
        ("concurrent_requests", &flags.concurrent),
    ];
    let budgets =
        [("budget_day", &flags.budget_day), ("budget_month", &flags.budget_month), ("budget_ever", &flags.budget_ever)];
    let mut limits = Map::new();
    for (name, text) in counts {
        match text.as_deref() {
            None => {}
            Some("none") => drop(limits.insert(name.to_owned(), Value::Null)),
            Some(text) => {
                let number: u64 =
                    text.parse().with_context(|| format!("`{text}` is neither a number nor `none` ({name})"))?;
                limits.insert(name.to_owned(), number.into());
            }
        }
    }
    for (name, text) in budgets {
        match text.as_deref() {
            None => {}
            Some("none") => drop(limits.insert(name.to_owned(), Value::Null)),
            Some(text) => drop(limits.insert(name.to_owned(), text.into())),
        }
    }
    Ok(limits)
}

async fn price(client: &Client, show: Show, command: PriceCommand) -> Result<()> {
    match command {
        PriceCommand::Set(args) => {
            let NewPriceArgs { model, input, cached_input, output, seconds, images, requests, batch_share, from } =
                args;
            let new = NewPrice { model, from, input, cached_input, output, seconds, images, requests, batch_share };
            show.one(&client.post("/admin/v1/prices", &new).await?)
        }
        PriceCommand::List { model } => {
            let query: Vec<_> = model.as_deref().map(|model| ("model", model)).into_iter().collect();
            let columns = [
                ("model", "model"),
                ("from", "from"),
                ("input", "input"),
                ("cached", "cached_input"),
                ("output", "output"),
                ("requests", "requests"),
                ("id", "id"),
            ];
            show.list(&columns, client.all("/admin/v1/prices", &query).await?)
        }
    }
}

async fn credit(client: &Client, show: Show, command: CreditCommand) -> Result<()> {
    match command {
        CreditCommand::Grant { amount, external_id, of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let path = format!("{ORGANISATIONS}/{org}/credits");
            show.one(&client.post(&path, &NewCredit { amount, external_id }).await?)
        }
        CreditCommand::Balance { of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            show.one(&client.get(&format!("{ORGANISATIONS}/{org}/balance"), &[]).await?)
        }
        CreditCommand::Redeem { of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let mut code = String::new();
            io::stdin().read_line(&mut code).context("reading the code")?;
            let body = Redemption { code: Secret::new(code.trim()) };
            show.one(&client.post(&format!("{ORGANISATIONS}/{org}/redeem"), &body).await?)
        }
        CreditCommand::Code { amount, expires, quiet } => {
            let expires_at = expires.as_deref().map(|when| expiry::moment(when, store::now())).transpose()?;
            show.issued(&client.post("/admin/v1/codes", &NewCode { amount, expires_at }).await?, quiet)
        }
        CreditCommand::Codes => {
            let columns = [
                ("amount", "amount"),
                ("made", "created_at"),
                ("expires", "expires_at"),
                ("redeemed", "redeemed_at"),
                ("by", "redeemed_by"),
                ("id", "id"),
            ];
            show.list(&columns, client.all("/admin/v1/codes", &[]).await?)
        }
    }
}

async fn usage(client: &Client, show: Show, args: UsageArgs) -> Result<()> {
    let org = names::org(client, args.of.org.as_deref()).await?;
    let now = store::now().as_millis() / 1000;
    let seconds = i64::try_from(expiry::length(&args.last)?.as_secs()).unwrap_or(i64::MAX);
    let start = now.saturating_sub(seconds).to_string();
    let mut query = vec![
        ("bucket", args.by.as_str()),
        ("start_time", start.as_str()),
        ("group_by", args.group_by.as_str()),
        ("format", if args.csv { "csv" } else { "json" }),
    ];
    if args.of.org.is_some() {
        query.push(("organisation_id", org.as_str()));
    }
    if args.csv {
        return client.copy("/v1/usage", &query, &mut io::stdout().lock()).await;
    }
    let mut answer = client.get("/v1/usage", &query).await?;
    let rows = answer["data"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let columns = [
        ("from", "start"),
        ("model", "model"),
        ("requests", "requests"),
        ("input", "input_tokens"),
        ("cached", "cached_input_tokens"),
        ("output", "output_tokens"),
        ("cost", "cost"),
        if args.group_by == "key" { ("key", "key_id") } else { (args.group_by.as_str(), "value") },
    ];
    show.list(&columns, rows)
}

async fn audit(client: &Client, show: Show, args: AuditArgs) -> Result<()> {
    let path = if args.installation {
        "/admin/v1/audit".to_owned()
    } else {
        format!("{ORGANISATIONS}/{}/audit", names::org(client, args.of.org.as_deref()).await?)
    };
    let mut answer = client.get(&path, &[("limit", &args.limit.to_string())]).await?;
    let rows = answer["data"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let columns =
        [("when", "at"), ("who", "actor"), ("what", "action"), ("to what", "object"), ("from where", "address")];
    show.list(&columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_limits_and_none_takes_one_away() {
        let some = |text: &str| Some(text.to_owned());
        let flags = LimitFlags { rpm: some("50"), tpm: some("none"), budget_day: some("2.50"), ..Default::default() };
        let expect = json!({"requests_per_minute": 50, "tokens_per_minute": null, "budget_day": "2.50"});
        assert_eq!(Value::Object(limits(&flags).unwrap()), expect);
        assert!(limits(&LimitFlags { concurrent: some("many"), ..Default::default() }).is_err());
        assert!(limits(&LimitFlags::default()).unwrap().is_empty());
    }
}
