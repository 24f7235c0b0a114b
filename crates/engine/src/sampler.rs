//! Chooses the next token from a row of logits.
//!
//! The order of the transforms is the field's: penalties, bias, what is forbidden, temperature, top-k, top-p, min-p. None of
//! them sorts the vocabulary, and the arg-max of an untouched row copies nothing.

use crate::{
    Sampling,
    penalties::Penalties,
    random,
    selection::{at_least, id, largest, last_within},
    softmax::{BadLogits, CHUNK, exp, keep, maximum, weights},
};

/// What one choice depends on, beside the logits.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    pub sampling: &'a Sampling,
    /// Tokens seen so far.
    pub penalties: &'a Penalties,
    /// Bits of the tokens that a constraint allows.
    pub allowed: Option<&'a [u64]>,
    /// Tokens not to be chosen as long as there is any other.
    pub deferred: &'a [u32],
    /// Tokens generated before this one: with the seed, the place in the random stream.
    pub index: u64,
}

/// Chooses tokens; keeps its scratch memory. Nothing of one choice is left for the next.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    row: Vec<f32>,
    sums: Vec<f64>,
    keys: Vec<u64>,
    candidates: Vec<f64>,
}

impl Sampler {
    /// The token that follows, given a row of raw `logits`.
    pub fn choose(&mut self, logits: &[f32], choice: &Choice<'_>) -> Result<u32, BadLogits> {
        let touched = choice.penalties.is_active()
            || !choice.sampling.logit_bias.is_empty()
            || choice.allowed.is_some()
            || !choice.deferred.is_empty();
        if !touched {
            return self.draw(Row::Given(logits), maximum(logits)?, choice);
        }
        self.row.clear();
        self.row.extend_from_slice(logits);
        let row = &mut self.row[..];
        if choice.penalties.is_active() {
            choice.penalties.apply(choice.sampling, row);
        }
        for &(id, bias) in &choice.sampling.logit_bias {
            if let Some(logit) = row.get_mut(id as usize) {
                *logit += bias;
            }
        }
        if let Some(allowed) = choice.allowed {
            forbid_all_but(allowed, row);
        }
        let largest = maximum_without(choice.deferred, row)?;
        self.draw(Row::Edited, largest, choice)
    }

    /// Temperature, top-k, top-p, min-p and the draw.
    fn draw(&mut self, row: Row<'_>, maximum: f32, choice: &Choice<'_>) -> Result<u32, BadLogits> {
        let Self { row: scratch, sums, keys, candidates } = self;
        let sampling = choice.sampling;
        let logits = match row {
            Row::Given(logits) => logits,
            Row::Edited => &scratch[..],
        };
        let warm = sampling.temperature > 0.0; // false for NaN too
        if !warm || sampling.top_k == 1 {
            let first = logits.iter().position(|&logit| logit == maximum);
            return first.map(|id| id as u32).ok_or(BadLogits::NothingAllowed);
        }
        let number = random::uniform(sampling.seed, choice.index);
        let least = sampling.min_p.min(1.0); // the most likely token always stays
        let nucleus = sampling.top_p < 1.0;

        if (1..logits.len()).contains(&sampling.top_k) {
            largest(logits, sampling.top_k, keys);
            let weight = |&key: &u64| f64::from(exp((logits[id(key) as usize] - maximum) / sampling.temperature));
            candidates.clear();
            candidates.extend(keys.iter().map(weight));
            if nucleus {
                let mass = f64::from(sampling.top_p) * candidates.iter().sum::<f64>();
                candidates.truncate(reaching(mass, candidates));
            }
            return Ok(pick(keys, candidates, least, number));
        }

        if let Row::Given(logits) = row {
            scratch.clear();
            scratch.extend_from_slice(logits);
        }
        let temperature = sampling.temperature;
        if nucleus {
            weights(scratch, maximum, temperature, 0.0, sums);
            let total: f64 = sums.iter().sum();
            // Tokens below this weight sum to less than what top-p cuts off, so none of them can be in the nucleus.
            let negligible = (1.0 - f64::from(sampling.top_p)) * total / scratch.len() as f64;
            at_least(scratch, (negligible * 0.999) as f32, keys);
            let last = id(last_within(keys, f64::from(sampling.top_p) * total));
            keep(scratch, last, least, sums);
        } else {
            weights(scratch, maximum, temperature, least, sums);
        }
        let total: f64 = sums.iter().sum();
        pick_from_all(scratch, sums, number * total).ok_or(BadLogits::NothingAllowed)
    }
}

/// Where the logits to draw from are.
#[derive(Clone, Copy)]
enum Row<'a> {
    /// Untouched, in the runner's memory.
    Given(&'a [f32]),
    /// In [`Sampler::row`].
    Edited,
}

/// Makes every token impossible whose bit is clear.
fn forbid_all_but(allowed: &[u64], row: &mut [f32]) {
    for (word, logits) in row.chunks_mut(64).enumerate() {
        let bits = allowed.get(word).copied().unwrap_or(0);
        for (bit, logit) in logits.iter_mut().enumerate() {
            if bits >> bit & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Makes the `deferred` tokens impossible if others remain; the largest logit of the result.
fn maximum_without(deferred: &[u32], row: &mut [f32]) -> Result<f32, BadLogits> {
    let mut before = Vec::with_capacity(deferred.len());
    for &id in deferred {
        if let Some(logit) = row.get_mut(id as usize) {
            before.push((id, std::mem::replace(logit, f32::NEG_INFINITY)));
        }
    }
    match maximum(row) {
        Err(BadLogits::NothingAllowed) => {
            // In reverse, so that an id given twice gets its first value back.
            for &(id, logit) in before.iter().rev() {
                row[id as usize] = logit;
            }
            maximum(row)
        }
        found => found,
    }
}

/// How many of the weights, from the first, reach `mass` together; at least one.
fn reaching(mass: f64, weights: &[f64]) -> usize {
    let mut sum = 0.0;
    let short = weights.iter().take_while(|&&weight| {
        sum += weight;
        sum < mass
    });
    (short.count() + 1).min(weights.len())
}

/// Draws one of the candidates, which are in order, largest first, after cutting off those below `least`.
fn pick(keys: &[u64], candidates: &[f64], least: f32, number: f64) -> u32 {
    let kept = candidates.iter().take_while(|&&weight| weight >= f64::from(least)).count().max(1);
    let candidates = &candidates[..kept];
    let target = number * candidates.iter().sum::<f64>();
    let mut sum = 0.0;
    let drawn = candidates.iter().position(|&weight| {
        sum += weight;
        target < sum
    });
    id(keys[drawn.unwrap_or(0)]) // the sums are the same additions, so one is always found
}

/// Draws from all weights: the token in whose share `target` falls. `sums` holds the sum of each chunk.
fn pick_from_all(weights: &[f32], sums: &[f64], target: f64) -> Option<u32> {
    let mut before = 0.0;
    let mut last = None; // where rounding leads past the end, the last possible token is meant
    for (chunk, &sum) in sums.iter().enumerate() {
        if sum == 0.0 {
            continue;
        }
        last = Some(chunk);
        if target < before + sum {
            break;
        }
        before += sum;
    }
    let start = last? * CHUNK;
    let mut found = None;
    for (i, &weight) in weights[start..].iter().take(CHUNK).enumerate() {
        if weight > 0.0 {
            found = Some((start + i) as u32);
            before += f64::from(weight);
            if target < before {
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
