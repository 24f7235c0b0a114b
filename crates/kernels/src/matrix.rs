//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

use crate::Pool;
/// Weights `[rows, columns]`, repacked in panels of 16 rows.
pub struct Matrix {}
/// How the packed numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    F32,
    F16,
    BF16,
    Quantised {
        /** 16 or 32 columns share a scale */
        group: usize,
        /** 4: codes 0..=15; 8: any i8 */
        code_bits: u32,
        has_min: bool,
        f16_scales: bool,
    },
}
/// One row as the packer wants it.
pub enum Row<'a> {
    /** F32, F16 and BF16 formats take their own bit patterns */
    F32(&'a [f32]),
    Bits16(&'a [u16]),
    Quantised {
        codes: &'a [i8],
        scales: &'a [f32],
        mins: &'a [f32],
    },
}
impl Matrix {
    /// `fill(row, sink)` is called once per row, in parallel, and must call `sink` once.
    pub fn pack(
        pool: &Pool,
        format: Format,
        rows: usize,
        columns: usize,
        fill: &(dyn Fn(usize, &mut dyn FnMut(Row<'_>)) + Sync),
    ) -> Self {
        todo!()
    }
    pub fn rows(&self) -> usize {
        todo!()
    }
    pub fn columns(&self) -> usize {
        todo!()
    }
    pub fn bytes(&self) -> usize {
        todo!()
    }
    pub fn packed_bytes(format: Format, rows: usize, columns: usize) -> usize {
        todo!()
    }
    /// One row dequantised to f32 (embedding look-up).
    pub fn row(&self, row: usize, out: &mut [f32]) {
        todo!()
    }
}
/// Activations `[m, columns]` in the form that products want: f32 for float weights, 16-bit codes per 32 columns for quantised ones. Reused between steps.
#[derive(Default)]
pub struct Activations {}
impl Activations {
    pub fn set(&mut self, pool: &Pool, m: usize, columns: usize, values: &[f32]) {
        todo!()
    }
}
/// out[m][..] = activations[m] · weightsᵀ for several matrices of the same columns at once (q/k/v, gate/up); each `out` is `[m, rows]`.
pub fn multiply(pool: &Pool, activations: &Activations, products: &mut [(&Matrix, &mut [f32])]) {
    todo!()
}
