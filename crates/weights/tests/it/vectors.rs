//! Quantised numbers against the reference's, bit by bit.

use std::fs;

use weights::{Codes, Groups, Scales, Tensor, TensorType, decompose, dequantize, factors};

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
        let (least, greatest) =
            codes.iter().fold((0, 0), |(least, greatest), &code| (code.min(least), code.max(greatest)));
        let ends = match groups.codes {
            Codes::Unsigned(bits) => (0, (1 << bits) - 1),
            Codes::Signed(bits) => (-(1i16 << (bits - 1)) as i8, ((1i16 << (bits - 1)) - 1) as i8),
            Codes::Levels(levels) => {
                assert!(codes.iter().all(|code| levels.contains(code)), "{kind:?}");
                (*levels.iter().min().unwrap(), *levels.iter().max().unwrap())
            }
        };
        assert_eq!((least, greatest), ends, "{kind:?}");
        assert_eq!(mins.iter().any(|&min| min != 0.0), groups.has_min, "{kind:?}");
        let all_f16 = scales.iter().chain(&mins).all(|&number| is_f16(number));
        assert_eq!(all_f16, groups.scales == Scales::F16, "{kind:?}");
    }
}

#[test]
fn factors_are_what_scales_and_mins_are_products_of() {
    let mut kinds = 0;
    for kind in TensorType::ALL {
        let (blocks, values) = vectors(kind);
        let Some(whole) = decomposed(kind, &blocks, values.len()) else { continue };
        if whole.groups.scales != Scales::Products {
            continue;
        }
        let (count, blocks_count) = (whole.scales.len(), values.len() / 256);
        let (mut codes, mut scales, mut mins) =
            (vec![i8::MIN; values.len()], vec![i8::MIN; count], vec![i8::MIN; count]);
        let (mut common_scales, mut common_mins) = (vec![u16::MAX; blocks_count], vec![u16::MAX; blocks_count]);
        factors(kind, &blocks, &mut codes, [&mut scales, &mut mins], [&mut common_scales, &mut common_mins]);
        assert_eq!(codes, whole.codes, "{kind:?}");
        let product = |common: &[u16], factors: &[i8]| -> Vec<f32> {
            let group = |(group, factor): (usize, &i8)| f16(common[group * blocks_count / count]) * f32::from(*factor);
            factors.iter().enumerate().map(group).collect()
        };
        assert_same(kind, &product(&common_scales, &scales), &whole.scales);
        assert_same(kind, &product(&common_mins, &mins), &whole.mins);
        kinds += 1;
    }
    assert_eq!(kinds, 6);
}

/// The value of a finite half.
fn f16(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    let magnitude = if exponent == 0 { fraction * 2f32.powi(-14) } else { (1.0 + fraction) * 2f32.powi(exponent - 15) };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// Whether a finite number is representable in half precision: a multiple of the step between halves of its size.
fn is_f16(number: f32) -> bool {
    let step =
        if number.abs() < 2f32.powi(-14) { 2f32.powi(-24) } else { 2f32.powi(number.abs().log2().floor() as i32 - 10) };
    number.abs() <= 65_504.0 && (number / step).fract() == 0.0
}

#[test]
fn an_mxfp4_tensor_says_whether_its_scales_fit_into_f16() {
    let scales = |exponents: &[u8]| {
        let bytes: Vec<u8> = exponents.iter().flat_map(|exponent| [&[*exponent][..], &[0x5a; 16]].concat()).collect();
        let tensor = Tensor { name: "q", kind: TensorType::MXFP4, shape: &[exponents.len(), 32], bytes: &bytes };
        tensor.groups().unwrap().scales
    };
    // 2^-24 and 2^15 are the ends of what f16 can hold.
    assert_eq!(scales(&[104, 128, 143]), Scales::F16);
    assert_eq!(scales(&[128, 103]), Scales::Any);
    assert_eq!(scales(&[144]), Scales::Any);
    assert_eq!(TensorType::MXFP4.groups().unwrap().scales, Scales::Any);
}

#[test]
#[should_panic(expected = "are not the blocks of 33 values")]
fn lengths_that_disagree_are_a_bug_of_the_caller() {
    dequantize(TensorType::Q8_0, &[0; 34], &mut [0.0; 33]);
}
