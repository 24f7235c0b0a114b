//! From a request for a response to one of ours.

use std::collections::BTreeMap;

use account::ResponseId;
use inference::{ChatInput, Constraint, Input, Message, Request, Role, Sampling, Tool, ToolChoice};
use serde_json::{Value, json};
use wire::openai::{
    ResponseItem, ResponseObject, ResponseReasoning, ResponseReasoningOptions, ResponseRequest, ResponseStatus,
    ResponseText, ResponseTextFormat, ResponseTextOptions, ResponseTool, ResponseToolChoice,
};

use super::items;
use crate::{
    Config,
    caller::Caller,
    error::ApiError,
    form,
    generation::Ask,
    parameter::{absent, callable, integer, not_supported, number, only, tool},
    routes::openai::convert::MOST_LOGPROBS,
    tenancy::now,
    thinking::Thinking,
};

/// OpenAI's bounds of `metadata`: pairs, characters of a name, characters of a value.
const MOST_METADATA: usize = 16;
const MOST_METADATA_NAME: usize = 64;
const MOST_METADATA_VALUE: usize = 512;

/// A request that is checked, but for what it continues.
pub(super) struct Asked {
    /// Its id.
    pub(super) id: ResponseId,
    /// The response, of which nothing is known yet.
    pub(super) response: ResponseObject,
    /// The request's own items.
    pub(super) input: Vec<ResponseItem>,
    /// The response that it continues.
    pub(super) previous: Option<ResponseId>,
    /// Whether it is answered in events.
    pub(super) stream: bool,
    /// With an empty conversation.
    request: Request,
    chat: ChatInput,
}

impl Asked {
    /// What is asked of the model, where the conversation began with `earlier` items.
    pub(super) fn ask(&self, earlier: Vec<ResponseItem>) -> Result<Ask, ApiError> {
        let items: Vec<ResponseItem> = earlier.into_iter().chain(self.input.iter().cloned()).collect();
        let instructions = self.response.instructions.as_ref().filter(|text| !text.is_empty());
        let instructions = instructions.map(|text| Message::new(Role::System, text));
        let messages = instructions.into_iter().chain(items::turns(&items, self.input.len())?).collect();
        let input = Input::Chat(ChatInput { messages, ..self.chat.clone() });
        Ok(Ask { model: self.response.model.clone(), requests: vec![Request { input, ..self.request.clone() }] })
    }

    /// Whether, and how many likely tokens' log-probabilities the answer holds.
    pub(super) fn logprobs(&self) -> Option<u32> {
        self.request.logprobs
    }
}

/// Checks a request.
pub(super) fn read(body: ResponseRequest, caller: &Caller, config: &Config) -> Result<Asked, ApiError> {
    if body.model.is_empty() {
        return Err(ApiError::invalid("model", "model is empty; GET /v1/models lists the names"));
    }
    absent(&[
        ("conversation", body.conversation.as_ref()),
        ("prompt", body.prompt.as_ref()),
        ("context_management", body.context_management.as_ref()),
        ("moderation", body.moderation.as_ref()),
    ])?;
    only("truncation", body.truncation.as_deref(), &["disabled"])?;
    only("service_tier", body.service_tier.as_deref(), &["auto", "default"])?;
    metadata(body.metadata.as_ref())?;
    let id = ResponseId::generate().map_err(|_| inference::Error::Internal)?;
    let id_text = id.to_string();
    let input = items::read(body.input, id_text.trim_start_matches(ResponseId::PREFIX))?;
    let previous = body
        .previous_response_id
        .as_deref()
        .map(|id| ResponseId::parse(id).map_err(|_| ApiError::response_not_found(id, Some("previous_response_id"))));
    let store = body.store.unwrap_or(true) && !config.response_retention.is_zero();
    let background = body.background.unwrap_or(false);
    if background && !store {
        return Err(ApiError::invalid("background", "background needs store: the response is asked for by its id"));
    }
    let (constraint, format) = text(body.text.unwrap_or_default())?;
    let (tools, tools_told) = tools(body.tools.unwrap_or_default())?;
    let (tool_choice, choice_told) = choice(body.tool_choice)?;
    callable(&tools, &tool_choice)?;
    let parallel_tool_calls = body.parallel_tool_calls.unwrap_or(true);
    let (Thinking { whether, effort, budget }, reasoning) = reasoning(body.reasoning.unwrap_or_default())?;
    let max_tokens = integer("max_output_tokens", body.max_output_tokens, 1..=u32::MAX)?;
    let logprobs = logprobs(body.include.unwrap_or_default(), body.top_logprobs)?;
    let sampling = Sampling {
        temperature: number("temperature", body.temperature, 0.0..=2.0)?,
        // A sum of 0 keeps the one most likely token; a hair above 0 says the same without being a special case.
        top_p: number("top_p", body.top_p, 0.0..=1.0)?.map(|p| p.max(f32::MIN_POSITIVE)),
        ..Sampling::default()
    };
    let chat = ChatInput {
        messages: Vec::new(),
        tools,
        tool_choice,
        one_call: !parallel_tool_calls,
        thinking: whether,
        reasoning_effort: effort,
        thinking_budget: budget,
    };
    let cache_salt = caller.cache_salt();
    let nothing = Input::Chat(ChatInput::default());
    let request =
        Request { parameter: "input", sampling, max_tokens, logprobs, constraint, cache_salt, ..Request::new(nothing) };
    let response = ResponseObject {
        id: id_text,
        object: "response",
        created_at: u64::try_from(now().as_millis() / 1000).unwrap_or_default(),
        status: if background { ResponseStatus::Queued } else { ResponseStatus::InProgress },
        completed_at: None,
        background,
        error: None,
        incomplete_details: None,
        instructions: body.instructions,
        max_output_tokens: max_tokens,
        model: body.model,
        output: Vec::new(),
        parallel_tool_calls,
        previous_response_id: body.previous_response_id,
        reasoning,
        store,
        temperature: body.temperature,
        text: ResponseTextOptions { format },
        tool_choice: choice_told,
        tools: tools_told,
        top_logprobs: logprobs.unwrap_or(0),
        top_p: body.top_p,
        truncation: "disabled",
        usage: None,
        user: body.user,
        metadata: body.metadata.unwrap_or_default(),
    };
    let (previous, stream) = (previous.transpose()?, body.stream.unwrap_or(false));
    Ok(Asked { id, response, input, previous, stream, request, chat })
}

fn metadata(pairs: Option<&BTreeMap<String, String>>) -> Result<(), ApiError> {
    let Some(pairs) = pairs else { return Ok(()) };
    let long = |text: &str, most| text.chars().nth(most).is_some();
    let too_long =
        |(name, value): &(&String, &String)| long(name, MOST_METADATA_NAME) || long(value, MOST_METADATA_VALUE);
    if pairs.len() > MOST_METADATA || pairs.iter().any(|pair| too_long(&pair)) {
        let message = format!(
            "metadata takes up to {MOST_METADATA} pairs, their names up to {MOST_METADATA_NAME} characters and their values \
             up to {MOST_METADATA_VALUE}"
        );
        return Err(ApiError::invalid("metadata", message));
    }
    Ok(())
}

/// The form that the answer is held to, and how the response tells it.
fn text(text: ResponseText) -> Result<(Option<Constraint>, Value), ApiError> {
    only("text.verbosity", text.verbosity.as_deref(), &["medium"])?;
    let Some(format) = text.format else { return Ok((None, json!({"type": "text"}))) };
    let ResponseTextFormat { r#type, schema, .. } = &format;
    let constraint = match (r#type.as_str(), schema) {
        ("text", _) => None,
        ("json_object", _) => Some(form::json_object("text.format")),
        ("json_schema", Some(schema)) => Some(form::schema("text.format.schema", schema)?),
        ("json_schema", None) => {
            let message = "a format of type \"json_schema\" needs a schema";
            return Err(ApiError::invalid("text.format.schema", message));
        }
        (other, _) => {
            let message = format!("text.format.type must be text, json_object or json_schema, but it is {other:?}");
            return Err(ApiError::unsupported("text.format.type", message));
        }
    };
    Ok((constraint, serde_json::to_value(format).unwrap_or_default()))
}

/// What the model may call, and how the response tells it.
fn tools(declared: Vec<ResponseTool>) -> Result<(Vec<Tool>, Value), ApiError> {
    let (mut tools, mut told) = (Vec::with_capacity(declared.len()), Vec::with_capacity(declared.len()));
    for (position, mut one) in declared.into_iter().enumerate() {
        let at = |field: &str| format!("tools[{position}].{field}");
        if one.r#type != "function" {
            let message = format!("a tool of type {:?} is not supported here; only \"function\" is", one.r#type);
            return Err(ApiError::unsupported(at("type"), message));
        }
        let Some(name) = one.name.clone() else {
            return Err(ApiError::invalid(at("name"), "a tool of type \"function\" needs a name"));
        };
        let strict = *one.strict.get_or_insert(false);
        let (name_at, schema_at) = (at("name"), at("parameters"));
        let (description, schema) = (one.description.clone(), one.parameters.clone());
        tool(&mut tools, (&name_at, name), description, (&schema_at, schema), strict)?;
        told.push(serde_json::to_value(one).unwrap_or_default());
    }
    Ok((tools, told.into()))
}

/// Whether the model calls them, and how the response tells it.
fn choice(choice: Option<ResponseToolChoice>) -> Result<(ToolChoice, Value), ApiError> {
    let Some(choice) = choice else { return Ok((ToolChoice::Auto, json!("auto"))) };
    let told = serde_json::to_value(&choice).unwrap_or_default();
    let choice = match choice {
        ResponseToolChoice::Mode(mode) => match mode.as_str() {
            "none" => ToolChoice::None,
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            other => {
                let message =
                    format!("tool_choice must be auto, none, required or name a function, but it is {other:?}");
                return Err(ApiError::invalid("tool_choice", message));
            }
        },
        ResponseToolChoice::Named(named) => match (named.r#type.as_str(), named.name) {
            ("function", Some(name)) => ToolChoice::Named(name),
            ("function", None) => {
                return Err(ApiError::invalid("tool_choice.name", "a tool_choice of type \"function\" needs its name"));
            }
            (other, _) => {
                let message = format!("a tool_choice of type {other:?} is not supported here; only \"function\" is");
                return Err(ApiError::unsupported("tool_choice.type", message));
            }
        },
    };
    Ok((choice, told))
}

/// How much the model thinks, and how the response tells it.
fn reasoning(asked: ResponseReasoning) -> Result<(Thinking, ResponseReasoningOptions), ApiError> {
    only("reasoning.summary", asked.summary.as_deref(), &["auto"])?;
    let told = ResponseReasoningOptions { effort: asked.effort.clone(), summary: None };
    Ok((Thinking::of_effort("reasoning.effort", asked.effort)?, told))
}

fn logprobs(include: Vec<String>, top: Option<i64>) -> Result<Option<u32>, ApiError> {
    let top = integer("top_logprobs", top, 0..=MOST_LOGPROBS)?;
    let mut included = false;
    for (position, what) in include.iter().enumerate() {
        match what.as_str() {
            "message.output_text.logprobs" => included = true,
            // What it is for works: reasoning is told in full and taken back.
            "reasoning.encrypted_content" => {}
            other => {
                return Err(match OF_BUILT_IN_TOOLS.contains(&other) {
                    true => not_supported(&format!("include[{position}]")),
                    false => {
                        let message = format!("include[{position}] is {other:?}, which nothing here can be");
                        ApiError::invalid(format!("include[{position}]"), message)
                    }
                });
            }
        }
    }
    match (included, top) {
        (true, top) => Ok(Some(top.unwrap_or(0))),
        (false, Some(1..)) => {
            let message = "top_logprobs needs include to hold message.output_text.logprobs";
            Err(ApiError::invalid("top_logprobs", message))
        }
        (false, _) => Ok(None),
    }
}

/// What only tools have that OpenAI runs, and images.
const OF_BUILT_IN_TOOLS: &[&str] = &[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];
