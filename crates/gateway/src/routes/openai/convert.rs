//! From OpenAI's requests to ours. Every rule about a single parameter is in `validate`; combinations are here.

mod form;
mod messages;
pub(super) mod prompt;
pub(crate) mod tools;

use std::collections::BTreeMap;

use inference::{ChatInput, Constraint, Input, Request, Sampling};
use wire::openai::{ChatRequest, CompletionRequest, Stop, StreamOptions};

use super::validate::logit_bias;
use crate::{
    Config,
    caller::Caller,
    error::ApiError,
    generation::Ask,
    parameter::{callable, integer, not_supported, number, stops},
    thinking::Thinking,
};

use form::{Forms, constraint};

/// How the answer is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Render {
    /// As server-sent events.
    pub(super) stream: bool,
    /// Which chunks of a stream tell token counts.
    pub(super) counts: CountsIn,
    /// Choices over all prompts.
    pub(super) choices: u32,
    /// `Some(k)`: with log-probabilities, and those of the `k` most likely tokens.
    pub(super) logprobs: Option<u32>,
}

/// Which chunks of a stream tell token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountsIn {
    /// None.
    Nowhere,
    /// A last one of its own.
    Last,
    /// That, and each one before it as far as it has come.
    Every,
}

/// OpenAI's default for completions, which have no turn to end.
const COMPLETION_TOKENS: u32 = 16;

/// As OpenAI has it.
pub(super) const MOST_LOGPROBS: u32 = 20;

/// A conversation.
pub(super) fn chat(body: ChatRequest, caller: &Caller, config: &Config) -> Result<(Ask, Render), ApiError> {
    let constraint = constraint(&Forms::from(&body))?;
    if body.functions.as_ref().is_some_and(|functions| !functions.is_empty()) {
        return Err(not_supported("functions"));
    }
    if let Some(modality) = body.modalities.iter().flatten().find(|modality| *modality != "text") {
        return Err(ApiError::unsupported("modalities", format!("the modality {modality:?} is not supported here")));
    }
    let max_tokens = match (body.max_completion_tokens, body.max_tokens) {
        (Some(new), Some(old)) if new != old => {
            let message = "max_tokens is the older name of max_completion_tokens; give one of them";
            return Err(ApiError::invalid("max_tokens", message));
        }
        (Some(new), _) => integer("max_completion_tokens", Some(new), 1..=u32::MAX)?,
        (None, old) => integer("max_tokens", old, 1..=u32::MAX)?,
    };
    let top_logprobs = integer("top_logprobs", body.top_logprobs, 0..=MOST_LOGPROBS)?;
    let logprobs = match (body.logprobs, top_logprobs) {
        (Some(true), top) => Some(top.unwrap_or(0)),
        (_, Some(1..)) => return Err(ApiError::invalid("top_logprobs", "top_logprobs needs logprobs to be true")),
        _ => None,
    };
    let tools = tools::convert(body.tools.unwrap_or_default())?;
    let tool_choice = tools::choice(body.tool_choice)?;
    callable(&tools, &tool_choice)?;
    let one_call = body.parallel_tool_calls == Some(false);
    let Thinking { whether, effort, budget } = Thinking::of_effort("reasoning_effort", body.reasoning_effort)?;
    let input = ChatInput {
        messages: messages::convert(body.messages)?,
        tools,
        tool_choice,
        one_call,
        thinking: whether,
        reasoning_effort: effort,
        thinking_budget: budget,
    };
    let options = Options {
        model: body.model,
        max_tokens,
        min_tokens: body.min_tokens,
        ignore_eos: body.ignore_eos,
        n: body.n,
        logprobs,
        echo: false,
        constraint,
        stop: body.stop,
        stream: body.stream,
        stream_options: body.stream_options,
        sampling: Numbers {
            temperature: body.temperature,
            top_p: body.top_p,
            top_k: body.top_k,
            min_p: body.min_p,
            repetition_penalty: body.repetition_penalty,
            presence_penalty: body.presence_penalty,
            frequency_penalty: body.frequency_penalty,
            logit_bias: body.logit_bias,
            seed: body.seed,
        },
    };
    options.ask(vec![Input::Chat(input)], caller, config)
}

/// One or several prompts.
pub(super) fn completion(body: CompletionRequest, caller: &Caller, config: &Config) -> Result<(Ask, Render), ApiError> {
    let constraint = constraint(&Forms::from(&body))?;
    if let Some(best_of) = body.best_of
        && best_of != body.n.unwrap_or(1)
    {
        let message = "best_of must equal n: answers are not generated in order to be thrown away here";
        return Err(ApiError::unsupported("best_of", message));
    }
    let mut inputs = prompt::convert("prompt", body.prompt)?;
    if let Some(suffix) = body.suffix.filter(|suffix| !suffix.is_empty()) {
        if body.echo == Some(true) {
            let message = "echo repeats a prompt that is continued, but with suffix it is what stands before a gap";
            return Err(ApiError::invalid("echo", message));
        }
        inputs = inputs.into_iter().map(|prefix| gap(prefix, &suffix)).collect::<Result<_, _>>()?;
    }
    let options = Options {
        model: body.model,
        max_tokens: Some(integer("max_tokens", body.max_tokens, 0..=u32::MAX)?.unwrap_or(COMPLETION_TOKENS)),
        min_tokens: body.min_tokens,
        ignore_eos: body.ignore_eos,
        n: body.n,
        logprobs: integer("logprobs", body.logprobs, 0..=MOST_LOGPROBS)?,
        echo: body.echo.unwrap_or(false),
        constraint,
        stop: body.stop,
        stream: body.stream,
        stream_options: body.stream_options,
        sampling: Numbers {
            temperature: body.temperature,
            top_p: body.top_p,
            top_k: body.top_k,
            min_p: body.min_p,
            repetition_penalty: body.repetition_penalty,
            presence_penalty: body.presence_penalty,
            frequency_penalty: body.frequency_penalty,
            logit_bias: body.logit_bias,
            seed: body.seed,
        },
    };
    options.ask(inputs, caller, config)
}

/// A text with a gap behind it, and then `suffix`.
fn gap(prefix: Input, suffix: &str) -> Result<Input, ApiError> {
    match prefix {
        Input::Text(prefix) => Ok(Input::Gap { prefix, suffix: suffix.to_owned() }),
        _ => Err(ApiError::invalid("suffix", "suffix needs a prompt that is a text, not token ids")),
    }
}

/// What both kinds of request have. `max_tokens` and `logprobs` are checked, the rest is as the caller gave it.
struct Options {
    model: String,
    max_tokens: Option<u32>,
    min_tokens: Option<i64>,
    ignore_eos: Option<bool>,
    n: Option<i64>,
    logprobs: Option<u32>,
    echo: bool,
    constraint: Option<Constraint>,
    stop: Option<Stop>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    sampling: Numbers,
}

impl Options {
    fn ask(self, inputs: Vec<Input>, caller: &Caller, config: &Config) -> Result<(Ask, Render), ApiError> {
        if self.model.is_empty() {
            return Err(ApiError::invalid("model", "model is empty; GET /v1/models lists the names"));
        }
        let stream = self.stream.unwrap_or(false);
        if self.stream_options.is_some() && !stream {
            return Err(ApiError::invalid("stream_options", "stream_options needs stream to be true"));
        }
        let each = integer("n", self.n, 1..=config.max_choices)?.unwrap_or(1);
        let choices = u32::try_from(inputs.len()).unwrap_or(u32::MAX).saturating_mul(each);
        if choices > config.max_choices {
            let message = format!(
                "{} prompts with {each} choices each are {choices} choices, but one request may have {}",
                inputs.len(),
                config.max_choices
            );
            return Err(ApiError::invalid("prompt", message));
        }
        let min_tokens = integer("min_tokens", self.min_tokens, 0..=u32::MAX)?.unwrap_or(0);
        if let Some(most) = self.max_tokens
            && min_tokens > most
        {
            let message = format!("min_tokens is {min_tokens}, which is more than max_tokens, {most}");
            return Err(ApiError::invalid("min_tokens", message));
        }
        let stop = match self.stop {
            None => Vec::new(),
            Some(Stop::One(stop)) => stops("stop", vec![stop])?,
            Some(Stop::Many(several)) => stops("stop", several)?,
        };
        let sampling = self.sampling.check()?;
        let request = |input| Request {
            sampling: sampling.clone(),
            max_tokens: self.max_tokens,
            min_tokens,
            ignore_eos: self.ignore_eos.unwrap_or(false),
            stop: stop.clone(),
            choices: each,
            logprobs: self.logprobs,
            echo: self.echo,
            constraint: self.constraint.clone(),
            cache_salt: caller.cache_salt(),
            ..Request::new(input)
        };
        let asked =
            |option: fn(&StreamOptions) -> Option<bool>| self.stream_options.as_ref().and_then(option) == Some(true);
        let counts = match (asked(|options| options.include_usage), asked(|options| options.continuous_usage_stats)) {
            (_, true) => CountsIn::Every,
            (true, false) => CountsIn::Last,
            (false, false) => CountsIn::Nowhere,
        };
        let render = Render { stream, counts, choices, logprobs: self.logprobs };
        Ok((Ask { model: self.model, requests: inputs.into_iter().map(request).collect() }, render))
    }
}

/// The sampling parameters as the caller gave them.
struct Numbers {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    logit_bias: Option<BTreeMap<String, f64>>,
    seed: Option<i64>,
}

impl Numbers {
    fn check(self) -> Result<Sampling, ApiError> {
        // Some clients send -1 for "keep all", which is 0 here.
        let top_k = self.top_k.map(|k| if k == -1 { 0 } else { k });
        // A sum of 0 keeps the one most likely token; a hair above 0 says the same without being a special case.
        let top_p = number("top_p", self.top_p, 0.0..=1.0)?.map(|p| p.max(f32::MIN_POSITIVE));
        Ok(Sampling {
            temperature: number("temperature", self.temperature, 0.0..=2.0)?,
            top_k: integer("top_k", top_k, 0..=u32::MAX)?,
            top_p,
            min_p: number("min_p", self.min_p, 0.0..=1.0)?,
            repetition_penalty: number("repetition_penalty", self.repetition_penalty, 0.01..=100.0)?,
            presence_penalty: number("presence_penalty", self.presence_penalty, -2.0..=2.0)?,
            frequency_penalty: number("frequency_penalty", self.frequency_penalty, -2.0..=2.0)?,
            logit_bias: logit_bias(self.logit_bias)?,
            // A seed is a name for a sequence of draws: the bits count, not the sign.
            seed: self.seed.map(i64::cast_unsigned),
        })
    }
}
