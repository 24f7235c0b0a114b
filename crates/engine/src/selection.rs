//! The largest few of a row of logits, without sorting the row.

/// Order-preserving bits: a larger logit, and among equal ones a lower id, has the larger key.
fn key(id: usize, logit: f32) -> u64 {
    let bits = (logit + 0.0).to_bits(); // -0.0 becomes 0.0, which it equals
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | u64::from(!(id as u32))
}

/// The id in a key.
pub(crate) fn id(key: u64) -> u32 {
    !(key as u32)
}

/// Puts the keys of the `k` largest finite logits into `keys`, largest first. One pass over the row; a logit below the
/// `k`-th largest seen so far costs a comparison.
pub(crate) fn largest(logits: &[f32], k: usize, keys: &mut Vec<u64>) {
    keys.clear();
    if k == 0 {
        return;
    }
    let full = k.saturating_mul(2).max(256);
    let mut least = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        // Equal to the k-th so far and later: cannot be among them, since lower ids go first.
        if logit > least {
            keys.push(key(id, logit));
            if keys.len() == full {
                keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
                keys.truncate(k);
                least = logits[self::id(keys[k - 1]) as usize];
            }
        }
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys.truncate(k);
}

/// Puts the keys of all logits that are at least `least` into `keys`, in no order.
pub(crate) fn at_least(logits: &[f32], least: f32, keys: &mut Vec<u64>) {
    keys.clear();
    keys.extend(logits.iter().enumerate().filter(|&(_, &logit)| logit >= least).map(|(id, &logit)| key(id, logit)));
}

/// The logit in a key, for logits that are not negative: weights are not.
fn weight(key: u64) -> f64 {
    f64::from(f32::from_bits((key >> 32) as u32 & !(1 << 31)))
}

/// Of keys of weights: the last one, taken from the largest on, that it takes for the weights to sum to `mass`. The smallest
/// key when all of them do not. Halves what is left again and again, as quickselect does, so nothing is sorted.
///
/// # Panics
///
/// Without keys.
pub(crate) fn last_within(keys: &mut [u64], mut mass: f64) -> u64 {
    let mut rest = keys;
    while rest.len() > 1 {
        let half = rest.len() / 2;
        rest.select_nth_unstable_by(half, |a, b| b.cmp(a));
        let sum: f64 = rest[..half].iter().copied().map(weight).sum();
        if sum >= mass {
            rest = &mut rest[..half];
        } else {
            mass -= sum;
            rest = &mut rest[half..];
        }
    }
    rest[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The slow obvious twin: a full sort.
    fn sorted(logits: &[f32]) -> Vec<u32> {
        let mut ids: Vec<u32> =
            (0..logits.len() as u32).filter(|&id| logits[id as usize] > f32::NEG_INFINITY).collect();
        ids.sort_by(|&a, &b| logits[b as usize].partial_cmp(&logits[a as usize]).expect("no NaN here").then(a.cmp(&b)));
        ids
    }

    proptest! {
        #[test]
        fn selection_agrees_with_a_full_sort(
            // Few distinct values make ties; both zeros and -inf are among them.
            row in prop::collection::vec(prop_oneof![(-20_i8..20).prop_map(|x| f32::from(x) / 4.0), Just(-0.0), Just(f32::NEG_INFINITY), -5.0_f32..5.0], 0..2000),
            k in 0_usize..700,
        ) {
            let mut keys = Vec::new();
            largest(&row, k, &mut keys);
            let all = sorted(&row);
            prop_assert_eq!(keys.iter().map(|&key| id(key)).collect::<Vec<_>>(), &all[..k.min(all.len())]);

            // Weights with few distinct values, whose sums are exact in any order.
            let weights: Vec<f32> = row.iter().map(|x| (x.max(-6.0) + 6.0).round() / 4.0).collect();
            at_least(&weights, 0.25, &mut keys);
            let all: Vec<u32> = sorted(&weights).into_iter().filter(|&id| weights[id as usize] >= 0.25).collect();
            prop_assert_eq!(keys.len(), all.len());
            let mut sum = 0.0;
            let within = all.iter().take_while(|&&id| { sum += f64::from(weights[id as usize]); sum < k as f64 }).count();
            if !all.is_empty() {
                prop_assert_eq!(id(last_within(&mut keys, k as f64)), all[within.min(all.len() - 1)]);
            }
        }
    }
}
