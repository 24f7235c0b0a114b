//! The activation of a feed-forward layer without a gate: of a product and its bias, in one pass.

use crate::{
    Pool,
    elementwise::in_chunks,
    math::{Kernel, Lanes, dispatch, for_each_vector, gelu_erf, gelu_tanh},
};

/// Elements of one task: exponentials are dear.
const TASK: usize = 8_192;

/// Which form of GELU (Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016), section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// x/2 · (1 + erf(x/√2)): what the name means where nothing is added to it.
    Erf,
    /// Its approximation x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))).
    Tanh,
}

/// x = gelu(x + bias) for each row of `x`, `[rows, bias.len()]`.
///
/// # Panics
/// When `x` is not whole rows.
pub fn gelu(pool: &Pool, form: Gelu, x: &mut [f32], bias: &[f32]) {
    let width = bias.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "{} elements are not whole rows of {width}", x.len());
    in_chunks(pool, width * TASK.div_ceil(width), x, &|_, x| match form {
        Gelu::Erf => dispatch(pool, Activate::<true> { x, bias }),
        Gelu::Tanh => dispatch(pool, Activate::<false> { x, bias }),
    });
}

struct Activate<'a, const ERF: bool> {
    x: &'a mut [f32],
    bias: &'a [f32],
}

impl<const ERF: bool> Kernel for Activate<'_, ERF> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.x.chunks_exact_mut(self.bias.len()) {
            for (x, bias) in row.iter_mut().zip(self.bias) {
                *x += bias;
            }
            for_each_vector!(l, row, |x| if ERF { gelu_erf(l, x) } else { gelu_tanh(l, x) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, math::random::Random};

    #[test]
    fn the_bias_is_added_before_and_levels_give_the_same_bits() {
        let mut random = Random::new(1);
        for width in [1, 16, 100, 1536] {
            let x = random.numbers(width * (30_000 / width), 4.0);
            let bias = random.numbers(width, 2.0);
            for form in [Gelu::Erf, Gelu::Tanh] {
                let mut expected: Vec<f32> = x.iter().enumerate().map(|(i, x)| x + bias[i % width]).collect();
                // One element a row, without a bias.
                gelu(&Pool::new(Level::Scalar, 1), form, &mut expected, &[0.0]);
                for level in Level::available() {
                    let mut found = x.clone();
                    gelu(&Pool::new(level, 3), form, &mut found, &bias);
                    assert!(found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?} {form:?}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "whole rows of 3")]
    fn half_rows_are_refused() {
        gelu(&Pool::new(Level::Scalar, 1), Gelu::Erf, &mut [1.0; 4], &[0.0; 3]);
    }
}
