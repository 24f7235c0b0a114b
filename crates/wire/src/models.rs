//! `/v1/models`, which two families have at the same address.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{anthropic, openai};

/// All models, or a page of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AnyModelList)]
pub enum ModelList {
    /// As OpenAI's clients read it.
    OpenAi(openai::ModelList),
    /// As Anthropic's clients read it.
    Anthropic(anthropic::ModelList),
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AnyModel)]
pub enum Model {
    /// As OpenAI's clients read it.
    OpenAi(openai::Model),
    /// As Anthropic's clients read it.
    Anthropic(anthropic::Model),
}
