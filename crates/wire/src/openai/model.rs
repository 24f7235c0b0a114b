//! `/v1/models`.

use serde::Serialize;
use utoipa::ToSchema;

/// All models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The models, by name.
    pub data: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Model {
    /// The name that requests give as `model`.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// When it came here, in seconds since 1970.
    pub created: u64,
    /// Who keeps it.
    pub owned_by: &'static str,
}
