//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

use crate::{Pool, kv::LayerKv};
/// Rows of one sequence: `count` query rows from `first_row` of q/k/v, at positions `position..`; `blocks` covers them.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    pub first_row: usize,
    pub count: usize,
    pub position: usize,
    pub blocks: &'a [u32],
}
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub scale: f32,
    /** Some(w): a query at p sees keys p-w+1..=p */
    pub window: Option<usize>,
    /** tanh soft cap on scores */
    pub softcap: Option<f32>,
}
/// Stores k and v (`[rows, kv_heads*head_dim]`) of the spans, then out = attention(q) (`[rows, heads*head_dim]`). Causal.
pub fn attend(
    pool: &Pool,
    shape: &Shape,
    spans: &[Span<'_>],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    kv: &mut LayerKv,
    out: &mut [f32],
) {
    todo!()
}
