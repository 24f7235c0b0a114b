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
        if function.strict == Some(true) {
            return Err(not_supported(&at("function.strict")));
        }
        let (name, parameters) = (at("function.name"), at("function.parameters"));
        tool(&mut converted, (&name, function.name), function.description, (&parameters, function.parameters))?;
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
            "required" => Err(not_supported("tool_choice")),
            other => {
                let message = format!("tool_choice must be auto, none, required or name a tool, but it is {other:?}");
                Err(ApiError::invalid("tool_choice", message))
            }
        },
        Some(wire::openai::ToolChoice::Named(_)) => Err(not_supported("tool_choice")),
    }
}
