//! From Anthropic's requests to ours.

mod messages;
mod output_config;
mod thinking;
mod tools;

use inference::{ChatInput, Input, Message, Request, Role, Sampling};
use wire::anthropic::{Content, MessagesRequest};

use crate::{
    caller::Caller,
    error::ApiError,
    generation::Ask,
    parameter::{absent, callable, integer, join_text, number, only, stops},
    thinking::Thinking,
};
use output_config::Output;

/// How the answer is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Render {
    /// As server-sent events.
    pub(super) stream: bool,
    /// With what the model thought, or only that it did.
    pub(super) shows_thinking: bool,
}

/// A conversation to be continued.
pub(super) fn messages(body: MessagesRequest, caller: &Caller) -> Result<(Ask, Render), ApiError> {
    // The body's type serves the counting of tokens too, where there is no such parameter.
    let max_tokens = body.max_tokens.ok_or_else(|| ApiError::invalid("max_tokens", "missing field `max_tokens`"))?;
    let max_tokens = integer("max_tokens", Some(max_tokens), 0..=u32::MAX)?;
    absent(&[("container", body.container.as_ref()), ("billing_policy", body.billing_policy.as_ref())])?;
    let (stream, shows_thinking) = (body.stream.unwrap_or(false), thinking::is_shown(body.thinking.as_ref())?);
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
    Ok((ask, Render { stream, shows_thinking }))
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
    let Output { constraint, effort } =
        output_config::convert(body.output_config.as_ref(), body.output_format.as_ref())?;
    absent(&[
        ("mcp_servers", body.mcp_servers.as_ref()),
        ("context_management", body.context_management.as_ref()),
        ("compaction", body.compaction.as_ref()),
        ("fallbacks", body.fallbacks.as_ref()),
        ("thread", body.thread.as_ref()),
    ])?;
    only("service_tier", body.service_tier.as_deref(), &["auto", "standard_only"])?;
    only("speed", body.speed.as_deref(), &["standard"])?;
    only("inference_geo", body.inference_geo.as_deref(), &["global"])?;
    let tools = tools::convert(body.tools.unwrap_or_default())?;
    let (tool_choice, one_call) = tools::choice(body.tool_choice)?;
    callable(&tools, &tool_choice)?;
    let Thinking { whether, effort, budget } = thinking::convert(body.thinking.as_ref(), effort, body.max_tokens)?;
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
    let input = ChatInput {
        messages: turns,
        tools,
        tool_choice,
        one_call,
        thinking: whether,
        reasoning_effort: effort,
        thinking_budget: budget,
    };
    let cache_salt = caller.cache_salt();
    let request = Request { max_tokens: Some(0), constraint, cache_salt, ..Request::new(Input::Chat(input)) };
    Ok(Ask { model: body.model, requests: vec![request] })
}

fn text(parameter: &str, content: Content) -> Result<String, ApiError> {
    match content {
        Content::Text(text) => Ok(text),
        Content::Blocks(blocks) => join_text(parameter, blocks.into_iter().map(|block| (block.r#type, block.text))),
    }
}
