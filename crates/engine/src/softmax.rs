//! Maximum, exponentials and their sums over a row of logits: the passes over the whole vocabulary.
//!
//! Written so that the compiler vectorises them, from additions, multiplications and comparisons alone: the results are the
//! same bits on every machine, which the system's `exp` would not give.

/// Elements summed in f32 before the sum goes on in f64.
pub(crate) const CHUNK: usize = 256;
/// Partial sums and maxima kept side by side.
const LANES: usize = 16;

/// A row of logits cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLogits {
    /// A NaN or +∞ among them.
    #[error("the logits are not finite")]
    NotFinite,
    /// All are −∞.
    #[error("no token is allowed")]
    NothingAllowed,
}

/// The largest logit, which is finite.
pub(crate) fn maximum(logits: &[f32]) -> Result<f32, BadLogits> {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let mut nan = [false; LANES];
    let mut groups = logits.chunks_exact(LANES);
    for group in &mut groups {
        for lane in 0..LANES {
            let x = group[lane];
            largest[lane] = if x > largest[lane] { x } else { largest[lane] };
            nan[lane] |= x.is_nan();
        }
    }
    let rest = groups.remainder();
    let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    if largest == f32::INFINITY || nan.contains(&true) || rest.iter().any(|x| x.is_nan()) {
        Err(BadLogits::NotFinite)
    } else if largest == f32::NEG_INFINITY {
        Err(BadLogits::NothingAllowed)
    } else {
        Ok(largest)
    }
}

/// e^x for x ≤ 0 with a relative error below 2⁻²²; 0 below −87. Range reduction and polynomial of Cephes' `expf` (Moshier).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding and subtracting it rounds to the nearest integer, which its low bits then hold.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_2e-4 * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let fraction = p * (r * r) + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let value = fraction * f32::from_bits(exponent);
    if x > -87.0 { value } else { 0.0 }
}

/// Sum of at most [`CHUNK`] values.
fn sum(values: &[f32]) -> f64 {
    let mut sums = [0.0_f32; LANES];
    let mut groups = values.chunks_exact(LANES);
    for group in &mut groups {
        for lane in 0..LANES {
            sums[lane] += group[lane];
        }
    }
    sums.iter().chain(groups.remainder()).map(|&x| f64::from(x)).sum()
}

/// Sum of e^(logit − maximum).
pub(crate) fn sum_exp(logits: &[f32], maximum: f32) -> f64 {
    let mut total = 0.0;
    let mut chunk = [0.0; CHUNK];
    for logits in logits.chunks(CHUNK) {
        let chunk = &mut chunk[..logits.len()];
        for (weight, logit) in chunk.iter_mut().zip(logits) {
            *weight = exp(logit - maximum);
        }
        total += sum(chunk);
    }
    total
}

/// Replaces each logit by e^((logit − maximum) / temperature), or by 0 where that is below `least`; `sums` becomes the sum of
/// each [`CHUNK`] of them.
pub(crate) fn weights(logits: &mut [f32], maximum: f32, temperature: f32, least: f32, sums: &mut Vec<f64>) {
    sums.clear();
    for chunk in logits.chunks_mut(CHUNK) {
        for x in chunk.iter_mut() {
            let weight = exp((*x - maximum) / temperature);
            *x = if weight >= least { weight } else { 0.0 };
        }
        sums.push(sum(chunk));
    }
}

/// Replaces by 0 each weight that comes after that of token `last`, in the order of weights and then ids, and each below
/// `least`; `sums` becomes the sum of each [`CHUNK`].
pub(crate) fn keep(weights: &mut [f32], last: u32, least: f32, sums: &mut Vec<f64>) {
    let edge = weights[last as usize];
    let mut ids = 0..;
    sums.clear();
    for chunk in weights.chunks_mut(CHUNK) {
        for (weight, id) in chunk.iter_mut().zip(&mut ids) {
            let kept = (*weight > edge || (*weight == edge && id <= last)) && *weight >= least;
            *weight = if kept { *weight } else { 0.0 };
        }
        sums.push(sum(chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close_to_the_exact_one() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!((exp(-87.5), exp(f32::NEG_INFINITY)), (0.0, 0.0));
        for i in 0..87_000 {
            let x = -(i as f32) / 1000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn the_maximum_is_found_anywhere_and_bad_rows_are_told() {
        for n in [1, 15, 16, 17, 100] {
            for at in 0..n {
                let mut row: Vec<f32> = (0..n).map(|i| -(i as f32)).collect();
                row[at] = 7.0;
                assert_eq!(maximum(&row), Ok(7.0));
                for bad in [f32::NAN, f32::INFINITY] {
                    row[at] = bad;
                    assert_eq!(maximum(&row), Err(BadLogits::NotFinite));
                }
            }
            assert_eq!(maximum(&vec![f32::NEG_INFINITY; n]), Err(BadLogits::NothingAllowed));
        }
    }

    #[test]
    fn what_is_kept_ends_at_the_last_of_the_nucleus() {
        let (mut row, mut sums) = (vec![0.5, 1.0, 0.25, 0.5, 0.5, 0.75], Vec::new());
        keep(&mut row, 3, 0.0, &mut sums);
        assert_eq!((&row[..], &sums[..]), (&[0.5, 1.0, 0.0, 0.5, 0.0, 0.75][..], &[2.75][..]));
        keep(&mut row, 3, 0.6, &mut sums);
        assert_eq!((&row[..], &sums[..]), (&[0.0, 1.0, 0.0, 0.0, 0.0, 0.75][..], &[1.75][..]));
    }

    #[test]
    fn sums_agree_with_f64() {
        let row: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 1000) as f32 / -50.0).collect();
        let exact: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        assert!((sum_exp(&row, 0.0) / exact - 1.0).abs() < 1e-6);
        let (mut half, mut sums) = (row.clone(), Vec::new());
        weights(&mut half, 0.0, 2.0, 0.01, &mut sums);
        let exact: f64 = row.iter().map(|&x| f64::from(x / 2.0).exp()).filter(|&w| w >= 0.01).sum();
        assert!((sums.iter().sum::<f64>() / exact - 1.0).abs() < 1e-4);
    }
}
