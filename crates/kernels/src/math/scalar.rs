//! Vectors as arrays: the reference for the other levels.
//!
//! Operations that become a library call or a branch per lane are kept out of line: inlined into every kernel they would
//! take minutes to compile.

use super::{Lanes, VECTOR};
use crate::half::{f16_to_f32, f32_to_f16};

/// Plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Lanes for Scalar {
    type V = [f32; VECTOR];
    const WIDE: bool = false;
    const PLAIN: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; VECTOR]
    }
    #[inline(always)]
    fn load(self, from: &[f32; VECTOR]) -> Self::V {
        *from
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; VECTOR]) {
        *to = v;
    }
    #[inline(never)]
    fn load_f16(self, from: &[u16; VECTOR]) -> Self::V {
        from.map(f16_to_f32)
    }
    #[inline(always)]
    fn load_i8(self, from: &[i8; VECTOR]) -> Self::V {
        from.map(f32::from)
    }
    #[inline(never)]
    fn store_f16(self, v: Self::V, to: &mut [u16; VECTOR]) {
        *to = v.map(f32_to_f16);
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(never)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn exponent_of(self, x: Self::V) -> Self::V {
        x.map(|x| f32::from_bits(x.to_bits() << 23))
    }
}
