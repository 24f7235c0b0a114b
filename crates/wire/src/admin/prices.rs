//! Prices of models, in dated versions.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One version of a model's price. Rates are for a million units.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Price {
    /// Its id, `price_…`, as it stands in the ledger.
    pub id: String,
    /// The model's name.
    pub model: String,
    /// It holds for requests that are admitted from then on, until a later version does.
    pub from: String,
    /// Tokens of prompts that are computed.
    pub input: String,
    /// Tokens of prompts that a cache holds.
    pub cached_input: String,
    /// Generated tokens.
    pub output: String,
    /// Seconds of sound.
    pub seconds: String,
    /// Pictures.
    pub images: String,
    /// Requests.
    pub requests: String,
    /// Thousandths of the rates that a batch pays.
    pub batch_share: u16,
}

/// A version to be set. Rates are for a million units.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPrice {
    /// The model's name.
    pub model: String,
    /// It holds for requests that are admitted from then on; default: now. Not in the past: what was charged is corrected
    /// by lines of the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Tokens of prompts that are computed.
    pub input: String,
    /// Tokens of prompts that a cache holds; default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<String>,
    /// Generated tokens.
    pub output: String,
    /// Seconds of sound; default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<String>,
    /// Pictures; default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// Requests; default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// Thousandths of the rates that a batch pays; default: 1000, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_share: Option<u16>,
}

/// Which prices, and which part of their list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PriceQuery {
    /// What `next` of the part before says; default: from the beginning.
    pub after: Option<String>,
    /// Most versions in the part, 1 to 1000; default: 100.
    pub limit: Option<u32>,
    /// Only of this model.
    pub model: Option<String>,
}
