use super::*;
use crate::{Level, math::random::Random};

#[test]
fn the_norm_is_that_of_the_formula() {
    let mut random = Random::new(1);
    let pool = Pool::new(Level::Scalar, 1);
    for width in [1, 8, 64, 576, 1000] {
        let x = random.numbers(width * 3, 5.0);
        let weight = random.numbers(width, 2.0);
        let mut out = vec![0.0; x.len()];
        rms_norm(&pool, &x, &weight, 1e-5, &mut out);
        for (x, out) in x.chunks(width).zip(out.chunks(width)) {
            let mean: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
            for ((&x, &w), &ours) in x.iter().zip(&weight).zip(out) {
                let exact = f64::from(x) / (mean + 1e-5).sqrt() * f64::from(w);
                assert!((f64::from(ours) - exact).abs() <= 1e-6 * (1.0 + exact.abs()), "{ours}, not {exact}");
            }
        }
    }
}

#[test]
fn levels_threads_and_batches_give_the_same_bits() {
    let mut random = Random::new(2);
    for width in [1, 7, 16, 64, 100, 576] {
        let rows = 20_000 / width;
        let x = random.numbers(width * rows, 5.0);
        let weight = random.numbers(width, 2.0);
        let mut expected = x.clone();
        // Row by row: a row does not depend on the others.
        for row in expected.chunks_mut(width) {
            rms_norm_in_place(&Pool::new(Level::Scalar, 1), row, &weight, 1e-6);
        }
        for level in Level::available() {
            let pool = Pool::new(level, 3);
            let mut out = vec![0.0; x.len()];
            rms_norm(&pool, &x, &weight, 1e-6, &mut out);
            assert!(out.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?}, {width}");
            let mut in_place = x.clone();
            rms_norm_in_place(&pool, &mut in_place, &weight, 1e-6);
            assert!(in_place == out);
        }
    }
}

#[test]
#[should_panic(expected = "whole rows of 3")]
fn half_rows_are_refused() {
    rms_norm_in_place(&Pool::new(Level::Scalar, 1), &mut [1.0; 4], &[1.0; 3], 0.0);
}
