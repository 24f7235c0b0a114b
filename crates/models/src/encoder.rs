//! Encoders: texts in, one vector or one score each out. No cache is kept and nothing is generated.
//!
//! A pass takes the rows of many texts, one after the other and without padding. Attention runs over the same blocks that
//! decoders keep their keys and values in; here they hold one layer of one pass. A text's result is the same bits
//! whatever it is computed with.

use std::sync::Arc;

use kernels::{
    Level, Pool,
    attention::{self, Shape, Span},
    elementwise,
    gelu::{Gelu, gelu},
    kv::{BLOCK_LEN, KvType, LayerKv},
    layer_norm::{LayerNorm, add_layer_norm, layer_norm},
    matrix::{self, Activations, Matrix},
};
use weights::{Checkpoint, Folder};

use crate::{
    Description, Error, bert,
    layers::Buffer,
    loader::{Loader, Totals},
    pooling::{Pooling, Rows},
};

/// Blocks of positions that one pass holds at least; a text of `n` tokens takes `n / BLOCK_LEN`, rounded up. A pass of this
/// size takes some 50 ms for the default embedding model, which bounds how late a cancellation is seen.
const PASS_BLOCKS: usize = 32;

/// An encoder without its numbers.
#[derive(Debug, Clone)]
pub(crate) struct EncoderConfig {
    pub(crate) architecture: &'static str,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) heads: usize,
    pub(crate) vocabulary: usize,
    /// Rows of the table of positions.
    pub(crate) positions: usize,
    /// The row of a text's first token.
    pub(crate) first_position: usize,
    /// Rows of the table of token types.
    pub(crate) types: usize,
    pub(crate) context_length: usize,
    pub(crate) epsilon: f32,
    pub(crate) activation: Gelu,
    pub(crate) output: Output,
}

/// What an encoder makes of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A vector.
    Embedding(Pooling),
    /// One number: how well a pair of texts goes together, from 0 to 1.
    Score,
}

/// What can be told about an encoder without loading its tensors.
#[derive(Debug, Clone)]
pub struct EncoderDescription {
    /// The architecture's name, such as `BertModel`.
    pub architecture: String,
    /// Numbers in all tensors that are used.
    pub parameters: u64,
    /// Most tokens of one text.
    pub context_length: usize,
    /// Number of token ids.
    pub vocabulary: usize,
    /// Kinds of tokens that it tells apart: with more than one, those of the second text of a pair are of another.
    pub token_types: usize,
    /// Bytes of repacked weights.
    pub weight_bytes: u64,
    /// What comes out.
    pub output: Output,
}

impl From<EncoderDescription> for Description {
    /// What models of every kind have; there is no cache, and there are no sampling defaults.
    fn from(encoder: EncoderDescription) -> Self {
        Self {
            architecture: encoder.architecture,
            parameters: encoder.parameters,
            context_length: encoder.context_length,
            vocabulary: encoder.vocabulary,
            weight_bytes: encoder.weight_bytes,
            kv_block_bytes: 0,
            defaults: Arc::default(),
        }
    }
}

/// How an encoder is loaded.
pub struct EncoderOptions {
    /// Instruction-set level of the kernels; this CPU must have it.
    pub level: Level,
    /// Threads that compute, the caller's among them; 0 counts as 1.
    pub threads: usize,
}

/// One text, or two in one.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Its tokens with those around it, at least one.
    pub tokens: &'a [u32],
    /// From which token on they belong to the second text of a pair; all belong to the first when it is their number.
    pub second: usize,
}

impl<'a> Input<'a> {
    /// One text.
    pub fn text(tokens: &'a [u32]) -> Self {
        Self { tokens, second: tokens.len() }
    }

    /// Blocks that it takes of a pass.
    pub fn blocks(&self) -> usize {
        self.tokens.len().div_ceil(BLOCK_LEN)
    }
}

/// A loaded encoder with its scratch memory.
pub struct Encoder {
    pool: Pool,
    config: EncoderConfig,
    weights: Weights,
    kv: LayerKv,
    /// All ids of blocks: texts take them in this order.
    blocks: Vec<u32>,
    memory: Memory,
}

/// What does not change.
pub(crate) struct Weights {
    pub(crate) embeddings: Tables,
    pub(crate) layers: Vec<EncoderLayer>,
    /// Of an encoder that scores: both steps from the first row to the number.
    pub(crate) score: Option<[Dense; 2]>,
}

/// What a token becomes first.
pub(crate) struct Tables {
    pub(crate) words: Matrix,
    pub(crate) positions: Vec<f32>,
    pub(crate) types: Vec<f32>,
    pub(crate) norm: Norm,
}

/// `x = norm(x + attention(x)); x = norm(x + down(gelu(up(x))))`.
pub(crate) struct EncoderLayer {
    pub(crate) query: Dense,
    pub(crate) key: Dense,
    pub(crate) value: Dense,
    pub(crate) attended: Dense,
    pub(crate) attention_norm: Norm,
    pub(crate) up: Dense,
    pub(crate) down: Dense,
    pub(crate) output_norm: Norm,
}

/// A matrix and the bias of its rows.
pub(crate) struct Dense {
    pub(crate) weight: Matrix,
    pub(crate) bias: Vec<f32>,
}

/// A layer norm.
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) epsilon: f32,
}

impl Norm {
    fn view(&self) -> LayerNorm<'_> {
        LayerNorm { weight: &self.weight, bias: &self.bias, epsilon: self.epsilon }
    }
}

/// What is kept from pass to pass so that nothing is allocated.
#[derive(Default)]
struct Memory {
    activations: Activations,
    residual: Buffer,
    query: Buffer,
    key: Buffer,
    value: Buffer,
    attended: Buffer,
    projected: Buffer,
    wide: Buffer,
}

impl EncoderDescription {
    /// Tells what a load would take; `None` when the checkpoint is no encoder. Settings and shapes are checked, no tensor
    /// is read.
    ///
    /// # Errors
    /// When a setting is impossible or not supported, or a tensor is missing or has another shape than the settings imply.
    pub fn of(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let Some((_, config)) = configured(checkpoint)? else { return Ok(None) };
        let totals = survey(checkpoint, &config)?;
        Ok(Some(Self {
            architecture: config.architecture.to_owned(),
            parameters: totals.parameters,
            context_length: config.context_length,
            vocabulary: config.vocabulary,
            token_types: config.types,
            weight_bytes: totals.packed_bytes,
            output: config.output,
        }))
    }
}

/// An encoder's folder and settings; `None` when the checkpoint is something else.
fn configured(checkpoint: &Checkpoint) -> Result<Option<(&Folder, EncoderConfig)>, Error> {
    match checkpoint {
        Checkpoint::HuggingFace(folder) => Ok(bert::configure(folder)?.map(|config| (folder, config))),
        Checkpoint::Gguf(_) => Ok(None),
    }
}

fn survey(checkpoint: &Checkpoint, config: &EncoderConfig) -> Result<Totals, Error> {
    // Packs nothing, so one thread and any level will do.
    let pool = Pool::new(Level::Scalar, 1);
    let loader = Loader::survey(checkpoint, &pool);
    if let Checkpoint::HuggingFace(folder) = checkpoint {
        bert::take_weights(&loader, folder, config)?;
    }
    Ok(loader.totals())
}

impl Encoder {
    /// Reads, repacks and returns an encoder ready to run. Afterwards the checkpoint can be dropped.
    ///
    /// `progress(done, all)` counts stored bytes and is called after every tensor, from this thread.
    ///
    /// # Errors
    /// As [`EncoderDescription::of`], when the checkpoint is no encoder, and when the file changed while it was read.
    pub fn load(
        checkpoint: &Checkpoint,
        options: &EncoderOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, Error> {
        let none = || Error::UnknownArchitecture { found: "no encoder".into(), known: bert::known() };
        let (folder, config) = configured(checkpoint)?.ok_or_else(none)?;
        let all = survey(checkpoint, &config)?.stored_bytes;
        let pool = Pool::new(options.level, options.threads);
        let told = |done| progress(done, all);
        let weights = bert::take_weights(&Loader::pack(checkpoint, &pool, &told), folder, &config)?;
        checkpoint.still_whole()?;
        let blocks = PASS_BLOCKS.max(config.context_length.div_ceil(BLOCK_LEN));
        let kv = LayerKv::new(KvType::F32, blocks, config.heads, config.hidden / config.heads);
        let blocks = (0..blocks as u32).collect();
        Ok(Self { pool, config, weights, kv, blocks, memory: Memory::default() })
    }

    /// Blocks that the inputs of one pass may take together; one input always fits.
    pub fn pass_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Numbers that come out for each input.
    pub fn width(&self) -> usize {
        match &self.config.output {
            Output::Embedding(pooling) => pooling.dimensions,
            Output::Score => 1,
        }
    }

    /// Computes a vector or a score for each input: `[inputs, width]`.
    ///
    /// # Panics
    /// When inputs are empty, longer than the context, or too much for one pass, or hold a token outside the vocabulary.
    pub fn run(&mut self, inputs: &[Input<'_>]) -> Vec<f32> {
        self.check(inputs);
        if inputs.is_empty() {
            return Vec::new();
        }
        let Self { pool, config, weights, kv, blocks, memory } = self;
        let hidden = config.hidden;
        let spans = spans(inputs, blocks);
        let rows: usize = inputs.iter().map(|input| input.tokens.len()).sum();

        weights.embeddings.look_up(config, inputs, memory.residual.of_length(rows * hidden));
        layer_norm(pool, weights.embeddings.norm.view(), memory.residual.of_length(rows * hidden));
        for layer in &weights.layers {
            layer.apply(pool, config, rows, &spans, kv, memory);
        }

        let residual = memory.residual.of_length(rows * hidden);
        let rows_of = |span: &Span<'_>| &residual[span.first_row * hidden..][..span.count * hidden];
        match (&config.output, &weights.score) {
            (Output::Embedding(pooling), _) => spans.iter().flat_map(|span| pooling.vector(rows_of(span))).collect(),
            (Output::Score, Some(steps)) => {
                let first: Vec<f32> = spans.iter().flat_map(|span| &rows_of(span)[..hidden]).copied().collect();
                score(pool, steps, &mut memory.activations, first)
            }
            (Output::Score, None) => unreachable!("an encoder that scores has what it takes to"),
        }
    }

    fn check(&self, inputs: &[Input<'_>]) {
        let EncoderConfig { context_length, vocabulary, types, .. } = self.config;
        for (number, Input { tokens, second }) in inputs.iter().enumerate() {
            let length = tokens.len();
            assert!((1..=context_length).contains(&length), "input {number} has {length} tokens of {context_length}");
            assert!(*second >= length || types > 1, "input {number} is a pair, but all tokens have one type");
            let outside = tokens.iter().find(|token| **token as usize >= vocabulary);
            assert!(outside.is_none(), "input {number} has token {outside:?} of a vocabulary of {vocabulary}");
        }
        let blocks: usize = inputs.iter().map(Input::blocks).sum();
        assert!(blocks <= self.blocks.len(), "{blocks} blocks of inputs in a pass of {}", self.blocks.len());
    }
}

/// The rows of each input, and blocks of its own.
fn spans<'a>(inputs: &[Input<'_>], mut blocks: &'a [u32]) -> Vec<Span<'a>> {
    let mut first_row = 0;
    let span = |input: &Input<'_>| {
        let (own, rest) = blocks.split_at(input.blocks());
        blocks = rest;
        let count = input.tokens.len();
        first_row += count;
        Span { first_row: first_row - count, count, position: 0, blocks: own }
    };
    inputs.iter().map(span).collect()
}

impl Tables {
    /// `out`, `[rows, hidden]`: the sum of the three entries of each token.
    fn look_up(&self, config: &EncoderConfig, inputs: &[Input<'_>], out: &mut [f32]) {
        let hidden = config.hidden;
        let tokens = inputs.iter().flat_map(|input| {
            let kind = |at| usize::from(at >= input.second);
            input
                .tokens
                .iter()
                .enumerate()
                .map(move |(at, token)| (*token as usize, config.first_position + at, kind(at)))
        });
        for (row, (token, position, kind)) in out.chunks_exact_mut(hidden).zip(tokens) {
            self.words.row(token, row);
            let (positions, kinds) = (&self.positions[position * hidden..], &self.types[kind * hidden..]);
            for ((x, position), kind) in row.iter_mut().zip(positions).zip(kinds) {
                *x += position + kind;
            }
        }
    }
}

impl EncoderLayer {
    fn apply(
        &self,
        pool: &Pool,
        config: &EncoderConfig,
        rows: usize,
        spans: &[Span<'_>],
        kv: &mut LayerKv,
        memory: &mut Memory,
    ) {
        let hidden = config.hidden;
        let Memory { activations, residual, query, key, value, attended, projected, wide } = memory;
        let residual = residual.of_length(rows * hidden);
        let [query, key, value, attended, projected] =
            [query, key, value, attended, projected].map(|buffer| buffer.of_length(rows * hidden));

        activations.set(pool, rows, hidden, residual);
        matrix::multiply(
            pool,
            activations,
            &mut [(&self.query.weight, &mut *query), (&self.key.weight, &mut *key), (&self.value.weight, &mut *value)],
        );
        for (dense, out) in [(&self.query, &mut *query), (&self.key, &mut *key), (&self.value, &mut *value)] {
            elementwise::add_bias(pool, out, &dense.bias);
        }
        attention::attend(pool, &config.shape(), spans, query, key, value, kv, attended);
        activations.set(pool, rows, hidden, attended);
        matrix::multiply(pool, activations, &mut [(&self.attended.weight, &mut *projected)]);
        add_layer_norm(pool, self.attention_norm.view(), projected, &self.attended.bias, residual);

        let wide = wide.of_length(rows * config.feed_forward);
        activations.set(pool, rows, hidden, residual);
        matrix::multiply(pool, activations, &mut [(&self.up.weight, &mut *wide)]);
        gelu(pool, config.activation, wide, &self.up.bias);
        activations.set(pool, rows, config.feed_forward, wide);
        matrix::multiply(pool, activations, &mut [(&self.down.weight, &mut *projected)]);
        add_layer_norm(pool, self.output_norm.view(), projected, &self.down.bias, residual);
    }
}

impl EncoderConfig {
    fn shape(&self) -> Shape<'static> {
        let head_dim = self.hidden / self.heads;
        Shape {
            heads: self.heads,
            kv_heads: self.heads,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
            window: None,
            bidirectional: true,
            softcap: None,
            sinks: None,
        }
    }
}

impl Pooling {
    /// The vector of one text's rows, `[tokens, dimensions]`.
    fn vector(&self, rows: &[f32]) -> Vec<f32> {
        let mut vector = rows[..self.dimensions].to_vec();
        if self.rows == Rows::Mean {
            for row in rows.chunks_exact(self.dimensions).skip(1) {
                vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let count = (rows.len() / self.dimensions) as f32;
            vector.iter_mut().for_each(|sum| *sum /= count);
        }
        if self.normalised {
            normalise(&mut vector);
        }
        vector
    }
}

/// Brings a vector to a length of 1; one of zeros stays what it is.
pub fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// `sigmoid(second(tanh(first(row))))` of each row of `rows`.
fn score(pool: &Pool, [first, second]: &[Dense; 2], activations: &mut Activations, rows: Vec<f32>) -> Vec<f32> {
    let hidden = first.weight.columns();
    let count = rows.len() / hidden;
    let mut inner = vec![0.0; rows.len()];
    activations.set(pool, count, hidden, &rows);
    matrix::multiply(pool, activations, &mut [(&first.weight, &mut inner)]);
    elementwise::add_bias(pool, &mut inner, &first.bias);
    inner.iter_mut().for_each(|x| *x = x.tanh());
    let mut scores = vec![0.0; count];
    activations.set(pool, count, hidden, &inner);
    matrix::multiply(pool, activations, &mut [(&second.weight, &mut scores)]);
    elementwise::add_bias(pool, &mut scores, &second.bias);
    scores.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
    scores
}
