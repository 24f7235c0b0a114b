//! From Ollama's requests to ours.

use inference::{ChatInput, Constraint, EmbedInput, EmbedRequest, Input, Message, Request, Role, Sampling, ToolCall};
use serde_json::Value;
use wire::{
    ollama::{OllamaChatRequest, OllamaEmbedRequest, OllamaGenerateRequest, OllamaMessage, OllamaOptions, Think},
    openai::Stop,
};

use super::untagged;
use crate::{
    caller::Caller,
    error::ApiError,
    form,
    generation::Ask,
    parameter::{absent, asks, integer, not_supported, number, stops},
    routes::openai::convert::tools,
    thinking::Thinking,
};

/// Texts of one request.
const MOST_INPUTS: usize = 2048;

/// How an answer is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Render {
    /// The model, by the name that the request gave.
    pub(super) model: String,
    /// In lines as they come.
    pub(super) stream: bool,
}

/// A conversation; no request at all where there are no turns.
pub(super) fn chat(body: OllamaChatRequest, caller: &Caller) -> Result<(Ask, Render), ApiError> {
    absent(&[("logprobs", body.logprobs.as_ref())])?;
    let constraint = format(body.format.as_ref())?;
    let tools = tools::convert(body.tools.unwrap_or_default())?;
    let thinking = think(body.think)?;
    let messages = messages(body.messages.unwrap_or_default())?;
    let render = Render { model: body.model, stream: body.stream.unwrap_or(true) };
    if messages.is_empty() {
        return Ok((Ask { model: untagged(&render.model).to_owned(), requests: Vec::new() }, render));
    }
    ask(Input::Chat(ChatInput { tools, ..turns(messages, thinking) }), constraint, body.options, render, caller)
}

/// A prompt; no request at all where it is empty.
pub(super) fn generate(body: OllamaGenerateRequest, caller: &Caller) -> Result<(Ask, Render), ApiError> {
    absent(&[("logprobs", body.logprobs.as_ref())])?;
    let constraint = format(body.format.as_ref())?;
    let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let listed = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
    for (parameter, asked) in
        [("template", said(&body.template)), ("images", listed(&body.images)), ("context", listed(&body.context))]
    {
        if asked {
            return Err(not_supported(parameter));
        }
    }
    let thinking = think(body.think)?;
    let render = Render { model: body.model, stream: body.stream.unwrap_or(true) };
    let suffix = body.suffix.filter(|suffix| !suffix.is_empty());
    let prompt = body.prompt.unwrap_or_default();
    if prompt.is_empty() && suffix.is_none() {
        return Ok((Ask { model: untagged(&render.model).to_owned(), requests: Vec::new() }, render));
    }
    // A gap is filled without a template, so there is no place for instructions and for thinking.
    let input = if let Some(suffix) = suffix {
        Input::Gap { prefix: prompt, suffix }
    } else if body.raw.unwrap_or(false) {
        Input::Text(prompt)
    } else {
        let system = body.system.filter(|system| !system.is_empty());
        let system = system.map(|system| Message::new(Role::System, system));
        let messages = system.into_iter().chain([Message::new(Role::User, prompt)]).collect();
        Input::Chat(turns(messages, thinking))
    };
    ask(input, constraint, body.options, render, caller)
}

/// Texts; none at all where there is nothing to embed.
pub(super) fn embed(body: OllamaEmbedRequest) -> Result<EmbedRequest, ApiError> {
    let texts = match body.input {
        None => Vec::new(),
        // Ollama, too, takes this to mean nothing.
        Some(Stop::One(text)) if text.is_empty() => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Many(texts)) => texts,
    };
    if texts.len() > MOST_INPUTS {
        let message = format!("input holds {} texts, but a request may have {MOST_INPUTS}", texts.len());
        return Err(ApiError::invalid("input", message));
    }
    Ok(EmbedRequest {
        inputs: texts.into_iter().map(EmbedInput::Text).collect(),
        parameter: "input",
        dimensions: integer("dimensions", body.dimensions, 1..=u32::MAX)?,
        truncate: body.truncate.unwrap_or(true),
    })
}

fn ask(
    input: Input,
    constraint: Option<Constraint>,
    options: Option<OllamaOptions>,
    render: Render,
    caller: &Caller,
) -> Result<(Ask, Render), ApiError> {
    let options = options.unwrap_or_default();
    if options.mirostat.is_some_and(|mirostat| mirostat != 0) {
        return Err(not_supported("options.mirostat"));
    }
    // Below zero means that there is no bound.
    let most = options.num_predict.filter(|most| *most >= 0);
    let stop = match options.stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => stops("options.stop", vec![stop])?,
        Some(Stop::Many(several)) => stops("options.stop", several)?,
    };
    // Some clients send -1 for "keep all", which is 0 here.
    let top_k = options.top_k.map(|k| if k == -1 { 0 } else { k });
    let sampling = Sampling {
        temperature: number("options.temperature", options.temperature, 0.0..=2.0)?,
        top_k: integer("options.top_k", top_k, 0..=u32::MAX)?,
        // A sum of 0 keeps the one most likely token; a hair above 0 says the same without being a special case.
        top_p: number("options.top_p", options.top_p, 0.0..=1.0)?.map(|p| p.max(f32::MIN_POSITIVE)),
        min_p: number("options.min_p", options.min_p, 0.0..=1.0)?,
        repetition_penalty: number("options.repeat_penalty", options.repeat_penalty, 0.01..=100.0)?,
        presence_penalty: number("options.presence_penalty", options.presence_penalty, -2.0..=2.0)?,
        frequency_penalty: number("options.frequency_penalty", options.frequency_penalty, -2.0..=2.0)?,
        logit_bias: Vec::new(),
        seed: options.seed.map(i64::cast_unsigned),
    };
    let request = Request {
        sampling,
        max_tokens: integer("options.num_predict", most, 0..=u32::MAX)?,
        stop,
        constraint,
        cache_salt: caller.cache_salt(),
        ..Request::new(input)
    };
    Ok((Ask { model: untagged(&render.model).to_owned(), requests: vec![request] }, render))
}

/// The form that an answer is held to: `json`, or a schema.
fn format(format: Option<&Value>) -> Result<Option<Constraint>, ApiError> {
    match format.filter(|format| asks(format)) {
        None => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(form::json_object("format"))),
        Some(schema @ Value::Object(_)) => form::schema("format", schema).map(Some),
        Some(other) => {
            let message = format!("format must be \"json\" or a JSON schema, but it is {other}");
            Err(ApiError::invalid("format", message))
        }
    }
}

/// A conversation without tools.
fn turns(messages: Vec<Message>, thinking: Thinking) -> ChatInput {
    let Thinking { whether, effort, budget } = thinking;
    let (thinking, reasoning_effort, thinking_budget) = (whether, effort, budget);
    ChatInput { messages, thinking, reasoning_effort, thinking_budget, ..ChatInput::default() }
}

fn think(think: Option<Think>) -> Result<Thinking, ApiError> {
    match think {
        None => Ok(Thinking::default()),
        Some(Think::Whether(whether)) => Ok(Thinking { whether: Some(whether), ..Thinking::default() }),
        Some(Think::Level(level)) if matches!(level.as_str(), "low" | "medium" | "high") => {
            Thinking::of_effort("think", Some(level))
        }
        Some(Think::Level(other)) => {
            let message = format!("think must be true, false, low, medium or high, but it is {other:?}");
            Err(ApiError::invalid("think", message))
        }
    }
}

/// The turns. Where calls have no ids, as in Ollama's older clients, they are numbered, and each answer of a tool belongs to
/// the first call that has none yet and fits its name.
fn messages(messages: Vec<OllamaMessage>) -> Result<Vec<Message>, ApiError> {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut calls = 0;
    let mut turns = Vec::with_capacity(messages.len());
    for (position, message) in messages.into_iter().enumerate() {
        let at = |field: &str| format!("messages[{position}].{field}");
        let role = match message.role.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            other => {
                let message = format!("the role must be system, user, assistant or tool, but it is {other:?}");
                return Err(ApiError::invalid(at("role"), message));
            }
        };
        if message.images.as_ref().is_some_and(|images| !images.is_empty()) {
            return Err(not_supported(&at("images")));
        }
        let tool_calls = message.tool_calls.unwrap_or_default();
        if role != Role::Assistant && !tool_calls.is_empty() {
            return Err(ApiError::invalid(at("tool_calls"), "only a turn of the assistant has tool calls"));
        }
        let mut turn = Message::new(role, message.content.unwrap_or_default());
        turn.reasoning = message.thinking.filter(|_| role == Role::Assistant);
        for call in tool_calls {
            calls += 1;
            let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{calls}"));
            open.push((id.clone(), call.function.name.clone()));
            let arguments = Value::Object(call.function.arguments.unwrap_or_default()).to_string();
            turn.tool_calls.push(ToolCall { id, name: call.function.name, arguments });
        }
        if role == Role::Tool {
            let (id, name) = (message.tool_call_id.as_ref(), message.tool_name.as_ref());
            let fits = |(open_id, open_name): &(String, String)| match (id, name) {
                (Some(id), _) => open_id == id,
                (None, Some(name)) => open_name == name,
                (None, None) => true,
            };
            let Some(found) = open.iter().position(fits) else {
                let (field, message) = match (id, name) {
                    (Some(_), _) => ("tool_call_id", "no call before this turn has this id and waits for an answer"),
                    (None, Some(_)) => ("tool_name", "no call of this tool before this turn waits for an answer"),
                    (None, None) => ("role", "no call before this turn of a tool waits for an answer"),
                };
                return Err(ApiError::invalid(at(field), message));
            };
            turn.tool_call_id = Some(open.remove(found).0);
        }
        turns.push(turn);
    }
    Ok(turns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Vec<Message>, ApiError> {
        messages(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn answers_of_tools_find_their_calls() {
        let call = |name: &str| json!({"function": {"name": name, "arguments": {"x": 1}}});
        let named = |id: &str| json!({"id": id, "function": {"name": "a", "arguments": null}});
        let turns = read(json!([
            {"role": "user", "content": "?"},
            {"role": "assistant", "tool_calls": [call("a"), call("b"), call("a")]},
            {"role": "tool", "content": "of b", "tool_name": "b"},
            {"role": "tool", "content": "of the first a", "tool_name": "a"},
            {"role": "tool", "content": "of what is left"},
            {"role": "assistant", "content": "", "tool_calls": [named("x"), named("y")], "thinking": "hm"},
            {"role": "tool", "content": "of y", "tool_call_id": "y"},
        ]))
        .unwrap();
        let answered: Vec<_> = turns.iter().filter_map(|turn| turn.tool_call_id.as_deref()).collect();
        assert_eq!(answered, ["call_2", "call_1", "call_3", "y"]);
        assert_eq!(turns[1].tool_calls[0].arguments, r#"{"x":1}"#);
        assert_eq!((turns[5].tool_calls[0].arguments.as_str(), turns[5].reasoning.as_deref()), ("{}", Some("hm")));
    }

    #[test]
    fn what_fits_nothing_is_refused_by_name() {
        let call = json!({"role": "assistant", "tool_calls": [{"function": {"name": "a"}}]});
        for (value, param) in [
            (json!([{"role": "tool", "content": "x"}]), "messages[0].role"),
            (json!([call, {"role": "tool", "content": "x", "tool_name": "b"}]), "messages[1].tool_name"),
            (json!([call, {"role": "tool", "content": "x", "tool_call_id": "b"}]), "messages[1].tool_call_id"),
            (json!([{"role": "user", "tool_calls": [{"function": {"name": "a"}}]}]), "messages[0].tool_calls"),
            (json!([{"role": "user", "content": "x", "images": ["aGk="]}]), "messages[0].images"),
            (json!([{"role": "developer", "content": "x"}]), "messages[0].role"),
        ] {
            let error = read(value).expect_err(param).openai().error;
            assert_eq!(error.param.as_deref(), Some(param), "{}", error.message);
        }
    }
}
