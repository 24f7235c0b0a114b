//! Super-blocks of 256 values, whose groups have small integer scales (and mins) under one or two f16: Q2_K to Q6_K.

use super::{Factors, legacy::nibbles};

/// `scales: [u8; 16]` (low nibble scale, high nibble min), `codes: [u8; 64]` of 2 bits, `d: f16`, `dmin: f16`.
/// Groups of 16; a value is `d * scale * code - dmin * min`.
pub(super) fn q2_k(block: &[u8], out: Factors<'_>) {
    *out.common_scale = half(block, 80);
    *out.common_min = negative(half(block, 82));
    for ((scale, min), byte) in out.scales.iter_mut().zip(out.mins).zip(&block[..16]) {
        *scale = (byte & 0xf).cast_signed();
        *min = (byte >> 4).cast_signed();
    }
    crumbs(&block[16..80], out.codes);
}

/// `third_bits: [u8; 32]`, `codes: [u8; 64]` of 2 bits, `scales: [u8; 12]` of 6 bits, `d: f16`. Groups of 16; a value
/// is `d * (scale - 32) * (code - 4)` with the third bit being the code's highest; the differences are the factor and
/// the code here.
pub(super) fn q3_k(block: &[u8], out: Factors<'_>) {
    *out.common_scale = half(block, 108);
    let packed = &block[96..108];
    for (group, scale) in out.scales.iter_mut().enumerate() {
        // Low four bits: nibbles of the first eight bytes; high two bits: crumbs of the last four.
        let low = packed[group % 8] >> (group / 8 * 4) & 0xf;
        let high = packed[8 + group % 4] >> (group / 4 * 2) & 3;
        *scale = (high << 4 | low).cast_signed() - 32;
    }
    crumbs(&block[32..96], out.codes);
    for (bit, codes) in out.codes.chunks_exact_mut(32).enumerate() {
        for (code, byte) in codes.iter_mut().zip(&block[..32]) {
            *code = (*code | (byte >> bit & 1).cast_signed() << 2) - 4;
        }
    }
}

/// `d: f16, dmin: f16, scales: [u8; 12], codes: [u8; 128]`. Groups of 32; a value is `d * scale * code - dmin * min`.
pub(super) fn q4_k(block: &[u8], out: Factors<'_>) {
    for (packed, codes) in block[16..].chunks_exact(32).zip(out.codes.chunks_exact_mut(64)) {
        nibbles(packed, codes);
    }
    scales_and_mins(block, out);
}

/// `d: f16, dmin: f16, scales: [u8; 12], fifth_bits: [u8; 32], codes: [u8; 128]`. As Q4_K with one more bit.
pub(super) fn q5_k(block: &[u8], out: Factors<'_>) {
    for (packed, codes) in block[48..].chunks_exact(32).zip(out.codes.chunks_exact_mut(64)) {
        nibbles(packed, codes);
    }
    for (bit, codes) in out.codes.chunks_exact_mut(32).enumerate() {
        for (code, byte) in codes.iter_mut().zip(&block[16..48]) {
            *code |= (byte >> bit & 1).cast_signed() << 4;
        }
    }
    scales_and_mins(block, out);
}

/// `low: [u8; 128]` of 4 bits, `high: [u8; 64]` of 2 bits, `scales: [i8; 16]`, `d: f16`. Groups of 16; a value is
/// `d * scale * (code - 32)`, and the difference is the code here.
pub(super) fn q6_k(block: &[u8], out: Factors<'_>) {
    *out.common_scale = half(block, 208);
    for (scale, byte) in out.scales.iter_mut().zip(&block[192..208]) {
        *scale = byte.cast_signed();
    }
    // 64 bytes of low bits and 32 bytes of high bits make 128 values.
    let packed = block[..128].chunks_exact(64).zip(block[128..192].chunks_exact(32));
    for ((low, high), codes) in packed.zip(out.codes.chunks_exact_mut(128)) {
        nibbles(low, codes);
        for (quarter, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, byte) in codes.iter_mut().zip(high) {
                *code = (*code | (byte >> (quarter * 2) & 3).cast_signed() << 4) - 32;
            }
        }
    }
}

/// The head of Q4_K and Q5_K: two f16, then eight scales and eight mins of 6 bits in 12 bytes. The first four of each
/// are the low six bits of bytes 0..4 and 4..8; the others have their low four bits in the nibbles of bytes 8..12 and
/// their high two bits in the top of bytes 0..4 and 4..8.
fn scales_and_mins(block: &[u8], out: Factors<'_>) {
    *out.common_scale = half(block, 0);
    *out.common_min = negative(half(block, 2));
    let packed = &block[4..16];
    for (group, (scale, min)) in out.scales.iter_mut().zip(out.mins).enumerate() {
        let (scale_bits, min_bits) = if group < 4 {
            (packed[group] & 0x3f, packed[group + 4] & 0x3f)
        } else {
            let low = packed[group + 4];
            (low & 0xf | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
        };
        *scale = scale_bits.cast_signed();
        *min = min_bits.cast_signed();
    }
}

/// The bits of an f16.
fn half(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// The same f16 with the other sign.
fn negative(half: u16) -> u16 {
    half ^ 0x8000
}

/// Codes of 2 bits: 32 bytes make 128 values, the lowest bits of all bytes first.
fn crumbs(packed: &[u8], codes: &mut [i8]) {
    for (packed, codes) in packed.chunks_exact(32).zip(codes.chunks_exact_mut(128)) {
        for (quarter, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, byte) in codes.iter_mut().zip(packed) {
                *code = (byte >> (quarter * 2) & 3).cast_signed();
            }
        }
    }
}
