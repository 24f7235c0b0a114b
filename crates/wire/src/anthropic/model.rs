//! `/v1/models`, as Anthropic's clients read it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which part of the list is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ModelPage {
    /// Only with `anthropic-version`: most models to list, 1 to 1000. Default: 20.
    #[serde(default)]
    pub limit: Option<i64>,
    /// Only with `anthropic-version`: list what comes behind this model.
    #[serde(default)]
    pub after_id: Option<String>,
    /// Only with `anthropic-version`: list what comes right before this model.
    #[serde(default)]
    pub before_id: Option<String>,
}

/// A part of the list of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicModelList)]
pub struct ModelList {
    /// The models, by name.
    pub data: Vec<Model>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
    /// For `before_id`.
    pub first_id: Option<String>,
    /// For `after_id`.
    pub last_id: Option<String>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicModel)]
pub struct Model {
    /// Always `model`.
    pub r#type: &'static str,
    /// The name that requests give as `model`.
    pub id: String,
    /// A name for people; the same as `id` here.
    pub display_name: String,
    /// When it came here, as RFC 3339 writes it.
    pub created_at: String,
    /// Always `active`.
    pub lifecycle: &'static str,
}
