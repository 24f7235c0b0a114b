//! Sequences, KV blocks, scheduler and sampler: tokens in, tokens out. (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

/// Bounds of the engine.
#[derive(Debug, Clone)]
pub struct Config {
    /** sequences that may hold KV blocks at once */
    pub max_sequences: usize,
    /** sequences that may wait */
    pub max_queue: usize,
    /** rows of one step */
    pub step_rows: usize,
    /** a reader that takes nothing for this long is cut off */
    pub reader_timeout: std::time::Duration,
}
/// Handle to the engine's thread; cloneable. The last one dropped ends the thread.
#[derive(Clone)]
pub struct Engine {}
impl Engine {
    pub fn start(runner: Box<dyn models::Runner>, config: Config) -> Self {
        todo!()
    }
    /// Queues a sequence. Its tokens come out of the returned stream; dropping the stream cancels it before the next step.
    pub fn submit(&self, request: SequenceRequest) -> Result<Tokens, SubmitError> {
        todo!()
    }
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
}
/// What to generate.
pub struct SequenceRequest {
    pub prompt: Vec<u32>,
    pub sampling: Sampling,
    pub max_tokens: usize,
    pub min_tokens: usize,
    /** empty for ignore_eos */
    pub end_tokens: Vec<u32>,
    /** Some(k): logprob of the chosen and the k most likely */
    pub logprobs: Option<usize>,
    /** report the prompt's own log-probabilities first */
    pub prompt_logprobs: bool,
    pub salt: u64,
    pub constraint: Option<Box<dyn Constraint>>,
}
/// All values resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    pub temperature: f32,
    pub top_k: usize,
    pub top_p: f32,
    pub min_p: f32,
    pub repetition_penalty: f32,
    pub presence_penalty: f32,
    pub frequency_penalty: f32,
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: u64,
}
/// The tokens of one sequence as they are committed. `Stream` (futures) is implemented on it too, or an async `next`.
pub struct Tokens {}
impl Tokens {
    pub async fn next(&mut self) -> Option<Output> {
        todo!()
    }
}
/// What comes out.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// one position of the prompt (only with prompt_logprobs), in order; the first has no logprob
    Prompt(Token),
    Token(Token),
    Finished(Finish),
}
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub id: u32,
    pub logprob: Option<f32>,
    pub top: Vec<(u32, f32)>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /** an end token (it is the last Token) */
    EndToken,
    MaxTokens,
    /** context full */
    ContextFull,
    /** the reader did not read */
    SlowReader,
    /** a panic in this sequence's work */
    Failed,
    ShutDown,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("the queue is full")]
    QueueFull,
    #[error("prompt and output never fit in the KV cache")]
    TooLong,
    #[error("the engine has stopped")]
    Stopped,
}
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub running: usize,
    pub waiting: usize,
    pub kv_blocks_used: usize,
    pub kv_blocks_total: usize,
    pub steps: u64,
    pub preemptions: u64,
}
/// Limits what the next token may be.
pub trait Constraint: Send {
    /// Sets the bit of every allowed token.
    fn mask(&mut self, allowed: &mut [u64]);
    fn accept(&mut self, token: u32);
    fn rollback(&mut self, tokens: usize);
}
