//! What opening a model promises, tested from outside: right files read as what they say, wrong ones are refused by
//! name and offset, and nothing panics.

mod checkpoint;
mod corpus;
mod damage;
mod exercise;
mod folder;
mod gguf;
mod mapping;
mod safetensors;
mod split;
mod vectors;
mod writer;

use std::path::PathBuf;

/// A file or folder among the committed fixtures (see `make_vectors.py` there).
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// An error and everything below it, as a log shows it.
fn whole_text(error: &weights::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
