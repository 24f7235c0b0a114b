//! Element by element: gated activations, sums, scales and caps.
//!
//! Work is handed to other threads only when there is enough of it; where it is cut never shows in the result.

use crate::{
    Pool,
    disjoint::Disjoint,
    math::{Kernel, Lanes, dispatch, for_each_vector, gelu_tanh, silu, silu_with_gain, softcap as softcap_lanes},
};

/// Elements of one task of a sum: below this, memory is faster than another thread.
const TASK: usize = 32_768;
/// Elements of one task that computes exponentials.
const EXPONENTIAL_TASK: usize = 8_192;

/// The activation function of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))); Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016), section 2.
    GeluTanh,
    /// x · sigmoid(alpha · x) of x up to `limit`; what it is multiplied with is kept within ±`limit` and then has 1 added
    /// to it (OpenAI, "gpt-oss-120b & gpt-oss-20b Model Card" (2025), section 2.2).
    Clamped {
        /// The sigmoid's gain.
        alpha: f32,
        /// Above zero.
        limit: f32,
    },
}

/// gate = activation(gate) · up, or what else [`Activation`] says.
///
/// # Panics
/// When the two differ in length.
pub fn gated(pool: &Pool, activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up differ in length");
    in_chunks(pool, EXPONENTIAL_TASK, gate, &|start, gate| {
        let up = &up[start..start + gate.len()];
        match activation {
            Activation::Silu => dispatch(pool, Gated::<true> { gate, up }),
            Activation::GeluTanh => dispatch(pool, Gated::<false> { gate, up }),
            Activation::Clamped { alpha, limit } => dispatch(pool, Clamped { gate, up, alpha, limit }),
        }
    });
}

/// x += y.
///
/// # Panics
/// When the two differ in length.
pub fn add(pool: &Pool, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "the two sides of a sum differ in length");
    in_chunks(pool, TASK, x, &|start, x| dispatch(pool, Add { x, y: &y[start..] }));
}

/// x ·= factor.
pub fn scale(pool: &Pool, x: &mut [f32], factor: f32) {
    in_chunks(pool, TASK, x, &|_, x| dispatch(pool, Scale { x, factor }));
}

/// x += bias for each row of `x`, `[rows, bias.len()]`.
///
/// # Panics
/// When `x` is not whole rows.
pub fn add_bias(pool: &Pool, x: &mut [f32], bias: &[f32]) {
    let width = bias.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "{} elements are not whole rows of {width}", x.len());
    in_chunks(pool, width * TASK.div_ceil(width), x, &|_, x| {
        for row in x.chunks_exact_mut(width) {
            dispatch(pool, Add { x: row, y: bias });
        }
    });
}

/// x = cap · tanh(x / cap).
pub fn softcap(pool: &Pool, x: &mut [f32], cap: f32) {
    in_chunks(pool, EXPONENTIAL_TASK, x, &|_, x| dispatch(pool, Softcap { x, cap }));
}

/// Calls `work(start, elements)` for consecutive pieces of `chunk` elements.
pub(crate) fn in_chunks(pool: &Pool, chunk: usize, x: &mut [f32], work: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let len = x.len();
    let parts = Disjoint::new(x);
    pool.run(len.div_ceil(chunk), &|task| {
        let start = task * chunk;
        // SAFETY: each task has another range.
        work(start, unsafe { parts.slice(start..len.min(start + chunk)) });
    });
}

struct Gated<'a, const SILU: bool> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl<const SILU: bool> Kernel for Gated<'_, SILU> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for_each_vector!(l, self.gate, |x| if SILU { silu(l, x) } else { gelu_tanh(l, x) });
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate *= up;
        }
    }
}

struct Clamped<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
    alpha: f32,
    limit: f32,
}

impl Kernel for Clamped<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let limit = l.splat(self.limit);
        for_each_vector!(l, self.gate, |x| silu_with_gain(l, l.min(limit, x), self.alpha));
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate *= up.clamp(-self.limit, self.limit) + 1.0;
        }
    }
}

struct Add<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Kernel for Add<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        for (x, y) in self.x.iter_mut().zip(self.y) {
            *x += y;
        }
    }
}

struct Scale<'a> {
    x: &'a mut [f32],
    factor: f32,
}

impl Kernel for Scale<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        for x in self.x {
            *x *= self.factor;
        }
    }
}

struct Softcap<'a> {
    x: &'a mut [f32],
    cap: f32,
}

impl Kernel for Softcap<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for_each_vector!(l, self.x, |x| softcap_lanes(l, x, self.cap));
    }
}

#[cfg(test)]
mod tests;
