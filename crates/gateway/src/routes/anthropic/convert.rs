//! From Anthropic's requests to ours.

mod format;
mod messages;
mod tools;

use inference::{ChatInput, Input, Message, Request, Role, Sampling};
use wire::anthropic::{Content, MessagesRequest, Thinking};

use crate::{
    caller::Caller,
    error::ApiError,
    generation::Ask,
    parameter::{absent, callable, integer, join_text, number, stops},
};

/// A conversation to be continued, and whether as server-sent events.
pub(super) fn messages(body: MessagesRequest, caller: &Caller) -> Result<(Ask, bool), ApiError> {
    // The body's type serves the counting of tokens too, where there is no such parameter.
    let max_tokens = body.max_tokens.ok_or_else(|| ApiError::invalid("max_tokens", "missing field `max_tokens`"))?;
    let max_tokens = integer("max_tokens", Some(max_tokens), 0..=u32::MAX)?;
    absent(&[("container", body.container.as_ref())])?;
    let stream = body.stream.unwrap_or(false);
    let sampling = Sampling {
        temperature: number("temperature", body.temperature, 0.0..=1.0)?,
        // A sum of 0 keeps the one most likely token; a hair above 0 says the same without being a special case.
        top_p: number("top_p", body.top_p, 0.0..=1.0)?.map(|p| p.max(f32::MIN_POSITIVE)),
        top_k: integer("top_k", body.top_k, 0..=u32::MAX)?,
        ..Sampling::default()
    };
    let stop = stops("stop_sequences", body.stop_sequences.clone().unwrap_or_default())?;
    let mut ask = conversation(body, caller)?;
    for request in &mut ask.requests {
        request.max_tokens = max_tokens;
        request.stop.clone_from(&stop);
        request.sampling = sampling.clone();
    }
    Ok((ask, stream))
}

/// A conversation whose tokens are counted.
pub(super) fn count(body: MessagesRequest, caller: &Caller) -> Result<Ask, ApiError> {
    conversation(body, caller)
}

/// What decides about the prompt. Nothing is generated unless the caller of this says how much.
fn conversation(body: MessagesRequest, caller: &Caller) -> Result<Ask, ApiError> {
    if body.model.is_empty() {
        return Err(ApiError::invalid("model", "model is empty; GET /v1/models lists the names"));
    }
    let constraint = format::convert(body.output_config.as_ref(), body.output_format.as_ref())?;
    absent(&[("mcp_servers", body.mcp_servers.as_ref()), ("context_management", body.context_management.as_ref())])?;
    let tools = tools::convert(body.tools.unwrap_or_default())?;
    let (tool_choice, one_call) = tools::choice(body.tool_choice)?;
    callable(&tools, &tool_choice)?;
    let (thinking, thinking_budget) = thinking(body.thinking, body.max_tokens)?;
    let mut turns = Vec::with_capacity(body.messages.len() + 1);
    if let Some(system) = body.system {
        let content = text("system", system)?;
        if !content.is_empty() {
            turns.push(Message::new(Role::System, content));
        }
    }
    let Some(last) = body.messages.len().checked_sub(1) else {
        return Err(ApiError::invalid("messages", "messages is empty; a conversation needs at least one"));
    };
    for (position, message) in body.messages.into_iter().enumerate() {
        let spoken = messages::convert(position, message)?;
        if position == last && spoken.iter().any(|turn| turn.role == Role::Assistant) {
            let message = "the last turn is the assistant's, but continuing it (prefill) is not supported here; \
                           end with a turn of the user";
            return Err(ApiError::unsupported(format!("messages[{position}].role"), message));
        }
        spoken.into_iter().for_each(|turn| messages::push(&mut turns, turn));
    }
    let reasoning_effort = None;
    let input =
        ChatInput { messages: turns, tools, tool_choice, one_call, thinking, reasoning_effort, thinking_budget };
    let cache_salt = caller.cache_salt();
    let request = Request { max_tokens: Some(0), constraint, cache_salt, ..Request::new(Input::Chat(input)) };
    Ok(Ask { model: body.model, requests: vec![request] })
}

/// Least tokens of a budget, as Anthropic has it.
const LEAST_BUDGET: u32 = 1024;

/// Whether the model thinks, and most tokens that it does.
fn thinking(asked: Option<Thinking>, max_tokens: Option<i64>) -> Result<(Option<bool>, Option<u32>), ApiError> {
    const BUDGET: &str = "thinking.budget_tokens";
    let Some(asked) = asked else { return Ok((None, None)) };
    match asked.r#type.as_str() {
        "disabled" => Ok((Some(false), None)),
        "adaptive" => Ok((Some(true), None)),
        "enabled" => {
            let budget = integer(BUDGET, asked.budget_tokens, LEAST_BUDGET..=u32::MAX)?;
            let budget = budget.ok_or_else(|| {
                ApiError::invalid(BUDGET, "thinking of type \"enabled\" needs thinking.budget_tokens")
            })?;
            match max_tokens.filter(|most| *most <= i64::from(budget)) {
                Some(most) => {
                    let message = format!("{BUDGET} is {budget}, but it must be less than max_tokens, {most}");
                    Err(ApiError::invalid(BUDGET, message))
                }
                None => Ok((Some(true), Some(budget))),
            }
        }
        other => {
            let message = format!("thinking.type must be disabled, adaptive or enabled, but it is {other:?}");
            Err(ApiError::invalid("thinking.type", message))
        }
    }
}

fn text(parameter: &str, content: Content) -> Result<String, ApiError> {
    match content {
        Content::Text(text) => Ok(text),
        Content::Blocks(blocks) => join_text(parameter, blocks.into_iter().map(|block| (block.r#type, block.text))),
    }
}
