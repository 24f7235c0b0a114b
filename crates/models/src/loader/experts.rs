//! What a layer with experts has: matrices stacked in one tensor, numbers packed in bytes, names of their own.

use std::ops::Range;

use kernels::matrix::Matrix;
use weights::{ByteTensor, Tensor, TensorType};

use super::{Loader, Name, Prefix, Rows, packing::give_row};
use crate::Error;

impl<'a> Loader<'a> {
    /// Whether one layer has this tensor.
    pub(crate) fn has_in_layer(&self, layer: usize, name: Name) -> bool {
        self.checkpoint.tensor(&self.of_layer(layer, name, "weight")).is_some()
    }

    /// One expert's matrix. A GGUF stacks those of all experts, `[experts, rows.stored, columns]`; folders have a tensor
    /// for each, whose name holds its number.
    pub(crate) fn expert_matrix(
        &self,
        layer: usize,
        (gguf, hugging_face): (&str, &str),
        (expert, experts): (usize, usize),
        rows: &Rows,
        columns: usize,
    ) -> Result<Matrix, Error> {
        let Range { start, end } = rows.taken;
        match self.prefix {
            Prefix::Gguf => {
                let first = expert * rows.stored;
                let shape = [experts, rows.stored, columns];
                self.take_matrix(&format!("blk.{layer}.{gguf}.weight"), &shape, first + start..first + end)
            }
            Prefix::HuggingFace(below, _) => {
                let name = format!("{below}layers.{layer}.{hugging_face}.weight");
                self.take_matrix(&name, &[rows.stored, columns], start..end)
            }
        }
    }

    /// Whether tensors are stored the way that GGUFs do it.
    pub(crate) fn is_gguf(&self) -> bool {
        matches!(self.prefix, Prefix::Gguf)
    }

    /// A vector of one layer whose name is given to its end.
    pub(crate) fn layer_vector_named(&self, layer: usize, name: Name, length: usize) -> Result<Vec<f32>, Error> {
        self.take_vector(&self.named(layer, name), &[length], 0..length)
    }

    /// A vector for each expert, `[experts, length]`, by a name that is given to its end. A survey has empty ones.
    pub(crate) fn expert_vectors(
        &self,
        layer: usize,
        name: Name,
        experts: usize,
        length: usize,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let all = self.take_vector(&self.named(layer, name), &[experts, length], 0..experts * length)?;
        Ok((0..experts).map(|expert| all.iter().skip(expert * length).take(length).copied().collect()).collect())
    }

    /// A tensor of one layer, of any kind, by a name that is given to its end; `None` when it is not there.
    pub(crate) fn layer_tensor(&self, layer: usize, name: Name, shape: &[usize]) -> Result<Option<Tensor<'a>>, Error> {
        let name = self.named(layer, name);
        if self.checkpoint.tensor(&name).is_none() { Ok(None) } else { self.checked(&name, shape).map(Some) }
    }

    /// A tensor of bytes of one layer, by a name that is given to its end.
    pub(crate) fn layer_raw(&self, layer: usize, name: Name, shape: &[usize]) -> Result<ByteTensor<'a>, Error> {
        let (name, expected) = (self.named(layer, name), shape.to_vec());
        match self.checkpoint.raw(&name) {
            None => Err(Error::MissingTensor { name, expected }),
            Some(raw) if raw.shape != shape => Err(Error::TensorShape { name, expected, found: raw.shape.to_vec() }),
            Some(raw) => Ok(raw),
        }
    }

    /// A matrix whose rows are put together from what is stored: `row(number, bytes)` appends those of one.
    pub(crate) fn composed_matrix(
        &self,
        kind: TensorType,
        [rows, columns]: [usize; 2],
        row: &dyn Fn(usize, &mut Vec<u8>),
    ) -> Matrix {
        let (values, block_bytes) = kind.block();
        let stored_bytes = rows * columns / values * block_bytes;
        let mut bytes = Vec::new();
        if self.packs {
            bytes.reserve_exact(stored_bytes);
            (0..rows).for_each(|number| row(number, &mut bytes));
        }
        let tensor = Tensor { name: "", kind, shape: &[rows, columns], bytes: &bytes };
        let format = self.format(&tensor);
        let matrix = Matrix::pack(self.pool, format, if self.packs { rows } else { 0 }, columns, &|row, sink| {
            give_row(&tensor, row, sink);
        });
        self.count(rows * columns, stored_bytes, Matrix::packed_bytes(format, rows, columns));
        matrix
    }

    fn named(&self, layer: usize, name: Name) -> String {
        match self.prefix {
            Prefix::Gguf => format!("blk.{layer}.{}", name.gguf),
            Prefix::HuggingFace(below, _) => format!("{below}layers.{layer}.{}", name.hugging_face),
        }
    }
}
