//! Why a request cannot be served.

use std::time::Duration;

use thiserror::Error;

/// All that a backend or the catalogue can refuse with. `Display` is public text: it holds nothing internal.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Error {
    /// The request itself is wrong; sending it again cannot help.
    #[error("{message}")]
    Invalid {
        /// The parameter at fault, by the name that the caller used.
        parameter: Option<String>,
        /// What was found and what would be accepted.
        message: String,
    },
    /// Prompt and requested output do not fit in the model's context.
    #[error(
        "the model's context holds {limit} tokens, but the request needs {requested}: {prompt} in the prompt and at least \
         {output} to generate; shorten the prompt or lower max_tokens"
    )]
    ContextLengthExceeded {
        /// The parameter that holds the prompt, by the name that the caller used.
        parameter: &'static str,
        /// Tokens that the context holds.
        limit: u64,
        /// `prompt + output`.
        requested: u64,
        /// Tokens of the prompt.
        prompt: u64,
        /// Tokens that must fit behind it.
        output: u64,
    },
    /// One of several inputs is longer than the model takes. All of them are refused with it.
    #[error("{input} has {tokens} tokens, but this model takes {limit} at most; nothing was computed")]
    InputTooLong {
        /// The input, by the name that the caller used.
        input: String,
        /// Its tokens, with those that the model wants around it.
        tokens: u64,
        /// Most that the model takes.
        limit: u64,
    },
    /// No model of this name is known here.
    #[error("the model `{model}` does not exist; GET /v1/models lists the ones that do")]
    ModelNotFound {
        /// The name as the caller gave it.
        model: String,
    },
    /// A bounded queue is full.
    #[error("{what} is full; try again in {} s", retry_after.as_secs().max(1))]
    Overloaded {
        /// Which queue.
        what: &'static str,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// A limit of whoever asks has no room for it, or a budget is spent.
    #[error("{message}")]
    LimitReached {
        /// Which limit, whose, and when there is room again.
        message: String,
        /// Whether money is used up, so that asking again soon is no use.
        spent: bool,
        /// When there is room again, where that can be said.
        retry_after: Option<Duration>,
    },
    /// The model is known but cannot serve now.
    #[error("the model `{model}` is not available: {reason}")]
    Unavailable {
        /// The model's name.
        model: String,
        /// Public text.
        reason: String,
    },
    /// The caller took nothing of its answer for so long that the rest was given up.
    #[error("the answer was given up because the client did not read it in time")]
    SlowReader,
    /// Whoever may do so took back the caller's right to ask, and with it what ran.
    #[error("the API key was revoked, or the session ended, while the request ran")]
    Revoked,
    /// The service is going away.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// A failure of ours. The cause is in the log, not in this text.
    #[error("the request failed inside the server")]
    Internal,
}

impl Error {
    /// A wrong value of `parameter`.
    pub fn invalid(parameter: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { parameter: Some(parameter.into()), message: message.into() }
    }
}
