//! What is asked of the answer as a whole.

use inference::Constraint;
use serde_json::Value;

use crate::{
    error::ApiError,
    form,
    parameter::{asks, not_supported},
};

/// What `output_config` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    /// The form that the answer is to have.
    pub(super) constraint: Option<Constraint>,
    /// How much effort goes into it.
    pub(super) effort: Option<String>,
}

/// The words for an effort, as Anthropic has them.
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Reads `output_config`, and `output_format`, the older place of its `format`.
pub(super) fn convert(config: Option<&Value>, format: Option<&Value>) -> Result<Output, ApiError> {
    let mut asked = Output::default();
    for (key, value) in config.and_then(Value::as_object).into_iter().flatten().filter(|(_, value)| asks(value)) {
        let parameter = format!("output_config.{key}");
        match key.as_str() {
            "format" => asked.constraint = Some(schema(&parameter, value)?),
            "effort" => asked.effort = Some(effort(&parameter, value)?),
            _ => return Err(not_supported(&parameter)),
        }
    }
    if config.is_some_and(|config| asks(config) && !config.is_object()) {
        return Err(ApiError::invalid("output_config", "output_config must be an object"));
    }
    match format.filter(|format| asks(format)) {
        None => Ok(asked),
        Some(_) if asked.constraint.is_some() => Err(ApiError::invalid(
            "output_format",
            "output_format is the older place of output_config.format; give one of them",
        )),
        Some(format) => Ok(Output { constraint: Some(schema("output_format", format)?), ..asked }),
    }
}

fn effort(parameter: &str, word: &Value) -> Result<String, ApiError> {
    let known = word.as_str().filter(|word| EFFORTS.contains(word)).map(str::to_owned);
    known.ok_or_else(|| {
        let message = format!("{parameter} must be one of {}, but it is {word}", EFFORTS.join(", "));
        ApiError::invalid(parameter, message)
    })
}

fn schema(parameter: &str, format: &Value) -> Result<Constraint, ApiError> {
    match (format["type"].as_str(), format.get("schema")) {
        (Some("json_schema"), Some(schema)) => form::schema(&format!("{parameter}.schema"), schema),
        _ => {
            Err(ApiError::invalid(parameter, format!("{parameter} must be of type \"json_schema\" and have a schema")))
        }
    }
}
