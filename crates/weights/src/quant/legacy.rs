//! Blocks of 32 values with one f16 scale, and for the `_1` types one f16 min: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.

use super::{Parts, float::f16};

/// `scale: f16, codes: [u8; 16]`; a value is `scale * (code - 8)`, and the difference is the code here.
pub(super) fn q4_0(block: &[u8], out: Parts<'_>) {
    out.scales[0] = f16([block[0], block[1]]);
    nibbles(&block[2..], out.codes);
    for code in out.codes {
        *code -= 8;
    }
}

/// `scale: f16, min: f16, codes: [u8; 16]`.
pub(super) fn q4_1(block: &[u8], out: Parts<'_>) {
    out.scales[0] = f16([block[0], block[1]]);
    out.mins[0] = f16([block[2], block[3]]);
    nibbles(&block[4..], out.codes);
}

/// `scale: f16, fifth_bits: u32, codes: [u8; 16]`; a value is `scale * (code - 16)`, and the difference is the code here.
pub(super) fn q5_0(block: &[u8], out: Parts<'_>) {
    out.scales[0] = f16([block[0], block[1]]);
    nibbles(&block[6..], out.codes);
    fifth_bits([block[2], block[3], block[4], block[5]], out.codes);
    for code in out.codes {
        *code -= 16;
    }
}

/// `scale: f16, min: f16, fifth_bits: u32, codes: [u8; 16]`.
pub(super) fn q5_1(block: &[u8], out: Parts<'_>) {
    out.scales[0] = f16([block[0], block[1]]);
    out.mins[0] = f16([block[2], block[3]]);
    nibbles(&block[8..], out.codes);
    fifth_bits([block[4], block[5], block[6], block[7]], out.codes);
}

/// `scale: f16, codes: [i8; 32]`.
pub(super) fn q8_0(block: &[u8], out: Parts<'_>) {
    out.scales[0] = f16([block[0], block[1]]);
    for (code, byte) in out.codes.iter_mut().zip(&block[2..]) {
        *code = byte.cast_signed();
    }
}

/// Low nibbles are the first half of the values, high nibbles the second.
pub(super) fn nibbles(packed: &[u8], codes: &mut [i8]) {
    let (low, high) = codes.split_at_mut(packed.len());
    for ((low, high), byte) in low.iter_mut().zip(high).zip(packed) {
        *low = (byte & 0xf).cast_signed();
        *high = (byte >> 4).cast_signed();
    }
}

/// Bit i of a little-endian word is the fifth bit of code i.
fn fifth_bits(bytes: [u8; 4], codes: &mut [i8]) {
    let bits = u32::from_le_bytes(bytes);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((bits >> i & 1) << 4) as i8;
    }
}
