//! The forward pass: embed, layers, last norm, head.

use kernels::{
    Pool,
    attention::Span,
    elementwise,
    kv::{BLOCK_LEN, LayerKv},
    matrix::{self, Activations, Matrix},
    rope::Table,
};

use crate::{
    Batch, Logits, Runner,
    layers::{Buffer, Norm, Scratch, Step},
};

/// One layer of a model.
pub(crate) trait Layer: Send {
    /// Changes the step's residual stream, and stores the rows' keys and values.
    fn apply(&self, step: &mut Step<'_>, kv: &mut LayerKv);
}

/// A decoder model with its KV cache.
pub(crate) struct Decoder {
    pub(crate) pool: Pool,
    pub(crate) weights: Weights,
    pub(crate) context_length: usize,
    pub(crate) kv_blocks: usize,
    /// One a layer.
    pub(crate) kv: Vec<LayerKv>,
    pub(crate) memory: Memory,
}

/// What does not change.
pub(crate) struct Weights {
    pub(crate) embedding: Matrix,
    pub(crate) embedding_scale: Option<f32>,
    pub(crate) layers: Vec<Box<dyn Layer>>,
    pub(crate) tables: Vec<Table>,
    pub(crate) output_norm: Norm,
    /// `None`: the embedding is the head.
    pub(crate) head: Option<Matrix>,
    pub(crate) final_softcap: Option<f32>,
}

/// What is kept from step to step so that nothing is allocated: contents last for one step only.
#[derive(Default)]
pub(crate) struct Memory {
    positions: Vec<u32>,
    spans: Vec<Span<'static>>,
    residual: Buffer,
    scratch: Scratch,
    wanted: Buffer,
    activations: Activations,
    logits: Buffer,
}

impl Runner for Decoder {
    fn vocabulary(&self) -> usize {
        self.weights.embedding.rows()
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn kv_blocks(&self) -> usize {
        self.kv_blocks
    }

    fn forward(&mut self, batch: &Batch<'_>) -> &[f32] {
        self.check(batch);
        let Self { pool, weights, kv, memory, .. } = self;
        let hidden = weights.embedding.columns();

        let mut spans = emptied(std::mem::take(&mut memory.spans));
        memory.positions.clear();
        for segment in batch.segments.iter().filter(|segment| !segment.tokens.is_empty()) {
            let (first_row, count) = (memory.positions.len(), segment.tokens.len());
            spans.push(Span { first_row, count, position: segment.position, blocks: segment.blocks });
            // Both ends were checked against the context length, which fits.
            memory.positions.extend((segment.position..segment.position + count).map(|position| position as u32));
        }
        let rows = memory.positions.len();
        let residual = memory.residual.of_length(rows * hidden);
        let tokens = batch.segments.iter().flat_map(|segment| segment.tokens);
        for (row, token) in residual.chunks_exact_mut(hidden).zip(tokens) {
            weights.embedding.row(*token as usize, row);
        }
        if let Some(scale) = weights.embedding_scale {
            elementwise::scale(pool, residual, scale);
        }

        if rows > 0 {
            let mut step = Step {
                pool,
                spans: &spans,
                positions: &memory.positions,
                tables: &weights.tables,
                residual: &mut *residual,
                scratch: &mut memory.scratch,
            };
            for (layer, kv) in weights.layers.iter().zip(kv) {
                layer.apply(&mut step, kv);
            }
        }
        memory.spans = emptied(spans);

        let count = wanted_rows(batch).count();
        let wanted = memory.wanted.of_length(count * hidden);
        for (out, row) in wanted.chunks_exact_mut(hidden).zip(wanted_rows(batch)) {
            out.copy_from_slice(&residual[row * hidden..][..hidden]);
        }
        let logits = memory.logits.of_length(count * weights.embedding.rows());
        if count > 0 {
            weights.output_norm.apply_in_place(pool, wanted);
            memory.activations.set(pool, count, hidden, wanted);
            let head = weights.head.as_ref().unwrap_or(&weights.embedding);
            matrix::multiply(pool, &memory.activations, &mut [(head, &mut *logits)]);
            if let Some(cap) = weights.final_softcap {
                elementwise::softcap(pool, logits, cap);
            }
        }
        logits
    }
}

impl Decoder {
    /// A mistake in a batch would read or overwrite another sequence's cache, so it ends here.
    fn check(&self, batch: &Batch<'_>) {
        let vocabulary = self.vocabulary();
        for (number, segment) in batch.segments.iter().enumerate() {
            let end = segment.position.saturating_add(segment.tokens.len());
            assert!(
                end <= self.context_length,
                "segment {number} ends at position {end}, beyond the context length {}",
                self.context_length
            );
            let blocks = end.div_ceil(BLOCK_LEN);
            assert!(
                segment.blocks.len() >= blocks,
                "segment {number} ends at position {end} and needs {blocks} KV blocks, but has {}",
                segment.blocks.len()
            );
            for block in &segment.blocks[..blocks] {
                assert!(
                    (*block as usize) < self.kv_blocks,
                    "segment {number} has KV block {block}, but there are {}",
                    self.kv_blocks
                );
            }
            for token in segment.tokens {
                assert!(
                    (*token as usize) < vocabulary,
                    "segment {number} has token {token}, but the vocabulary is {vocabulary}"
                );
            }
        }
    }
}

/// Numbers of the rows whose logits are wanted, in order.
fn wanted_rows<'a>(batch: &'a Batch<'_>) -> impl Iterator<Item = usize> + 'a {
    let mut next = 0;
    batch.segments.iter().flat_map(move |segment| {
        let first = next;
        next += segment.tokens.len();
        match segment.logits {
            Logits::None => next..next,
            Logits::Last => next.saturating_sub(1).max(first)..next,
            Logits::All => first..next,
        }
    })
}

/// The vector's memory for spans of another step: collecting an emptied vector's iterator reuses it.
fn emptied<'b>(mut spans: Vec<Span<'_>>) -> Vec<Span<'b>> {
    spans.clear();
    spans.into_iter().map(|_| Span { first_row: 0, count: 0, position: 0, blocks: &[] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;

    #[test]
    fn rows_are_numbered_over_all_segments_and_empty_ones_have_none() {
        let segment = |tokens, logits| Segment { tokens, position: 0, blocks: &[], logits };
        let segments = [
            segment(&[1, 2, 3], Logits::Last),
            segment(&[], Logits::Last),
            segment(&[4], Logits::None),
            segment(&[5, 6], Logits::All),
            segment(&[], Logits::All),
        ];
        let rows: Vec<usize> = wanted_rows(&Batch { segments: &segments }).collect();
        assert_eq!(rows, [2, 4, 5]);
    }

    #[test]
    fn an_emptied_vector_keeps_its_memory() {
        let blocks = vec![7];
        let spans = vec![Span { first_row: 0, count: 1, position: 0, blocks: &blocks }; 9];
        let (address, capacity) = (spans.as_ptr(), spans.capacity());
        let spans: Vec<Span<'static>> = emptied(spans);
        assert!(spans.is_empty());
        assert_eq!((spans.as_ptr(), spans.capacity()), (address.cast(), capacity));
    }
}
