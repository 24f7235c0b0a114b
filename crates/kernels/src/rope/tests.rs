use super::*;
use crate::{Level, math::random::Random};

fn frequencies(pairs: usize) -> Vec<f64> {
    (0..pairs).map(|i| 10_000f64.powf(-(i as f64) / pairs as f64)).collect()
}

#[test]
fn pairs_turn_by_their_angles_and_the_rest_stays() {
    let mut random = Random::new(1);
    for (head_dim, pairs) in [(64, 32), (64, 16), (8, 4), (10, 3), (80, 40)] {
        let (heads, magnitude) = (3, 1.25);
        let table = Table::new(600, &frequencies(pairs), magnitude);
        let positions = [0, 1, 17, 599, 300];
        for pairing in [Pairing::Adjacent, Pairing::Halves] {
            let x = random.numbers(positions.len() * heads * head_dim, 3.0);
            let mut out = x.clone();
            rotate(&Pool::new(Level::Scalar, 1), &table, pairing, heads, head_dim, &positions, &mut out);
            for (head, (x, out)) in x.chunks(head_dim).zip(out.chunks(head_dim)).enumerate() {
                let position = f64::from(positions[head / heads]);
                for (pair, frequency) in frequencies(pairs).into_iter().enumerate() {
                    let (i, j) = match pairing {
                        Pairing::Adjacent => (2 * pair, 2 * pair + 1),
                        Pairing::Halves => (pair, pair + pairs),
                    };
                    let (sine, cosine) = (position * frequency).sin_cos();
                    let (a, b) = (f64::from(x[i]), f64::from(x[j]));
                    let turned = [(a * cosine - b * sine) * 1.25, (a * sine + b * cosine) * 1.25];
                    for (ours, exact) in [out[i], out[j]].into_iter().zip(turned) {
                        assert!(
                            (f64::from(ours) - exact).abs() < 2e-6,
                            "{pairing:?}, pair {pair}: {ours}, not {exact}"
                        );
                    }
                }
                assert_eq!(x[2 * pairs..], out[2 * pairs..]);
            }
        }
    }
}

#[test]
fn levels_and_batches_give_the_same_bits() {
    let mut random = Random::new(2);
    for (head_dim, pairs) in [(64, 32), (24, 7)] {
        let heads = 5;
        let table = Table::new(1000, &frequencies(pairs), 1.0);
        let positions: Vec<u32> = (0..200).map(|_| random.below(1000) as u32).collect();
        let x = random.numbers(positions.len() * heads * head_dim, 3.0);
        for pairing in [Pairing::Adjacent, Pairing::Halves] {
            let mut expected = x.clone();
            for (row, position) in expected.chunks_mut(heads * head_dim).zip(&positions) {
                rotate(&Pool::new(Level::Scalar, 1), &table, pairing, heads, head_dim, &[*position], row);
            }
            for level in Level::available() {
                let mut out = x.clone();
                rotate(&Pool::new(level, 2), &table, pairing, heads, head_dim, &positions, &mut out);
                assert!(out.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?} {pairing:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "position 10 is not in a rotary table of 10")]
fn a_position_past_the_table_is_refused() {
    let table = Table::new(10, &[1.0], 1.0);
    rotate(&Pool::new(Level::Scalar, 1), &table, Pairing::Halves, 1, 2, &[10], &mut [0.0; 2]);
}
