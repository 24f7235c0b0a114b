//! The fuzzers' corpus, run as a plain test: small files, whole, cut and with flipped bits, and what came of fuzzing.
//!
//! The cases below are written by `WRITE_CORPUS=1 cargo test -p weights corpus`; without it they are compared with
//! the committed files, so that the two cannot drift apart. Files that a fuzzer adds are run as well.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use weights::{Array, TensorType, Value};

use crate::{
    exercise,
    writer::{GgufFile, TensorFile, safetensors, small, small_safetensors},
};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// Pseudo-random positions, the same every time (xorshift).
struct Positions(u32);

impl Positions {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % end
    }
}

/// Whole, cut eight times, and with one bit flipped ten times.
fn damaged(cases: &mut BTreeMap<String, Vec<u8>>, target: &str, name: &str, file: &[u8], header: usize) {
    let mut positions = Positions(0x9e37_79b9);
    cases.insert(format!("{target}/{name}"), file.to_vec());
    for _ in 0..8 {
        let length = positions.below(file.len());
        cases.insert(format!("{target}/{name}-cut-{length}"), file[..length].to_vec());
    }
    for _ in 0..10 {
        let bit = positions.below(header * 8);
        let mut file = file.to_vec();
        file[bit / 8] ^= 1 << (bit % 8);
        cases.insert(format!("{target}/{name}-flip-{bit}"), file);
    }
}

/// By target and name.
fn cases() -> BTreeMap<String, Vec<u8>> {
    let mut cases = BTreeMap::new();
    let mut file = small();
    file.tensors.pop();
    let written = file.write();
    damaged(&mut cases, "gguf", "small", &written.bytes, written.at("data"));
    let plain = GgufFile {
        version: 2,
        alignment: 8,
        pairs: vec![("general.alignment".into(), Value::U32(8)), ("ids".into(), Value::Array(Array::I32(vec![1, -1])))],
        tensors: vec![TensorFile { name: "t".into(), kind: TensorType::F16, shape: vec![2, 2], bytes: vec![0x3c; 8] }],
    }
    .write();
    damaged(&mut cases, "gguf", "version-2", &plain.bytes, plain.at("data"));
    damaged(&mut cases, "safetensors", "small", &small_safetensors(), small_safetensors().len() - 30);
    cases.insert("safetensors/empty".into(), safetensors("{}", &[]));
    for (name, byte) in [("zeros", 0x00), ("ones", 0xff), ("halves", 0x7b)] {
        cases.insert(format!("blocks/{name}"), vec![byte; 256]);
    }
    cases
}

fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fs::read_dir(corpus().join(target)).unwrap();
    folder.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn check(target: &str, open: impl Fn(&Path, &[u8])) {
    let files = files(target);
    assert!(!files.is_empty());
    files.iter().for_each(|(path, bytes)| open(path, bytes));
}

/// A whole file is accepted, a cut one refused; a flipped bit, and what a fuzzer found, may go either way.
fn check_verdict(path: &Path, verdict: Result<(), weights::Error>) {
    let name = path.file_name().unwrap().to_string_lossy();
    if ["small", "version-2", "empty"].contains(&&*name) {
        verdict.unwrap_or_else(|error| panic!("{name}: {error}"));
    } else if name.contains("-cut-") {
        assert!(verdict.is_err(), "{name} is accepted");
    }
}

#[test]
fn the_corpus_holds_all_cases() {
    for (name, bytes) in cases() {
        let path = corpus().join(name);
        if std::env::var_os("WRITE_CORPUS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let found = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(found == bytes, "{} is not what its case is now", path.display());
    }
}

#[test]
fn no_gguf_of_the_corpus_is_fatal() {
    check("gguf", |path, bytes| check_verdict(path, exercise::gguf(bytes)));
}

#[test]
fn no_safetensors_of_the_corpus_is_fatal() {
    check("safetensors", |path, bytes| check_verdict(path, exercise::safetensors(bytes)));
}

#[test]
fn no_blocks_of_the_corpus_are_fatal() {
    check("blocks", |_, bytes| exercise::blocks(bytes));
}
