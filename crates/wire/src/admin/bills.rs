//! Statements, corrections of many charges, and the erasure of end users.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::tenant::Format;

/// Which lines of the ledger.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LedgerQuery {
    /// Number of the line before the first; default: 0, from the beginning.
    pub after: Option<u64>,
    /// Most lines in the part, 1 to 1000; default: 100. Comma-separated values have all lines unless it is given.
    pub limit: Option<u32>,
    /// `json` or `csv`; default: what the header `Accept` prefers.
    pub format: Option<Format>,
}

/// What usage is to be freed of: an end user or a value of a tag.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewErasure {
    /// The end user, as requests named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user: Option<String>,
    /// The value of a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagValue>,
}

/// A value of a tag, as requests said it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TagValue {
    /// The tag's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What was erased.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Erasure {
    /// Requests that were for the end user, or had the tag, and no longer say so.
    pub requests: u64,
}

/// How a statement is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatementFormat {
    /// As an object.
    Json,
    /// As a page to be printed.
    Html,
}

/// How a statement is asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatementQuery {
    /// `json` or `html`; default: what the header `Accept` prefers.
    pub format: Option<StatementFormat>,
}

/// The bill of a month.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Statement {
    /// Whose.
    pub organisation_id: String,
    /// What people call it.
    pub organisation: String,
    /// How it pays.
    pub billing: super::Billing,
    /// The month, such as `2026-11`, of the organisation's time zone.
    pub month: String,
    /// Its name in the IANA database.
    pub time_zone: String,
    /// The first moment of the month.
    pub from: String,
    /// The first moment after it.
    pub until: String,
    /// Whether the month is over, so that the statement does not change any more.
    pub closed: bool,
    /// Before the month.
    pub opening: StatementEnd,
    /// After it, or so far.
    pub closing: StatementEnd,
    /// Charged requests by model.
    pub charges: Vec<ModelCharges>,
    /// The sum of charges; negative.
    pub charged: String,
    /// Credit that came in.
    pub credits: Vec<StatementCredit>,
    /// Its sum.
    pub credited: String,
    /// Corrections of earlier lines.
    pub corrections: Corrections,
    /// What is to be paid at the end: the balance below zero of an organisation that pays afterwards; else nothing.
    pub due: String,
}

/// Where the ledger stood.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatementEnd {
    /// Number of the last line; 0 when there was none.
    pub line: u64,
    /// The balance after it.
    pub balance: String,
    /// Its hash: `modelworks ledger verify --expect-head` finds whether lines were cut off since.
    pub head: String,
}

/// What was charged for a model.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ModelCharges {
    /// The model's name.
    pub model: String,
    /// Requests that were charged.
    pub requests: u64,
    /// By class and price.
    pub classes: Vec<ClassCharges>,
    /// What lines were rounded by: they are rounded as a whole, classes are not.
    pub rounding: String,
    /// The sum of all lines.
    pub amount: String,
}

/// What was charged for one class of units at one price.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClassCharges {
    /// `input`, `cached_input`, `output`, `seconds`, `images` or `requests`.
    pub class: String,
    /// Units.
    pub units: u64,
    /// What a million of them cost.
    pub price: String,
    /// Thousandths of the price that were due.
    pub share: u16,
    /// What they cost.
    pub amount: String,
}

/// Credit that came in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatementCredit {
    /// When.
    pub at: String,
    /// `grant` or `code`; `further` for the sum of all beyond a thousand.
    pub source: String,
    /// Number of the line; of the first, for a sum.
    pub line: u64,
    /// How much.
    pub amount: String,
}

/// Corrections of earlier lines.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Corrections {
    /// How many.
    pub lines: u64,
    /// What they add to the balance.
    pub amount: String,
}

/// Charges that shall be computed again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRerating {
    /// The model whose charges were wrong.
    pub model: String,
    /// Lines that were written from this moment on.
    pub from: String,
    /// And before this one; default: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Only charges under this price version; default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_price_id: Option<String>,
    /// The price version of the model that should have held.
    pub price_id: String,
    /// What the preview said, so that nothing else is done than what was seen. Without it nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// What a rerating changes, or changed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rerating {
    /// Whether corrections were written; otherwise this is a preview.
    pub applied: bool,
    /// Charges of the model in the stretch of time.
    pub charges: u64,
    /// Those that are corrected.
    pub corrected: u64,
    /// Those that have a correction that was agreed without a price; they stay as they are.
    pub agreed: u64,
    /// What the corrected ones came to before; negative.
    pub before: String,
    /// What they come to after.
    pub after: String,
    /// What is added to the balance.
    pub difference: String,
    /// Number of the last line of the ledger.
    pub line: u64,
}

/// How long request rows are kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Retention {
    /// Days from a request's admission; none where nothing is set.
    pub request_days: Option<u32>,
}

/// A change of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionChange {
    /// Days from a request's admission; `null` takes the setting away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::present")]
    pub request_days: Option<Option<u32>>,
}
