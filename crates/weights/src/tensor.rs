//! One tensor of a model: a view on checked bytes.

use crate::{
    quant,
    tensor_type::{Groups, Scales, TensorType},
};

/// One tensor. `shape` is row-major, outermost dimension first: a matrix is `[rows, columns]` (GGUF stores the reverse).
///
/// As a [`Checkpoint`](crate::Checkpoint) hands it out, `bytes` holds exactly the values of `shape`, and a row is a
/// whole number of blocks. The methods rely on that; on a tensor put together otherwise they may panic.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// How its numbers are stored.
    pub kind: TensorType,
    /// Its dimensions; empty for a single number.
    pub shape: &'a [usize],
    /// Its numbers as stored, without any alignment.
    pub bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// The product of all dimensions but the last; 1 for a vector.
    pub fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The last dimension; 1 for a single number.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The bytes of one row.
    ///
    /// # Panics
    /// When `row` is not below [`rows`](Self::rows).
    pub fn row(&self, row: usize) -> &'a [u8] {
        assert!(row < self.rows(), "row {row} of tensor {:?}, which has {}", self.name, self.rows());
        let (values, bytes) = self.kind.block();
        let length = self.columns() / values * bytes;
        &self.bytes[row * length..(row + 1) * length]
    }

    /// All values, row by row.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows() * self.columns()];
        quant::dequantize(self.kind, self.bytes, &mut values);
        values
    }

    /// [`TensorType::groups`], sharpened by what this tensor holds: for `MXFP4` the scales are looked through (a byte of
    /// every block), and are [`Scales::F16`] unless one is beyond the range of f16.
    pub fn groups(&self) -> Option<Groups> {
        let groups = self.kind.groups()?;
        let fits = self.kind == TensorType::MXFP4 && quant::mxfp4_scales_fit_f16(self.bytes);
        Some(Groups { scales: if fits { Scales::F16 } else { groups.scales }, ..groups })
    }
}
