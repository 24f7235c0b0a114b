//! The turns of a conversation.

use inference::{Message, Role, ToolCall};
use wire::openai::{ChatMessage, Content};

use crate::{
    error::ApiError,
    parameter::{join_text, not_supported},
};

/// Checks the turns and joins their parts.
pub(super) fn convert(messages: Vec<ChatMessage>) -> Result<Vec<Message>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages is empty; a conversation needs at least one"));
    }
    messages.into_iter().enumerate().map(|(position, message)| convert_one(position, message)).collect()
}

fn convert_one(position: usize, message: ChatMessage) -> Result<Message, ApiError> {
    let at = |field: &str| format!("messages[{position}].{field}");
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => {
            let message = "the role \"function\" is not supported here; use \"tool\"";
            return Err(ApiError::unsupported(at("role"), message));
        }
        other => {
            let message = format!("the role must be system, developer, user, assistant or tool, but it is {other:?}");
            return Err(ApiError::invalid(at("role"), message));
        }
    };
    if message.function_call.is_some_and(|call| !call.is_null()) {
        return Err(not_supported(&at("function_call")));
    }
    // Clients send an empty list as null, or the other way round; both are no calls.
    let tool_calls = message.tool_calls.unwrap_or_default();
    if role != Role::Assistant && !tool_calls.is_empty() {
        return Err(ApiError::invalid(at("tool_calls"), "only a turn of the assistant has tool calls"));
    }
    if role == Role::Tool && message.tool_call_id.is_none() {
        return Err(ApiError::invalid(at("tool_call_id"), "a turn of a tool needs the id of the call that it answers"));
    }
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            join_text(&at("content"), parts.into_iter().map(|part| (part.r#type, part.text)))?
        }
        // OpenAI's own answers carry null where a turn says nothing, and come back as history.
        None if role == Role::Assistant => String::new(),
        None => return Err(ApiError::invalid(at("content"), "a turn needs content: a string or a list of parts")),
    };
    let call = |(index, call): (usize, wire::openai::ToolCall)| {
        if call.r#type != "function" {
            let message = format!("a call of type {:?} is not supported here; only \"function\" is", call.r#type);
            return Err(ApiError::unsupported(at(&format!("tool_calls[{index}].type")), message));
        }
        Ok(ToolCall { id: call.id, name: call.function.name, arguments: call.function.arguments })
    };
    Ok(Message {
        role,
        content,
        name: message.name,
        reasoning: message.reasoning_content.filter(|_| role == Role::Assistant),
        tool_calls: tool_calls.into_iter().enumerate().map(call).collect::<Result<_, _>>()?,
        tool_call_id: message.tool_call_id.filter(|_| role == Role::Tool),
    })
}
