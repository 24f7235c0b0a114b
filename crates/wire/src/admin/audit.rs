//! The audit log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One administrative act.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number; later ones are larger.
    pub sequence: u64,
    /// When.
    pub at: String,
    /// Who: the id of a key, or `installation` for what the server did by itself.
    pub actor: String,
    /// What, such as `key.add`.
    pub action: String,
    /// To what.
    pub object: String,
    /// What was before, without secrets.
    pub before: Option<serde_json::Value>,
    /// What is after, without secrets.
    pub after: Option<serde_json::Value>,
    /// The address that it came from.
    pub address: Option<String>,
}
