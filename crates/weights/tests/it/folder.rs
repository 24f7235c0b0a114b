//! Hugging Face folders.

use std::{
    fs::{self, File},
    path::Path,
};

use tempfile::TempDir;
use weights::{Checkpoint, Error, Folder, TensorType};

use crate::{fixture, whole_text, writer::safetensors};

#[test]
fn a_folder_of_the_reference_opens() {
    let checkpoint = Checkpoint::open(&fixture("folder")).unwrap();
    let Checkpoint::HuggingFace(folder) = &checkpoint else { panic!("{checkpoint:?}") };
    assert_eq!(folder.config()["hidden_size"], 4);
    assert_eq!(folder.generation_config().unwrap()["temperature"], 0.6);
    assert_eq!(folder.path(), fixture("folder"));
    assert_eq!(folder.file("config.json"), Some(fixture("folder/config.json")));
    assert_eq!(folder.file("tokenizer.json"), None);
    assert_eq!(checkpoint.tensor_names().count(), 3);
    assert_eq!(checkpoint.require("model.norm.weight").unwrap().to_f32(), [1.0, 0.5, -2.0, 0.0]);
    assert!(matches!(checkpoint.require("model.position_ids"), Err(Error::MissingTensor { .. })));
    checkpoint.still_whole().unwrap();
}

#[test]
fn shards_hold_what_the_single_file_holds() {
    let (single, sharded) = (Folder::open(&fixture("folder")).unwrap(), Folder::open(&fixture("sharded")).unwrap());
    assert_eq!(single.tensors().count(), sharded.tensors().count());
    for tensor in single.tensors() {
        let other = sharded.tensor(tensor.name).unwrap();
        assert_eq!((tensor.kind, tensor.shape, tensor.bytes), (other.kind, other.shape, other.bytes));
    }
    assert!(sharded.generation_config().is_none());
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// A safetensors file with one number.
fn one(name: &str, value: f32) -> Vec<u8> {
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    safetensors(&header, &value.to_le_bytes())
}

fn index(entries: &str) -> Vec<u8> {
    format!(r#"{{"metadata":{{}},"weight_map":{{{entries}}}}}"#).into_bytes()
}

const CONFIG: (&str, &[u8]) = ("config.json", b"{}");
const INDEX: &str = "model.safetensors.index.json";

fn check_refused(folder: &Path, reason: &str) {
    let text = whole_text(&Folder::open(folder).unwrap_err());
    assert!(text.contains(reason), "{text}");
}

#[test]
fn the_single_file_goes_before_the_index() {
    let single = one("w", 1.0);
    let folder = folder(&[CONFIG, ("model.safetensors", &single), (INDEX, b"not even JSON")]);
    assert_eq!(Folder::open(folder.path()).unwrap().tensor("w").unwrap().to_f32(), [1.0]);
}

#[test]
fn the_index_decides_between_shards() {
    let (first, second, index) = (one("w", 1.0), one("w", 2.0), index(r#""w":"b.safetensors""#));
    let folder = folder(&[CONFIG, ("a.safetensors", &first), ("b.safetensors", &second), (INDEX, &index)]);
    let folder = Folder::open(folder.path()).unwrap();
    let all: Vec<_> = folder.tensors().map(|tensor| (tensor.kind, tensor.to_f32())).collect();
    assert_eq!(all, [(TensorType::F32, vec![2.0])]);
}

#[test]
fn an_index_never_leaves_the_folder() {
    for name in [
        "../a.safetensors",
        "/etc/a.safetensors",
        "sub/a.safetensors",
        "..\\a.safetensors",
        "C:a.safetensors",
        "..a.safetensors",
        "a\u{0}.safetensors",
        "config.json",
        "",
    ] {
        let entry = format!("\"w\":{}", serde_json::Value::from(name));
        let folder = folder(&[CONFIG, (INDEX, &index(&entry))]);
        check_refused(folder.path(), "which is not the name of a safetensors file in the folder");
    }
}

#[test]
fn an_index_that_contradicts_the_files_is_refused() {
    let weights = one("w", 1.0);
    let map = index(r#""w":"a.safetensors","v":"a.safetensors""#);
    check_refused(
        folder(&[CONFIG, ("a.safetensors", &weights), (INDEX, &map)]).path(),
        "puts tensor \"v\" into a.safetensors, which has no such tensor",
    );
    let map = index(r#""w":"b.safetensors""#);
    check_refused(folder(&[CONFIG, (INDEX, &map)]).path(), "cannot open");
    check_refused(folder(&[CONFIG, (INDEX, b"{}")]).path(), "missing field `weight_map`");
    let many: Vec<_> = (0..1025).map(|i| format!("\"{i}\":\"{i}.safetensors\"")).collect();
    check_refused(folder(&[CONFIG, (INDEX, &index(&many.join(",")))]).path(), "names 1025 files, at most 1024");
}

#[test]
fn what_is_missing_is_named_and_what_is_there_instead() {
    check_refused(folder(&[]).path(), "it has no config.json");
    check_refused(folder(&[("m.gguf", b"")]).path(), "m.gguf in it is a GGUF file: give its own path");
    check_refused(folder(&[CONFIG]).path(), "neither model.safetensors nor model.safetensors.index.json");
    check_refused(folder(&[CONFIG, ("pytorch_model.bin", b"")]).path(), "is a pickle");
    check_refused(folder(&[("config.json", b"[]")]).path(), "does not hold an object");
    check_refused(folder(&[("config.json", b"{")]).path(), "EOF while parsing");
    let weights = one("w", 1.0);
    let files = [CONFIG, ("model.safetensors", &weights), ("generation_config.json", b"?")];
    check_refused(folder(&files).path(), "generation_config.json is not the JSON");
    check_refused(folder(&[CONFIG, ("model.safetensors", b"")]).path(), "header length at byte 0");
}

#[test]
fn a_config_beyond_its_bound_is_not_read() {
    let folder = folder(&[]);
    // Sparse: it has the length, but takes no room.
    File::create(folder.path().join("config.json")).unwrap().set_len(1 << 40).unwrap();
    check_refused(folder.path(), "has 1099511627776 bytes, more than the 4194304");
}

#[test]
fn a_folder_in_place_of_a_file_is_refused() {
    let folder = folder(&[]);
    fs::create_dir(folder.path().join("config.json")).unwrap();
    check_refused(folder.path(), "cannot read");
}

#[cfg(unix)]
#[test]
fn files_may_be_symbolic_links() {
    let weights = one("w", 3.0);
    let blobs = folder(&[("1f", b"{}"), ("2e", &weights)]);
    let snapshot = folder(&[]);
    for (name, blob) in [("config.json", "1f"), ("model.safetensors", "2e")] {
        std::os::unix::fs::symlink(blobs.path().join(blob), snapshot.path().join(name)).unwrap();
    }
    assert_eq!(Folder::open(snapshot.path()).unwrap().tensor("w").unwrap().to_f32(), [3.0]);
}
