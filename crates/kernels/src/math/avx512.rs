//! Vectors as one 512-bit register: AVX-512 F.

use std::arch::x86_64::*;

use super::{Kernel, Lanes, VECTOR};

/// Exists only where the CPU has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Runs the kernel with AVX-512.
///
/// # Safety
/// The CPU has AVX-512 F, BW, DQ and VL, and all of AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) {
    kernel.run(Avx512(()));
}

impl Lanes for Avx512 {
    type V = __m512;
    const WIDE: bool = true;
    const PLAIN: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, from: &[f32; VECTOR]) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves; the array is one vector.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; VECTOR]) {
        // SAFETY: the CPU has AVX-512 F, as `self` proves; the array is one vector.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_f16(self, from: &[u16; VECTOR]) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves; the array is 256 bits.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8(self, from: &[i8; VECTOR]) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves; the array is 128 bits.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn store_f16(self, v: Self::V, to: &mut [u16; VECTOR]) {
        // SAFETY: the CPU has AVX-512 F, as `self` proves; the array is 256 bits.
        unsafe {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v));
        }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes) }
    }
    #[inline(always)]
    fn exponent_of(self, x: Self::V) -> Self::V {
        // SAFETY: the CPU has AVX-512 F, as `self` proves.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(x))) }
    }
    #[inline(always)]
    fn prefetch<T>(self, at: &T) {
        // SAFETY: every CPU with AVX-512 has the instruction, and it may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) }
    }
}
