//! What a loaded model can do, and how one is loaded.

use std::sync::Arc;

use kernels::{
    Level, Pool,
    kv::{BLOCK_LEN, KvType, LayerKv},
    rope::Table,
};
use weights::Checkpoint;

use crate::{
    Error, GenerationDefaults,
    config::ModelConfig,
    decoder::{Decoder, Memory, Weights},
    layers::Norm,
    loader::{EMBEDDING, Loader, OUTPUT, OUTPUT_NORM, Totals},
    registry::{self, Architecture},
    settings::Settings,
};

/// A loaded model with its KV cache and scratch memory. What the engine drives; a scripted twin stands in for it in
/// tests.
pub trait Runner: Send + 'static {
    /// Number of token ids; a row of logits has this length.
    fn vocabulary(&self) -> usize;

    /// Most tokens of one sequence: the model's own limit, capped by [`Options::context_length`] and by what the KV
    /// cache holds.
    fn context_length(&self) -> usize;

    /// KV blocks of [`BLOCK_LEN`] positions that the cache holds; ids are `0..kv_blocks()`.
    fn kv_blocks(&self) -> usize;

    /// Runs all rows of a step: writes their keys and values into the blocks and returns the wanted logits,
    /// `[wanted rows, vocabulary]`, in the order of `batch`. A row's logits do not depend on what else is in the batch.
    ///
    /// All rows are stored before any attends, so a segment may attend to blocks that another one of the same batch fills.
    ///
    /// # Panics
    ///
    /// When the batch contradicts this trait's limits: a token id of [`vocabulary`](Self::vocabulary) or more, a
    /// position beyond [`context_length`](Self::context_length), a block id of [`kv_blocks`](Self::kv_blocks) or more,
    /// or too few blocks for the positions; the message names the segment. Also when two segments write to one block, as
    /// two of one sequence might.
    fn forward(&mut self, batch: &Batch<'_>) -> &[f32];
}

/// The rows of one step.
pub struct Batch<'a> {
    /// In the order in which their logits come back.
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
    /// No row's; the prompt goes on.
    None,
    /// The last row's, if there is one.
    Last,
    /// Every row's.
    All,
}

/// How a model is loaded.
pub struct Options {
    /// Instruction-set level of the kernels; this CPU must have it.
    pub level: Level,
    /// Threads that compute, the caller's among them; 0 counts as 1.
    pub threads: usize,
    /// Caps the model's own context length.
    pub context_length: Option<usize>,
    /// Blocks of the KV cache, at least 1. All of them are allocated by the load.
    pub kv_blocks: usize,
    /// How keys and values are stored.
    pub kv_type: KvType,
}

/// What can be told about a model without loading its tensors.
#[derive(Debug, Clone)]
pub struct Description {
    /// The architecture's name, such as `llama`.
    pub architecture: String,
    /// Numbers in all tensors that the model uses; a head that is the embedding counts once.
    pub parameters: u64,
    /// Most tokens of one sequence, by the model's own account.
    pub context_length: usize,
    /// Number of token ids.
    pub vocabulary: usize,
    /// Bytes of repacked weights.
    pub weight_bytes: u64,
    /// KV bytes of one block over all layers.
    pub kv_block_bytes: u64,
    /// The model's own sampling defaults.
    pub defaults: Arc<GenerationDefaults>,
}

/// Reads, repacks and returns a model ready to run; afterwards the checkpoint can be dropped.
///
/// `progress(done, all)` counts stored bytes and is called after every tensor, from this thread.
///
/// # Errors
///
/// When the architecture is not known, a setting is impossible or not supported, or a tensor is missing or has another
/// shape than the settings imply; all of that is found before the first tensor is repacked. Also when the file changed
/// while it was read.
pub fn load(
    checkpoint: &Checkpoint,
    options: &Options,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Box<dyn Runner>, Error> {
    let plan = Plan::make(checkpoint)?;
    let config = &plan.config;
    let context_length = options.context_length.unwrap_or(usize::MAX).min(config.context_length);
    let context_length = context_length.min(options.kv_blocks.saturating_mul(BLOCK_LEN));
    let block_bytes = kv_block_bytes(config, options.kv_type);
    let cache_bytes = block_bytes.saturating_mul(options.kv_blocks as u64);
    if context_length == 0 || cache_bytes > isize::MAX as u64 {
        return Err(Error::KvBlocks { blocks: options.kv_blocks, block_bytes, context_length });
    }

    let pool = Pool::new(options.level, options.threads);
    let all = plan.totals.stored_bytes;
    let weights = {
        let told = |done| progress(done, all);
        let loader = Loader::pack(checkpoint, &pool, &told);
        take_weights(&loader, plan.architecture, config, context_length)?
    };
    checkpoint.still_whole()?;
    let kv = config
        .layers
        .iter()
        .map(|_| LayerKv::new(options.kv_type, options.kv_blocks, config.kv_heads, config.head_dim))
        .collect();
    Ok(Box::new(Decoder { pool, weights, context_length, kv_blocks: options.kv_blocks, kv, memory: Memory::default() }))
}

/// Tells what a load would take: the settings and the tensors' shapes are checked, no tensor is read.
///
/// # Errors
///
/// As [`load`], except for what only reading the numbers can show.
pub fn describe(checkpoint: &Checkpoint, kv_type: KvType) -> Result<Description, Error> {
    let plan = Plan::make(checkpoint)?;
    Ok(Description {
        architecture: plan.architecture.name.to_string(),
        parameters: plan.totals.parameters,
        context_length: plan.config.context_length,
        vocabulary: plan.vocabulary,
        weight_bytes: plan.totals.packed_bytes,
        kv_block_bytes: kv_block_bytes(&plan.config, kv_type),
        defaults: Arc::new(GenerationDefaults::read(checkpoint)?),
    })
}

/// A model that was looked through and found whole.
struct Plan {
    architecture: &'static Architecture,
    config: ModelConfig,
    vocabulary: usize,
    totals: Totals,
}

impl Plan {
    fn make(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let settings = Settings::of(checkpoint)?;
        let architecture = registry::find(checkpoint, &settings)?;
        let config = (architecture.configure)(&settings)?;
        // Packs nothing, so one thread and any level will do.
        let pool = Pool::new(Level::Scalar, 1);
        let loader = Loader::survey(checkpoint, &pool);
        let vocabulary = loader.vocabulary(config.hidden)?;
        take_weights(&loader, architecture, &config, 1)?;
        Ok(Self { architecture, vocabulary, totals: loader.totals(), config })
    }
}

/// Takes every tensor of the model, layer by layer.
fn take_weights(
    loader: &Loader<'_>,
    architecture: &Architecture,
    config: &ModelConfig,
    context_length: usize,
) -> Result<Weights, Error> {
    let vocabulary = loader.vocabulary(config.hidden)?;
    let tied = config.tied.unwrap_or_else(|| !loader.has_output());
    let mut tables = Vec::new();
    for rope in &config.ropes {
        let divisors = loader.rope_divisors(rope, context_length)?;
        let (frequencies, magnitude) = rope.frequencies(divisors.as_deref(), context_length)?;
        tables.push(Table::new(context_length, &frequencies, magnitude));
    }
    let embedding = loader.matrix(EMBEDDING, vocabulary, config.hidden)?;
    let mut layers = Vec::new();
    for layer in 0..config.layers.len() {
        layers.push((architecture.layer)(loader, config, layer)?);
    }
    Ok(Weights {
        embedding,
        embedding_scale: config.embedding_scale,
        layers,
        tables,
        output_norm: Norm::of_model(loader, config, OUTPUT_NORM)?,
        head: if tied { None } else { Some(loader.matrix(OUTPUT, vocabulary, config.hidden)?) },
        final_softcap: config.final_softcap,
    })
}

/// KV bytes of one block, over all layers.
fn kv_block_bytes(config: &ModelConfig, kv_type: KvType) -> u64 {
    let layer = LayerKv::block_bytes(kv_type, config.kv_heads, config.head_dim) as u64;
    layer.saturating_mul(config.layers.len() as u64)
}
