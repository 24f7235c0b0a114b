//! 16-bit floats as bit patterns: IEEE 754 binary16 and bfloat16.

/// The value of a binary16 bit pattern; exact, subnormals and infinities included. A NaN stays a NaN.
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => return f32::from_bits(sign | (fraction as f32 * (1.0 / 16_777_216.0)).to_bits()), // fraction * 2^-24
        31 if fraction == 0 => 0x7f80_0000,
        31 => 0x7fc0_0000 | fraction << 13, // quiet, as the hardware conversion makes it
        _ => (exponent + (127 - 15)) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The binary16 bit pattern nearest to `value`, ties to even; too large becomes infinity.
#[inline(always)]
pub(crate) fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00 | (magnitude >> 13 & 0x3ff) as u16;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00; // 65536 and above
    }
    if magnitude < 0x3880_0000 {
        // Below 2^-14 the result counts in units of 2^-24. Adding 0.5 makes the float unit do the rounding: the unit in
        // the last place of 0.5 is just 2^-24.
        let rounded = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits();
        return sign | rounded as u16;
    }
    // Rebias the exponent and round away the low 13 bits; a carry runs into the exponent, and to infinity, as it should.
    let rebiased = magnitude - ((127 - 15) << 23);
    let rounded = rebiased + 0xfff + (rebiased >> 13 & 1);
    sign | (rounded >> 13) as u16
}

/// The value of a bfloat16 bit pattern.
#[inline(always)]
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_converts_there_and_back() {
        for bits in 0..=u16::MAX {
            let value = f16_to_f32(bits);
            if value.is_nan() {
                assert!(f16_to_f32(f32_to_f16(value)).is_nan());
            } else {
                assert_eq!(f32_to_f16(value), bits, "{value}");
            }
        }
    }

    #[test]
    fn known_values() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 2f32.powi(-24)), (0x0400, 2f32.powi(-14))]
        {
            assert_eq!(f16_to_f32(bits), value);
        }
        assert_eq!(f16_to_f32(0x7c00), f32::INFINITY);
        assert_eq!(bf16_to_f32(0x3fc0), 1.5);
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        for bits in 0..0x7bffu16 {
            let (low, high) = (f16_to_f32(bits), f16_to_f32(bits + 1));
            let middle = (low + high) / 2.0; // exact in f32
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(f32_to_f16(middle), even, "{middle}");
            assert_eq!(f32_to_f16(f32::from_bits(middle.to_bits() - 1)), bits);
            assert_eq!(f32_to_f16(f32::from_bits(middle.to_bits() + 1)), bits + 1);
        }
        assert_eq!(f32_to_f16(65519.9), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(1e30), 0x7c00);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn conversions_agree_with_the_hardware() {
        use std::arch::x86_64::{
            _mm_cvtph_ps, _mm_cvtps_ph, _mm_cvtsi32_si128, _mm_cvtsi128_si32, _mm_cvtss_f32, _mm_set_ss,
        };
        if !std::arch::is_x86_feature_detected!("f16c") {
            return;
        }
        #[target_feature(enable = "f16c")]
        fn hardware(bits: u16) -> (f32, u16) {
            let value = _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits)));
            (
                _mm_cvtss_f32(value),
                _mm_cvtsi128_si32(_mm_cvtps_ph::<0>(_mm_set_ss(_mm_cvtss_f32(value) * 1.0002))) as u16,
            )
        }
        for bits in 0..=u16::MAX {
            // SAFETY: f16c was detected above.
            let (value, back) = unsafe { hardware(bits) };
            assert_eq!(value.to_bits(), f16_to_f32(bits).to_bits());
            if !value.is_nan() {
                assert_eq!(back, f32_to_f16(value * 1.0002));
            }
        }
    }
}
