//! Models over several GGUF files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use weights::{Checkpoint, Error, Gguf, TensorType, Value};

use crate::{
    fixture,
    writer::{GgufFile, TensorFile},
};

/// One part to be written.
struct PartFile {
    /// As its name says, from one.
    name_number: usize,
    number: Option<Value>,
    count: Option<Value>,
    tensors: Option<Value>,
    tensor: &'static str,
}

/// A part of three as it should be.
fn part(number: u16, tensor: &'static str) -> PartFile {
    PartFile {
        name_number: usize::from(number) + 1,
        number: Some(Value::U16(number)),
        count: Some(Value::U16(3)),
        tensors: Some(Value::I32(3)),
        tensor,
    }
}

fn three() -> [PartFile; 3] {
    [part(0, "a"), part(1, "b"), part(2, "c")]
}

fn write(parts: &[PartFile]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let paths = parts.iter().map(|part| {
        let keys = [("split.no", &part.number), ("split.count", &part.count), ("split.tensors.count", &part.tensors)];
        let pairs = keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect();
        let bytes = [part.name_number as f32; 2].iter().flat_map(|number| number.to_le_bytes()).collect();
        let tensor = TensorFile { name: part.tensor.into(), kind: TensorType::F32, shape: vec![2], bytes };
        let file = GgufFile { version: 3, alignment: 32, pairs, tensors: vec![tensor] };
        let path = folder.path().join(format!("model-{:05}-of-00003.gguf", part.name_number));
        fs::write(&path, file.write().bytes).unwrap();
        path
    });
    let paths = paths.collect();
    (folder, paths)
}

#[test]
fn any_part_of_the_reference_opens_the_whole() {
    for number in 1..=3 {
        let checkpoint = Checkpoint::open(&fixture(&format!("gguf/split-{number:05}-of-00003.gguf"))).unwrap();
        let Checkpoint::Gguf(gguf) = &checkpoint else { panic!("{checkpoint:?}") };
        assert_eq!(gguf.metadata().str("general.name").unwrap(), Some("in three parts"));
        assert_eq!(checkpoint.tensor_names().collect::<Vec<_>>(), ["first", "second", "third"]);
        for (name, value) in [("first", 1.0), ("second", 2.0), ("third", 3.0)] {
            assert_eq!(checkpoint.tensor(name).unwrap().to_f32(), [value; 8]);
        }
        assert_eq!(checkpoint.tensor_bytes(), 3 * 8 * 4);
        checkpoint.still_whole().unwrap();
    }
}

#[test]
fn any_part_opens_the_whole() {
    let (_folder, paths) = write(&three());
    for path in paths {
        let gguf = Gguf::open(&path).unwrap();
        let values: Vec<_> = ["a", "b", "c"].iter().map(|name| gguf.tensor(name).unwrap().to_f32()[1]).collect();
        assert_eq!(values, [1.0, 2.0, 3.0]);
    }
}

#[test]
fn the_tensor_count_need_not_be_there() {
    let (_folder, paths) = write(&three().map(|part| PartFile { tensors: None, ..part }));
    assert_eq!(Gguf::open(&paths[1]).unwrap().tensors().count(), 3);
}

/// Opens the second part and expects a refusal that says why.
fn check_refused(parts: &[PartFile], reason: &str) {
    let (_folder, paths) = write(parts);
    refused(&paths[1], reason);
}

fn refused(path: &Path, reason: &str) {
    match Gguf::open(path) {
        Err(error @ Error::Split { .. }) => assert!(error.to_string().contains(reason), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let with = |change: fn(&mut [PartFile; 3])| {
        let mut parts = three();
        change(&mut parts);
        parts
    };
    check_refused(&with(|parts| parts[2].number = Some(Value::U16(0))), "it says part 1 of 3");
    check_refused(&with(|parts| parts[2].count = Some(Value::U16(4))), "it says part 3 of 4");
    check_refused(&with(|parts| parts[0].count = None), "it has no \"split.count\"");
    check_refused(&with(|parts| parts[0].number = None), "it has no \"split.no\"");
    check_refused(&with(|parts| parts[0].tensors = Some(Value::I32(4))), "with 4 tensors in all");
    check_refused(&with(|parts| parts[2].tensor = "a"), "tensor \"a\" is in");
    check_refused(&with(|parts| parts[1].number = Some(Value::U16(3))), "\"split.no\" is 3 and \"split.count\" is 3");
    check_refused(&with(|parts| parts[1].count = Some(Value::U16(2000))), "at most 1024 parts");
    check_refused(&with(|parts| parts[1].count = Some(Value::U16(4))), "should end in -00002-of-00004.gguf");
    let four = three().map(|part| PartFile { tensors: Some(Value::I32(4)), ..part });
    check_refused(&four, "all parts together have 3 tensors");
}

#[test]
fn a_missing_part_is_named() {
    let (_folder, paths) = write(&three());
    fs::remove_file(&paths[2]).unwrap();
    refused(&paths[0], "part 3 of 3");
    refused(&paths[0], "model-00003-of-00003.gguf, is missing");
}

#[test]
fn a_renamed_part_says_how_it_should_be_called() {
    let (folder, paths) = write(&three());
    let renamed = folder.path().join("model.gguf");
    fs::rename(&paths[0], &renamed).unwrap();
    refused(&renamed, "should end in -00001-of-00003.gguf");
}

#[test]
fn a_part_in_memory_is_refused() {
    let bytes = fs::read(fixture("gguf/split-00001-of-00003.gguf")).unwrap();
    assert!(matches!(Gguf::from_bytes(bytes), Err(Error::Split { .. })));
}

#[test]
fn a_damaged_part_is_named() {
    let (_folder, paths) = write(&three());
    fs::write(&paths[2], b"GGUF").unwrap();
    match Gguf::open(&paths[0]) {
        Err(Error::Format { path, defect }) => {
            assert_eq!(path, paths[2]);
            assert_eq!(defect.field, "version");
        }
        other => panic!("{other:?}"),
    }
}
