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

/// Orders `keys`, largest first, as far as `enough` wants: it is called with each key in turn and says when to stop. Returns
/// how many keys it saw; those are in order.
pub(crate) fn in_order(keys: &mut [u64], mut enough: impl FnMut(u64) -> bool) -> usize {
    let (mut sorted, mut batch) = (0, 512);
    while sorted < keys.len() {
        let rest = &mut keys[sorted..];
        let size = batch.min(rest.len());
        if size < rest.len() {
            rest.select_nth_unstable_by(size - 1, |a, b| b.cmp(a));
        }
        rest[..size].sort_unstable_by(|a, b| b.cmp(a));
        for (i, &key) in rest[..size].iter().enumerate() {
            if enough(key) {
                return sorted + i + 1;
            }
        }
        sorted += size;
        batch *= 4;
    }
    sorted
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

            at_least(&row, f32::MIN, &mut keys);
            let mut seen = Vec::new();
            let count = in_order(&mut keys, |key| { seen.push(id(key)); seen.len() == k + 1 });
            prop_assert_eq!(&seen, &all[..(k + 1).min(all.len())]);
            prop_assert_eq!(keys[..count].iter().map(|&key| id(key)).collect::<Vec<_>>(), seen);
        }
    }
}
