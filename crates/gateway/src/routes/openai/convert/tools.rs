//! What the model may call.

use inference::{Tool, ToolChoice};

use crate::{
    error::ApiError,
    parameter::{not_supported, tool},
};

/// Checks the tools.
pub(crate) fn convert(tools: Vec<wire::openai::Tool>) -> Result<Vec<Tool>, ApiError> {
    let mut converted = Vec::with_capacity(tools.len());
    for (position, declared) in tools.into_iter().enumerate() {
        let at = |field: &str| format!("tools[{position}].{field}");
        if declared.r#type != "function" {
            let message = format!("a tool of type {:?} is not supported here; only \"function\" is", declared.r#type);
            return Err(ApiError::unsupported(at("type"), message));
        }
        let Some(function) = declared.function else {
            return Err(ApiError::invalid(at("function"), "a tool of type \"function\" needs a function"));
        };
        let strict = function.strict.unwrap_or(false);
        let (name, parameters) = (at("function.name"), at("function.parameters"));
        let schema = (&*parameters, function.parameters);
        tool(&mut converted, (&name, function.name), function.description, schema, strict)?;
    }
    Ok(converted)
}

/// Whether the model calls them.
pub(super) fn choice(choice: Option<wire::openai::ToolChoice>) -> Result<ToolChoice, ApiError> {
    match choice {
        None => Ok(ToolChoice::Auto),
        Some(wire::openai::ToolChoice::Mode(mode)) => match mode.as_str() {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            other => {
                let message = format!("tool_choice must be auto, none, required or name a tool, but it is {other:?}");
                Err(ApiError::invalid("tool_choice", message))
            }
        },
        Some(wire::openai::ToolChoice::Named(named)) => match (named.r#type.as_str(), named.function) {
            ("function", Some(function)) => Ok(ToolChoice::Named(function.name)),
            ("function", None) => Err(ApiError::invalid(
                "tool_choice",
                "a tool_choice of type \"function\" needs a function with its name",
            )),
            _ => Err(not_supported("tool_choice")),
        },
    }
}
