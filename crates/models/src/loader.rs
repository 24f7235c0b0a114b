//! Taking tensors out of a checkpoint: found by role, checked against the settings, repacked for the kernels.
//!
//! A loader runs in one of two ways. [`Loader::survey`] looks at every tensor that the model uses and packs none: it
//! finds what is missing or misshapen before any work is done, and adds up sizes. [`Loader::pack`] does the work.

mod experts;
mod packing;

use std::{cell::Cell, ops::Range};

use kernels::{
    Pool,
    matrix::{Format, Matrix},
};
use weights::{Checkpoint, Groups, Scales, Tensor, TensorType};

use self::packing::{format, give_row};
use crate::{
    Error,
    layers::{Rope, Scaling},
};

/// A tensor's name in the two kinds of checkpoint, without the layer's prefix and without `.weight`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    /// After `blk.N.`
    pub(crate) gguf: &'static str,
    /// After `model.layers.N.`
    pub(crate) hugging_face: &'static str,
}

impl Name {
    pub(crate) const fn new(gguf: &'static str, hugging_face: &'static str) -> Self {
        Self { gguf, hugging_face }
    }
}

/// Embeddings of the tokens.
pub(crate) const EMBEDDING: Name = Name::new("token_embd", "embed_tokens");
/// The norm after the last layer.
pub(crate) const OUTPUT_NORM: Name = Name::new("output_norm", "norm");
/// The head, when it is not the embedding.
pub(crate) const OUTPUT: Name = Name::new("output", "lm_head");

/// The rows of a matrix, where it is one of several in one stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Rows of the stored tensor.
    pub(crate) stored: usize,
    /// Those that are the matrix.
    pub(crate) taken: Range<usize>,
}

impl Rows {
    /// The stored tensor is the matrix.
    pub(crate) fn all(rows: usize) -> Self {
        Self { stored: rows, taken: 0..rows }
    }
}

/// What all tensors of a model add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Numbers.
    pub(crate) parameters: u64,
    /// Bytes in the checkpoint.
    pub(crate) stored_bytes: u64,
    /// Bytes once packed.
    pub(crate) packed_bytes: u64,
}

/// Takes a model's tensors one by one.
pub(crate) struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    prefix: Prefix,
    packs: bool,
    pool: &'a Pool,
    /// Told `(stored bytes so far, all)` after each tensor.
    progress: &'a dyn Fn(u64),
    totals: Cell<Totals>,
}

/// How the names of this checkpoint begin.
enum Prefix {
    Gguf,
    /// Of the tensors below the head, such as `model.`, and of the head.
    HuggingFace(&'static str, &'static str),
}

/// Where folders keep their language model; the later ones belong to models that see pictures too.
const PREFIXES: &[(&str, &str)] =
    &[("model.", ""), ("language_model.model.", "language_model."), ("model.language_model.", ""), ("", "")];

impl<'a> Loader<'a> {
    /// Checks and counts only. What it returns has no rows.
    pub(crate) fn survey(checkpoint: &'a Checkpoint, pool: &'a Pool) -> Self {
        Self::new(checkpoint, pool, false, &|_| ())
    }

    /// Packs, on all threads of `pool`; `progress` is told the stored bytes that are done, after each tensor.
    pub(crate) fn pack(checkpoint: &'a Checkpoint, pool: &'a Pool, progress: &'a dyn Fn(u64)) -> Self {
        Self::new(checkpoint, pool, true, progress)
    }

    fn new(checkpoint: &'a Checkpoint, pool: &'a Pool, packs: bool, progress: &'a dyn Fn(u64)) -> Self {
        let prefix = match checkpoint {
            Checkpoint::Gguf(_) => Prefix::Gguf,
            Checkpoint::HuggingFace(_) => {
                let holds = |prefix: &str| checkpoint.tensor(&format!("{prefix}embed_tokens.weight")).is_some();
                let (below, head) = PREFIXES.iter().find(|(below, _)| holds(below)).unwrap_or(&PREFIXES[0]);
                Prefix::HuggingFace(below, head)
            }
        };
        Self { checkpoint, prefix, packs, pool, progress, totals: Cell::default() }
    }

    /// What was taken so far.
    pub(crate) fn totals(&self) -> Totals {
        self.totals.get()
    }

    /// The name of a tensor of the whole model.
    fn of_model(&self, name: Name, ending: &str) -> String {
        match self.prefix {
            Prefix::Gguf => format!("{}.{ending}", name.gguf),
            Prefix::HuggingFace(_, head) if name.hugging_face == OUTPUT.hugging_face => {
                format!("{head}{}.{ending}", name.hugging_face)
            }
            Prefix::HuggingFace(below, _) => format!("{below}{}.{ending}", name.hugging_face),
        }
    }

    /// The name of a tensor of one layer.
    fn of_layer(&self, layer: usize, name: Name, ending: &str) -> String {
        match self.prefix {
            Prefix::Gguf => format!("blk.{layer}.{}.{ending}", name.gguf),
            Prefix::HuggingFace(below, _) => format!("{below}layers.{layer}.{}.{ending}", name.hugging_face),
        }
    }

    /// Rows of the embedding: how many token ids there are.
    pub(crate) fn vocabulary(&self, hidden: usize) -> Result<usize, Error> {
        let name = self.of_model(EMBEDDING, "weight");
        let tensor = self
            .checkpoint
            .tensor(&name)
            .ok_or_else(|| Error::MissingTensor { name: name.clone(), expected: vec![0, hidden] })?;
        match tensor.shape {
            // Token ids are u32 everywhere.
            [rows, columns] if *columns == hidden && (1..=u32::MAX as usize).contains(rows) => Ok(*rows),
            _ => Err(Error::TensorShape { name, expected: vec![0, hidden], found: tensor.shape.to_vec() }),
        }
    }

    /// Whether the checkpoint has a head of its own.
    pub(crate) fn has_output(&self) -> bool {
        self.checkpoint.tensor(&self.of_model(OUTPUT, "weight")).is_some()
    }

    /// A matrix of the whole model.
    pub(crate) fn matrix(&self, name: Name, rows: usize, columns: usize) -> Result<Matrix, Error> {
        self.take_matrix(&self.of_model(name, "weight"), &[rows, columns], 0..rows)
    }

    /// A matrix of one layer.
    pub(crate) fn layer_matrix(&self, layer: usize, name: Name, rows: &Rows, columns: usize) -> Result<Matrix, Error> {
        self.take_matrix(&self.of_layer(layer, name, "weight"), &[rows.stored, columns], rows.taken.clone())
    }

    /// A vector of the whole model.
    pub(crate) fn vector(&self, name: Name, length: usize) -> Result<Vec<f32>, Error> {
        self.take_vector(&self.of_model(name, "weight"), &[length], 0..length)
    }

    /// A vector of one layer.
    pub(crate) fn layer_vector(&self, layer: usize, name: Name, length: usize) -> Result<Vec<f32>, Error> {
        self.take_vector(&self.of_layer(layer, name, "weight"), &[length], 0..length)
    }

    /// The bias that belongs to a matrix of a layer, when there is one.
    pub(crate) fn layer_bias(&self, layer: usize, name: Name, rows: &Rows) -> Result<Option<Vec<f32>>, Error> {
        let name = self.of_layer(layer, name, "bias");
        if self.checkpoint.tensor(&name).is_none() {
            return Ok(None);
        }
        self.take_vector(&name, &[rows.stored], rows.taken.clone()).map(Some)
    }

    /// What to say when that bias must be there and is not.
    pub(crate) fn lacks_layer_bias(&self, layer: usize, name: Name, rows: &Rows) -> Error {
        Error::MissingTensor { name: self.of_layer(layer, name, "bias"), expected: vec![rows.stored] }
    }

    /// A GGUF's divisors of rotary frequencies for this context, when there are any.
    pub(crate) fn rope_divisors(&self, rope: &Rope, context_length: usize) -> Result<Option<Vec<f32>>, Error> {
        let pairs = rope.dimensions / 2;
        if !matches!(self.prefix, Prefix::Gguf) {
            return Ok(None);
        }
        if !matches!(rope.scaling, Scaling::LongRope { .. }) {
            return self.divisors("rope_freqs.weight", pairs);
        }
        let names = ["rope_factors_short.weight", "rope_factors_long.weight"];
        match names.map(|name| self.divisors(name, pairs)) {
            [Ok(None), Ok(Some(_))] => Err(Error::MissingTensor { name: names[0].to_string(), expected: vec![pairs] }),
            [Ok(Some(_)), Ok(None)] => Err(Error::MissingTensor { name: names[1].to_string(), expected: vec![pairs] }),
            [short, long] if rope.is_long(context_length) => short.and(long),
            [short, long] => long.and(short),
        }
    }

    fn divisors(&self, name: &str, pairs: usize) -> Result<Option<Vec<f32>>, Error> {
        if self.checkpoint.tensor(name).is_none() {
            return Ok(None);
        }
        let divisors = self.checked(name, &[pairs])?.to_f32();
        match divisors.iter().position(|divisor| !divisor.is_finite() || *divisor <= 0.0) {
            None => Ok(Some(divisors)),
            Some(at) => Err(Error::TensorValue {
                name: name.to_string(),
                found: format!("{} at {at}", divisors[at]),
                wanted: "finite numbers above zero",
            }),
        }
    }

    fn checked(&self, name: &str, shape: &[usize]) -> Result<Tensor<'a>, Error> {
        let tensor = self
            .checkpoint
            .tensor(name)
            .ok_or_else(|| Error::MissingTensor { name: name.to_string(), expected: shape.to_vec() })?;
        if tensor.shape != shape {
            return Err(Error::TensorShape {
                name: name.to_string(),
                expected: shape.to_vec(),
                found: tensor.shape.to_vec(),
            });
        }
        Ok(tensor)
    }

    fn count(&self, parameters: usize, stored_bytes: usize, packed_bytes: usize) {
        let mut totals = self.totals.get();
        totals.parameters = totals.parameters.saturating_add(parameters as u64);
        totals.stored_bytes = totals.stored_bytes.saturating_add(stored_bytes as u64);
        totals.packed_bytes = totals.packed_bytes.saturating_add(packed_bytes as u64);
        self.totals.set(totals);
        (self.progress)(totals.stored_bytes);
    }

    /// The numbers in `taken` of a tensor of this shape, counted over all its dimensions.
    pub(crate) fn take_vector(&self, name: &str, shape: &[usize], taken: Range<usize>) -> Result<Vec<f32>, Error> {
        let tensor = self.checked(name, shape)?;
        let length = taken.len();
        let values = if self.packs { tensor.to_f32()[taken].to_vec() } else { Vec::new() };
        let stored_bytes = tensor.bytes.len() / shape.iter().product::<usize>() * length;
        self.count(length, stored_bytes, length.saturating_mul(size_of::<f32>()));
        Ok(values)
    }

    /// The rows in `taken` of a tensor of this shape, counted over all dimensions but the last.
    pub(crate) fn take_matrix(&self, name: &str, shape: &[usize], taken: Range<usize>) -> Result<Matrix, Error> {
        let whole = self.checked(name, shape)?;
        let (rows, columns) = (taken.len(), whole.columns());
        let row_bytes = whole.bytes.len() / whole.rows();
        let bytes = &whole.bytes[taken.start * row_bytes..taken.end * row_bytes];
        let tensor = Tensor { shape: &[rows, columns], bytes, ..whole };
        let format = self.format(&tensor);
        let matrix = Matrix::pack(self.pool, format, if self.packs { rows } else { 0 }, columns, &|row, sink| {
            give_row(&tensor, row, sink);
        });
        self.count(rows.saturating_mul(columns), bytes.len(), Matrix::packed_bytes(format, rows, columns));
        Ok(matrix)
    }

    /// What a tensor becomes. A survey reads no numbers and takes it that scales are in the usual range.
    fn format(&self, tensor: &Tensor<'_>) -> Format {
        format(tensor.kind, if self.packs { tensor.groups() } else { usual_groups(tensor.kind) })
    }
}

/// The groups of a type with scales that fit into f16, as those of real models do.
fn usual_groups(kind: TensorType) -> Option<Groups> {
    let groups = kind.groups()?;
    let scales = if groups.scales == Scales::Any { Scales::F16 } else { groups.scales };
    Some(Groups { scales, ..groups })
}
