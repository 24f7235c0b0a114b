//! What an engine must offer.

use futures::{
    FutureExt,
    future::{BoxFuture, ready},
    stream::BoxStream,
};

use crate::{EmbedRequest, Error, Event, PreparedEmbedding, Request, Task};

/// The events of one request. Dropping it cancels the request.
pub type EventStream = BoxStream<'static, Event>;

/// A model that can be asked, whoever's engine runs it.
pub trait Backend: Send + Sync + 'static {
    /// What the model can do.
    fn capabilities(&self) -> &Capabilities;

    /// Checks the request and counts its tokens, without starting it. Every refusal that is the caller's fault comes from here.
    fn prepare(&self, request: Request) -> BoxFuture<'_, Result<Box<dyn Prepared>, Error>>;

    /// Checks a request for vectors and counts its tokens, without starting it. Every refusal that is the caller's fault
    /// comes from here; a model that makes none refuses them all.
    fn embed(&self, _request: EmbedRequest) -> BoxFuture<'_, Result<Box<dyn PreparedEmbedding>, Error>> {
        let refused = self.capabilities().task.dimensions().err().unwrap_or(Error::Internal);
        ready(Err(refused)).boxed()
    }

    /// Token ids of a text.
    fn tokenize(&self, text: String, options: TokenizeOptions) -> BoxFuture<'_, Result<Vec<u32>, Error>>;

    /// The text of token ids. An id outside the vocabulary is [`Error::Invalid`].
    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, Error>>;

    /// A snapshot of what the backend is doing now.
    fn load(&self) -> Load;
}

/// A checked request that can start.
pub trait Prepared: Send {
    /// Tokens of the prompt.
    fn prompt_tokens(&self) -> u64;

    /// Most tokens that each choice may generate.
    fn max_tokens(&self) -> u64;

    /// Whether instructions of the system were moved, because the model's chat template cannot place them where they stood.
    fn merged_system(&self) -> bool {
        false
    }

    /// Starts the request. Fails when the backend's queue is full or it is shutting down.
    fn run(self: Box<Self>) -> Result<EventStream, Error>;
}

/// What a model can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Tokens that prompt and answer may have together.
    pub context_length: u64,
    /// Number of token ids; valid ids are below it.
    pub vocabulary: u32,
    /// Whether the model has a chat template.
    pub chat: bool,
    /// Whether the model fills gaps in a text.
    pub infill: bool,
    /// What it is for.
    pub task: Task,
}

/// How a text becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenizeOptions {
    /// Add the beginning-of-sequence (and end-of-sequence) tokens that the model asks for.
    pub add_special: bool,
    /// Recognise special tokens written in the text.
    pub parse_special: bool,
}

/// What a backend is doing at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Sequences that hold KV blocks.
    pub sequences_running: u64,
    /// Sequences that wait for a place.
    pub sequences_waiting: u64,
    /// KV blocks in use.
    pub kv_blocks_used: u64,
    /// KV blocks that nobody uses, kept for prompts that begin as earlier ones did; as good as free.
    pub kv_blocks_cached: u64,
    /// KV blocks there are.
    pub kv_blocks_total: u64,
    /// Forward passes since the backend started.
    pub steps: u64,
    /// Rows (tokens) that those passes computed; divided by `steps`, the mean batch size.
    pub step_rows: u64,
    /// Tokens that speculation proposed.
    pub tokens_drafted: u64,
    /// Those of them that were right.
    pub tokens_accepted: u64,
}
