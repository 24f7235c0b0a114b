//! `statement`, `rerate`, `retention`, `end-user` and `tag`: what belongs to bills and the rows behind them.

use std::io::{self, Write};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wire::admin::{NewErasure, NewRerating, RetentionChange, TagValue};

use super::{
    client::Client,
    command::{How, InOrg},
    names, table,
};

const ORGANISATIONS: &str = "/admin/v1/organisations";

/// `statement`.
#[derive(Debug, Args)]
pub struct StatementArgs {
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub of: InOrg,
    /// The month, such as 2026-11.
    pub month: String,
    /// Write a page to be printed.
    #[arg(long, conflicts_with = "json")]
    pub html: bool,
}

/// `rerate`.
#[derive(Debug, Args)]
pub struct RerateArgs {
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub of: InOrg,
    /// The model whose charges were wrong.
    pub model: String,
    /// Charges from this moment on, such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "WHEN")]
    pub from: String,
    /// And before this one [default: now].
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Only charges under this price version, by its id [default: any].
    #[arg(long, value_name = "ID")]
    pub wrong_price: Option<String>,
    /// The price version that should have held, by its id.
    #[arg(long, value_name = "ID")]
    pub price: String,
    /// Write the corrections, if their sum is this: the `difference` that was shown without it.
    #[arg(long, value_name = "DIFFERENCE", allow_hyphen_values = true)]
    pub apply: Option<String>,
}

/// `retention`.
#[derive(Debug, Args)]
pub struct RetentionArgs {
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub of: InOrg,
    /// Of all organisations that have no setting of their own.
    #[arg(long, conflicts_with = "org")]
    pub installation: bool,
    /// Keep request rows for so many days; `none` takes the setting away. Without it the setting is shown.
    pub days: Option<String>,
}

/// `end-user`.
#[derive(Debug, Subcommand)]
pub enum EndUserCommand {
    /// Erase an end user from usage; sums and the ledger stay. The name is read from standard input, so that no history keeps
    /// it.
    Erase {
        #[command(flatten)]
        of: InOrg,
    },
}

/// `tag`.
#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// Erase one value of a tag from usage; sums and the ledger stay. The value is read from standard input, so that no history
    /// keeps it.
    Erase {
        /// The tag's name.
        name: String,
        #[command(flatten)]
        of: InOrg,
    },
}

/// Shows the bill of a month.
pub async fn statement(client: &Client, args: StatementArgs) -> Result<()> {
    let org = names::org(client, args.of.org.as_deref()).await?;
    let path = format!("{ORGANISATIONS}/{org}/statements/{}", args.month);
    let mut out = io::stdout().lock();
    if args.html {
        return client.copy(&path, &[("format", "html")], &mut out).await;
    }
    let statement = client.get(&path, &[("format", "json")]).await?;
    if args.how.json { table::json(&mut out, &statement) } else { Ok(write_statement(&mut out, &statement)?) }
}

fn write_statement(out: &mut dyn Write, statement: &Value) -> io::Result<()> {
    let mut rows = Vec::new();
    for model in statement["charges"].as_array().into_iter().flatten() {
        for class in model["classes"].as_array().into_iter().flatten() {
            let mut row = class.clone();
            row["model"] = model["model"].clone();
            rows.push(row);
        }
        rows.push(json!({"model": model["model"], "class": "rounding", "amount": model["rounding"]}));
        rows.push(
            json!({"model": model["model"], "class": "all", "units": model["requests"], "amount": model["amount"]}),
        );
    }
    let columns =
        [("model", "model"), ("units of", "class"), ("units", "units"), ("price", "price"), ("amount", "amount")];
    table::list(out, &columns, &rows)?;
    let sums = json!({
        "organisation": statement["organisation"], "month": statement["month"], "closed": statement["closed"],
        "balance before": statement["opening"]["balance"], "charges": statement["charged"],
        "credit": statement["credited"], "corrections": statement["corrections"]["amount"],
        "balance after": statement["closing"]["balance"], "due": statement["due"],
        "line": statement["closing"]["line"], "head": statement["closing"]["head"],
    });
    writeln!(out)?;
    table::one(out, &sums)
}

/// Shows what computing charges again would change, or does it.
pub async fn rerate(client: &Client, args: RerateArgs) -> Result<()> {
    let org = names::org(client, args.of.org.as_deref()).await?;
    let wanted = NewRerating {
        model: args.model,
        from: args.from,
        until: args.until,
        wrong_price_id: args.wrong_price,
        price_id: args.price,
        difference: args.apply,
    };
    let answer = client.post(&format!("{ORGANISATIONS}/{org}/reratings"), &wanted).await?;
    show(args.how.json, &answer)
}

/// Shows or sets how long request rows are kept.
pub async fn retention(client: &Client, args: RetentionArgs) -> Result<()> {
    let path = if args.installation {
        "/admin/v1/retention".to_owned()
    } else {
        format!("{ORGANISATIONS}/{}/retention", names::org(client, args.of.org.as_deref()).await?)
    };
    let days = match args.days.as_deref() {
        None => return show(args.how.json, &client.get(&path, &[]).await?),
        Some("none") => None,
        Some(text) => Some(text.parse().with_context(|| format!("`{text}` is neither a number of days nor `none`"))?),
    };
    show(args.how.json, &client.patch(&path, &RetentionChange { request_days: Some(days) }).await?)
}

/// Carries out what is done to end users.
pub async fn end_user(client: &Client, as_json: bool, command: EndUserCommand) -> Result<()> {
    let EndUserCommand::Erase { of } = command;
    let org = names::org(client, of.org.as_deref()).await?;
    let end_user = Some(read_line()?).filter(|name| !name.is_empty());
    ensure!(end_user.is_some(), "standard input does not name an end user");
    let wanted = NewErasure { end_user, tag: None };
    show(as_json, &client.post(&format!("{ORGANISATIONS}/{org}/erasures"), &wanted).await?)
}

/// Carries out what is done to tags.
pub async fn tag(client: &Client, as_json: bool, command: TagCommand) -> Result<()> {
    let TagCommand::Erase { name, of } = command;
    let org = names::org(client, of.org.as_deref()).await?;
    let wanted = NewErasure { end_user: None, tag: Some(TagValue { name, value: read_line()? }) };
    show(as_json, &client.post(&format!("{ORGANISATIONS}/{org}/erasures"), &wanted).await?)
}

/// The first line of standard input.
fn read_line() -> Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("reading standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn show(as_json: bool, value: &Value) -> Result<()> {
    let mut out = io::stdout().lock();
    if as_json { table::json(&mut out, value) } else { Ok(table::one(&mut out, value)?) }
}
