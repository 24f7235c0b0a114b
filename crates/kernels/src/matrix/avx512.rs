//! AVX-512, with VNNI or without: a panel's 16 rows are one register.

use std::arch::{asm, x86_64::*};

use super::vectors::{Tile, Vectors, Weights};

/// See the module. Without VNNI a product and an addition are two instructions, with the same result.
pub(super) struct Avx512<const VNNI: bool>;

/// A tile of `M` rows, with the instruction set enabled.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn tile<W: Weights, const M: usize>(weights: W, tile: &Tile) {
    // SAFETY: as promised by the caller.
    unsafe { weights.tile::<Avx512<false>, M>(tile) }
}

/// The same with VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile_vnni<W: Weights, const M: usize>(weights: W, tile: &Tile) {
    // SAFETY: as promised by the caller.
    unsafe { weights.tile::<Avx512<true>, M>(tile) }
}

/// The same sum, of which the optimiser knows nothing; see the twin in `avx2`.
#[inline]
#[target_feature(enable = "avx512f")]
fn in_order(mut sum: __m512i) -> __m512i {
    // SAFETY: an empty assembler text; the operand only names a register.
    unsafe { asm!("/* {0} */", inout(zmm_reg) sum, options(pure, nomem, nostack, preserves_flags)) }
    sum
}

/// `vpdpwssd`. Not the intrinsic, because the compiler makes two instructions of that to save latency, and these kernels
/// are bound by throughput.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_products_vnni(mut sum: __m512i, weights: __m512i, pair: __m512i) -> __m512i {
    // SAFETY: an instruction on registers that is part of the enabled instruction set.
    unsafe {
        asm!(
            "vpdpwssd {sum}, {weights}, {pair}",
            sum = inout(zmm_reg) sum,
            weights = in(zmm_reg) weights,
            pair = in(zmm_reg) pair,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

impl<const VNNI: bool> Avx512<VNNI> {
    /// A tile of `M` rows; how many those are.
    unsafe fn tile<W: Weights, const M: usize>(weights: W, at: &Tile) -> usize {
        // SAFETY: as promised by the caller.
        unsafe {
            if VNNI {
                tile_vnni::<W, M>(weights, at);
            } else {
                tile::<W, M>(weights, at);
            }
        }
        M
    }
}

impl<const VNNI: bool> Vectors for Avx512<VNNI> {
    type Ints = __m512i;
    type Floats = __m512;

    const SLOW_SUMS: bool = VNNI;

    // Eight rows take 8 of the 32 registers for their integer sums and 8 for their float sums.
    unsafe fn panels<W: Weights>(weights: W, mut at: Tile, mut rows: usize) {
        // SAFETY: as promised by the caller, who has `digits` only where there is AMX; a tile below is only made of rows that
        // are there.
        unsafe {
            if VNNI && let Some(digits) = at.digits {
                let done = weights.tile_registers(&at, rows, digits);
                (at, rows) = (at.below(done), rows - done);
            }
            while rows > 0 {
                let done = match rows {
                    8.. => Self::tile::<W, 8>(weights, &at),
                    4.. => Self::tile::<W, 4>(weights, &at),
                    2.. => Self::tile::<W, 2>(weights, &at),
                    _ => Self::tile::<W, 1>(weights, &at),
                };
                (at, rows) = (at.below(done), rows - done);
            }
        }
    }

    #[inline(always)]
    unsafe fn zero_ints() -> Self::Ints {
        // SAFETY: the instruction set is there, as promised by the caller; so in all that follow.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn load_nibbles(from: *const u8) -> Self::Ints {
        // SAFETY: 64 bytes, as promised by the caller.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn nibbles<const SHIFT: u32>(packed: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<SHIFT>(packed), _mm512_set1_epi16(15)) }
    }

    #[inline(always)]
    unsafe fn load_high_bits<const BITS: u32>(from: *const u8) -> Self::Ints {
        // SAFETY: 16 or 32 bytes, as promised by the caller.
        unsafe {
            if BITS == 1 {
                let first = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast()));
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), _mm256_srli_epi16::<4>(first))
            } else {
                _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast()))
            }
        }
    }

    #[inline(always)]
    unsafe fn with_high_bits<const BITS: u32, const N: u32>(low: Self::Ints, high: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe {
            let mask = _mm512_set1_epi16(((1 << BITS) - 1) << 4);
            let at = (BITS * N) as i32;
            let (left, right) = (_mm_cvtsi32_si128((4 - at).max(0)), _mm_cvtsi32_si128((at - 4).max(0)));
            let high = _mm512_srl_epi16(_mm512_sll_epi16(high, left), right);
            _mm512_or_si512(low, _mm512_and_si512(high, mask))
        }
    }

    #[inline(always)]
    unsafe fn less(codes: Self::Ints, offset: i16) -> Self::Ints {
        // SAFETY: as above.
        unsafe { _mm512_sub_epi16(codes, _mm512_set1_epi16(offset)) }
    }

    #[inline(always)]
    unsafe fn load_levels(from: *const i8) -> Self::Ints {
        // SAFETY: 16 bytes, as promised by the caller.
        unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn levels(levels: Self::Ints, codes: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe { _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(_mm512_shuffle_epi8(levels, codes))) }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self::Ints {
        // SAFETY: 32 bytes, as promised by the caller.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn add_products(sum: Self::Ints, weights: Self::Ints, pair: *const i16) -> Self::Ints {
        // SAFETY: 4 bytes, as promised by the caller.
        unsafe {
            let pair = _mm512_set1_epi32(pair.cast::<i32>().read_unaligned());
            if VNNI {
                add_products_vnni(sum, weights, pair)
            } else {
                in_order(_mm512_add_epi32(sum, _mm512_madd_epi16(weights, pair)))
            }
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::Ints, b: Self::Ints) -> Self::Ints {
        // SAFETY: as above.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn zero_floats() -> Self::Floats {
        // SAFETY: as above.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn to_floats(ints: Self::Ints) -> Self::Floats {
        // SAFETY: as above.
        unsafe { _mm512_cvtepi32_ps(ints) }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes, as promised by the caller.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_f32(from: *const u8) -> Self::Floats {
        // SAFETY: 64 bytes, as promised by the caller.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes, as promised by the caller.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes, as promised by the caller.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn broadcast(value: f32) -> Self::Floats {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::Floats, b: Self::Floats, sum: Self::Floats) -> Self::Floats {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, floats: Self::Floats) {
        // SAFETY: 64 bytes, as promised by the caller.
        unsafe { _mm512_storeu_ps(to, floats) }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
