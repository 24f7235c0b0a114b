//! What the model may call.

use inference::{Tool, ToolChoice};

use crate::{error::ApiError, parameter::tool};

/// Checks the tools.
pub(super) fn convert(tools: Vec<wire::anthropic::Tool>) -> Result<Vec<Tool>, ApiError> {
    let mut converted = Vec::with_capacity(tools.len());
    for (position, declared) in tools.into_iter().enumerate() {
        let at = |field: &str| format!("tools[{position}].{field}");
        if let Some(kind) = declared.r#type.filter(|kind| kind != "custom") {
            let message = format!("a tool of type {kind:?} is not supported here; only \"custom\" is");
            return Err(ApiError::unsupported(at("type"), message));
        }
        if declared.allowed_callers.is_some_and(|callers| !callers.iter().any(|caller| caller == "direct")) {
            let message = "only the model itself calls tools here, so \"direct\" must be among their callers";
            return Err(ApiError::unsupported(at("allowed_callers"), message));
        }
        let (name, schema) = (at("name"), at("input_schema"));
        if declared.input_schema.is_none() {
            return Err(ApiError::invalid(schema, "a tool needs the schema of its arguments"));
        }
        let strict = declared.strict.unwrap_or(false);
        tool(&mut converted, (&name, declared.name), declared.description, (&schema, declared.input_schema), strict)?;
    }
    Ok(converted)
}

/// Whether the model calls them, and whether at most one at a time.
pub(super) fn choice(choice: Option<wire::anthropic::ToolChoice>) -> Result<(ToolChoice, bool), ApiError> {
    let Some(choice) = choice else { return Ok((ToolChoice::Auto, false)) };
    let one = choice.disable_parallel_tool_use.unwrap_or(false);
    match choice.r#type.as_str() {
        "none" => Ok((ToolChoice::None, one)),
        "auto" => Ok((ToolChoice::Auto, one)),
        "any" => Ok((ToolChoice::Required, one)),
        "tool" => match choice.name {
            Some(name) => Ok((ToolChoice::Named(name), one)),
            None => Err(ApiError::invalid("tool_choice.name", "a tool_choice of type \"tool\" needs a name")),
        },
        other => {
            let message = format!("tool_choice.type must be auto, any, tool or none, but it is {other:?}");
            Err(ApiError::invalid("tool_choice.type", message))
        }
    }
}
