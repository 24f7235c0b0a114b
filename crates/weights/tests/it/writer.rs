//! Writes GGUF and safetensors files for tests, and remembers where every field is, so that a test can lie in it.

use weights::{Array, TensorType, Value};

/// What a GGUF file is to hold.
#[derive(Debug, Clone)]
pub struct GgufFile {
    pub version: u32,
    /// In bytes; not written as metadata.
    pub alignment: usize,
    pub pairs: Vec<(String, Value)>,
    pub tensors: Vec<TensorFile>,
}

/// One tensor of it.
#[derive(Debug, Clone)]
pub struct TensorFile {
    pub name: String,
    pub kind: TensorType,
    /// Outermost dimension first, as the reader gives it.
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The bytes of a file and where its fields begin.
#[derive(Debug, Clone)]
pub struct Written {
    pub bytes: Vec<u8>,
    marks: Vec<(String, usize)>,
}

impl Written {
    /// Where a field begins.
    pub fn at(&self, field: &str) -> usize {
        let mark = self.marks.iter().find(|(name, _)| name == field);
        mark.unwrap_or_else(|| panic!("no field {field:?} in {:?}", self.marks)).1
    }

    /// The file with other bytes at a field.
    pub fn with(&self, field: &str, bytes: &[u8]) -> Vec<u8> {
        let at = self.at(field);
        let mut file = self.bytes.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    fn mark(&mut self, field: impl Into<String>) {
        self.marks.push((field.into(), self.bytes.len()));
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn string(&mut self, text: &str) {
        self.put(&(text.len() as u64).to_le_bytes());
        self.put(text.as_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::U8(number) => self.put(&number.to_le_bytes()),
            Value::I8(number) => self.put(&number.to_le_bytes()),
            Value::U16(number) => self.put(&number.to_le_bytes()),
            Value::I16(number) => self.put(&number.to_le_bytes()),
            Value::U32(number) => self.put(&number.to_le_bytes()),
            Value::I32(number) => self.put(&number.to_le_bytes()),
            Value::F32(number) => self.put(&number.to_le_bytes()),
            Value::U64(number) => self.put(&number.to_le_bytes()),
            Value::I64(number) => self.put(&number.to_le_bytes()),
            Value::F64(number) => self.put(&number.to_le_bytes()),
            Value::Bool(truth) => self.put(&[u8::from(*truth)]),
            Value::Str(text) => self.string(text),
            Value::Array(array) => self.array(array),
        }
    }

    fn array(&mut self, array: &Array) {
        fn elements<T: Clone>(written: &mut Written, kind: u32, all: &[T], value: impl Fn(T) -> Value) {
            written.put(&kind.to_le_bytes());
            written.put(&(all.len() as u64).to_le_bytes());
            all.iter().for_each(|one| written.value(&value(one.clone())));
        }
        match array {
            Array::U8(all) => elements(self, 0, all, Value::U8),
            Array::I8(all) => elements(self, 1, all, Value::I8),
            Array::U16(all) => elements(self, 2, all, Value::U16),
            Array::I16(all) => elements(self, 3, all, Value::I16),
            Array::U32(all) => elements(self, 4, all, Value::U32),
            Array::I32(all) => elements(self, 5, all, Value::I32),
            Array::F32(all) => elements(self, 6, all, Value::F32),
            Array::Bool(all) => elements(self, 7, all, Value::Bool),
            Array::Str(all) => elements(self, 8, all, Value::Str),
            Array::Array(all) => elements(self, 9, all, Value::Array),
            Array::U64(all) => elements(self, 10, all, Value::U64),
            Array::I64(all) => elements(self, 11, all, Value::I64),
            Array::F64(all) => elements(self, 12, all, Value::F64),
        }
    }
}

fn value_type(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::Str(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

/// `enum ggml_type`.
fn ggml_type(kind: TensorType) -> u32 {
    match kind {
        TensorType::F32 => 0,
        TensorType::F16 => 1,
        TensorType::Q4_0 => 2,
        TensorType::Q4_1 => 3,
        TensorType::Q5_0 => 6,
        TensorType::Q5_1 => 7,
        TensorType::Q8_0 => 8,
        TensorType::Q2_K => 10,
        TensorType::Q3_K => 11,
        TensorType::Q4_K => 12,
        TensorType::Q5_K => 13,
        TensorType::Q6_K => 14,
        TensorType::IQ4_NL => 20,
        TensorType::IQ4_XS => 23,
        TensorType::BF16 => 30,
        TensorType::MXFP4 => 39,
    }
}

impl GgufFile {
    /// The file, and where its fields begin: `version`, `tensor count`, `metadata count`, `key K`, `type of K`,
    /// `value of K`, `name of T`, `dimension count of T`, `dimension I of T`, `type of T`, `offset of T`, `data`.
    pub fn write(&self) -> Written {
        let mut written = Written { bytes: b"GGUF".to_vec(), marks: vec![("magic".into(), 0)] };
        written.mark("version");
        written.put(&self.version.to_le_bytes());
        written.mark("tensor count");
        written.put(&(self.tensors.len() as u64).to_le_bytes());
        written.mark("metadata count");
        written.put(&(self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            written.mark(format!("key {key}"));
            written.string(key);
            written.mark(format!("type of {key}"));
            written.put(&value_type(value).to_le_bytes());
            written.mark(format!("value of {key}"));
            written.value(value);
        }
        let mut offset = 0;
        for TensorFile { name, kind, shape, bytes } in &self.tensors {
            written.mark(format!("name of {name}"));
            written.string(name);
            written.mark(format!("dimension count of {name}"));
            written.put(&(shape.len() as u32).to_le_bytes());
            for (dimension, size) in shape.iter().rev().enumerate() {
                written.mark(format!("dimension {dimension} of {name}"));
                written.put(&(*size as u64).to_le_bytes());
            }
            written.mark(format!("type of {name}"));
            written.put(&ggml_type(*kind).to_le_bytes());
            written.mark(format!("offset of {name}"));
            written.put(&(offset as u64).to_le_bytes());
            offset = (offset + bytes.len()).next_multiple_of(self.alignment);
        }
        for (i, tensor) in self.tensors.iter().enumerate() {
            written.bytes.resize(written.bytes.len().next_multiple_of(self.alignment), 0);
            if i == 0 {
                written.mark("data");
            }
            written.put(&tensor.bytes);
        }
        written
    }
}

/// A small file with a bit of everything, for tests that damage it.
pub fn small() -> GgufFile {
    let tensor = |name: &str, kind: TensorType, shape: &[usize]| {
        let (block_values, block_bytes) = kind.block();
        let length = shape.iter().product::<usize>() / block_values * block_bytes;
        let bytes = (0..length).map(|i| (i * 37 + 11) as u8 & 0x3f).collect();
        TensorFile { name: name.into(), kind, shape: shape.to_vec(), bytes }
    };
    GgufFile {
        version: 3,
        alignment: 32,
        pairs: vec![
            ("general.architecture".into(), Value::Str("llama".into())),
            ("general.alignment".into(), Value::U32(32)),
            ("truth".into(), Value::Bool(true)),
            ("tokens".into(), Value::Array(Array::Str(vec!["a".into(), "bc".into()]))),
            ("scores".into(), Value::Array(Array::F32(vec![0.5, -1.0]))),
            ("nested".into(), Value::Array(Array::Array(vec![Array::U8(vec![1]), Array::Bool(vec![true])]))),
        ],
        tensors: vec![
            tensor("norm", TensorType::F32, &[4]),
            tensor("matrix", TensorType::Q4_0, &[2, 32]),
            tensor("wide", TensorType::Q6_K, &[1, 256]),
        ],
    }
}

/// A safetensors file: the header's text, padded as the reference does, and the data.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = header.len().next_multiple_of(8);
    let mut file = (padded as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(8 + padded, b' ');
    file.extend_from_slice(data);
    file
}

/// A small safetensors file, for tests that damage it.
pub fn small_safetensors() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},"ids":{"dtype":"I64","shape":[1],"data_offsets":[22,30]}}"#;
    safetensors(header, &(0..30).collect::<Vec<u8>>())
}
