//! Plain floating-point numbers, and half precision as the scales of quantised types use it.

use crate::tensor_type::TensorType;

/// Values of F32, F16 or BF16.
pub(super) fn to_f32(kind: TensorType, bytes: &[u8], out: &mut [f32]) {
    match kind {
        TensorType::F16 => {
            for (value, bits) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = f16(*bits);
            }
        }
        TensorType::BF16 => {
            for (value, bits) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_bits(u32::from(u16::from_le_bytes(*bits)) << 16);
            }
        }
        _ => {
            for (value, bits) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_le_bytes(*bits);
            }
        }
    }
}

/// A little-endian IEEE half as f32: always exact.
pub(super) fn f16(bytes: [u8; 2]) -> f32 {
    let half = u32::from(u16::from_le_bytes(bytes));
    let sign = (half & 0x8000) << 16;
    let exponent = half >> 10 & 0x1f;
    let fraction = half & 0x3ff;
    match exponent {
        // Zero and subnormals are multiples of 2^-24; `from_bits` keeps the sign of zero.
        0 => f32::from_bits((fraction as f32 / 16_777_216.0).to_bits() | sign),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the bits of a half mean, by the definition of IEEE 754.
    fn by_definition(half: u16) -> f64 {
        let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
        let fraction = f64::from(half & 0x3ff) / 1024.0;
        let magnitude = match i32::from(half >> 10 & 0x1f) {
            0 => fraction * 2f64.powi(-14),
            31 if half & 0x3ff == 0 => f64::INFINITY,
            31 => f64::NAN,
            exponent => (1.0 + fraction) * 2f64.powi(exponent - 15),
        };
        sign * magnitude
    }

    #[test]
    fn all_halves_are_what_they_mean() {
        for half in 0..=u16::MAX {
            let (found, wanted) = (f64::from(f16(half.to_le_bytes())), by_definition(half));
            assert!(
                found.to_bits() == wanted.to_bits() || (found.is_nan() && wanted.is_nan()),
                "{half:04x}: {found} instead of {wanted}"
            );
        }
    }
}
