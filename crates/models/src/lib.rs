//! One file per architecture over shared layers. (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]
use std::sync::Arc;

/// A loaded model with its KV cache and scratch memory. What the engine drives; a scripted twin stands in for it in tests.
pub trait Runner: Send + 'static {
    /// Number of token ids; a row of logits has this length.
    fn vocabulary(&self) -> usize;
    /// Most tokens of one sequence.
    fn context_length(&self) -> usize;
    /// KV blocks of [`kernels::kv::BLOCK_LEN`] positions that the cache holds; ids are `0..kv_blocks()`.
    fn kv_blocks(&self) -> usize;
    /// Runs all rows of a step: writes their keys and values into the blocks and returns the wanted logits,
    /// `[wanted rows, vocabulary]`, in the order of `batch`. A row's logits do not depend on what else is in the batch.
    fn forward(&mut self, batch: &Batch<'_>) -> &[f32];
}
/// The rows of one step.
pub struct Batch<'a> {
    pub segments: &'a [Segment<'a>],
}
/// Consecutive rows of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// Their tokens.
    pub tokens: &'a [u32],
    /// Absolute position of the first of them; positions before it are in the cache already.
    pub position: usize,
    /// The sequence's block table: covers `position + tokens.len()` positions.
    pub blocks: &'a [u32],
    /// Which of the rows' logits are wanted.
    pub logits: Logits,
}
/// Which rows' logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    None,
    Last,
    All,
}

/// How a model is loaded.
pub struct Options {
    pub level: kernels::Level,
    pub threads: usize,
    /** caps the model's own */
    pub context_length: Option<usize>,
    pub kv_blocks: usize,
    pub kv_type: kernels::kv::KvType,
}
/// Reads, repacks and returns a model ready to run; afterwards the checkpoint can be dropped. `progress(done_bytes, all_bytes)`.
pub fn load(
    checkpoint: &weights::Checkpoint,
    options: &Options,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Box<dyn Runner>, Error> {
    todo!()
}
/// What can be told about a model without loading its tensors.
pub struct Description {
    pub architecture: String,
    pub parameters: u64,
    pub context_length: usize,
    pub vocabulary: usize,
    /** bytes of repacked weights */
    pub weight_bytes: u64,
    /** KV bytes of one block over all layers */
    pub kv_block_bytes: u64,
    /** the model's own sampling defaults */
    pub defaults: Arc<GenerationDefaults>,
}
/// Sampling defaults that the model's authors ship (`generation_config.json`, `general.sampling.*` in GGUF).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationDefaults {
    pub temperature: Option<f32>,
    pub top_k: Option<u32>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
}
pub fn describe(checkpoint: &weights::Checkpoint, kv_type: kernels::kv::KvType) -> Result<Description, Error> {
    todo!()
}
#[derive(Debug, thiserror::Error)]
pub enum Error {}
