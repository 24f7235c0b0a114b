//! Vectors as two 256-bit registers: AVX2, FMA and F16C.

use std::arch::x86_64::*;

use super::{Kernel, Lanes, VECTOR};

/// Exists only where the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Runs the kernel with AVX2.
///
/// # Safety
/// The CPU has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) {
    kernel.run(Avx2(()));
}

/// An operation on both halves. SAFETY of all uses: a value of `Avx2` exists, so the CPU has the instructions; memory is
/// touched only through references to whole vectors.
macro_rules! both {
    ($operation:ident($($v:expr),*)) => {
        // SAFETY: see the macro.
        unsafe { ($operation($($v.0),*), $operation($($v.1),*)) }
    };
}

impl Lanes for Avx2 {
    type V = (__m256, __m256);
    const WIDE: bool = false;
    const PLAIN: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: the CPU has AVX, as `self` proves.
        let v = unsafe { _mm256_set1_ps(x) };
        (v, v)
    }
    #[inline(always)]
    fn load(self, from: &[f32; VECTOR]) -> Self::V {
        let start = from.as_ptr();
        // SAFETY: the CPU has AVX, as `self` proves; both halves lie inside the array.
        unsafe { (_mm256_loadu_ps(start), _mm256_loadu_ps(start.add(8))) }
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; VECTOR]) {
        let start = to.as_mut_ptr();
        // SAFETY: the CPU has AVX, as `self` proves; both halves lie inside the array.
        unsafe {
            _mm256_storeu_ps(start, v.0);
            _mm256_storeu_ps(start.add(8), v.1);
        }
    }
    #[inline(always)]
    fn load_f16(self, from: &[u16; VECTOR]) -> Self::V {
        let start = from.as_ptr().cast::<__m128i>();
        // SAFETY: the CPU has F16C, as `self` proves; both halves lie inside the array.
        unsafe { (_mm256_cvtph_ps(_mm_loadu_si128(start)), _mm256_cvtph_ps(_mm_loadu_si128(start.add(1)))) }
    }
    #[inline(always)]
    fn load_i8(self, from: &[i8; VECTOR]) -> Self::V {
        let bytes = from.as_ptr().cast::<__m128i>();
        // SAFETY: the CPU has AVX2, as `self` proves; the array is 128 bits.
        unsafe {
            let bytes = _mm_loadu_si128(bytes);
            let (low, high) = (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
            (_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }
    #[inline(always)]
    fn store_f16(self, v: Self::V, to: &mut [u16; VECTOR]) {
        let start = to.as_mut_ptr().cast::<__m128i>();
        // SAFETY: the CPU has F16C, as `self` proves; both halves lie inside the array.
        unsafe {
            _mm_storeu_si128(start, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.0));
            _mm_storeu_si128(start.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.1));
        }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        both!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX, as `self` proves.
        unsafe {
            (
                _mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0)),
                _mm256_blendv_ps(no.1, yes.1, _mm256_cmp_ps::<_CMP_LT_OQ>(a.1, b.1)),
            )
        }
    }
    #[inline(always)]
    fn exponent_of(self, x: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX2, as `self` proves.
        unsafe {
            (
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(x.0))),
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(x.1))),
            )
        }
    }
    #[inline(always)]
    fn prefetch<T>(self, at: &T) {
        // SAFETY: every CPU with AVX has the instruction, and it may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) }
    }
}
