//! Vectors of 16 floats at each instruction-set level, and the functions that models need on them.
//!
//! Each function is one formula of fused multiply-adds in a fixed order, written once over [`Lanes`]; the levels differ
//! in nothing but the instructions that do the steps, so their results are the same bit for bit.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod lanes;
#[cfg(test)]
pub(crate) mod random;
mod scalar;

pub(crate) use lanes::{Kernel, Lanes, VECTOR, Vector, dispatch};

/// Below this `exp` is 0: the result would be subnormal, or close to it.
const EXP_LOWEST: f32 = -87.0;
/// From here on `exp` keeps this argument's value: the next powers of two have no exponent in an f32.
const EXP_HIGHEST: f32 = 88.375;
/// ln 2 in two parts: the first has 15 bits, so that its product with a whole number below 256 is exact.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// 1.5·2²³ + 127: added to a number below 2²¹ it rounds it to a whole number, which the low bits of the sum then hold
/// with the bias of an f32's exponent.
const ROUND_AND_BIAS: f32 = 12_583_039.0;

/// −√(8/π).
const MINUS_SQRT_8_OVER_PI: f32 = -1.595_769_2;

/// eˣ, within 1 ulp on [-87, 88.375]; 0 below, the value at 88.375 (2.4e38) above, NaN for NaN. exp(0) is 1.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r = 1 + r + r²·p(r), where p is the minimax polynomial of degree 4 for the
/// relative error (3e-9) on that interval.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(l: L, x: L::V) -> L::V {
    let clamped = l.max(l.splat(EXP_LOWEST), l.min(l.splat(EXP_HIGHEST), x));
    let biased = l.fma(clamped, l.splat(std::f32::consts::LOG2_E), l.splat(ROUND_AND_BIAS));
    let n = l.sub(biased, l.splat(ROUND_AND_BIAS));
    let r = l.fma(n, l.splat(-LN2_HIGH), clamped);
    let r = l.fma(n, l.splat(-LN2_LOW), r);
    let p = l.splat(0.001_381_446_5);
    let p = l.fma(p, r, l.splat(0.008_368_781));
    let p = l.fma(p, r, l.splat(0.041_668_393));
    let p = l.fma(p, r, l.splat(0.166_665_2));
    let p = l.fma(p, r, l.splat(0.499_999_94));
    let p = l.fma(p, r, l.splat(1.0));
    let p = l.fma(p, r, l.splat(1.0));
    let e = l.mul(p, l.exponent_of(biased));
    l.select_less(x, l.splat(EXP_LOWEST), l.splat(0.0), e)
}

/// Hyperbolic tangent, within 2 ulp; NaN for NaN.
///
/// Near 0 the odd minimax polynomial x + x³·p(x²) (relative error 5e-9 below 0.625), elsewhere 1 − 2/(e^2|x| + 1).
#[inline(always)]
pub(crate) fn tanh<L: Lanes>(l: L, x: L::V) -> L::V {
    let zero = l.splat(0.0);
    let negated = l.sub(zero, x);
    let magnitude = l.max(negated, x);
    let e = exp(l, l.add(magnitude, magnitude));
    let far = l.sub(l.splat(1.0), l.div(l.splat(2.0), l.add(e, l.splat(1.0))));
    let far = l.select_less(x, zero, l.sub(zero, far), far);
    let square = l.mul(x, x);
    let p = l.splat(-0.005_702_603);
    let p = l.fma(p, square, l.splat(0.020_637_037));
    let p = l.fma(p, square, l.splat(-0.053_739_116));
    let p = l.fma(p, square, l.splat(0.133_314_36));
    let p = l.fma(p, square, l.splat(-0.333_332_8));
    let near = l.fma(l.mul(p, square), x, x);
    l.select_less(magnitude, l.splat(0.625), near, far)
}

/// SiLU: x / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn silu<L: Lanes>(l: L, x: L::V) -> L::V {
    let e = exp(l, l.sub(l.splat(0.0), x));
    l.div(x, l.add(l.splat(1.0), e))
}

/// x / (1 + e^(−αx)): SiLU with a gain.
#[inline(always)]
pub(crate) fn silu_with_gain<L: Lanes>(l: L, x: L::V, alpha: f32) -> L::V {
    let e = exp(l, l.mul(x, l.splat(-alpha)));
    l.div(x, l.add(l.splat(1.0), e))
}

/// The tanh form of GELU, x/2 · (1 + tanh u) with u = √(2/π)·(x + 0.044715·x³), as the equal x / (1 + e^−2u): one
/// exponential less work, and no cancellation for negative x.
#[inline(always)]
pub(crate) fn gelu_tanh<L: Lanes>(l: L, x: L::V) -> L::V {
    let inner = l.fma(l.mul(l.mul(x, x), x), l.splat(0.044_715), x);
    let e = exp(l, l.mul(inner, l.splat(MINUS_SQRT_8_OVER_PI)));
    l.div(x, l.add(l.splat(1.0), e))
}

/// GELU in its own form, x/2 · (1 + erf(x/√2)), as max(x, 0) − |x|/2 · erfc(|x|/√2), in which nothing cancels; within 8e-8.
///
/// erfc(|x|/√2) = e^(−x²/2) · t·q(t) with t = 1/(1 + 0.297·|x|), where q is the minimax polynomial of degree 7 for the relative
/// error (1.7e-7); the form is that of Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
#[inline(always)]
pub(crate) fn gelu_erf<L: Lanes>(l: L, x: L::V) -> L::V {
    let zero = l.splat(0.0);
    // Beyond 40 all is 0 or x, and an infinity would be multiplied with 0.
    let magnitude = l.min(l.splat(40.0), l.max(l.sub(zero, x), x));
    let t = l.div(l.splat(1.0), l.fma(magnitude, l.splat(0.296_984_85), l.splat(1.0)));
    let q = l.splat(0.070_215_18);
    let q = l.fma(q, t, l.splat(-0.320_189_62));
    let q = l.fma(q, t, l.splat(0.440_556_5));
    let q = l.fma(q, t, l.splat(-0.130_418_14));
    let q = l.fma(q, t, l.splat(0.268_684_54));
    let q = l.fma(q, t, l.splat(0.194_744_04));
    let q = l.fma(q, t, l.splat(0.239_582_9));
    let q = l.fma(q, t, l.splat(0.236_824_44));
    let e = exp(l, l.mul(l.mul(magnitude, l.splat(-0.5)), magnitude));
    let tail = l.mul(l.mul(q, t), e);
    l.fma(l.mul(magnitude, l.splat(-0.5)), tail, l.max(zero, x))
}

/// Soft cap: cap · tanh(x / cap), as cap · tanh(x · (1/cap)).
#[inline(always)]
pub(crate) fn softcap<L: Lanes>(l: L, x: L::V, cap: f32) -> L::V {
    l.mul(tanh(l, l.mul(x, l.splat(1.0 / cap))), l.splat(cap))
}

/// `f(x)` for every element: whole vectors in place, the rest through a padded copy.
macro_rules! for_each_vector {
    ($l:expr, $values:expr, |$x:ident| $body:expr) => {{
        let l = $l;
        let (vectors, rest) = $values.as_chunks_mut::<{ crate::math::VECTOR }>();
        for vector in vectors {
            let $x = l.load(vector);
            l.store($body, vector);
        }
        if !rest.is_empty() {
            let mut padded = [0.0; crate::math::VECTOR];
            padded[..rest.len()].copy_from_slice(rest);
            let $x = l.load(&padded);
            l.store($body, &mut padded);
            rest.copy_from_slice(&padded[..rest.len()]);
        }
    }};
}
pub(crate) use for_each_vector;

#[cfg(test)]
mod tests;
