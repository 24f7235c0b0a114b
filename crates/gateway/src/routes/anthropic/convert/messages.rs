//! The turns of a conversation. A turn of Anthropic's may hold what are several turns here: each result of a tool is one.

use inference::{Message, Role, ToolCall};
use wire::anthropic::{Content, ContentBlock, InputMessage};

use super::text;
use crate::{apart::append, error::ApiError};

/// The turns that one of Anthropic's holds, in its order.
pub(super) fn convert(position: usize, message: InputMessage) -> Result<Vec<Message>, ApiError> {
    let at = |field: &str| format!("messages[{position}].{field}");
    let role = match message.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let message = format!("the role must be user, assistant or system, but it is {other:?}");
            return Err(ApiError::invalid(at("role"), message));
        }
    };
    let blocks = match message.content {
        Content::Text(text) => return Ok(vec![Message::new(role, text)]),
        Content::Blocks(blocks) => blocks,
    };
    let mut turns = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        push(&mut turns, turn(&at(&format!("content[{index}]")), role, block)?);
    }
    if turns.is_empty() {
        turns.push(Message::new(role, ""));
    }
    Ok(turns)
}

/// One block as a turn of its own.
fn turn(at: &str, role: Role, block: ContentBlock) -> Result<Message, ApiError> {
    let needed = |field: &str| {
        ApiError::invalid(format!("{at}.{field}"), format!("a block of type {:?} needs {field}", block.r#type))
    };
    match (block.r#type.as_str(), role) {
        ("text", _) => Ok(Message::new(role, block.text.ok_or_else(|| needed("text"))?)),
        ("thinking", Role::Assistant) => {
            // Nothing stands where the caller did not want to be told.
            let reasoning = Some(block.thinking.ok_or_else(|| needed("thinking"))?);
            let reasoning = reasoning.filter(|thought| !thought.is_empty());
            Ok(Message { reasoning, ..Message::new(role, "") })
        }
        // Only its writer can read it.
        ("redacted_thinking", Role::Assistant) => Ok(Message::new(role, "")),
        ("tool_use", Role::Assistant) => {
            let arguments = block.input.as_ref().ok_or_else(|| needed("input"))?.to_string();
            let id = block.id.clone().ok_or_else(|| needed("id"))?;
            let name = block.name.clone().ok_or_else(|| needed("name"))?;
            Ok(Message { tool_calls: vec![ToolCall { id, name, arguments }], ..Message::new(role, "") })
        }
        ("tool_result", Role::User) => {
            let tool_call_id = Some(block.tool_use_id.clone().ok_or_else(|| needed("tool_use_id"))?);
            let content = block.content.map(|content| text(&format!("{at}.content"), content));
            let content = content.transpose()?.unwrap_or_default();
            let failed = block.is_error == Some(true);
            let content = if failed { format!("Error: {content}") } else { content };
            Ok(Message { tool_call_id, ..Message::new(Role::Tool, content) })
        }
        ("thinking" | "redacted_thinking" | "tool_use" | "tool_result", _) => {
            let message = format!("a block of type {:?} does not belong in a turn of this role", block.r#type);
            Err(ApiError::invalid(format!("{at}.type"), message))
        }
        (kind, _) => {
            let message = format!("a block of type {kind:?} is not supported here");
            Err(ApiError::unsupported(format!("{at}.type"), message))
        }
    }
}

/// Adds a turn. Turns of the same speaker that follow each other are one, as Anthropic's API has it: many templates
/// refuse speakers who do not alternate. Every result of a tool stays a turn of its own.
pub(super) fn push(turns: &mut Vec<Message>, turn: Message) {
    match turns.last_mut() {
        Some(last) if last.role == turn.role && turn.role != Role::Tool => {
            append(&mut last.content, &turn.content);
            if let Some(reasoning) = turn.reasoning {
                append(last.reasoning.get_or_insert_default(), &reasoning);
            }
            last.tool_calls.extend(turn.tool_calls);
        }
        _ => turns.push(turn),
    }
}
