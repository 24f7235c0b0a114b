//! [`inference::Backend`] over one loaded encoder: texts → tokens → passes → vectors.
//!
//! Texts become tokens on blocking threads; one thread owns the encoder (see [`crate::passes`]).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use inference::{
    Backend, Capabilities, EmbedInput, EmbedRequest, Embedded, EmbeddingStream, Error, Load, Prepared,
    PreparedEmbedding, Request, Task, TokenizeOptions,
};
use text::{Special, Tokenizer};
use tokio::sync::{Semaphore, mpsc};

use crate::passes::{Counters, Job, Passes, Refused, Sequence};

/// When a full queue is likely to have a place again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A loaded encoder.
pub(crate) struct EmbeddingBackend {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

struct Shared {
    tokenizer: Tokenizer,
    task: Task,
    /// Most tokens of an input.
    longest: usize,
    /// Token ids that the encoder knows.
    vocabulary: usize,
    /// Whether the encoder tells the two texts of a pair apart.
    has_types: bool,
    passes: Passes,
    /// Bounds how many blocking threads tokenise at once.
    preparing: Semaphore,
}

/// What an encoder is, beside its numbers.
pub(crate) struct Nature {
    pub task: Task,
    pub longest: usize,
    pub vocabulary: usize,
    pub has_types: bool,
}

impl EmbeddingBackend {
    pub fn new(tokenizer: Tokenizer, nature: Nature, passes: Passes, threads: usize) -> Self {
        let Nature { task, longest, vocabulary, has_types } = nature;
        let capabilities = Capabilities {
            infill: false,
            context_length: longest as u64,
            vocabulary: tokenizer.vocabulary(),
            chat: false,
            task: task.clone(),
        };
        let preparing = Semaphore::new(threads.max(1));
        let shared = Shared { tokenizer, task, longest, vocabulary, has_types, passes, preparing };
        Self { shared: Arc::new(shared), capabilities }
    }

    /// Runs `work` on a blocking thread, with at most as many at once as the model has threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        let permit = self.shared.preparing.acquire().await.map_err(|_| Error::ShuttingDown)?;
        let result = tokio::task::spawn_blocking(move || work(&shared)).await;
        drop(permit);
        result.unwrap_or_else(|panic| {
            tracing::error!(%panic, "preparing a request failed");
            Err(Error::Internal)
        })
    }
}

impl Backend for EmbeddingBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, _request: Request) -> BoxFuture<'_, Result<Box<dyn Prepared>, Error>> {
        let refused = self.shared.task.check_generates().err().unwrap_or(Error::Internal);
        std::future::ready(Err(refused)).boxed()
    }

    fn embed(&self, request: EmbedRequest) -> BoxFuture<'_, Result<Box<dyn PreparedEmbedding>, Error>> {
        async move {
            let shared = Arc::clone(&self.shared);
            let prepared = self.blocking(move |_| PreparedInputs::new(shared, request)).await?;
            Ok(Box::new(prepared) as Box<dyn PreparedEmbedding>)
        }
        .boxed()
    }

    fn tokenize(&self, text: String, options: TokenizeOptions) -> BoxFuture<'_, Result<Vec<u32>, Error>> {
        self.blocking(move |shared| {
            let special = Special { add: options.add_special, parse: options.parse_special };
            shared.encode(&text, special, || "content".into())
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
        let Counters { running, waiting, passes, rows } = self.shared.passes.counters();
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Load {
            sequences_running: read(running),
            sequences_waiting: read(waiting),
            steps: read(passes),
            step_rows: read(rows),
            ..Load::default()
        }
    }
}

impl Shared {
    fn encode(&self, text: &str, special: Special, name: impl Fn() -> String) -> Result<Vec<u32>, Error> {
        self.tokenizer.encode(text, special, &[]).map_err(|error| {
            tracing::warn!(%error, "a text could not be tokenised");
            Error::invalid(name(), "the text cannot be tokenised by this model")
        })
    }

    /// The tokens of one input, no more than the model takes.
    fn sequence(&self, input: EmbedInput, truncate: bool, name: impl Fn() -> String) -> Result<Sequence, Error> {
        let framed = Special { add: true, parse: false };
        let (mut tokens, second) = match input {
            EmbedInput::Text(text) => (self.encode(&text, framed, &name)?, None),
            EmbedInput::Tokens(tokens) => (tokens, None),
            EmbedInput::Pair(one, other) => {
                let mut tokens = self.encode(&one, framed, &name)?;
                let second = tokens.len();
                tokens.extend(self.behind_the_first(self.encode(&other, framed, &name)?));
                (tokens, Some(second))
            }
        };
        if tokens.is_empty() {
            return Err(Error::invalid(name(), format!("{} holds no token", name())));
        }
        if let Some(outside) = tokens.iter().find(|token| **token as usize >= self.vocabulary) {
            let message =
                format!("{} holds the token {outside}, but the model's ids are below {}", name(), self.vocabulary);
            return Err(Error::invalid(name(), message));
        }
        if tokens.len() > self.longest {
            // The first text of a pair must be whole: it is what all are compared with.
            if !truncate || second.is_some_and(|second| second >= self.longest) {
                let (tokens, limit) = (tokens.len() as u64, self.longest as u64);
                return Err(Error::InputTooLong { input: name(), tokens, limit });
            }
            // What ends every text stays at the end.
            let last = tokens[tokens.len() - 1];
            tokens.truncate(self.longest);
            tokens[self.longest - 1] = last;
        }
        let second = second.filter(|_| self.has_types).unwrap_or(tokens.len());
        Ok(Sequence { tokens, second })
    }

    /// The second text of a pair: BERT puts nothing in front of it, RoBERTa its separator.
    fn behind_the_first(&self, mut framed: Vec<u32>) -> Vec<u32> {
        if !framed.is_empty() {
            match (self.has_types, framed.last()) {
                (false, Some(&separator)) => framed[0] = separator,
                _ => drop(framed.remove(0)),
            }
        }
        framed
    }
}

/// A checked request as tokens.
struct PreparedInputs {
    shared: Arc<Shared>,
    sequences: Vec<Sequence>,
    dimensions: Option<usize>,
}

impl PreparedInputs {
    fn new(shared: Arc<Shared>, request: EmbedRequest) -> Result<Self, Error> {
        let EmbedRequest { inputs, parameter, dimensions, truncate } = request;
        let pairs = inputs.iter().any(|input| matches!(input, EmbedInput::Pair(..)));
        let dimensions = match &shared.task {
            Task::Rank if pairs => None,
            Task::Embed(own) if !pairs => {
                let length = own.check(dimensions)?;
                (length < own.full).then_some(length as usize)
            }
            task => return Err(task.dimensions().err().unwrap_or(Error::Internal)),
        };
        let sequence = |(index, input)| shared.sequence(input, truncate, || format!("{parameter}[{index}]"));
        let sequences = inputs.into_iter().enumerate().map(sequence).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { shared, sequences, dimensions })
    }
}

impl PreparedEmbedding for PreparedInputs {
    fn prompt_tokens(&self) -> u64 {
        self.sequences.iter().map(|sequence| sequence.tokens.len() as u64).sum()
    }

    fn run(self: Box<Self>) -> Result<EmbeddingStream, Error> {
        let Self { shared, sequences, dimensions } = *self;
        let count = sequences.len();
        // Room for every answer: the encoder never waits for a reader.
        let (reply, answers) = mpsc::channel(count.max(1));
        shared.passes.submit(Job::new(sequences, reply)).map_err(|refused| match refused {
            Refused::Full => Error::Overloaded { what: "the queue of this model", retry_after: RETRY_AFTER },
            Refused::Ended => Error::ShuttingDown,
        })?;
        let cut = move |mut embedded: Embedded| {
            if let Some(length) = dimensions {
                embedded.vector.truncate(length);
                models::normalise(&mut embedded.vector);
            }
            embedded
        };
        // An encoder that is gone before all answers came has failed.
        let answered = stream::unfold((answers, count), move |(mut answers, left)| async move {
            if left == 0 {
                return None;
            }
            match answers.recv().await {
                Some(embedded) => Some((Ok(cut(embedded)), (answers, left - 1))),
                None => Some((Err(Error::Internal), (answers, 0))),
            }
        });
        // The model stays loaded while it answers.
        Ok(answered.map(move |answer| (answer, Arc::clone(&shared)).0).boxed())
    }
}
