//! What architectures are put together from: each part loads its own tensors and runs on the rows of a step.
//!
//! Parts pass their rows on in [`Scratch::rows`]: a norm fills it, attention and MLP read it and leave their result in
//! it. So a layer reads as its formula does, and nothing is allocated once the scratch memory has grown.

mod attention;
pub(crate) mod experts;
mod mlp;
mod norm;
mod pre_norm;
mod rope;
mod sandwich;

pub(crate) use attention::{Attention, AttentionOptions, Bias};
pub(crate) use mlp::GatedMlp;
pub(crate) use norm::Norm;
pub(crate) use pre_norm::{FeedForward, PreNormLayer};
pub(crate) use rope::{Rope, Scaling, checked_base};
pub(crate) use sandwich::SandwichLayer;

use kernels::{Pool, attention::Span, elementwise, matrix::Activations, rope::Table};

/// The rows of one step on their way through the layers.
pub(crate) struct Step<'a> {
    /// Computes everything.
    pub(crate) pool: &'a Pool,
    /// Which rows belong to which sequence.
    pub(crate) spans: &'a [Span<'a>],
    /// Absolute position of each row.
    pub(crate) positions: &'a [u32],
    /// The model's rotary tables.
    pub(crate) tables: &'a [Table],
    /// The residual stream, `[rows, hidden]`.
    pub(crate) residual: &'a mut [f32],
    /// Everything between residual and residual.
    pub(crate) scratch: &'a mut Scratch,
}

impl Step<'_> {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.positions.len()
    }

    /// `scratch.rows = norm(residual)`.
    pub(crate) fn read_residual(&mut self, norm: &Norm) {
        norm.apply(self.pool, self.residual, self.scratch.rows.of_length(self.residual.len()));
    }

    /// `scratch.rows = norm(scratch.rows)`.
    pub(crate) fn normalise_rows(&mut self, norm: &Norm) {
        norm.apply_in_place(self.pool, self.scratch.rows.of_length(self.residual.len()));
    }

    /// `residual += scratch.rows`.
    pub(crate) fn add_to_residual(&mut self) {
        elementwise::add(self.pool, self.residual, self.scratch.rows.of_length(self.residual.len()));
    }
}

/// Memory that layers share, one after the other. It grows to the largest step and stays.
#[derive(Default)]
pub(crate) struct Scratch {
    /// `[rows, hidden]`: what a part reads, and then what it has computed.
    pub(crate) rows: Buffer,
    activations: Activations,
    query: Buffer,
    key: Buffer,
    value: Buffer,
    attended: Buffer,
    gate: Buffer,
    up: Buffer,
    routes: experts::Routes,
    /// The rows of one expert, `[its rows, hidden]`.
    gathered: Buffer,
    /// What the experts add up to, `[rows, hidden]`.
    sums: Buffer,
}

/// Floats that are written before they are read.
#[derive(Default)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// The first `length` floats, with whatever is in them.
    pub(crate) fn of_length(&mut self, length: usize) -> &mut [f32] {
        if self.0.len() < length {
            self.0.resize(length, 0.0);
        }
        &mut self.0[..length]
    }
}
