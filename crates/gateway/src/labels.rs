//! Whom a request is for and how its caller tags it, as each family says it.

use std::collections::BTreeMap;

use account::{InvalidLabels, Labels};
use serde_json::Value;

use crate::error::ApiError;

/// OpenAI's `user`, or its newer name, and `metadata`.
pub(crate) fn openai(
    safety_identifier: Option<String>,
    user: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
) -> Result<Labels, ApiError> {
    let mut tags = BTreeMap::new();
    for (name, value) in metadata.unwrap_or_default() {
        let Value::String(value) = value else {
            let message = format!("the values of metadata are strings, but that of {name:?} is not");
            return Err(ApiError::invalid("metadata", message));
        };
        tags.insert(name.into(), value.into());
    }
    labels(safety_identifier.or(user), "user", tags)
}

/// The same of a response, which says both again.
pub(crate) fn response(user: Option<&str>, metadata: Option<&BTreeMap<String, String>>) -> Result<Labels, ApiError> {
    let tags = metadata.into_iter().flatten().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    labels(user.map(str::to_owned), "user", tags.collect())
}

/// Anthropic's `metadata.user_id`.
pub(crate) fn anthropic(user_id: Option<String>) -> Result<Labels, ApiError> {
    labels(user_id, "metadata.user_id", BTreeMap::new())
}

fn labels(end_user: Option<String>, named: &str, tags: BTreeMap<Box<str>, Box<str>>) -> Result<Labels, ApiError> {
    Labels::new(end_user.as_deref(), tags).map_err(|error| {
        let parameter = if matches!(error, InvalidLabels::EndUser { .. }) { named } else { "metadata" };
        ApiError::invalid(parameter, error.to_string())
    })
}
