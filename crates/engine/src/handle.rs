//! The handle that everybody outside the engine's thread holds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use models::Runner;

use crate::{
    Config, SequenceRequest, Snapshot, Tokens,
    blocks::BLOCK_LEN,
    channel::channel,
    inbox::{Inbox, Stop},
    sequence::Sequence,
    thread,
};

/// Handle to the engine's thread; cloneable. When the last one is dropped, the thread ends what still runs with
/// [`Finish::ShutDown`](crate::Finish::ShutDown), drops the runner and exits.
#[derive(Clone)]
pub struct Engine {
    inbox: Arc<Inbox>,
    limits: Limits,
    /// Only its drop matters.
    _last: Arc<LastHandle>,
}

/// What a submission is checked against, copied so that nobody has to ask the thread.
#[derive(Debug, Clone, Copy)]
struct Limits {
    vocabulary: usize,
    /// Tokens that one sequence may have: the context, or the whole KV cache where that is smaller.
    tokens: usize,
    /// Sequences that may be live.
    live: usize,
}

/// Why a sequence was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Try again later.
    #[error("the queue is full")]
    QueueFull,
    /// The prompt alone leaves no room for a token. (A long output is no reason: it ends with `ContextFull`.)
    #[error("prompt and output never fit in the KV cache")]
    TooLong,
    /// The prompt is empty or holds an id outside the vocabulary.
    #[error("the prompt is empty or holds a token id that the model does not have")]
    InvalidPrompt,
    /// The engine does not come back.
    #[error("the engine has stopped")]
    Stopped,
}

impl Engine {
    /// Starts the engine's thread. If the system gives no thread, that is logged and every submission is refused with
    /// [`SubmitError::Stopped`].
    pub fn start(runner: Box<dyn Runner>, config: Config) -> Self {
        let limits = Limits {
            vocabulary: runner.vocabulary(),
            tokens: runner.context_length().min(runner.kv_blocks().saturating_mul(BLOCK_LEN)),
            live: config.max_sequences.max(1).saturating_add(config.max_queue),
        };
        let inbox = Arc::<Inbox>::default();
        thread::spawn(runner, config, limits.tokens, Arc::clone(&inbox));
        Self { limits, _last: Arc::new(LastHandle(Arc::clone(&inbox))), inbox }
    }

    /// Queues a sequence. Its tokens come out of the returned stream; dropping the stream cancels it before the next step.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says why it was not taken; nothing of it is left in the engine then.
    pub fn submit(&self, request: SequenceRequest) -> Result<Tokens, SubmitError> {
        let known = |&id: &u32| (id as usize) < self.limits.vocabulary;
        if request.prompt.is_empty() || !request.prompt.iter().all(known) {
            return Err(SubmitError::InvalidPrompt);
        }
        if request.prompt.len() + usize::from(request.max_tokens > 0) > self.limits.tokens {
            return Err(SubmitError::TooLong);
        }
        let (sender, tokens) = channel(Arc::clone(&self.inbox));
        self.inbox.submit(Sequence::new(request, sender), self.limits.live)?;
        Ok(tokens)
    }

    /// The engine's figures at the end of its last step.
    pub fn snapshot(&self) -> Snapshot {
        self.inbox.snapshot()
    }

    /// Refuses new sequences from now on, lets accepted ones finish for at most `grace`, ends what is left with
    /// [`Finish::ShutDown`](crate::Finish::ShutDown), drops the runner and ends the thread. Returns at once; called again,
    /// it can only shorten the time.
    pub fn shutdown(&self, grace: Duration) {
        self.inbox.stop(Stop { deadline: Instant::now().checked_add(grace) });
    }

    /// Blocks until no sequence is left and no KV block is held, at most for `timeout`; says whether that came about.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.inbox.wait_idle(timeout)
    }
}

/// Stops the engine when the last handle goes.
struct LastHandle(Arc<Inbox>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.0.stop(Stop { deadline: Some(Instant::now()) });
    }
}
