//! Products of activations with weights that stay quantised in memory.
//!
//! # The numeric recipe
//!
//! All levels compute exactly this, so their results are equal bit for bit (but for the payload of a NaN), and the
//! result for one row of activations depends on nothing but that row and the weights.
//!
//! *Quantised weights* are `scale[group] * code + min[group]`, with one scale, and perhaps one min, for 16 or 32
//! columns of a row. Activations are rounded to 16 bits per block of 32 columns (see [`Activations`]). The product of a
//! row of weights and a row of activations starts at `sum = 0` and goes over the groups in ascending order:
//!
//! 1. `dot`: the integer dot product of the codes of the weights and of the activations. It is exact: 32 · 128 · 32767
//!    is less than 2²⁷.
//! 2. `sum = fma(f32(dot), weight_scale * activation_scale, sum)`, where the inner product is rounded to f32.
//! 3. With mins: `sum = fma(weight_min, f32(sum of the group's activation codes) * activation_scale, sum)`, likewise.
//!
//! *Float weights* multiply the activations as they are: `sum = fma(weight, activation, sum)`, column by column.
//!
//! Conversions round to nearest, ties to even. A vector holds one such sum per row of weights, so that nothing is ever
//! added up across its lanes and its width does not matter.

mod activations;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod layout;
mod pack;
mod products;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vectors;
#[cfg(target_arch = "x86_64")]
mod weights;

pub use activations::Activations;
pub use pack::{Fill, Row};
pub use products::multiply;

use crate::{Pool, buffer::Buffer};
use layout::Layout;

/// Weights `[rows, columns]`, packed in panels of 16 rows in the order in which the products read them.
pub struct Matrix {
    layout: Layout,
    bytes: Buffer,
}

/// How the packed numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of an f32.
    BF16,
    /// `scale[group] * code + min[group]`.
    Quantised {
        /// How many columns share a scale: 16 or 32.
        group: usize,
        /// 4: codes are in 0..=15; 8: any `i8`.
        code_bits: u32,
        /// Whether there are mins; otherwise they count as zero.
        has_min: bool,
        /// Whether scales and mins are kept as binary16, because each one is representable in it.
        f16_scales: bool,
    },
}

impl Matrix {
    /// Packs a matrix, row by row as `fill` gives it. `fill(row, sink)` is called once for each row, from all threads of
    /// the pool, and calls `sink` once with the row's numbers in the kind that `format` wants.
    ///
    /// # Panics
    /// When `format` has another group or code size than those named there; when `fill` calls `sink` not exactly once,
    /// with another kind of row than the format's, with other lengths than the columns ask for, or with a 4-bit code
    /// that is not in 0..=15.
    pub fn pack(pool: &Pool, format: Format, rows: usize, columns: usize, fill: &Fill<'_>) -> Self {
        let layout = Layout::new(format, rows, columns);
        Self { bytes: pack::pack(pool, &layout, fill), layout }
    }

    /// Rows: outputs of a product.
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Columns: inputs of a product.
    pub fn columns(&self) -> usize {
        self.layout.columns
    }

    /// How the numbers are stored.
    pub fn format(&self) -> Format {
        self.layout.format
    }

    /// Bytes of memory that the packed numbers take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What [`Matrix::bytes`] of a matrix of this kind would be.
    ///
    /// # Panics
    /// When `format` has another group or code size than those named there.
    pub fn packed_bytes(format: Format, rows: usize, columns: usize) -> usize {
        Layout::new(format, rows, columns).bytes()
    }

    /// Writes one row as f32 (`scale * code + min`, product and sum each rounded), such as the embedding of a token.
    ///
    /// # Panics
    /// When there is no such row, or `out` has another length than the columns.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.layout.rows, "row {row} of a matrix of {} rows", self.layout.rows);
        assert_eq!(out.len(), self.layout.columns, "a row's output has the matrix's columns");
        pack::unpack_row(&self.layout, &self.bytes, row, out);
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Layout { format, rows, columns, .. } = self.layout;
        f.debug_struct("Matrix").field("format", &format).field("rows", &rows).field("columns", &columns).finish()
    }
}
