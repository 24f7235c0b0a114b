//! Types whose 4 bits index sixteen fixed levels, which are the codes here: IQ4_NL, IQ4_XS, MXFP4.

use super::{Factors, Parts, float::f16};

/// The levels of IQ4_NL and IQ4_XS (`kvalues_iq4nl` of ggml): denser around zero, as weights are.
pub(crate) const UNEVEN: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice the values of E2M1, so that they are integers; the scale is halved for it.
pub(crate) const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// `scale: f16, codes: [u8; 16]`.
pub(super) fn iq4_nl(block: &[u8], out: Parts<'_>) {
    out.scales[0] = f16([block[0], block[1]]);
    levels(&UNEVEN, &block[2..], out.codes);
}

/// `d: f16, high: u16` (2 bits of each scale), `low: [u8; 4]` (4 bits of each scale), `codes: [u8; 128]`. Groups of 32;
/// a value is `d * (scale - 32) * level`.
pub(super) fn iq4_xs(block: &[u8], out: Factors<'_>) {
    *out.common_scale = u16::from_le_bytes([block[0], block[1]]);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (group, scale) in out.scales.iter_mut().enumerate() {
        let low_bits = block[4 + group / 2] >> (group % 2 * 4) & 0xf;
        let high_bits = high >> (group * 2) & 3;
        *scale = (high_bits << 4 | u16::from(low_bits)) as i8 - 32;
    }
    for (packed, codes) in block[8..].chunks_exact(16).zip(out.codes.chunks_exact_mut(32)) {
        levels(&UNEVEN, packed, codes);
    }
}

/// `exponent: u8, codes: [u8; 16]`; the scale is 2^(exponent - 128): the shared exponent of the specification, whose
/// bias is 127, halved. The specification's NaN (exponent 255) is 2^127 here, as in the reference.
pub(super) fn mxfp4(block: &[u8], out: Parts<'_>) {
    let bits = match block[0] {
        // Subnormal in f32.
        exponent @ 0..=1 => 0x0020_0000 << exponent,
        exponent => u32::from(exponent - 1) << 23,
    };
    out.scales[0] = f32::from_bits(bits);
    levels(&E2M1_DOUBLED, &block[1..], out.codes);
}

/// Whether every scale of a tensor is an f16: from the least one that is not zero to the largest power of two.
pub(crate) fn mxfp4_scales_fit_f16(bytes: &[u8]) -> bool {
    bytes.as_chunks::<17>().0.iter().all(|block| (128 - 24..=128 + 15).contains(&block[0]))
}

/// Low nibbles are the first half of the values, high nibbles the second.
fn levels(table: &[i8; 16], packed: &[u8], codes: &mut [i8]) {
    let (low, high) = codes.split_at_mut(packed.len());
    for ((low, high), byte) in low.iter_mut().zip(high).zip(packed) {
        *low = table[usize::from(byte & 0xf)];
        *high = table[usize::from(byte >> 4)];
    }
}
