//! Products of activations with weights that stay quantised in memory.
//!
//! # The numeric recipe
//!
//! All levels compute exactly this, so their results are equal bit for bit (but for the payload of a NaN), and the
//! result for one row of activations depends on nothing but that row and the weights.
//!
//! *Quantised weights* are `scale[group] * code + min[group]`, with one scale, and perhaps one min, for 16 or 32
//! columns of a row; how they are stored makes no difference. Activations are rounded to 16 bits per block of 32 columns
//! (see [`Activations`]). The product of a row of weights and a row of activations starts at `sum = 0` and goes over the
//! groups in ascending order:
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
        /// What codes there are.
        codes: Codes,
        /// Whether there are mins; otherwise they count as zero.
        has_min: bool,
        /// How scales and mins are kept.
        scales: Scales,
    },
}

/// The codes of a quantised format, and so the bits that each one takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codes {
    /// 4 bits: 0 to 15.
    U4,
    /// 4 bits: -8 to 7.
    I4,
    /// 5 bits: 0 to 31.
    U5,
    /// 5 bits: -16 to 15.
    I5,
    /// 6 bits: -32 to 31.
    I6,
    /// 8 bits: any `i8`.
    I8,
    /// 4 bits that choose one of these.
    Levels(&'static [i8; 16]),
}

/// How the scales and mins of a quantised format are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scales {
    /// As f32.
    F32,
    /// As binary16, because each one is representable in it.
    F16,
    /// As an 8-bit factor each, of one binary16 for all scales and one for all mins of 256 columns. The product is exact
    /// in f32, and is the scale.
    Products,
}

impl Format {
    /// The quantised formats that products are made for: those that model files have.
    pub(crate) const QUANTISED: &[Self] = &[
        Self::quantised(32, Codes::U4, true, Scales::F16),
        Self::quantised(32, Codes::I4, false, Scales::F16),
        Self::quantised(32, Codes::U4, true, Scales::Products),
        Self::quantised(16, Codes::U4, true, Scales::Products),
        Self::quantised(16, Codes::I4, false, Scales::Products),
        Self::quantised(32, Codes::U5, true, Scales::F16),
        Self::quantised(32, Codes::U5, true, Scales::Products),
        Self::quantised(32, Codes::I5, false, Scales::F16),
        Self::quantised(16, Codes::I6, false, Scales::Products),
        Self::quantised(32, Codes::I8, false, Scales::F16),
        Self::quantised(32, Codes::Levels(&[0; 16]), false, Scales::F16),
        Self::quantised(32, Codes::Levels(&[0; 16]), false, Scales::F32),
        Self::quantised(32, Codes::Levels(&[0; 16]), false, Scales::Products),
    ];

    const fn quantised(group: usize, codes: Codes, has_min: bool, scales: Scales) -> Self {
        Self::Quantised { group, codes, has_min, scales }
    }

    /// Whether it is a float format, or one of those that model files have, with whatever levels.
    pub fn is_known(self) -> bool {
        let Self::Quantised { group, codes, has_min, scales } = self else { return true };
        let any_levels = match codes {
            Codes::Levels(_) => Codes::Levels(&[0; 16]),
            codes => codes,
        };
        Self::QUANTISED.contains(&Self::quantised(group, any_levels, has_min, scales))
    }
}

impl Matrix {
    /// Packs a matrix, row by row as `fill` gives it. `fill(row, sink)` is called once for each row, from all threads of
    /// the pool, and calls `sink` once with the row's numbers in the kind that `format` wants.
    ///
    /// # Panics
    /// When `format` is not [known](Format::is_known); when `fill` calls `sink` not exactly once, with another kind of row
    /// than the format's, with other lengths than the columns ask for, or with a code that the format does not have.
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
    /// When `format` is not [known](Format::is_known).
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
