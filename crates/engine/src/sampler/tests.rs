use proptest::prelude::*;

use super::*;
use crate::penalties::Penalties;

/// The slow obvious twin, in f64 and with a full sort: all tokens that may be drawn, with their probabilities.
fn distribution(logits: &[f32], choice: &Choice<'_>, output: &[u32], prompt: &[u32]) -> Vec<(u32, f64)> {
    let sampling = choice.sampling;
    let mut row: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    for (id, x) in (0..).zip(row.iter_mut()) {
        let times = output.iter().filter(|&&seen| seen == id).count() as f64;
        if times > 0.0 || prompt.contains(&id) {
            let penalty = f64::from(sampling.repetition_penalty);
            *x = if *x > 0.0 { *x / penalty } else { *x * penalty };
        }
        if times > 0.0 {
            *x -= times * f64::from(sampling.frequency_penalty) + f64::from(sampling.presence_penalty);
        }
        *x += sampling.logit_bias.iter().filter(|b| b.0 == id).map(|b| f64::from(b.1)).sum::<f64>();
        if choice.allowed.is_some_and(|bits| bits[id as usize / 64] >> (id % 64) & 1 == 0) {
            *x = f64::NEG_INFINITY;
        }
    }
    let open = |id: usize| !choice.deferred.contains(&(id as u32)) && row[id] > f64::NEG_INFINITY;
    let deferring = (0..row.len()).any(open);
    let mut order: Vec<usize> =
        (0..row.len()).filter(|&id| if deferring { open(id) } else { row[id] > f64::NEG_INFINITY }).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
    if sampling.temperature <= 0.0 {
        return order.first().map(|&id| (id as u32, 1.0)).into_iter().collect();
    }
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let Some(&first) = order.first() else { return Vec::new() };
    let weight = |id: usize| ((row[id] - row[first]) / f64::from(sampling.temperature)).exp();
    let total: f64 = order.iter().map(|&id| weight(id)).sum();
    if sampling.top_p < 1.0 {
        let mut sum = 0.0;
        let short = order.iter().take_while(|&&id| {
            sum += weight(id) / total;
            sum < f64::from(sampling.top_p)
        });
        let kept = short.count() + 1;
        order.truncate(kept);
    }
    order.retain(|&id| weight(id) >= f64::from(sampling.min_p.min(1.0)));
    let total: f64 = order.iter().map(|&id| weight(id)).sum();
    order.into_iter().map(|id| (id as u32, weight(id) / total)).collect()
}

/// Draws often with consecutive indices and compares with the twin: nothing outside of it, and the right frequencies.
fn check(logits: &[f32], sampling: &Sampling, prompt: &[u32], output: &[u32]) {
    let mut penalties = Penalties::new(sampling, prompt);
    output.iter().for_each(|&id| penalties.count(id));
    let choice = |index| Choice { sampling, penalties: &penalties, allowed: None, deferred: &[], index };
    let expected = distribution(logits, &choice(0), output, prompt);
    let draws = 20_000;
    let mut counts = vec![0_u32; logits.len()];
    let mut sampler = Sampler::default();
    for index in 0..draws {
        counts[sampler.choose(logits, &choice(index)).expect("the logits are finite") as usize] += 1;
    }
    let drawn = counts.iter().filter(|&&n| n > 0).count();
    let known = expected.iter().filter(|&&(id, _)| counts[id as usize] > 0).count();
    assert_eq!(drawn, known, "a token was drawn that must not be: {sampling:?}");
    // Tokens that are expected less than ten times are one bin.
    let (mut chi2, mut bins, mut rare) = (0.0, 0, (0.0, 0.0));
    for &(id, probability) in &expected {
        let (mean, found) = (probability * draws as f64, f64::from(counts[id as usize]));
        if mean < 10.0 {
            rare = (rare.0 + mean, rare.1 + found);
        } else {
            chi2 += (found - mean).powi(2) / mean;
            bins += 1;
        }
    }
    if rare.0 > 10.0 {
        chi2 += (rare.1 - rare.0).powi(2) / rare.0;
        bins += 1;
    }
    // Far in the tail of the chi-square distribution: mean plus five standard deviations, and some for few bins.
    let freedom = f64::from(bins - 1).max(0.0);
    let most = freedom + 5.0 * (2.0 * freedom).sqrt() + 10.0;
    assert!(chi2 <= most, "chi-square {chi2} of {freedom} degrees of freedom: {sampling:?}");
}

/// A row without ties: 300 logits between -6 and 6.
fn row() -> Vec<f32> {
    (0..300_u64).map(|id| (random::uniform(99, id) * 12.0 - 6.0) as f32).collect()
}

#[test]
fn draws_follow_the_distribution_of_the_twin() {
    let plain = Sampling { seed: 5, ..Sampling::default() };
    let cases = [
        plain.clone(),
        Sampling { temperature: 0.5, ..plain.clone() },
        Sampling { temperature: 3.0, ..plain.clone() },
        Sampling { top_k: 1, ..plain.clone() },
        Sampling { top_k: 7, ..plain.clone() },
        Sampling { top_k: 299, ..plain.clone() },
        Sampling { top_k: 300, ..plain.clone() },
        Sampling { top_p: 0.5, ..plain.clone() },
        Sampling { top_p: 0.95, temperature: 2.0, ..plain.clone() },
        Sampling { top_p: 0.0, ..plain.clone() },
        Sampling { min_p: 0.1, ..plain.clone() },
        Sampling { min_p: 1.0, ..plain.clone() },
        Sampling { min_p: 7.0, ..plain.clone() },
        Sampling { top_k: 20, top_p: 0.8, min_p: 0.2, temperature: 1.5, ..plain.clone() },
        Sampling { top_p: 0.9, min_p: 0.2, ..plain.clone() },
        Sampling { repetition_penalty: 1.3, presence_penalty: 0.5, frequency_penalty: 0.7, ..plain.clone() },
        Sampling { repetition_penalty: 0.7, presence_penalty: -0.5, top_k: 40, ..plain.clone() },
        Sampling { logit_bias: vec![(3, 4.0), (5, -100.0), (1000, 1.0)], ..plain },
    ];
    for sampling in &cases {
        check(&row(), sampling, &[1, 2, 3, 4, 4], &[4, 5, 6, 6, 6, 7]);
    }
}

#[test]
fn zero_temperature_takes_the_most_likely_and_the_lowest_of_equals() {
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let penalties = Penalties::default();
    let choice = |allowed| Choice { sampling: &sampling, penalties: &penalties, allowed, deferred: &[], index: 0 };
    let logits = [1.0, 3.0, 2.0, 3.0];
    let mut sampler = Sampler::default();
    assert_eq!(sampler.choose(&logits, &choice(None)), Ok(1));
    assert_eq!(sampler.choose(&logits, &choice(Some(&[0b1101]))), Ok(3));
    assert_eq!(sampler.choose(&logits, &choice(Some(&[0]))), Err(BadLogits::NothingAllowed));
    assert_eq!(sampler.choose(&[1.0, f32::NAN], &choice(None)), Err(BadLogits::NotFinite));
}

#[test]
fn a_bias_of_100_decides() {
    let penalties = Penalties::default();
    for temperature in [0.0, 1.0] {
        for (bias, chosen) in [(vec![(7, 100.0)], 7), (vec![(0, -100.0)], 1)] {
            let sampling = Sampling { temperature, logit_bias: bias, ..Sampling::default() };
            let choice = Choice { sampling: &sampling, penalties: &penalties, allowed: None, deferred: &[], index: 0 };
            let logits = [30.0, 29.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
            assert_eq!(Sampler::default().choose(&logits, &choice), Ok(chosen));
        }
    }
}

#[test]
fn a_flat_row_as_wide_as_real_vocabularies_is_drawn_evenly() {
    let sampling = Sampling { top_p: 0.5, ..Sampling::default() };
    let penalties = Penalties::default();
    let logits = vec![1.0; 100_000];
    let mut sampler = Sampler::default();
    let mut halves = [0, 0];
    for index in 0..200 {
        let choice = Choice { sampling: &sampling, penalties: &penalties, allowed: None, deferred: &[], index };
        let id = sampler.choose(&logits, &choice).expect("the logits are finite");
        assert!(id < 50_001, "the nucleus of equals is the lower half");
        halves[usize::from(id >= 25_000)] += 1;
    }
    assert!(halves[0] > 60 && halves[1] > 60, "{halves:?}");
}

proptest! {
    /// Every single draw is one that the twin allows (give or take tokens at the very edge of a cut), for any settings.
    #[test]
    fn no_draw_is_outside_of_the_twin(
        logits in prop::collection::vec(prop_oneof![-8.0_f32..8.0, (-4_i8..4).prop_map(f32::from), Just(f32::NEG_INFINITY)], 1..700),
        temperature in prop_oneof![Just(0.0_f32), 0.05_f32..3.0],
        top_k in prop_oneof![Just(0_usize), 1_usize..800],
        top_p in prop_oneof![Just(1.0_f32), 0.0_f32..1.0],
        min_p in prop_oneof![Just(0.0_f32), 0.0_f32..1.0],
        deferred in prop::collection::vec(0_u32..700, 0..5),
        words in prop::option::of(prop::collection::vec(any::<u64>(), 11)),
        seed in any::<u64>(),
    ) {
        let sampling = Sampling { temperature, top_k, top_p, min_p, seed, ..Sampling::default() };
        let penalties = Penalties::default();
        let choice = Choice { sampling: &sampling, penalties: &penalties, allowed: words.as_deref(), deferred: &deferred, index: 3 };
        let generous = Sampling { top_p: top_p + 1e-5, min_p: min_p - 1e-5, ..sampling.clone() };
        let allowed = distribution(&logits, &Choice { sampling: &generous, ..choice_copy(&choice) }, &[], &[]);
        match Sampler::default().choose(&logits, &choice) {
            Ok(id) => prop_assert!(allowed.iter().any(|&(known, _)| known == id), "{id} is not among {allowed:?}"),
            Err(error) => {
                prop_assert_eq!(error, BadLogits::NothingAllowed);
                prop_assert!(allowed.is_empty());
            }
        }
    }
}

fn choice_copy<'a>(choice: &Choice<'a>) -> Choice<'a> {
    Choice { ..*choice }
}
