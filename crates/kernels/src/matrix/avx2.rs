//! AVX2, FMA and F16C: a panel's 16 rows are two registers of 8.

use std::arch::{asm, x86_64::*};

use super::vectors::{Tile, Vectors, Weights};

/// See the module.
pub(super) struct Avx2;

/// A tile of `M` rows, with the instruction set enabled; how many those are.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<W: Weights, const M: usize>(weights: W, at: &Tile) -> usize {
    // SAFETY: as promised by the caller.
    unsafe { weights.tile::<Avx2, M>(at) }
    M
}

/// The same sum, of which the optimiser knows nothing. It would otherwise regroup the additions of a whole group, and
/// keep all unpacked weights in memory while it makes one sum after the other.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(mut sum: __m256i) -> __m256i {
    // SAFETY: an empty assembler text; the operand only names a register.
    unsafe { asm!("/* {0} */", inout(ymm_reg) sum, options(pure, nomem, nostack, preserves_flags)) }
    sum
}

impl Vectors for Avx2 {
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];

    const SLOW_SUMS: bool = false;

    // Four rows take 8 of the 16 registers for their integer sums.
    unsafe fn panels<W: Weights>(weights: W, mut at: Tile, mut rows: usize) {
        // SAFETY: as promised by the caller; a tile below is only made of rows that are there.
        unsafe {
            while rows > 0 {
                let done = match rows {
                    4.. => tile::<W, 4>(weights, &at),
                    2.. => tile::<W, 2>(weights, &at),
                    _ => tile::<W, 1>(weights, &at),
                };
                (at, rows) = (at.below(done), rows - done);
            }
        }
    }

    #[inline(always)]
    unsafe fn zero_ints() -> Self::Ints {
        // SAFETY: the instruction set is there, as promised by the caller; so in all that follow.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn load_nibbles(from: *const u8) -> Self::Ints {
        // SAFETY: 64 bytes, as promised by the caller.
        unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())] }
    }

    #[inline(always)]
    unsafe fn nibbles<const SHIFT: u32>(packed: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe {
            let (mask, shift) = (_mm256_set1_epi16(15), _mm_cvtsi32_si128(SHIFT as i32));
            [
                _mm256_and_si256(_mm256_srl_epi16(packed[0], shift), mask),
                _mm256_and_si256(_mm256_srl_epi16(packed[1], shift), mask),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_high_bits<const BITS: u32>(from: *const u8) -> Self::Ints {
        // SAFETY: 16 or 32 bytes, as promised by the caller.
        unsafe {
            let first = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast()));
            if BITS == 1 {
                [first, _mm256_srli_epi16::<4>(first)]
            } else {
                [first, _mm256_cvtepu8_epi16(_mm_loadu_si128(from.add(16).cast()))]
            }
        }
    }

    #[inline(always)]
    unsafe fn with_high_bits<const BITS: u32, const N: u32>(low: Self::Ints, high: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe {
            let mask = _mm256_set1_epi16(((1 << BITS) - 1) << 4);
            let at = (BITS * N) as i32;
            let (left, right) = (_mm_cvtsi32_si128((4 - at).max(0)), _mm_cvtsi32_si128((at - 4).max(0)));
            let add = |low, high| {
                let high = _mm256_srl_epi16(_mm256_sll_epi16(high, left), right);
                _mm256_or_si256(low, _mm256_and_si256(high, mask))
            };
            [add(low[0], high[0]), add(low[1], high[1])]
        }
    }

    #[inline(always)]
    unsafe fn less(codes: Self::Ints, offset: i16) -> Self::Ints {
        // SAFETY: as above.
        unsafe {
            let offset = _mm256_set1_epi16(offset);
            [_mm256_sub_epi16(codes[0], offset), _mm256_sub_epi16(codes[1], offset)]
        }
    }

    #[inline(always)]
    unsafe fn load_levels(from: *const i8) -> Self::Ints {
        // SAFETY: 16 bytes, as promised by the caller.
        unsafe { [_mm256_broadcastsi128_si256(_mm_loadu_si128(from.cast())); 2] }
    }

    #[inline(always)]
    unsafe fn levels(levels: Self::Ints, codes: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe {
            // The upper byte of a lane chooses a level too; shifting the lower one up and down again replaces it.
            let choose =
                |levels, codes| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(_mm256_shuffle_epi8(levels, codes)));
            [choose(levels[0], codes[0]), choose(levels[1], codes[1])]
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self::Ints {
        // SAFETY: 32 bytes, as promised by the caller.
        unsafe {
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(16).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add_products(sum: Self::Ints, weights: Self::Ints, pair: *const i16) -> Self::Ints {
        // SAFETY: 4 bytes, as promised by the caller.
        unsafe {
            let pair = _mm256_set1_epi32(pair.cast::<i32>().read_unaligned());
            [
                in_order(_mm256_add_epi32(sum[0], _mm256_madd_epi16(weights[0], pair))),
                in_order(_mm256_add_epi32(sum[1], _mm256_madd_epi16(weights[1], pair))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn zero_floats() -> Self::Floats {
        // SAFETY: as above.
        unsafe { [_mm256_setzero_ps(); 2] }
    }

    #[inline(always)]
    unsafe fn to_floats(ints: Self::Ints) -> Self::Floats {
        // SAFETY: as above.
        unsafe { [_mm256_cvtepi32_ps(ints[0]), _mm256_cvtepi32_ps(ints[1])] }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes, as promised by the caller.
        unsafe {
            let bytes = _mm_loadu_si128(from.cast());
            let (low, high) = (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
            [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)]
        }
    }

    #[inline(always)]
    unsafe fn load_f32(from: *const u8) -> Self::Floats {
        // SAFETY: 64 bytes, as promised by the caller.
        unsafe { [_mm256_loadu_ps(from.cast()), _mm256_loadu_ps(from.add(32).cast())] }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes, as promised by the caller.
        unsafe {
            [_mm256_cvtph_ps(_mm_loadu_si128(from.cast())), _mm256_cvtph_ps(_mm_loadu_si128(from.add(16).cast()))]
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes, as promised by the caller.
        unsafe {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(16).cast()));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high))]
        }
    }

    #[inline(always)]
    unsafe fn broadcast(value: f32) -> Self::Floats {
        // SAFETY: as above.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: as above.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::Floats, b: Self::Floats, sum: Self::Floats) -> Self::Floats {
        // SAFETY: as above.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], sum[0]), _mm256_fmadd_ps(a[1], b[1], sum[1])] }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, floats: Self::Floats) {
        // SAFETY: 64 bytes, as promised by the caller.
        unsafe {
            _mm256_storeu_ps(to, floats[0]);
            _mm256_storeu_ps(to.add(8), floats[1]);
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
