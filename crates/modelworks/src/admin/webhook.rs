//! `webhook`: where an organisation is told of budgets and credit.

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use wire::admin::{NewWebhook, Rotation, WebhookChange};

use super::{
    client::Client,
    command::InOrg,
    expiry, names,
    perform::{ORGANISATIONS, Show},
};

/// `webhook`.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Make a webhook and show its secret, this once.
    Create(NewWebhookArgs),
    /// List webhooks.
    List {
        #[command(flatten)]
        of: InOrg,
    },
    /// Show one.
    Show {
        /// Its id.
        webhook: String,
        #[command(flatten)]
        of: InOrg,
    },
    /// Change one.
    Set(WebhookSetArgs),
    /// Give it another secret and show that, this once.
    Rotate {
        /// Its id.
        webhook: String,
        #[command(flatten)]
        of: InOrg,
        /// For so long deliveries are signed with the secret before, too, such as 24h [default: not at all].
        #[arg(long, value_name = "TIME")]
        grace: Option<String>,
        /// Print the secret and nothing else.
        #[arg(long)]
        quiet: bool,
    },
    /// Send it a test event; `webhook deliveries` shows what became of it.
    Ping {
        /// Its id.
        webhook: String,
        #[command(flatten)]
        of: InOrg,
    },
    /// List what it was told, newest first.
    Deliveries {
        /// Its id.
        webhook: String,
        #[command(flatten)]
        of: InOrg,
        /// Most deliveries.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Remove it, and with it what it has not been told yet.
    Remove {
        /// Its id.
        webhook: String,
        #[command(flatten)]
        of: InOrg,
    },
}

/// `webhook create`.
#[derive(Debug, Args)]
pub struct NewWebhookArgs {
    /// Where to, such as `https://hooks.example.org/budget`.
    #[arg(value_name = "URL")]
    pub to: String,
    #[command(flatten)]
    pub of: InOrg,
    #[command(flatten)]
    pub what: WebhookFlags,
    /// Print the secret and nothing else.
    #[arg(long)]
    pub quiet: bool,
}

/// `webhook set`.
#[derive(Debug, Args)]
pub struct WebhookSetArgs {
    /// Its id.
    pub webhook: String,
    #[command(flatten)]
    pub of: InOrg,
    /// Another place.
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    #[command(flatten)]
    pub what: WebhookFlags,
    /// Whether it is told anything: yes or no.
    #[arg(long, value_name = "ANSWER", value_parser = ["yes", "no"])]
    pub enabled: Option<String>,
}

/// What a webhook is told of.
#[derive(Debug, Clone, Default, Args)]
pub struct WebhookFlags {
    /// What it is told of: budget.threshold, credit.low or credit.spent; may be given several times [default: all].
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',')]
    pub events: Option<Vec<String>>,
    /// Shares of budgets, in percent [default: 50,80,100].
    #[arg(long, value_name = "PERCENT", value_delimiter = ',')]
    pub thresholds: Option<Vec<u8>>,
    /// The balance below which credit is low, such as 5.00; `none`: never.
    #[arg(long, value_name = "AMOUNT")]
    pub credit_low: Option<String>,
    /// What people say of it.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// Carries a command out.
pub async fn perform(client: &Client, show: Show, command: WebhookCommand) -> Result<()> {
    match command {
        WebhookCommand::Create(args) => {
            let org = names::org(client, args.of.org.as_deref()).await?;
            let WebhookFlags { events, thresholds, credit_low, description } = args.what;
            let credit_low = credit_low.filter(|amount| amount != "none");
            let new = NewWebhook { url: args.to, description, events, thresholds, credit_low, enabled: None };
            show.issued(&client.post(&format!("{ORGANISATIONS}/{org}/webhooks"), &new).await?, args.quiet)
        }
        WebhookCommand::List { of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let columns = [
                ("where to", "url"),
                ("events", "events"),
                ("thresholds", "thresholds"),
                ("low credit", "credit_low"),
                ("enabled", "enabled"),
                ("id", "id"),
            ];
            show.list(&columns, client.all(&format!("{ORGANISATIONS}/{org}/webhooks"), &[]).await?)
        }
        WebhookCommand::Show { webhook, of } => show.one(&client.get(&path(client, &of, &webhook).await?, &[]).await?),
        WebhookCommand::Set(args) => {
            let path = path(client, &args.of, &args.webhook).await?;
            let WebhookFlags { events, thresholds, credit_low, description } = args.what;
            let credit_low = credit_low.map(|amount| (amount != "none").then_some(amount));
            let enabled = args.enabled.map(|answer| answer == "yes");
            let change = WebhookChange { url: args.to, description, events, thresholds, credit_low, enabled };
            ensure!(json!(change) != json!({}), "say what to change: --to, --event, --thresholds, --enabled, …");
            show.one(&client.patch(&path, &change).await?)
        }
        WebhookCommand::Rotate { webhook, of, grace, quiet } => {
            let path = path(client, &of, &webhook).await?;
            let grace = grace.as_deref().map(expiry::length).transpose()?;
            let body = Rotation { grace_seconds: grace.map(|grace| grace.as_secs()) };
            show.issued(&client.post(&format!("{path}/rotate"), &body).await?, quiet)
        }
        WebhookCommand::Ping { webhook, of } => {
            let path = path(client, &of, &webhook).await?;
            show.one(&client.post(&format!("{path}/ping"), &json!({})).await?)
        }
        WebhookCommand::Deliveries { webhook, of, limit } => {
            let path = path(client, &of, &webhook).await?;
            let mut answer = client.get(&format!("{path}/deliveries"), &[("limit", &limit.to_string())]).await?;
            let rows = answer["data"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let columns = [
                ("when", "created_at"),
                ("what", "type"),
                ("status", "status"),
                ("attempts", "attempts"),
                ("next", "next_attempt_at"),
                ("error", "error"),
                ("id", "event_id"),
            ];
            show.list(&columns, rows)
        }
        WebhookCommand::Remove { webhook, of } => client.delete(&path(client, &of, &webhook).await?, false).await,
    }
}

async fn path(client: &Client, of: &InOrg, webhook: &str) -> Result<String> {
    let org = names::org(client, of.org.as_deref()).await?;
    Ok(format!("{ORGANISATIONS}/{org}/webhooks/{webhook}"))
}
