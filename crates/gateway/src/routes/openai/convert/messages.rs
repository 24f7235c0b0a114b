//! The turns of a conversation.

use inference::{ChatInput, Message, Role};
use wire::openai::{ChatMessage, Content};

use crate::{
    error::ApiError,
    parameter::{join_text, not_supported},
};

/// Checks the turns and joins their parts.
pub(super) fn convert(messages: Vec<ChatMessage>) -> Result<ChatInput, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages is empty; a conversation needs at least one"));
    }
    let messages = messages.into_iter().enumerate().map(|(position, message)| convert_one(position, message));
    Ok(ChatInput { messages: messages.collect::<Result<_, _>>()? })
}

fn convert_one(position: usize, message: ChatMessage) -> Result<Message, ApiError> {
    let at = |field: &str| format!("messages[{position}].{field}");
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        known @ ("tool" | "function") => {
            return Err(ApiError::unsupported(at("role"), format!("the role {known:?} is not supported here yet")));
        }
        other => {
            let message = format!("the role must be system, developer, user or assistant, but it is {other:?}");
            return Err(ApiError::invalid(at("role"), message));
        }
    };
    if message.tool_calls.is_some_and(|calls| !calls.is_empty()) {
        return Err(not_supported(&at("tool_calls")));
    }
    if message.function_call.is_some_and(|call| !call.is_null()) {
        return Err(not_supported(&at("function_call")));
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
    Ok(Message { role, content, name: message.name })
}
