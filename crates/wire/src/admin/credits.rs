//! Credit, codes and the balance.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Secret;

/// What an organisation has, and the end of its ledger.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Balance {
    /// Whose.
    pub organisation_id: String,
    /// Credits less charges.
    pub balance: String,
    /// Lines of the ledger.
    pub lines: u64,
    /// Hash of the last line: with it, whoever keeps it finds later whether lines were cut off.
    pub head: String,
}

/// Credit to be granted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredit {
    /// How much; more than nothing.
    pub amount: String,
    /// The name of the payment, unique in the installation: what is told twice credits once.
    pub external_id: String,
}

/// Credit that was granted or redeemed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Credit {
    /// To whom.
    pub organisation_id: String,
    /// How much.
    pub amount: String,
    /// The name of the payment or of the code.
    pub external_id: String,
}

/// A code to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCode {
    /// What it is worth; more than nothing.
    pub amount: String,
    /// From then on it is worth nothing; default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A code that is worth credit, once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Code {
    /// Its id, `code_…`.
    pub id: String,
    /// What it is worth.
    pub amount: String,
    /// From then on it is worth nothing.
    pub expires_at: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was redeemed.
    pub redeemed_at: Option<String>,
    /// By which organisation.
    pub redeemed_by: Option<String>,
}

/// A code with its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedCode {
    /// The code.
    #[serde(flatten)]
    pub code: Code,
    /// The secret, shown this once: what is redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// A code to be redeemed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redemption {
    /// Its secret.
    pub code: Secret,
}
