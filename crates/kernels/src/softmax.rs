//! Softmax over short rows, such as a router's scores of its experts.
//!
//! The greatest score and the sum of weights have 16 accumulators, one per lane, and the fixed tree of `Lanes::sum`. So
//! every level gives the same bits.

use crate::{
    Pool,
    elementwise::in_chunks,
    math::{Kernel, Lanes, VECTOR, dispatch, exp},
};

/// Elements of one task.
const TASK: usize = 8_192;

/// x = e^(x − m) / Σ e^(x − m) for each row of `x`, `[rows, width]`, where m is the row's greatest element.
///
/// # Panics
/// When `x` is not whole rows.
pub fn softmax(pool: &Pool, x: &mut [f32], width: usize) {
    assert!(width > 0 && x.len().is_multiple_of(width), "{} elements are not whole rows of {width}", x.len());
    in_chunks(pool, width * TASK.div_ceil(width), x, &|_, x| dispatch(pool, Softmax { x, width }));
}

struct Softmax<'a> {
    x: &'a mut [f32],
    width: usize,
}

impl Kernel for Softmax<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.x.chunks_exact_mut(self.width) {
            let mut max = l.splat(f32::NEG_INFINITY);
            for part in row.chunks(VECTOR) {
                max = l.max(max, l.load(&padded(part)));
            }
            let max = l.splat(l.greatest(max));
            let mut sum = l.splat(0.0);
            for part in row.chunks_mut(VECTOR) {
                // What pads the last part has a weight of e^−∞ = 0.
                let weight = exp(l, l.sub(l.load(&padded(part)), max));
                sum = l.add(sum, weight);
                write(l, weight, part);
            }
            let sum = l.splat(l.sum(sum));
            for part in row.chunks_mut(VECTOR) {
                write(l, l.div(l.load(&padded(part)), sum), part);
            }
        }
    }
}

#[inline(always)]
fn padded(part: &[f32]) -> [f32; VECTOR] {
    let mut vector = [f32::NEG_INFINITY; VECTOR];
    vector[..part.len()].copy_from_slice(part);
    vector
}

#[inline(always)]
fn write<L: Lanes>(l: L, v: L::V, part: &mut [f32]) {
    let mut vector = [0.0; VECTOR];
    l.store(v, &mut vector);
    part.copy_from_slice(&vector[..part.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, math::random::Random};

    #[test]
    fn weights_are_what_the_formula_says_at_every_level() {
        let mut random = Random::new(1);
        for width in [1, 4, 16, 33, 128] {
            let scores = random.numbers(width * 300, 9.0);
            let mut wanted = scores.clone();
            softmax(&Pool::new(Level::Scalar, 1), &mut wanted, width);
            for (scores, found) in scores.chunks(width).zip(wanted.chunks(width)) {
                let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f64> = scores.iter().map(|score| f64::from(score - max).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for (weight, found) in weights.iter().zip(found) {
                    assert!((weight / sum - f64::from(*found)).abs() < 1e-6, "{found} of {width}");
                }
            }
            for level in Level::available() {
                let mut found = scores.clone();
                softmax(&Pool::new(level, 3), &mut found, width);
                assert!(found.iter().zip(&wanted).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?}, {width}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "10 elements are not whole rows of 3")]
    fn parts_of_rows_are_refused() {
        softmax(&Pool::new(Level::Scalar, 1), &mut [0.0; 10], 3);
    }
}
