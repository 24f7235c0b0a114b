//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

use crate::Pool;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /** (0,1), (2,3), … : GGUF llama */
    Adjacent,
    /** (i, i+d/2): neox, Hugging Face */
    Halves,
}
/// cos and sin for every position below `positions` (f64 inside, stored f32).
pub struct Table {}
impl Table {
    pub fn new(positions: usize, inverse_frequencies: &[f64], magnitude: f32) -> Self {
        todo!()
    }
}
/// Rotates `x` `[rows, heads, head_dim]` in place, row i at positions[i]; only the first 2*inverse_frequencies.len() dims.
pub fn rotate(
    pool: &Pool,
    table: &Table,
    pairing: Pairing,
    heads: usize,
    head_dim: usize,
    positions: &[u32],
    x: &mut [f32],
) {
    todo!()
}
