//! Model files, mapped and checked. (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

use std::{collections::BTreeMap, path::Path};

/// A model on disk: one GGUF file, a split GGUF, or a Hugging Face folder. Everything in it was checked when it was opened.
pub enum Checkpoint {
    Gguf(Gguf),
    HuggingFace(Folder),
}
impl Checkpoint {
    /// `path`: a `.gguf` file (of a split: any part), a folder with `config.json` and safetensors.
    pub fn open(path: &Path) -> Result<Self, Error> {
        todo!()
    }
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        todo!()
    }
    pub fn tensor_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        todo!()
    }
    /// Bytes of all tensors as stored.
    pub fn tensor_bytes(&self) -> u64 {
        todo!()
    }
}
/// A (split) GGUF.
pub struct Gguf {}
impl Gguf {
    pub fn metadata(&self) -> &Metadata {
        todo!()
    }
}
/// A Hugging Face folder.
pub struct Folder {}
impl Folder {
    /// Parsed `config.json`.
    pub fn config(&self) -> &serde_json::Value {
        todo!()
    }
    /// Parsed `generation_config.json`, when it is there.
    pub fn generation_config(&self) -> Option<&serde_json::Value> {
        todo!()
    }
    pub fn path(&self) -> &Path {
        todo!()
    }
}
/// GGUF key-value pairs.
pub struct Metadata(pub BTreeMap<String, Value>);
impl Metadata {
    pub fn get(&self, key: &str) -> Option<&Value> {
        todo!()
    }
    // typed getters; the error names the key, what it holds and what was wanted
    pub fn str(&self, key: &str) -> Result<Option<&str>, Error> {
        todo!()
    }
    pub fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        todo!()
    }
    pub fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        todo!()
    }
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        todo!()
    }
    pub fn array(&self, key: &str) -> Result<Option<&Array>, Error> {
        todo!()
    }
}
/// A GGUF value.
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}
/// A GGUF array of one element type.
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    Str(Vec<String>),
    Array(Vec<Array>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

/// One tensor. `shape` is row-major, outermost dimension first: a matrix is `[rows, columns]` (GGUF stores the reverse).
pub struct Tensor<'a> {
    pub name: &'a str,
    pub kind: TensorType,
    pub shape: &'a [usize],
    pub bytes: &'a [u8],
}
impl Tensor<'_> {
    pub fn rows(&self) -> usize {
        todo!()
    }
    pub fn columns(&self) -> usize {
        todo!()
    }
    /// The bytes of one row.
    pub fn row(&self, row: usize) -> &[u8] {
        todo!()
    }
    /// All values, row by row.
    pub fn to_f32(&self) -> Vec<f32> {
        todo!()
    }
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum TensorType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

/// How a quantised type decomposes: value = scale[group] * code + min[group], exactly as the reference computes it in f32.
pub struct Groups {
    /// Values that share a scale: 16 or 32.
    pub length: usize,
    /// 4: every code is in 0..=15. 8: any i8.
    pub code_bits: u32,
    /// Whether `min` is ever other than zero.
    pub has_min: bool,
    /// Whether every scale and min is representable in f16 (so that it may be kept in 16 bits).
    pub f16_scales: bool,
}
impl TensorType {
    /// `None` for F32, F16, BF16.
    pub fn groups(self) -> Option<Groups> {
        todo!()
    }
    /// Values in a block, bytes of a block.
    pub fn block(self) -> (usize, usize) {
        todo!()
    }
    pub fn name(self) -> &'static str {
        todo!()
    }
}
/// Decomposes one row (or any whole number of blocks) of a quantised type. Lengths: codes = values, scales = mins = values / groups.length.
pub fn decompose(kind: TensorType, bytes: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
    todo!()
}
/// Values of a row (or any whole number of blocks) of any type.
pub fn dequantize(kind: TensorType, bytes: &[u8], out: &mut [f32]) {
    todo!()
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {}
