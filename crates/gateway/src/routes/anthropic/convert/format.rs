//! The form that an answer is to have.

use inference::Constraint;
use serde_json::Value;

use crate::{error::ApiError, form, parameter::asks};

/// What `output_config`, or its older place `output_format`, asks for.
pub(super) fn convert(config: Option<&Value>, format: Option<&Value>) -> Result<Option<Constraint>, ApiError> {
    let mut asked = None;
    for (key, value) in config.and_then(Value::as_object).into_iter().flatten().filter(|(_, value)| asks(value)) {
        let parameter = format!("output_config.{key}");
        match key.as_str() {
            "format" => asked = Some(schema(&parameter, value)?),
            _ => {
                return Err(ApiError::unsupported(
                    &*parameter,
                    format!("{parameter} is not supported here; leave it out"),
                ));
            }
        }
    }
    if config.is_some_and(|config| asks(config) && !config.is_object()) {
        return Err(ApiError::invalid("output_config", "output_config must be an object"));
    }
    match format.filter(|format| asks(format)) {
        None => Ok(asked),
        Some(_) if asked.is_some() => Err(ApiError::invalid(
            "output_format",
            "output_format is the older place of output_config.format; give one of them",
        )),
        Some(format) => schema("output_format", format).map(Some),
    }
}

fn schema(parameter: &str, format: &Value) -> Result<Constraint, ApiError> {
    match (format["type"].as_str(), format.get("schema")) {
        (Some("json_schema"), Some(schema)) => form::schema(&format!("{parameter}.schema"), schema),
        _ => {
            Err(ApiError::invalid(parameter, format!("{parameter} must be of type \"json_schema\" and have a schema")))
        }
    }
}
