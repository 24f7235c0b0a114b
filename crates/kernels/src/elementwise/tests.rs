use super::*;
use crate::{Level, math::random::Random};

/// Calls `check` with a pool of each level.
fn with_pools(check: impl Fn(&Pool)) {
    for level in Level::available() {
        check(&Pool::new(level, 2));
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn gated_multiplies_the_activation() {
    let mut random = Random::new(1);
    for len in [1, 16, 1536, 50_001] {
        let gate = random.numbers(len, 8.0);
        let up = random.numbers(len, 3.0);
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::Clamped { alpha: 1.702, limit: 2.5 }] {
            let mut expected = gate.clone();
            gated(&Pool::new(Level::Scalar, 1), activation, &mut expected, &up);
            for ((&gate, &up), &ours) in gate.iter().zip(&up).zip(&expected) {
                let (gate, up) = (f64::from(gate), f64::from(up));
                let exact = match activation {
                    Activation::Silu => gate / (1.0 + (-gate).exp()) * up,
                    Activation::GeluTanh => {
                        let u = (2.0 / std::f64::consts::PI).sqrt() * (gate + 0.044715 * gate.powi(3));
                        0.5 * gate * (1.0 + u.tanh()) * up
                    }
                    Activation::Clamped { alpha, limit } => {
                        let (gate, up) = (gate.min(limit.into()), up.clamp(-f64::from(limit), limit.into()));
                        gate / (1.0 + (-f64::from(alpha) * gate).exp()) * (up + 1.0)
                    }
                };
                assert!((f64::from(ours) - exact).abs() < 5e-6, "{activation:?}: {ours}, not {exact}");
            }
            with_pools(|pool| {
                let mut out = gate.clone();
                gated(pool, activation, &mut out, &up);
                assert!(bits(&out) == bits(&expected), "{activation:?} of {len}");
            });
        }
    }
}

#[test]
fn sums_scales_and_biases_are_exact() {
    let mut random = Random::new(2);
    let width = 9;
    let x = random.numbers(width * 8_000, 8.0);
    let y = random.numbers(x.len(), 8.0);
    with_pools(|pool| {
        let mut out = x.clone();
        add(pool, &mut out, &y);
        assert!(out.iter().zip(x.iter().zip(&y)).all(|(out, (x, y))| *out == x + y));
        let mut out = x.clone();
        scale(pool, &mut out, 1.7);
        assert!(out.iter().zip(&x).all(|(out, x)| *out == x * 1.7));
        let mut out = x.clone();
        add_bias(pool, &mut out, &y[..width]);
        assert!(out.iter().zip(&x).enumerate().all(|(i, (out, x))| *out == x + y[i % width]));
    });
}

#[test]
fn softcap_bounds() {
    let x = [0.0, 1.0, -1000.0, 30.0, 1e30];
    let mut expected = x;
    softcap(&Pool::new(Level::Scalar, 1), &mut expected, 30.0);
    for (x, ours) in x.into_iter().zip(expected) {
        assert!((ours - 30.0 * (x / 30.0).tanh()).abs() < 1e-5);
    }
    with_pools(|pool| {
        let mut out = x;
        softcap(pool, &mut out, 30.0);
        assert_eq!(bits(&out), bits(&expected));
    });
}

#[test]
fn nothing_is_fine() {
    let pool = Pool::new(Level::Scalar, 1);
    gated(&pool, Activation::Silu, &mut [], &[]);
    add(&pool, &mut [], &[]);
    add_bias(&pool, &mut [], &[1.0]);
}
