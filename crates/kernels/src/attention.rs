//! Attention over the KV cache, causal or both ways, for many sequences in one call.
//!
//! The recipe, which holds at every level and makes a row's bits independent of the rest of the batch, of where prompts
//! are cut, of block ids and of threads:
//!
//! - A score is the sum over dimensions, in order, of fused multiply-adds of (query · scale) and key; then, if keys are
//!   8-bit codes, it is multiplied with their scale; then the soft cap. The weights of values that are codes are multiplied
//!   with theirs.
//! - Positions are taken in parts of `PART`, aligned at absolute position 0. In a part: the greatest score m, weights
//!   e^(score − m), their sum (16 accumulators, by position modulo 16, then the tree of `Lanes::sum`), and the weighted
//!   sum of values, position by position. What a query must not see is left out, not multiplied by zero: a cell that
//!   nobody has written, or a NaN in it, has no influence.
//! - Parts are folded into the result in ascending order, both sides scaled to the greater m. A head's sink comes last,
//!   likewise. The end is a division by the sum.
//!
//! What is free: how many queries share a pass over keys and values, and whether parts run one after the other or at once.

mod plan;
mod task;
mod tile;

use crate::{
    Pool,
    kv::{BLOCK_LEN, Cells, LayerKv},
};

/// Positions in a part; part of the recipe. A multiple of [`BLOCK_LEN`], small enough that a part of keys and values
/// stays in the second-level cache.
const PART: usize = 256;
const _: () = assert!(PART.is_multiple_of(BLOCK_LEN));

/// Rows of one sequence: `count` query rows from `first_row` of q/k/v, at positions `position..`; `blocks` covers them.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// First of the rows, in q, k, v and the output.
    pub first_row: usize,
    /// How many rows.
    pub count: usize,
    /// Absolute position of the first row; the positions before it are in the cache already.
    pub position: usize,
    /// The sequence's block table: at least `(position + count) / BLOCK_LEN` ids, rounded up.
    pub blocks: &'a [u32],
}

/// Sizes and constants of a layer's attention.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Query heads; a multiple of `kv_heads`. Consecutive ones share a head of keys and values.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// Factor on queries, usually 1/√head_dim.
    pub scale: f32,
    /// Some(w): a query at p sees keys p-w+1..=p
    pub window: Option<usize>,
    /// A query sees the positions behind it, too, up to the end of its span. There is no window then.
    pub bidirectional: bool,
    /// tanh soft cap on scores
    pub softcap: Option<f32>,
    /// A score for each query head that every query of the head has beside those of the keys, and that has no value:
    /// e^sink is added to the sum of weights (Xiao et al., "Efficient Streaming Language Models with Attention Sinks"
    /// (2023), section 3.2, where it is called a zero sink; here it is learned).
    pub sinks: Option<&'a [f32]>,
}

impl Shape<'_> {
    /// Query heads that share a head of keys and values.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The first position that a query at `position` sees.
    fn first_visible(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Where what a query at `position` sees ends, in a span that ends at `end`.
    fn visible_end(&self, position: usize, end: usize) -> usize {
        if self.bidirectional { end } else { position + 1 }
    }
}

/// Stores k and v (`[rows, kv_heads*head_dim]`) of the spans, then out = attention(q) (`[rows, heads*head_dim]`). Causal,
/// unless the shape is bidirectional; then a span is a whole sequence from position 0 on, or what is seen depends on the cut.
///
/// Spans are in the order of their rows and do not share any. Rows of no span are neither read nor written.
///
/// # Panics
/// When lengths and shapes contradict each other, a block table is too short or names a block that does not exist, spans
/// overlap, or two of them write one block.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a tensor or a part of the batch; a struct would name them again"
)]
pub fn attend(
    pool: &Pool,
    shape: &Shape<'_>,
    spans: &[Span<'_>],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    kv: &mut LayerKv,
    out: &mut [f32],
) {
    check_shape(shape, kv);
    let width = shape.heads * shape.head_dim;
    assert!(q.len().is_multiple_of(width), "q has {} numbers, not whole rows of {width}", q.len());
    let rows = q.len() / width;
    assert_eq!(out.len(), q.len(), "q and out differ in length");
    let kv_width = shape.kv_heads * shape.head_dim;
    assert_eq!(k.len(), rows * kv_width, "k has not {rows} rows of {kv_width}, as q has");
    assert_eq!(v.len(), k.len(), "k and v differ in length");
    check_spans(spans, rows, kv.blocks());

    kv.store(pool, spans, k, v);
    let batch = plan::Batch { pool, shape, spans, q };
    match kv.cells() {
        Cells::F32(planes) => batch.attend(planes, out),
        Cells::F16(planes) => batch.attend(planes, out),
        Cells::I8(planes) => batch.attend(planes, out),
    }
}

fn check_shape(shape: &Shape<'_>, kv: &LayerKv) {
    let Shape { heads, kv_heads, head_dim, .. } = *shape;
    assert!(
        (kv.kv_heads(), kv.head_dim()) == (kv_heads, head_dim),
        "attention with {kv_heads} KV heads of {head_dim} over a cache with {} of {}",
        kv.kv_heads(),
        kv.head_dim()
    );
    assert!(heads > 0 && heads.is_multiple_of(kv_heads), "{heads} query heads do not share {kv_heads} KV heads evenly");
    assert!(shape.window != Some(0), "a window of 0 positions sees nothing");
    assert!(!(shape.bidirectional && shape.window.is_some()), "a window looks back, but attention looks both ways");
    let sinks = shape.sinks.map_or(heads, <[f32]>::len);
    assert!(sinks == heads, "{sinks} sinks for {heads} query heads");
}

fn check_spans(spans: &[Span<'_>], rows: usize, blocks: usize) {
    let mut next = 0;
    for span in spans {
        let end = span.first_row.saturating_add(span.count);
        assert!(
            span.first_row >= next && end <= rows,
            "a span of rows {}..{end} comes after row {next} and must lie inside of {rows} rows",
            span.first_row
        );
        next = end;
        let needed = span.position.saturating_add(span.count).div_ceil(BLOCK_LEN);
        assert!(
            span.blocks.len() >= needed,
            "a block table of {} for positions up to {}, which need {needed}",
            span.blocks.len(),
            span.position.saturating_add(span.count)
        );
        if let Some(block) = span.blocks[..needed].iter().find(|&&block| block as usize >= blocks) {
            panic!("block {block} of a cache of {blocks}");
        }
    }
}

#[cfg(test)]
mod tests;
