//! [`inference::Backend`] over one loaded model.

use std::sync::Arc;

use chat::Chat;
use engine::{Engine, SequenceRequest, SubmitError};
use futures::{FutureExt, future::BoxFuture};
use inference::{Backend, Capabilities, Error, EventStream, Input, Load, Prepared, Request, Sampling, TokenizeOptions};
use models::GenerationDefaults;
use text::{Special, Tokenizer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    answer::{self, Counts},
    choice::{Choice, Rules},
    constraint::{Constraint, Constraints, Demands},
    prompt::{self, Prompt},
    reading::{self, Reading},
    thinking::Budget,
};

/// When a full queue is likely to have a place again.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(2);

/// How long a request waits for what its answers are held to: usual schemas take milliseconds.
const COMPILE_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// A loaded model.
pub(crate) struct LocalBackend {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

/// What requests need of the model after they were admitted.
struct Shared {
    tokenizer: Arc<Tokenizer>,
    template: Option<Chat>,
    /// Special tokens with their names.
    special: Vec<(u32, String)>,
    engine: Engine,
    defaults: GenerationDefaults,
    context_length: usize,
    /// Sequences that can run and wait altogether: more choices than this can never be admitted.
    most_choices: usize,
    /// Bounds how many blocking threads render and tokenise at once.
    preparing: Arc<Semaphore>,
    /// Bounds how many compile what answers are held to, which takes longer: nobody else waits for that.
    compiling: Arc<Semaphore>,
    constraints: Constraints,
}

impl LocalBackend {
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        template: Option<Chat>,
        engine: Engine,
        defaults: GenerationDefaults,
        context_length: usize,
        most_choices: usize,
        threads: usize,
    ) -> Self {
        let capabilities = Capabilities {
            context_length: context_length as u64,
            vocabulary: tokenizer.vocabulary(),
            chat: template.is_some(),
            infill: tokenizer.infill().is_some(),
            task: inference::Task::Generate,
        };
        let preparing = Arc::new(Semaphore::new(threads.max(1)));
        let compiling = Arc::new(Semaphore::new((threads / 2).max(1)));
        let special = reading::special_tokens(&tokenizer);
        let constraints = Constraints::new(Arc::clone(&tokenizer));
        let shared = Shared {
            tokenizer,
            template,
            special,
            engine,
            defaults,
            context_length,
            most_choices,
            preparing,
            compiling,
            constraints,
        };
        Self { shared: Arc::new(shared), capabilities }
    }

    /// Runs `work` on a blocking thread, with at most as many at once as the model has threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        on_blocking_thread(permit(&self.shared.preparing).await?, move || work(&shared)).await
    }

    /// Renders, tokenises and compiles a request.
    async fn prepare(&self, request: Request) -> Result<PreparedRequest, Error> {
        let shared = Arc::clone(&self.shared);
        let prepared = self.blocking(move |_| PreparedRequest::new(shared, request)).await?;
        if !prepared.is_held() {
            return Ok(prepared);
        }
        let parameter = prepared.demands.parameter().to_owned();
        // How long others take is no fault of this form, so the wait for them does not count.
        let permit = permit(&self.shared.compiling).await?;
        let compiled = on_blocking_thread(permit, move || prepared.compile());
        tokio::time::timeout(COMPILE_TIME, compiled).await.unwrap_or_else(|_| {
            let message = format!("{parameter} cannot be honoured: it takes too long to compile");
            Err(Error::invalid(parameter, message))
        })
    }
}

/// One of the `permits`, once there is one.
async fn permit(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    Arc::clone(permits).acquire_owned().await.map_err(|_| Error::ShuttingDown)
}

/// Runs `work` on a blocking thread, which keeps the permit to its end whoever waits for it.
async fn on_blocking_thread<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "preparing a request failed");
        Err(Error::Internal)
    })
}

impl Backend for LocalBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, request: Request) -> BoxFuture<'_, Result<Box<dyn Prepared>, Error>> {
        async move { Ok(Box::new(self.prepare(request).await?) as Box<dyn Prepared>) }.boxed()
    }

    fn tokenize(&self, text: String, options: TokenizeOptions) -> BoxFuture<'_, Result<Vec<u32>, Error>> {
        self.blocking(move |shared| {
            let special = Special { add: options.add_special, parse: options.parse_special };
            shared.tokenizer.encode(&text, special, &[]).map_err(|error| {
                tracing::warn!(%error, "a text could not be tokenised");
                Error::invalid("content", "the text cannot be tokenised by this model")
            })
        })
        .boxed()
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, Error>> {
        self.blocking(move |shared| {
            shared.tokenizer.decode(&tokens, true).map_err(|error| Error::invalid("tokens", error.to_string()))
        })
        .boxed()
    }

    fn load(&self) -> Load {
        let snapshot = self.shared.engine.snapshot();
        Load {
            sequences_running: snapshot.running as u64,
            sequences_waiting: snapshot.waiting as u64,
            kv_blocks_used: snapshot.kv_blocks_used as u64,
            kv_blocks_cached: snapshot.kv_blocks_cached as u64,
            kv_blocks_total: snapshot.kv_blocks_total as u64,
            steps: snapshot.steps,
            step_rows: snapshot.rows_total,
            tokens_drafted: snapshot.tokens_drafted,
            tokens_accepted: snapshot.tokens_accepted,
        }
    }
}

/// A checked request with its prompt as tokens.
struct PreparedRequest {
    shared: Arc<Shared>,
    request: Request,
    prompt: Vec<u32>,
    /// Tokens that end the answer beside those that end any.
    ends: Vec<u32>,
    /// Of a conversation: how its answer is read.
    reading: Option<Arc<Reading>>,
    merged_system: bool,
    max_tokens: usize,
    /// Most tokens that are thought in each answer.
    thinking: Option<u32>,
    /// What the answers are held to, until it is compiled.
    demands: Demands,
    constraint: Option<Constraint>,
}

impl PreparedRequest {
    fn new(shared: Arc<Shared>, mut request: Request) -> Result<Self, Error> {
        let vocabulary = shared.tokenizer.vocabulary();
        if let Some((unknown, _)) = request.sampling.logit_bias.iter().find(|(token, _)| *token >= vocabulary) {
            return Err(Error::invalid(
                "logit_bias",
                format!("token id {unknown} is outside the vocabulary of {vocabulary} tokens"),
            ));
        }
        if request.choices as usize > shared.most_choices {
            return Err(Error::invalid(
                "n",
                format!(
                    "{} choices were asked for, but this server runs and queues at most {}",
                    request.choices, shared.most_choices
                ),
            ));
        }
        let demands = Demands::take(&mut request);
        let thinking = match &request.input {
            Input::Chat(chat) => chat.thinking_budget,
            Input::Text(_) | Input::Tokens(_) | Input::Gap { .. } => None,
        };
        let parameter = request.parameter;
        let input = std::mem::replace(&mut request.input, Input::Tokens(Vec::new()));
        let Prompt { tokens: prompt, chat, ends } =
            prompt::prompt(input, parameter, &shared.tokenizer, shared.template.as_ref(), shared.context_length)?;
        let limit = shared.context_length as u64;
        // Without a bound of the caller's one token must fit; with one, all of them must: nothing is cut silently.
        let output = request.max_tokens.map_or(1, u64::from);
        let requested = prompt.len() as u64 + output;
        if requested > limit {
            let prompt = prompt.len() as u64;
            return Err(Error::ContextLengthExceeded { parameter, limit, requested, prompt, output });
        }
        let max_tokens = request.max_tokens.map_or(shared.context_length - prompt.len(), |most| most as usize);
        let merged_system = chat.as_ref().is_some_and(|chat| chat.merged_system);
        let reading = chat.map(|chat| Reading::new(chat, &shared.special)).transpose()?.map(Arc::new);
        let constraint = None;
        let prepared =
            Self { shared, request, prompt, ends, reading, merged_system, max_tokens, thinking, demands, constraint };
        if prepared.is_held() && prepared.request.ignore_eos {
            let message = "an answer that is held to a form ends where the form does, so end tokens cannot be ignored";
            return Err(Error::invalid("ignore_eos", message));
        }
        Ok(prepared)
    }

    fn is_held(&self) -> bool {
        self.demands.ask(self.reading.as_deref().map(Reading::prompt))
    }

    /// Compiles what the answers are held to.
    fn compile(mut self) -> Result<Self, Error> {
        let chat = self.reading.as_deref().map(Reading::prompt);
        self.constraint = self.shared.constraints.compile(&self.demands, chat, self.request.cache_salt)?;
        Ok(self)
    }

    fn end_tokens(&self) -> Vec<u32> {
        if self.request.ignore_eos { Vec::new() } else { [self.shared.tokenizer.end_tokens(), &self.ends].concat() }
    }
}

impl Prepared for PreparedRequest {
    fn prompt_tokens(&self) -> u64 {
        self.prompt.len() as u64
    }

    fn max_tokens(&self) -> u64 {
        self.max_tokens as u64
    }

    fn merged_system(&self) -> bool {
        self.merged_system
    }

    fn run(self: Box<Self>) -> Result<EventStream, Error> {
        let prompt_logprobs = self.request.echo && self.request.logprobs.is_some();
        let echo = if self.request.echo && !prompt_logprobs {
            Some(self.shared.tokenizer.decode(&self.prompt, true).map_err(|_| Error::Internal)?)
        } else {
            None
        };
        let rules = Rules {
            stop: self.request.stop.clone(),
            min_tokens: self.request.min_tokens as usize,
            end_tokens: self.end_tokens(),
            logprobs: self.request.logprobs.is_some(),
            echo,
            failure: Arc::default(),
            reading: self.reading.clone(),
        };
        let thinking = match (self.thinking, &self.reading) {
            (Some(most), Some(reading)) => {
                Budget::new(most, reading, &self.shared.tokenizer, self.constraint.is_some())?
            }
            _ => None,
        };
        let sampling = resolve(&self.request.sampling, &self.shared.defaults)?;
        let counts = Arc::new(Counts::new(self.prompt.len() as u64));
        let choices = (0..self.request.choices)
            .map(|index| {
                let sampling =
                    engine::Sampling { seed: sampling.seed.wrapping_add(u64::from(index)), ..sampling.clone() };
                let failure = Arc::default();
                let rules = Rules { failure: Arc::clone(&failure), ..rules.clone() };
                let constraint = self.constraint.as_ref().map(|constraint| constraint.begin(failure));
                let tokens = self.shared.engine.submit(SequenceRequest {
                    prompt: self.prompt.clone(),
                    sampling,
                    max_tokens: self.max_tokens,
                    min_tokens: rules.min_tokens,
                    end_tokens: rules.end_tokens.clone(),
                    logprobs: self.request.logprobs.map(|top| top as usize),
                    prompt_logprobs,
                    salt: self.request.cache_salt,
                    constraint,
                    forcing: thinking.as_ref().map(Budget::begin),
                })?;
                let tokenizer = Arc::clone(&self.shared.tokenizer);
                Ok(Choice::new(index, tokens, tokenizer, rules, Arc::clone(&counts)))
            })
            .collect::<Result<Vec<_>, SubmitError>>()
            .map_err(|error| match error {
                SubmitError::QueueFull => {
                    Error::Overloaded { what: "the queue of this model", retry_after: RETRY_AFTER }
                }
                // Token ids were checked in `prompt::prompt`, so this is a fault of ours.
                SubmitError::InvalidPrompt => Error::Internal,
                SubmitError::TooLong => Error::ContextLengthExceeded {
                    parameter: self.request.parameter,
                    limit: self.shared.context_length as u64,
                    requested: (self.prompt.len() + self.max_tokens) as u64,
                    prompt: self.prompt.len() as u64,
                    output: self.max_tokens as u64,
                },
                SubmitError::Stopped => Error::ShuttingDown,
            })?;
        Ok(answer::events(choices, counts))
    }
}

/// Fills what the caller left open: the model's own defaults, then the neutral value.
fn resolve(asked: &Sampling, defaults: &GenerationDefaults) -> Result<engine::Sampling, Error> {
    let seed = match asked.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| {
            tracing::error!(%error, "the system gave no random seed");
            Error::Internal
        })?,
    };
    Ok(engine::Sampling {
        temperature: asked.temperature.or(defaults.temperature).unwrap_or(1.0),
        top_k: asked.top_k.or(defaults.top_k).unwrap_or(0) as usize,
        top_p: asked.top_p.or(defaults.top_p).unwrap_or(1.0),
        min_p: asked.min_p.or(defaults.min_p).unwrap_or(0.0),
        repetition_penalty: asked.repetition_penalty.or(defaults.repetition_penalty).unwrap_or(1.0),
        presence_penalty: asked.presence_penalty.unwrap_or(0.0),
        frequency_penalty: asked.frequency_penalty.unwrap_or(0.0),
        logit_bias: asked.logit_bias.clone(),
        seed,
    })
}

#[cfg(test)]
mod tests;
