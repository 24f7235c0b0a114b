//! Quantised numbers: one decoder per type, and everything else on top of it.
//!
//! A quantised row is codes, scales and mins with `value = scale * code + min` ([`decompose`]). The layouts are ggml's
//! (`block_*` in `ggml-common.h`), the arithmetic is that of its `dequantize_row_*` in f32. Why the decomposition is
//! exact, type by type: an f16 has 11 significant bits, and its product with a sub-scale of at most 8 bits and a code
//! of at most 5 bits (or the 7 bits of an IQ4 level with a sub-scale of 6 bits) fits into the 24 bits of an f32. So
//! only the last addition of a min can round, and it is the same addition in the reference. The one difference that
//! remains is the sign of a zero.

mod codebook;
mod float;
mod legacy;
mod super_block;

use crate::tensor_type::{Scales, TensorType};

pub(crate) use codebook::{E2M1_DOUBLED, UNEVEN, mxfp4_scales_fit_f16};

/// Most values of a block, over all types.
const MOST_VALUES: usize = 256;
/// Most groups of a block, over all types.
const MOST_GROUPS: usize = 16;

/// Where the decoder of one block puts what it finds: `codes.len()` is the block's values, the others its groups.
struct Parts<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    mins: &'a mut [f32],
}

/// The same for a block whose scales and mins are products: their factors, and as f16 what the block has in common.
struct Factors<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [i8],
    mins: &'a mut [i8],
    common_scale: &'a mut u16,
    common_min: &'a mut u16,
}

/// What decodes one block, given exactly its bytes.
enum Decoder {
    Parts(fn(&[u8], Parts<'_>)),
    Factors(fn(&[u8], Factors<'_>)),
}

impl Decoder {
    /// Multiplies factors.
    fn parts(&self, block: &[u8], out: Parts<'_>) {
        let decode = match self {
            Self::Parts(decode) => return decode(block, out),
            Self::Factors(decode) => decode,
        };
        let (mut scales, mut mins) = ([0; MOST_GROUPS], [0; MOST_GROUPS]);
        let (mut common_scale, mut common_min) = (0, 0);
        let groups = out.scales.len();
        decode(
            block,
            Factors {
                codes: out.codes,
                scales: &mut scales[..groups],
                mins: &mut mins[..groups],
                common_scale: &mut common_scale,
                common_min: &mut common_min,
            },
        );
        let product = |common: u16, factor: i8| float::f16(common.to_le_bytes()) * f32::from(factor);
        for (group, (scale, min)) in out.scales.iter_mut().zip(out.mins).enumerate() {
            *scale = product(common_scale, scales[group]);
            *min = product(common_min, mins[group]);
        }
    }
}

/// Decomposes one row (or any whole number of blocks) of a quantised type, so that
/// `value[i] = scales[i / length] * codes[i] + mins[i / length]` with the `length` of [`TensorType::groups`]. Mins of
/// types without them are written as zeros. A scale that is not finite gives values that are not finite.
///
/// # Panics
/// When `kind` is not quantised, or when the lengths disagree: `bytes` must be whole blocks, `codes` one per value,
/// `scales` and `mins` one per group.
pub fn decompose(kind: TensorType, bytes: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
    let Some(groups) = kind.groups() else { panic!("{} is not a quantised type", kind.name()) };
    let (block_values, block_bytes) = kind.block();
    let block_groups = block_values / groups.length;
    let blocks = whole_blocks(kind, bytes, codes.len());
    assert_eq!(scales.len(), blocks * block_groups, "one scale per group of {}", kind.name());
    assert_eq!(mins.len(), blocks * block_groups, "one min per group of {}", kind.name());
    if !groups.has_min {
        mins.fill(0.0);
    }
    let decode = decoder(kind);
    let outputs = codes
        .chunks_exact_mut(block_values)
        .zip(scales.chunks_exact_mut(block_groups).zip(mins.chunks_exact_mut(block_groups)));
    for (block, (codes, (scales, mins))) in bytes.chunks_exact(block_bytes).zip(outputs) {
        decode.parts(block, Parts { codes, scales, mins });
    }
}

/// One row (or any whole number of blocks) of a type whose scales are [`Scales::Products`]: as [`decompose`], with
/// `scale = common_scale * scales[group]` and `min = common_min * mins[group]`, of which the common ones are f16, one per
/// block.
///
/// # Panics
/// When `kind` is not such a type, or when the lengths disagree.
pub fn factors(
    kind: TensorType,
    bytes: &[u8],
    codes: &mut [i8],
    [scales, mins]: [&mut [i8]; 2],
    [common_scales, common_mins]: [&mut [u16]; 2],
) {
    let (Some(groups), Decoder::Factors(decode)) = (kind.groups(), decoder(kind)) else {
        panic!("the scales of {} are no products", kind.name())
    };
    debug_assert_eq!(groups.scales, Scales::Products);
    let (block_values, block_bytes) = kind.block();
    let block_groups = block_values / groups.length;
    let blocks = whole_blocks(kind, bytes, codes.len());
    assert_eq!((scales.len(), mins.len()), (blocks * block_groups, blocks * block_groups), "one per group");
    assert_eq!((common_scales.len(), common_mins.len()), (blocks, blocks), "one per block of {}", kind.name());
    mins.fill(0);
    common_mins.fill(0);
    for (block, bytes) in bytes.chunks_exact(block_bytes).enumerate() {
        let (values, groups) = (block * block_values, block * block_groups);
        decode(
            bytes,
            Factors {
                codes: &mut codes[values..values + block_values],
                scales: &mut scales[groups..groups + block_groups],
                mins: &mut mins[groups..groups + block_groups],
                common_scale: &mut common_scales[block],
                common_min: &mut common_mins[block],
            },
        );
    }
}

/// Values of a row (or any whole number of blocks) of any type, equal bit by bit to what the reference computes (but
/// for the sign of a zero, and for which NaN it is).
///
/// # Panics
/// When `bytes` is not whole blocks, or `out` is not one per value.
pub fn dequantize(kind: TensorType, bytes: &[u8], out: &mut [f32]) {
    let blocks = whole_blocks(kind, bytes, out.len());
    let Some(groups) = kind.groups() else { return float::to_f32(kind, bytes, out) };
    let (block_values, block_bytes) = kind.block();
    let block_groups = block_values / groups.length;
    let mut codes = [0; MOST_VALUES];
    let mut scales = [0.0; MOST_GROUPS];
    let mut mins = [0.0; MOST_GROUPS];
    let decode = decoder(kind);
    for block in 0..blocks {
        let codes = &mut codes[..block_values];
        decode.parts(
            &bytes[block * block_bytes..][..block_bytes],
            Parts { codes, scales: &mut scales[..block_groups], mins: &mut mins[..block_groups] },
        );
        let out = &mut out[block * block_values..][..block_values];
        let values = out.chunks_exact_mut(groups.length).zip(codes.chunks_exact(groups.length));
        for (group, (values, codes)) in values.enumerate() {
            let (scale, min) = (scales[group], mins[group]);
            for (value, &code) in values.iter_mut().zip(codes) {
                let product = scale * f32::from(code);
                *value = if groups.has_min { product + min } else { product };
            }
        }
    }
}

fn decoder(kind: TensorType) -> Decoder {
    match kind {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => unreachable!("floats have no groups"),
        TensorType::Q4_0 => Decoder::Parts(legacy::q4_0),
        TensorType::Q4_1 => Decoder::Parts(legacy::q4_1),
        TensorType::Q5_0 => Decoder::Parts(legacy::q5_0),
        TensorType::Q5_1 => Decoder::Parts(legacy::q5_1),
        TensorType::Q8_0 => Decoder::Parts(legacy::q8_0),
        TensorType::Q2_K => Decoder::Factors(super_block::q2_k),
        TensorType::Q3_K => Decoder::Factors(super_block::q3_k),
        TensorType::Q4_K => Decoder::Factors(super_block::q4_k),
        TensorType::Q5_K => Decoder::Factors(super_block::q5_k),
        TensorType::Q6_K => Decoder::Factors(super_block::q6_k),
        TensorType::IQ4_NL => Decoder::Parts(codebook::iq4_nl),
        TensorType::IQ4_XS => Decoder::Factors(codebook::iq4_xs),
        TensorType::MXFP4 => Decoder::Parts(codebook::mxfp4),
    }
}

fn whole_blocks(kind: TensorType, bytes: &[u8], values: usize) -> usize {
    let (block_values, block_bytes) = kind.block();
    let blocks = bytes.len() / block_bytes;
    assert!(
        bytes.len() == blocks * block_bytes && values == blocks * block_values,
        "{} bytes of {} are not the blocks of {values} values",
        bytes.len(),
        kind.name()
    );
    blocks
}
