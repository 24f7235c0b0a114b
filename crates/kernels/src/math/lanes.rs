//! What a level offers to kernels: 16 floats at once.

use crate::{Level, Pool};

/// Floats in a vector, at every level: two AVX2 registers, one AVX-512 register, an array.
pub(crate) const VECTOR: usize = 16;

/// A vector in memory, on a cache line of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Vector(pub [f32; VECTOR]);

impl Vector {
    pub(crate) const ZERO: Self = Self([0.0; VECTOR]);
}

/// Arithmetic on vectors of [`VECTOR`] floats, lane by lane, with the same bits at every level (but for which NaN a NaN
/// is). A value of an implementing type is the proof that the CPU has its instructions; so the methods are safe.
///
/// Everything that computes with these methods has to be `#[inline(always)]` down from [`Kernel::run`]: only inside of
/// [`dispatch`]'s functions may the compiler use the level's instructions.
pub(crate) trait Lanes: Copy {
    /// A vector in registers.
    type V: Copy;
    /// Whether a vector takes one register out of 32, and not two out of 16.
    const WIDE: bool;
    /// Whether this is plain Rust, for which nothing is gained by large tiles.
    const PLAIN: bool;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, from: &[f32; VECTOR]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; VECTOR]);
    /// Exact.
    fn load_f16(self, from: &[u16; VECTOR]) -> Self::V;
    /// Exact.
    fn load_i8(self, from: &[i8; VECTOR]) -> Self::V;
    /// To the nearest, ties to even; too large becomes infinity.
    fn store_f16(self, v: Self::V, to: &mut [u16; VECTOR]);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`: `b` when one is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a < b { a } else { b }`: `b` when one is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a < b { yes } else { no }`.
    fn select_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// The float whose sign and exponent fields are the low nine bits of `x`'s bit pattern, and whose fraction is 0.
    fn exponent_of(self, x: Self::V) -> Self::V;

    /// Asks for the cache line where `at` begins, so that it is there when it is read. A hint, which does nothing at some levels.
    #[inline(always)]
    fn prefetch<T>(self, at: &T) {
        let _ = at;
    }

    /// The sum of the lanes: 8 sums of lanes that are 8 apart, then 4 of those that are 4 apart, 2, 1.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut lanes = Vector::ZERO;
        self.store(v, &mut lanes.0);
        let Vector(mut a) = lanes;
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                a[i] += a[i + width];
            }
        }
        a[0]
    }

    /// The greatest lane; in the order of [`Lanes::sum`], which matters only when there are NaNs.
    #[inline(always)]
    fn greatest(self, v: Self::V) -> f32 {
        let mut lanes = Vector::ZERO;
        self.store(v, &mut lanes.0);
        let Vector(mut a) = lanes;
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                a[i] = if a[i] > a[i + width] { a[i] } else { a[i + width] };
            }
        }
        a[0]
    }
}

/// Work that is written once for all levels.
pub(crate) trait Kernel {
    /// Implementations are `#[inline(always)]`.
    fn run<L: Lanes>(self, l: L);
}

/// Runs the kernel with the instructions of the pool's level.
#[inline]
pub(crate) fn dispatch<K: Kernel>(pool: &Pool, kernel: K) {
    match pool.level() {
        // SAFETY: a pool's level is one that this CPU has.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni | Level::Amx => unsafe { super::avx512::run(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { super::avx2::run(kernel) },
        _ => kernel.run(super::scalar::Scalar),
    }
}
