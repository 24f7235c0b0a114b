//! Root mean square norm.
//!
//! The sum of squares of a row has 16 accumulators, one per lane, and the fixed tree of `Lanes::sum`; the scale is one
//! exactly rounded square root and division. So every level gives the same bits.

use crate::{
    Pool,
    disjoint::Disjoint,
    math::{Kernel, Lanes, VECTOR, dispatch},
};

/// Elements that one task normalises: fewer are not worth handing to another thread.
const TASK: usize = 8192;

/// out = x / rms(x) · weight for each row of `x` and `out`, both `[rows, weight.len()]`, where rms(x) is
/// √(mean(x²) + epsilon). With a weight of `head_dim` elements it is a norm per head.
///
/// Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019), equation 4.
///
/// # Panics
/// When `x` and `out` differ in length, or are not whole rows.
pub fn rms_norm(pool: &Pool, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "the norm's input and output differ in length");
    let parts = Disjoint::new(out);
    in_chunks_of_rows(pool, x.len(), weight, &|start, end| {
        // SAFETY: each call has another range of rows.
        let out = unsafe { parts.slice(start..end) };
        out.copy_from_slice(&x[start..end]);
        dispatch(pool, Norm { x: out, weight, epsilon });
    });
}

/// [`rms_norm`] that overwrites its input.
///
/// # Panics
/// When `x` is not whole rows.
pub fn rms_norm_in_place(pool: &Pool, x: &mut [f32], weight: &[f32], epsilon: f32) {
    let len = x.len();
    let parts = Disjoint::new(x);
    in_chunks_of_rows(pool, len, weight, &|start, end| {
        // SAFETY: each call has another range of rows.
        dispatch(pool, Norm { x: unsafe { parts.slice(start..end) }, weight, epsilon });
    });
}

/// Calls `work(start, end)` for element ranges that are whole rows and together all `len` elements.
fn in_chunks_of_rows(pool: &Pool, len: usize, weight: &[f32], work: &(dyn Fn(usize, usize) + Sync)) {
    let width = weight.len();
    assert!(width > 0 && len.is_multiple_of(width), "{len} elements are not whole rows of {width}");
    let chunk = width * TASK.div_ceil(width);
    pool.run(len.div_ceil(chunk), &|task| work(task * chunk, len.min((task + 1) * chunk)));
}

struct Norm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl Kernel for Norm<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.x.chunks_exact_mut(self.weight.len()) {
            let scale = 1.0 / (mean_square(l, row) + self.epsilon).sqrt();
            for (x, w) in row.iter_mut().zip(self.weight) {
                *x = *x * scale * w;
            }
        }
    }
}

#[inline(always)]
fn mean_square<L: Lanes>(l: L, row: &[f32]) -> f32 {
    let mut sum = l.splat(0.0);
    let (vectors, rest) = row.as_chunks::<VECTOR>();
    for vector in vectors {
        let x = l.load(vector);
        sum = l.fma(x, x, sum);
    }
    if !rest.is_empty() {
        let mut padded = [0.0; VECTOR];
        padded[..rest.len()].copy_from_slice(rest);
        let x = l.load(&padded);
        sum = l.fma(x, x, sum);
    }
    l.sum(sum) / row.len() as f32
}

#[cfg(test)]
mod tests;
