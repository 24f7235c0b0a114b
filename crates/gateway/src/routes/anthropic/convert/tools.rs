//! What the model may call.

use inference::{Tool, ToolChoice};

use crate::{
    error::ApiError,
    parameter::{not_supported, tool},
};

/// Checks the tools.
pub(super) fn convert(tools: Vec<wire::anthropic::Tool>) -> Result<Vec<Tool>, ApiError> {
    let mut converted = Vec::with_capacity(tools.len());
    for (position, declared) in tools.into_iter().enumerate() {
        let at = |field: &str| format!("tools[{position}].{field}");
        if let Some(kind) = declared.r#type.filter(|kind| kind != "custom") {
            let message = format!("a tool of type {kind:?} is not supported here; only \"custom\" is");
            return Err(ApiError::unsupported(at("type"), message));
        }
        if declared.strict == Some(true) {
            return Err(not_supported(&at("strict")));
        }
        let (name, schema) = (at("name"), at("input_schema"));
        if declared.input_schema.is_none() {
            return Err(ApiError::invalid(schema, "a tool needs the schema of its arguments"));
        }
        tool(&mut converted, (&name, declared.name), declared.description, (&schema, declared.input_schema))?;
    }
    Ok(converted)
}

/// Whether the model calls them.
pub(super) fn choice(choice: Option<wire::anthropic::ToolChoice>) -> Result<ToolChoice, ApiError> {
    let Some(choice) = choice else { return Ok(ToolChoice::Auto) };
    if choice.disable_parallel_tool_use == Some(true) && choice.r#type != "none" {
        return Err(not_supported("tool_choice.disable_parallel_tool_use"));
    }
    match choice.r#type.as_str() {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "any" | "tool" => Err(not_supported("tool_choice")),
        other => {
            let message = format!("tool_choice.type must be auto, any, tool or none, but it is {other:?}");
            Err(ApiError::invalid("tool_choice.type", message))
        }
    }
}
