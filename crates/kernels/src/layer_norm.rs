//! Layer norm, alone or of a sum.
//!
//! Sums of a row have 16 accumulators, one per lane, and the fixed tree of `Lanes::sum`; the scale is one exactly rounded
//! square root and division. So every level gives the same bits.

use crate::{
    Pool,
    disjoint::Disjoint,
    math::{Kernel, Lanes, VECTOR, dispatch},
};

/// Elements that one task normalises: fewer are not worth handing to another thread.
const TASK: usize = 8192;

/// What a layer norm has learned, one number a column each.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// Factors.
    pub weight: &'a [f32],
    /// Summands.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// x = (x − mean(x)) / √(variance(x) + epsilon) · weight + bias for each row of `x`, `[rows, weight.len()]`.
///
/// Ba et al., "Layer Normalization" (2016), equation 4; the variance is that of the population.
///
/// # Panics
/// When `x` is not whole rows, or weight and bias differ in length.
pub fn layer_norm(pool: &Pool, norm: LayerNorm<'_>, x: &mut [f32]) {
    run(pool, norm, None, x);
}

/// x = norm(x + (y + bias)) for each row, where `bias` is that of the product `y`, whose shape is that of `x`.
///
/// # Panics
/// When `x` is not whole rows, or lengths differ.
pub fn add_layer_norm(pool: &Pool, norm: LayerNorm<'_>, y: &[f32], bias: &[f32], x: &mut [f32]) {
    assert_eq!(y.len(), x.len(), "the two sides of a sum differ in length");
    assert_eq!(bias.len(), norm.weight.len(), "the bias of the sum and the norm differ in length");
    run(pool, norm, Some((y, bias)), x);
}

fn run(pool: &Pool, norm: LayerNorm<'_>, sum: Option<(&[f32], &[f32])>, x: &mut [f32]) {
    let width = norm.weight.len();
    assert_eq!(norm.bias.len(), width, "the norm's weight and bias differ in length");
    assert!(width > 0 && x.len().is_multiple_of(width), "{} elements are not whole rows of {width}", x.len());
    let (len, chunk) = (x.len(), width * TASK.div_ceil(width));
    let parts = Disjoint::new(x);
    pool.run(len.div_ceil(chunk), &|task| {
        let (start, end) = (task * chunk, len.min((task + 1) * chunk));
        // SAFETY: each task has another range of rows.
        let x = unsafe { parts.slice(start..end) };
        match sum {
            None => dispatch(pool, Normalise { norm, x }),
            Some((y, bias)) => dispatch(pool, AddAndNormalise { norm, y: &y[start..end], bias, x }),
        }
    });
}

struct Normalise<'a> {
    norm: LayerNorm<'a>,
    x: &'a mut [f32],
}

impl Kernel for Normalise<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.x.chunks_exact_mut(self.norm.weight.len()) {
            normalise(l, self.norm, row);
        }
    }
}

struct AddAndNormalise<'a> {
    norm: LayerNorm<'a>,
    y: &'a [f32],
    bias: &'a [f32],
    x: &'a mut [f32],
}

impl Kernel for AddAndNormalise<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let width = self.norm.weight.len();
        for (row, y) in self.x.chunks_exact_mut(width).zip(self.y.chunks_exact(width)) {
            for ((x, y), bias) in row.iter_mut().zip(y).zip(self.bias) {
                *x += y + bias;
            }
            normalise(l, self.norm, row);
        }
    }
}

#[inline(always)]
fn normalise<L: Lanes>(l: L, norm: LayerNorm<'_>, row: &mut [f32]) {
    let count = row.len() as f32;
    let (vectors, rest) = row.as_chunks::<VECTOR>();
    let mut sum = l.splat(0.0);
    for vector in vectors {
        sum = l.add(sum, l.load(vector));
    }
    if !rest.is_empty() {
        sum = l.add(sum, l.load(&padded(rest, 0.0)));
    }
    let mean = l.sum(sum) / count;
    let centre = l.splat(mean);
    let mut squares = l.splat(0.0);
    for vector in vectors {
        let off = l.sub(l.load(vector), centre);
        squares = l.fma(off, off, squares);
    }
    if !rest.is_empty() {
        // What pads is as far from the mean as the mean is from itself.
        let off = l.sub(l.load(&padded(rest, mean)), centre);
        squares = l.fma(off, off, squares);
    }
    let scale = 1.0 / (l.sum(squares) / count + norm.epsilon).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

#[inline(always)]
fn padded(part: &[f32], with: f32) -> [f32; VECTOR] {
    let mut vector = [with; VECTOR];
    vector[..part.len()].copy_from_slice(part);
    vector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, math::random::Random};

    /// Rows, the second side of a sum, its bias, and the weight and bias of a norm.
    fn numbers(random: &mut Random, width: usize, rows: usize) -> [Vec<f32>; 5] {
        let mut rows_of = |rows: usize| random.numbers(width * rows, 5.0);
        let mut x = rows_of(rows);
        // Far from zero, the variance is small beside the mean.
        x[..width].iter_mut().for_each(|x| *x += 100.0);
        [x, rows_of(rows), rows_of(1), rows_of(1), rows_of(1)]
    }

    #[test]
    fn the_norm_is_that_of_the_formula() {
        let mut random = Random::new(1);
        let pool = Pool::new(Level::Scalar, 1);
        for width in [2, 8, 100, 384, 1000] {
            let [x, y, sum_bias, weight, bias] = numbers(&mut random, width, 3);
            let norm = LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-12 };
            let (mut alone, mut of_sum) = (x.clone(), x.clone());
            layer_norm(&pool, norm, &mut alone);
            add_layer_norm(&pool, norm, &y, &sum_bias, &mut of_sum);
            let sums: Vec<f32> =
                x.iter().zip(&y).enumerate().map(|(i, (x, y))| x + (y + sum_bias[i % width])).collect();
            for (values, found) in [(&x, &alone), (&sums, &of_sum)] {
                for (values, found) in values.chunks(width).zip(found.chunks(width)) {
                    let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
                    let variance = values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
                    for (i, (x, found)) in values.iter().zip(found).enumerate() {
                        let exact = (f64::from(*x) - mean) / (variance + 1e-12).sqrt() * f64::from(weight[i]);
                        let exact = exact + f64::from(bias[i]);
                        assert!((f64::from(*found) - exact).abs() < 5e-5, "{found}, not {exact}, of {width}");
                    }
                }
            }
        }
    }

    #[test]
    fn levels_threads_and_batches_give_the_same_bits() {
        let mut random = Random::new(2);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        for width in [1, 7, 16, 100, 384] {
            let rows = 20_000 / width;
            let [x, y, sum_bias, weight, bias] = numbers(&mut random, width, rows);
            let norm = LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-5 };
            let (mut alone, mut of_sum) = (x.clone(), x.clone());
            // Row by row: a row does not depend on the others.
            let plain = Pool::new(Level::Scalar, 1);
            alone.chunks_mut(width).for_each(|row| layer_norm(&plain, norm, row));
            for (row, y) in of_sum.chunks_mut(width).zip(y.chunks(width)) {
                add_layer_norm(&plain, norm, y, &sum_bias, row);
            }
            for level in Level::available() {
                let pool = Pool::new(level, 3);
                let mut found = x.clone();
                layer_norm(&pool, norm, &mut found);
                assert!(bits(&found) == bits(&alone), "{level:?}, {width}");
                let mut found = x.clone();
                add_layer_norm(&pool, norm, &y, &sum_bias, &mut found);
                assert!(bits(&found) == bits(&of_sum), "{level:?}, {width}: of a sum");
            }
        }
    }

    #[test]
    #[should_panic(expected = "whole rows of 3")]
    fn half_rows_are_refused() {
        let norm = LayerNorm { weight: &[1.0; 3], bias: &[0.0; 3], epsilon: 0.0 };
        layer_norm(&Pool::new(Level::Scalar, 1), norm, &mut [1.0; 4]);
    }
}
