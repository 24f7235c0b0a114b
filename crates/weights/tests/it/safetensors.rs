//! safetensors files: what the format allows is read, and everything else is refused by name and offset.

use weights::{Error, Safetensors, TensorType};

use crate::{
    exercise, fixture,
    writer::{safetensors, small_safetensors},
};

#[test]
fn a_file_of_the_reference_reads_as_what_was_put_in() {
    let file = Safetensors::open(&fixture("folder/model.safetensors")).unwrap();
    let embedding = file.tensor("model.embed_tokens.weight").unwrap();
    assert_eq!((embedding.kind, embedding.shape), (TensorType::BF16, &[2, 4][..]));
    assert_eq!(embedding.to_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let norm = file.tensor("model.norm.weight").unwrap();
    assert_eq!((norm.kind, norm.to_f32()), (TensorType::F32, vec![1.0, 0.5, -2.0, 0.0]));
    assert_eq!(file.tensor("model.half").unwrap().to_f32(), [0.25, -8.0]);
    assert!(file.tensor("model.position_ids").is_none());
    assert_eq!(file.left_out(), ["model.position_ids"]);
    assert_eq!(file.tensors().count(), 3);
}

#[test]
fn single_numbers_and_empty_tensors_are_allowed() {
    let header = r#"{"one":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"none":{"dtype":"F32","shape":[0,9],"data_offsets":[4,4]}}"#;
    let file = Safetensors::from_bytes(safetensors(header, &2.5f32.to_le_bytes())).unwrap();
    let one = file.tensor("one").unwrap();
    assert_eq!((one.rows(), one.columns(), one.to_f32()), (1, 1, vec![2.5]));
    assert_eq!(file.left_out(), ["none"]);
    Safetensors::from_bytes(safetensors("{}", &[])).unwrap();
}

#[test]
fn bytes_are_left_out_but_can_be_had() {
    let header = r#"{"b":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]},"i":{"dtype":"I8","shape":[1],"data_offsets":[6,7]},"none":{"dtype":"U8","shape":[0],"data_offsets":[7,7]}}"#;
    let file = Safetensors::from_bytes(safetensors(header, &[1, 2, 3, 4, 5, 6, 7])).unwrap();
    let bytes = file.raw("b").unwrap();
    assert_eq!((bytes.shape, bytes.bytes), (&[2, 3][..], &[1, 2, 3, 4, 5, 6][..]));
    assert!(file.raw("i").is_none() && file.raw("none").is_none() && file.tensor("b").is_none());
    assert_eq!(file.left_out(), ["b", "i", "none"]);
    assert_eq!(file.raw_names().collect::<Vec<_>>(), ["b"]);
}

/// Expects a refusal that names the field, where it is, and why.
fn check_refused(bytes: Vec<u8>, field: &str, offset: u64, reason: &str) {
    match Safetensors::from_bytes(bytes) {
        Err(Error::Format { defect, .. }) => {
            assert_eq!(defect.field, field, "{defect}");
            assert_eq!(defect.offset, offset, "{defect}");
            assert!(defect.problem.contains(reason), "{defect}");
        }
        other => panic!("{field}: {other:?}"),
    }
}

/// A header with one entry for eight bytes of data.
fn check_entry(entry: &str, field: &str, offset: u64, reason: &str) {
    check_refused(safetensors(&format!("{{\"t\":{entry}}}"), &[0; 8]), field, offset, reason);
}

#[test]
fn lies_in_the_header_are_refused() {
    check_refused(vec![1, 2, 3], "header length", 0, "only 3");
    for length in [200u64, 99_999_999] {
        check_refused(length.to_le_bytes().to_vec(), "header length", 0, "only 0 bytes are left");
    }
    check_refused(vec![0xff; 16], "header length", 0, "the format allows 100000000");
    check_refused(safetensors("[]", &[]), "header", 8, "is not the JSON");
    check_refused(safetensors("{\"a\":1}", &[]), "header", 13, "is not the JSON");
    check_refused(safetensors("{\"__metadata__\":[]}", &[]), "header", 23, "is not the JSON");
    check_refused(safetensors(&"[".repeat(100_000), &[]), "header", 8, "is not the JSON");
    let twice =
        r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    check_refused(safetensors(twice, &[]), "header", 63, "\"a\" comes twice");
}

#[test]
fn lies_in_an_entry_are_refused() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    check_entry(&entry("F8_E4M3", "[8]", "[0,8]"), "dtype of tensor \"t\"", 9, "known are F32, F16, BF16");
    check_entry(
        &entry("F32", "[3]", "[0,8]"),
        "data_offsets of tensor \"t\"",
        9,
        "hold 8 bytes, but F32 of [3] has 12",
    );
    check_entry(&entry("F32", "[2]", "[8,0]"), "data_offsets of tensor \"t\"", 9, "are 8 and 0");
    check_entry(&entry("F32", "[3]", "[0,12]"), "data_offsets of tensor \"t\"", 9, "the data has 8 bytes");
    check_entry(&entry("F32", "[1]", "[4,8]"), "data_offsets of tensor \"t\"", 64 + 4, "begins at byte 4");
    check_entry(&entry("F32", "[1]", "[0,4]"), "data", 64 + 4, "4 bytes behind tensor \"t\" that belong to no tensor");
    let huge = "[4294967296,4294967296,4294967296]";
    check_entry(&entry("F32", huge, "[0,8]"), "shape of tensor \"t\"", 9, "too large");
    check_entry(&entry("U8", "[1,1,1,1,1,1,1,1,8]", "[0,8]"), "shape of tensor \"t\"", 9, "at most 8");
    check_entry(&entry("F32", "[-2]", "[0,8]"), "header", 38, "invalid value");
}

#[test]
fn tensors_that_overlap_are_refused() {
    let header =
        r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    let file = safetensors(header, &[0; 8]);
    let data = file.len() as u64 - 8;
    check_refused(file, "data_offsets of tensor \"b\"", data + 4, "begins at byte 4 of the data");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = small_safetensors();
    for length in 0..file.len() {
        assert!(Safetensors::from_bytes(file[..length].to_vec()).is_err(), "cut to {length}");
    }
    exercise::safetensors(&file).unwrap();
}
