//! What can be administered from the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::bills::{EndUserCommand, RerateArgs, RetentionArgs, StatementArgs, TagCommand};
use super::user::UserCommand;
use super::webhook::WebhookCommand;

/// Administration of a server that runs.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Organisations: who pays.
    Org(Noun<OrgCommand>),
    /// Projects of an organisation.
    Project(Noun<ProjectCommand>),
    /// People: members of organisations, and who runs the installation.
    User(Noun<UserCommand>),
    /// API keys of a project.
    Key(Noun<KeyCommand>),
    /// Limits of an organisation, a project or a key.
    Limit(Noun<LimitCommand>),
    /// Prices of models.
    Price(Noun<PriceCommand>),
    /// Credit, codes and the balance.
    Credit(Noun<CreditCommand>),
    /// What was used and what it cost.
    Usage(UsageArgs),
    /// The ledger: the bill, line by line.
    Ledger(Noun<LedgerCommand>),
    /// The bill of a month: balances, charges by model and class, credit, corrections.
    Statement(StatementArgs),
    /// Compute charges of a model again under another price: first shown, then corrected in the ledger.
    Rerate(RerateArgs),
    /// How long request rows are kept; sums and the ledger stay.
    Retention(RetentionArgs),
    /// End users that requests are for.
    EndUser(Noun<EndUserCommand>),
    /// Tags of requests.
    Tag(Noun<TagCommand>),
    /// Webhooks: who is told when budgets and credit run out.
    Webhook(Noun<WebhookCommand>),
    /// Who administered what, newest first.
    Audit(AuditArgs),
    /// Copy tenants, usage, ledger and what keys are checked with; the server may run meanwhile. Models are not copied.
    Backup {
        /// A folder; it is made if need be and must hold no backup.
        folder: PathBuf,
    },
    /// Bring a backup into a data folder without rows, while no server uses it.
    Restore {
        /// The folder of the backup.
        folder: PathBuf,
    },
}

/// Something and what can be done with it.
#[derive(Debug, Args)]
pub struct Noun<C: Subcommand> {
    #[command(flatten)]
    pub how: How,
    #[command(subcommand)]
    pub command: C,
}

const KEY_HELP: &str = "\
The key is taken from the environment variable MODELWORKS_KEY. On the machine of the server, address and key are found in
its data folder.";

/// Which server, and how answers are written.
#[derive(Debug, Clone, Args)]
#[command(after_help = KEY_HELP)]
pub struct How {
    /// Address of the server, such as `https://models.example.org` [default: the one that uses the data folder].
    #[arg(long, global = true, env = "MODELWORKS_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Write JSON as the server answers it.
    #[arg(long, global = true)]
    pub json: bool,
}

/// `org`.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Make an organisation.
    Create {
        /// Its name.
        name: String,
        /// IANA time zone, whose days and months its budgets have [default: UTC].
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// It pays from credit that is there: at zero it stops.
        #[arg(long)]
        prepaid: bool,
    },
    /// List organisations.
    List,
    /// Show one.
    Show {
        /// Name or id [default: that of the key].
        org: Option<String>,
    },
    /// Change its name, or how it pays.
    Set {
        /// Name or id.
        org: String,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
        /// Another way to pay: prepaid or postpaid.
        #[arg(long, value_parser = ["prepaid", "postpaid"])]
        billing: Option<String>,
    },
}

/// Which organisation.
#[derive(Debug, Clone, Args)]
pub struct InOrg {
    /// Organisation, by name or id [default: that of the key].
    #[arg(long, value_name = "ORG")]
    pub org: Option<String>,
}

/// `project`.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Make a project.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        of: InOrg,
    },
    /// List projects.
    List {
        #[command(flatten)]
        of: InOrg,
    },
    /// Give a project another name.
    Rename {
        /// Name or id.
        project: String,
        /// Another name.
        name: String,
        #[command(flatten)]
        of: InOrg,
    },
}

/// `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and show its secret, this once.
    Create(Box<NewKeyArgs>),
    /// List keys.
    List {
        #[command(flatten)]
        of: InOrg,
        /// Only those of this project, by name or id.
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
        /// Only those of this person, by address or id.
        #[arg(long, value_name = "EMAIL")]
        owner: Option<String>,
    },
    /// Show one.
    Show {
        /// Name or id.
        key: String,
        #[command(flatten)]
        of: InOrg,
    },
    /// Replace its secret and show the new one, this once.
    Rotate {
        /// Name or id.
        key: String,
        #[command(flatten)]
        of: InOrg,
        /// For so long the secret before works, too, such as 30m, 24h or 7d [default: not at all].
        #[arg(long, value_name = "TIME")]
        grace: Option<String>,
        /// Print the secret and nothing else.
        #[arg(long)]
        quiet: bool,
    },
    /// End a key at once; what runs with it is cancelled.
    Revoke {
        /// Name or id.
        key: String,
        #[command(flatten)]
        of: InOrg,
    },
}

/// `key create`.
#[derive(Debug, Args)]
pub struct NewKeyArgs {
    #[command(flatten)]
    pub of: InOrg,
    /// Project, by name or id [default: that of the asking key].
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// What people call it.
    #[arg(long)]
    pub name: String,
    /// Member of the organisation whose it is, by address or id: it ends with their membership [default: nobody].
    #[arg(long, value_name = "EMAIL")]
    pub owner: Option<String>,
    /// What it is for; may be given several times [default: inference, models:read, usage:read].
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub scopes: Vec<String>,
    /// Models that it may name [default: all].
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub models: Option<Vec<String>>,
    /// When it ends: a time from now, such as 30d, or a moment, such as 2027-01-01T00:00:00Z [default: never].
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
    #[command(flatten)]
    pub limits: LimitFlags,
    /// Print the secret and nothing else.
    #[arg(long)]
    pub quiet: bool,
}

/// Limits, as flags.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitFlags {
    /// Requests a minute.
    #[arg(long, value_name = "N")]
    pub rpm: Option<String>,
    /// Tokens a minute.
    #[arg(long, value_name = "N")]
    pub tpm: Option<String>,
    /// Tokens of prompts a minute.
    #[arg(long, value_name = "N")]
    pub input_tpm: Option<String>,
    /// Generated tokens a minute.
    #[arg(long, value_name = "N")]
    pub output_tpm: Option<String>,
    /// Requests at one time.
    #[arg(long, value_name = "N")]
    pub concurrent: Option<String>,
    /// Money a day, such as 2.50.
    #[arg(long, value_name = "AMOUNT")]
    pub budget_day: Option<String>,
    /// Money a month.
    #[arg(long, value_name = "AMOUNT")]
    pub budget_month: Option<String>,
    /// Money altogether.
    #[arg(long, value_name = "AMOUNT")]
    pub budget_ever: Option<String>,
}

/// Whose limits.
#[derive(Debug, Clone, Args)]
pub struct LimitOwner {
    #[command(flatten)]
    pub of: InOrg,
    /// Those of this project, by name or id.
    #[arg(long, value_name = "PROJECT", conflicts_with = "key")]
    pub project: Option<String>,
    /// Those of this key, by name or id.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

/// `limit`.
#[derive(Debug, Subcommand)]
pub enum LimitCommand {
    /// Show the limits of an organisation, or of a project or key of it.
    Show {
        #[command(flatten)]
        owner: LimitOwner,
    },
    /// Set limits; `none` takes one away, 0 allows nothing.
    Set {
        #[command(flatten)]
        owner: LimitOwner,
        #[command(flatten)]
        limits: LimitFlags,
    },
    /// How all limits above the asking key stand.
    Status,
}

/// `price`.
#[derive(Debug, Subcommand)]
pub enum PriceCommand {
    /// Set what a million units of a model cost; zero is a price, too.
    Set(NewPriceArgs),
    /// List prices, oldest first.
    List {
        /// Only of this model.
        model: Option<String>,
    },
}

/// `price set`.
#[derive(Debug, Args)]
pub struct NewPriceArgs {
    /// The model's name.
    pub model: String,
    /// A million tokens of prompts.
    #[arg(long, value_name = "AMOUNT")]
    pub input: String,
    /// A million tokens of prompts that a cache holds [default: as --input].
    #[arg(long, value_name = "AMOUNT")]
    pub cached_input: Option<String>,
    /// A million generated tokens.
    #[arg(long, value_name = "AMOUNT")]
    pub output: String,
    /// A million seconds of sound [default: 0].
    #[arg(long, value_name = "AMOUNT")]
    pub seconds: Option<String>,
    /// A million pictures [default: 0].
    #[arg(long, value_name = "AMOUNT")]
    pub images: Option<String>,
    /// A million requests [default: 0].
    #[arg(long, value_name = "AMOUNT")]
    pub requests: Option<String>,
    /// Thousandths of the price that a batch pays [default: 1000].
    #[arg(long, value_name = "N")]
    pub batch_share: Option<u16>,
    /// From when it holds, such as 2027-01-01T00:00:00Z [default: now].
    #[arg(long, value_name = "WHEN")]
    pub from: Option<String>,
}

/// `credit`.
#[derive(Debug, Subcommand)]
pub enum CreditCommand {
    /// Grant credit. A payment that is told twice credits once.
    Grant {
        /// How much, such as 25.00.
        amount: String,
        /// The name of the payment, unique in the installation.
        #[arg(long, value_name = "ID")]
        external_id: String,
        #[command(flatten)]
        of: InOrg,
    },
    /// Show the balance and the ledger's last hash.
    Balance {
        #[command(flatten)]
        of: InOrg,
    },
    /// Redeem a code; it is read from standard input, so that no history keeps it.
    Redeem {
        #[command(flatten)]
        of: InOrg,
    },
    /// Make a code that is worth credit, once, and show it, this once.
    Code {
        /// What it is worth.
        amount: String,
        /// When it ends, such as 90d [default: never].
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// Print the code and nothing else.
        #[arg(long)]
        quiet: bool,
    },
    /// List codes and what became of them.
    Codes,
}

/// `usage`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub of: InOrg,
    /// Length of each period: hour, day or month.
    #[arg(long, value_name = "BUCKET", default_value = "day", value_parser = ["hour", "day", "month"])]
    pub by: String,
    /// How far back, such as 24h or 30d.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub last: String,
    /// What is told apart beside model and project: key, end_user, or tag:NAME for the values of a tag.
    #[arg(long, value_name = "WHAT", default_value = "key")]
    pub group_by: String,
    /// Write comma-separated values.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

/// `ledger`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Write the lines, oldest first, in the bytes that docs/ledger.md fixes.
    Export {
        #[command(flatten)]
        of: InOrg,
        /// Write their fields as comma-separated values.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Check every line, hash, amount and balance.
    Verify {
        #[command(flatten)]
        of: InOrg,
        /// Hash of a last line that was seen before: the chain must contain it.
        #[arg(long, value_name = "HASH")]
        expect_head: Option<String>,
        /// Check this file instead of what the server has.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub of: InOrg,
    /// What belongs to no organisation: prices, codes.
    #[arg(long, conflicts_with = "org")]
    pub installation: bool,
    /// Most entries.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}
