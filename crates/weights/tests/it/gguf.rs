//! GGUF files: what is written is read, what a reference writes is read, and every lie is refused by name and offset.

use std::fs;

use proptest::prelude::*;
use weights::{Array, Error, Gguf, TensorType, Value};

use crate::{
    exercise, fixture,
    writer::{GgufFile, TensorFile, Written, small},
};

#[test]
fn a_file_of_the_reference_reads_as_what_was_put_in() {
    let gguf = Gguf::open(&fixture("gguf/every-value.gguf")).unwrap();
    let strings = |all: &[&str]| Array::Str(all.iter().map(|&text| text.to_owned()).collect());
    let wanted = [
        ("general.architecture", Value::Str("llama".into())),
        ("general.alignment", Value::U32(64)),
        ("a.u8", Value::U8(200)),
        ("a.i8", Value::I8(-100)),
        ("a.u16", Value::U16(60_000)),
        ("a.i16", Value::I16(-30_000)),
        ("a.u32", Value::U32(4_000_000_000)),
        ("a.i32", Value::I32(-2_000_000_000)),
        ("a.f32", Value::F32(0.1)),
        ("a.bool", Value::Bool(true)),
        ("a.string", Value::Str("Grüße, 世界".into())),
        ("a.u64", Value::U64((1 << 63) + 1)),
        ("a.i64", Value::I64(-(1 << 62))),
        ("a.f64", Value::F64(0.1)),
        ("a.strings", Value::Array(strings(&["one", "", "drei"]))),
        ("a.i32s", Value::Array(Array::I32(vec![1, -2, 3]))),
        ("a.f32s", Value::Array(Array::F32(vec![0.5, -0.25]))),
        ("a.bools", Value::Array(Array::Bool(vec![true, false]))),
        ("a.nested", Value::Array(Array::Array(vec![Array::I32(vec![1, 2]), Array::I32(vec![3])]))),
    ];
    for (key, value) in &wanted {
        assert_eq!(gguf.metadata().get(key), Some(value), "{key}");
    }
    assert_eq!(gguf.metadata().0.len(), wanted.len());

    let matrix = gguf.tensor("matrix").unwrap();
    assert_eq!((matrix.kind, matrix.shape), (TensorType::F32, &[2, 3][..]));
    assert_eq!((matrix.rows(), matrix.columns()), (2, 3));
    assert_eq!(matrix.to_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(matrix.row(1), &matrix.bytes[12..]);
    let half = gguf.tensor("half").unwrap();
    assert_eq!((half.kind, half.rows(), half.columns(), half.to_f32()), (TensorType::F16, 1, 2, vec![1.5, -2.0]));
    let cube = gguf.tensor("cube").unwrap();
    assert_eq!((cube.kind, cube.shape, cube.rows()), (TensorType::Q8_0, &[2, 2, 32][..], 4));
    assert_eq!(cube.row(3).len(), 34);
    assert!((cube.to_f32()[127] - 1.0).abs() < 1e-3);
    assert!(gguf.tensor("other").is_none());
}

#[test]
fn version_2_reads_as_version_3() {
    let mut bytes = fs::read(fixture("gguf/every-value.gguf")).unwrap();
    let three = Gguf::from_bytes(bytes.clone()).unwrap();
    bytes[4] = 2;
    let two = Gguf::from_bytes(bytes).unwrap();
    assert_eq!(two.metadata(), three.metadata());
    assert_eq!(two.tensor("cube").unwrap().bytes, three.tensor("cube").unwrap().bytes);
}

#[test]
fn a_file_without_tensors_needs_no_data_section() {
    let gguf = Gguf::from_bytes(GgufFile { tensors: Vec::new(), ..small() }.write().bytes).unwrap();
    assert_eq!(gguf.tensors().count(), 0);
}

/// Opens a file with other bytes at a field and expects the refusal to name the field, its offset and the reason.
fn check_lie(field: &str, bytes: &[u8], named: &str, reason: &str) {
    check_lie_told_at(field, bytes, field, named, reason);
}

/// The same for a lie that comes out at another field.
fn check_lie_told_at(field: &str, bytes: &[u8], told_at: &str, named: &str, reason: &str) {
    let file = small().write();
    check_refused(file.with(field, bytes), named, file.at(told_at), reason);
}

fn check_refused(bytes: Vec<u8>, named: &str, offset: usize, reason: &str) {
    match Gguf::from_bytes(bytes) {
        Err(Error::Format { defect, .. }) => {
            assert_eq!(defect.field, named, "{defect}");
            assert_eq!(defect.offset, offset as u64, "{defect}");
            assert!(defect.problem.contains(reason), "{defect}");
        }
        other => panic!("{named}: {other:?}"),
    }
}

#[test]
fn lies_in_the_counts_are_refused() {
    check_lie("magic", b"ggjt", "magic", "is \"ggjt\"");
    check_lie("version", &[1, 0, 0, 0], "version", "versions 2 and 3");
    check_lie("version", &[4, 0, 0, 0], "version", "is 4");
    check_lie("version", &[0, 0, 0, 0], "version", "is 0");
    check_lie("version", &[0, 0, 0, 3], "version", "big endian");
    for count in [100, 1 << 32, 1 << 60, u64::MAX] {
        check_lie("tensor count", &count.to_le_bytes(), "tensor count", "left in the file hold");
        check_lie("metadata count", &count.to_le_bytes(), "metadata count", "left in the file hold");
    }
}

#[test]
fn lies_in_the_metadata_are_refused() {
    check_lie("key truth", &u64::MAX.to_le_bytes(), "key 2 of the metadata", "length is");
    check_lie("key truth", &[0; 8], "key 2 of the metadata", "has 0 bytes");
    check_lie("value of truth", &[2], "value of \"truth\"", "a bool is 0 or 1");
    check_lie("type of truth", &[13], "type of \"truth\"", "types 0 to 12");
    check_lie("value of general.architecture", &[0xff; 8], "value of \"general.architecture\"", "length is");
    check_lie("value of scores", &[14], "value of \"scores\"", "elements of a type that is 14");
    for alignment in [0, 1, 4, 24, 33, 1 << 21, u32::MAX] {
        check_lie(
            "value of general.alignment",
            &alignment.to_le_bytes(),
            "value of \"general.alignment\"",
            "power of two",
        );
    }
    // An alignment of another type.
    let mut file = small();
    file.pairs[1].1 = Value::U64(32);
    let written = file.write();
    let at = written.at("type of general.alignment");
    check_refused(written.bytes, "type of \"general.alignment\"", at, "is not u32");
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    let file = small().write();
    let at = file.at("value of general.architecture");
    let mut bytes = file.bytes;
    bytes[at + 8] = 0xff;
    check_refused(bytes, "value of \"general.architecture\"", at, "is not UTF-8");
}

#[test]
fn array_lengths_are_bounded_by_the_file() {
    for key in ["tokens", "scores", "nested"] {
        let file = small().write();
        let at = file.at(&format!("value of {key}")) + 4;
        for length in [1_000_000, 1 << 40, u64::MAX] {
            let mut bytes = file.bytes.clone();
            bytes[at..at + 8].copy_from_slice(&length.to_le_bytes());
            check_refused(bytes, &format!("value of {key:?}"), at, "length is");
        }
    }
}

#[test]
fn arrays_nest_four_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let innermost = Array::U8(vec![7]);
        let array = (1..depth).fold(innermost, |array, _| Array::Array(vec![array]));
        let mut file = small();
        file.pairs.push(("deep".into(), Value::Array(array)));
        file.write()
    };
    Gguf::from_bytes(nested(4).bytes).unwrap();
    for depth in [5, 200] {
        let file = nested(depth);
        let at = file.at("value of deep") + 4 * 12;
        check_refused(file.bytes, "value of \"deep\"", at, "nested more than 4 deep");
    }
}

#[test]
fn a_key_or_a_tensor_that_comes_twice_is_refused() {
    let mut file = small();
    file.pairs.push(("truth".into(), Value::U8(1)));
    let written = file.write();
    let second = written.bytes.windows(5).rposition(|window| window == b"truth").unwrap() - 8;
    check_refused(written.bytes, "key 6 of the metadata", second, "\"truth\" for the second time");

    let mut file = small();
    file.tensors[2].name = "norm".into();
    let written = file.write();
    let second = written.bytes.windows(4).rposition(|window| window == b"norm").unwrap() - 8;
    check_refused(written.bytes, "name of tensor 2", second, "is \"norm\", as of tensor 0");
}

#[test]
fn lies_in_a_tensor_are_refused() {
    check_lie("name of matrix", &u64::MAX.to_le_bytes(), "name of tensor 1", "length is");
    check_lie("dimension count of matrix", &[5, 0, 0, 0], "dimension count of tensor \"matrix\"", "is 5, at most 4");
    check_lie("dimension 0 of matrix", &[0; 8], "dimension 0 of tensor \"matrix\"", "is zero");
    check_lie("dimension 1 of matrix", &[0; 8], "dimension 1 of tensor \"matrix\"", "is zero");
    check_lie("dimension 0 of matrix", &[33], "dimension 0 of tensor \"matrix\"", "blocks of 32");
    check_lie("dimension 1 of matrix", &[0xff; 8], "dimension 1 of tensor \"matrix\"", "too large");
    check_lie("type of norm", &[4, 0, 0, 0], "type of tensor \"norm\"", "known are F32, F16, BF16, Q4_0");
    check_lie("type of norm", &[0xff; 4], "type of tensor \"norm\"", "ggml type 4294967295");
    // F32 values that fit into 64 bits as a number, but not as bytes.
    let many = (1u64 << 62).to_le_bytes();
    check_lie_told_at("dimension 0 of norm", &many, "type of norm", "type of tensor \"norm\"", "too large");
}

#[test]
fn lies_in_an_offset_are_refused() {
    check_lie("offset of wide", &[1], "offset of tensor \"wide\"", "not a multiple of the alignment 32");
    check_lie("offset of wide", &(1u64 << 40).to_le_bytes(), "offset of tensor \"wide\"", "end behind the file");
    check_lie("offset of wide", &(u64::MAX - 31).to_le_bytes(), "offset of tensor \"wide\"", "end behind the file");
    check_lie("offset of wide", &[32], "offset of tensor \"wide\"", "over tensor \"matrix\"");
    check_lie_told_at(
        "offset of norm",
        &[32],
        "offset of matrix",
        "offset of tensor \"matrix\"",
        "over tensor \"norm\"",
    );
    let end = "end behind the file";
    check_lie_told_at("dimension 1 of matrix", &[200], "offset of matrix", "offset of tensor \"matrix\"", end);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = small().write();
    for length in 0..file.bytes.len() {
        assert!(Gguf::from_bytes(file.bytes[..length].to_vec()).is_err(), "cut to {length}");
    }
    Gguf::from_bytes(file.bytes).unwrap();
}

fn arrays() -> impl Strategy<Value = Array> {
    let few = 0..4usize;
    let leaf = prop_oneof![
        prop::collection::vec(any::<u8>(), few.clone()).prop_map(Array::U8),
        prop::collection::vec(any::<i8>(), few.clone()).prop_map(Array::I8),
        prop::collection::vec(any::<u16>(), few.clone()).prop_map(Array::U16),
        prop::collection::vec(any::<i16>(), few.clone()).prop_map(Array::I16),
        prop::collection::vec(any::<u32>(), few.clone()).prop_map(Array::U32),
        prop::collection::vec(any::<i32>(), few.clone()).prop_map(Array::I32),
        prop::collection::vec(any::<f32>(), few.clone()).prop_map(Array::F32),
        prop::collection::vec(any::<bool>(), few.clone()).prop_map(Array::Bool),
        prop::collection::vec(".{0,6}", few.clone()).prop_map(Array::Str),
        prop::collection::vec(any::<u64>(), few.clone()).prop_map(Array::U64),
        prop::collection::vec(any::<i64>(), few.clone()).prop_map(Array::I64),
        prop::collection::vec(any::<f64>(), few.clone()).prop_map(Array::F64),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Array::Array))
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<f32>().prop_map(Value::F32),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(Value::Str),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_map(Value::F64),
        arrays().prop_map(Value::Array),
    ]
}

fn tensors() -> impl Strategy<Value = TensorFile> {
    let shape = (prop::collection::vec(1..4usize, 0..3), 1..3usize);
    (prop::sample::select(TensorType::ALL.to_vec()), shape, any::<u8>()).prop_map(|(kind, (outer, blocks), seed)| {
        let (block_values, block_bytes) = kind.block();
        let mut shape = outer;
        let rows: usize = shape.iter().product();
        shape.push(blocks * block_values);
        let bytes = (0..rows * blocks * block_bytes).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
        TensorFile { name: String::new(), kind, shape, bytes }
    })
}

/// Any file that the format allows, within small sizes.
pub fn files() -> impl Strategy<Value = GgufFile> {
    let pairs = prop::collection::btree_map("[a-z.]{1,12}", values(), 0..6);
    let tensors = prop::collection::btree_map("[a-z.]{1,12}", tensors(), 0..5);
    (2..4u32, 3..8u32, pairs, tensors).prop_map(|(version, shift, pairs, tensors)| {
        let alignment = 1 << shift;
        let mut pairs: Vec<_> = pairs.into_iter().filter(|(key, _)| key != "split.count").collect();
        pairs.push(("general.alignment".into(), Value::U32(alignment)));
        let tensors = tensors.into_iter().map(|(name, tensor)| TensorFile { name, ..tensor }).collect();
        GgufFile { version, alignment: alignment as usize, pairs, tensors }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(file in files()) {
        let Written { bytes, .. } = file.write();
        exercise::gguf(&bytes).unwrap();
        let gguf = Gguf::from_bytes(bytes).unwrap();
        // Compared as text, in which a NaN is equal to itself.
        let wanted = file.pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>();
        prop_assert_eq!(format!("{:?}", gguf.metadata().0), format!("{wanted:?}"));
        prop_assert_eq!(gguf.tensors().count(), file.tensors.len());
        for (tensor, wanted) in gguf.tensors().zip(&file.tensors) {
            prop_assert_eq!(tensor.name, &wanted.name);
            prop_assert_eq!(tensor.kind, wanted.kind);
            prop_assert_eq!(tensor.shape, &wanted.shape);
            prop_assert_eq!(tensor.bytes, &wanted.bytes);
            prop_assert_eq!(gguf.tensor(&wanted.name).unwrap().bytes, &wanted.bytes);
        }
    }
}
