//! Quantised numbers against the reference's, bit by bit.

use std::fs;

use weights::{Groups, Tensor, TensorType, decompose, dequantize};

use crate::fixture;

/// The blocks of a type and the values that the reference makes of them.
fn vectors(kind: TensorType) -> (Vec<u8>, Vec<f32>) {
    let read = |suffix| fs::read(fixture("vectors").join(format!("{}.{suffix}", kind.name()))).unwrap();
    let values = read("f32").as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (read("blocks"), values)
}

/// Equal bit by bit, but for the sign of zero.
fn assert_same(kind: TensorType, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let same = found.to_bits() == wanted.to_bits() || (*found == 0.0 && *wanted == 0.0);
        assert!(same, "{kind:?} value {i}: {found:e} instead of {wanted:e}");
    }
}

#[test]
fn dequantize_is_equal_to_the_reference() {
    for kind in TensorType::ALL {
        let (blocks, wanted) = vectors(kind);
        let mut found = vec![f32::NAN; wanted.len()];
        dequantize(kind, &blocks, &mut found);
        assert_same(kind, &found, &wanted);
    }
}

struct Decomposed {
    groups: Groups,
    codes: Vec<i8>,
    scales: Vec<f32>,
    mins: Vec<f32>,
}

fn decomposed(kind: TensorType, blocks: &[u8], values: usize) -> Option<Decomposed> {
    let groups = kind.groups()?;
    let unset = vec![f32::NAN; values / groups.length];
    let mut all = Decomposed { groups, codes: vec![i8::MIN; values], scales: unset.clone(), mins: unset };
    decompose(kind, blocks, &mut all.codes, &mut all.scales, &mut all.mins);
    Some(all)
}

#[test]
fn codes_scales_and_mins_are_the_reference_decomposed() {
    let mut quantised = 0;
    for kind in TensorType::ALL {
        let (blocks, wanted) = vectors(kind);
        let Some(Decomposed { groups, codes, scales, mins }) = decomposed(kind, &blocks, wanted.len()) else {
            continue;
        };
        let of = |i: usize| (scales[i / groups.length], mins[i / groups.length], f32::from(codes[i]));
        let apart = (0..wanted.len()).map(|i| {
            let (scale, min, code) = of(i);
            scale * code + min
        });
        assert_same(kind, &apart.collect::<Vec<_>>(), &wanted);
        let fused = (0..wanted.len()).map(|i| {
            let (scale, min, code) = of(i);
            scale.mul_add(code, min)
        });
        assert_same(kind, &fused.collect::<Vec<_>>(), &wanted);
        quantised += 1;
    }
    assert_eq!(quantised, 13);
}

#[test]
fn groups_say_what_is_true() {
    for kind in TensorType::ALL {
        let (blocks, values) = vectors(kind);
        let Some(Decomposed { groups, codes, scales, mins }) = decomposed(kind, &blocks, values.len()) else {
            continue;
        };
        if groups.code_bits == 4 {
            assert!(codes.iter().all(|code| (0..16).contains(code)), "{kind:?}");
        } else {
            assert_eq!(groups.code_bits, 8, "{kind:?}");
            assert!(codes.iter().any(|code| !(0..16).contains(code)), "{kind:?} could have 4 bits");
        }
        assert_eq!(mins.iter().any(|&min| min != 0.0), groups.has_min, "{kind:?}");
        assert_eq!(scales.iter().chain(&mins).all(|&number| is_f16(number)), groups.f16_scales, "{kind:?}");
    }
}

/// Whether a finite number is representable in half precision: a multiple of the step between halves of its size.
fn is_f16(number: f32) -> bool {
    let step =
        if number.abs() < 2f32.powi(-14) { 2f32.powi(-24) } else { 2f32.powi(number.abs().log2().floor() as i32 - 10) };
    number.abs() <= 65_504.0 && (number / step).fract() == 0.0
}

#[test]
fn a_q4_0_tensor_says_whether_its_mins_fit_into_f16() {
    let groups = |scales: &[u16]| {
        let bytes: Vec<u8> = scales.iter().flat_map(|scale| [&scale.to_le_bytes()[..], &[0x5a; 16]].concat()).collect();
        let shape = [scales.len(), 32];
        let tensor = Tensor { name: "q", kind: TensorType::Q4_0, shape: &shape, bytes: &bytes };
        tensor.groups().unwrap()
    };
    let (largest_that_fits, smallest_that_does_not) = (0x6fff, 0x7000);
    assert!(groups(&[0x3c00, largest_that_fits, largest_that_fits | 0x8000, 0x0001]).f16_scales);
    assert!(!groups(&[0x3c00, smallest_that_does_not]).f16_scales);
    assert!(!groups(&[smallest_that_does_not | 0x8000]).f16_scales);
    assert!(!TensorType::Q4_0.groups().unwrap().f16_scales);
    assert!(TensorType::Q4_1.groups().unwrap().f16_scales);
}

#[test]
#[should_panic(expected = "are not the blocks of 33 values")]
fn lengths_that_disagree_are_a_bug_of_the_caller() {
    dequantize(TensorType::Q8_0, &[0; 34], &mut [0.0; 33]);
}
