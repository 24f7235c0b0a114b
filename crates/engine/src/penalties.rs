//! Penalties for tokens that were seen before.

use std::collections::HashMap;

use crate::Sampling;

/// How often each token of a sequence was generated; tokens of the prompt are there with 0. Empty when no penalty is asked
/// for.
#[derive(Debug, Default)]
pub(crate) struct Penalties {
    generated: HashMap<u32, u32>,
    active: bool,
    counts_prompt: bool,
}

impl Penalties {
    /// Counts for a sequence that starts with `prompt`.
    pub fn new(sampling: &Sampling, prompt: &[u32]) -> Self {
        let counts_prompt = sampling.repetition_penalty != 1.0;
        let active = counts_prompt || sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0;
        let generated = if counts_prompt { prompt.iter().map(|&id| (id, 0)).collect() } else { HashMap::new() };
        Self { generated, active, counts_prompt }
    }

    /// Whether there is anything to apply.
    pub fn is_active(&self) -> bool {
        self.active && !self.generated.is_empty()
    }

    /// A token was generated.
    pub fn count(&mut self, id: u32) {
        if self.active {
            *self.generated.entry(id).or_default() += 1;
        }
    }

    /// Lowers the logits of the tokens that were seen: repetition (CTRL, over prompt and output), then frequency and
    /// presence (as OpenAI defines them, over the output).
    pub fn apply(&self, sampling: &Sampling, logits: &mut [f32]) {
        for (&id, &times) in &self.generated {
            let Some(logit) = logits.get_mut(id as usize) else { continue };
            if self.counts_prompt {
                *logit = if *logit > 0.0 {
                    *logit / sampling.repetition_penalty
                } else {
                    *logit * sampling.repetition_penalty
                };
            }
            if times > 0 {
                *logit -= times as f32 * sampling.frequency_penalty + sampling.presence_penalty;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalised(sampling: Sampling, prompt: &[u32], output: &[u32], logits: &[f32]) -> Vec<f32> {
        let mut penalties = Penalties::new(&sampling, prompt);
        output.iter().for_each(|&id| penalties.count(id));
        let mut logits = logits.to_vec();
        penalties.apply(&sampling, &mut logits);
        logits
    }

    #[test]
    fn repetition_counts_prompt_and_output_once() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        assert_eq!(penalised(sampling, &[0], &[1, 1], &[4.0, -4.0, 4.0]), [2.0, -8.0, 4.0]);
    }

    #[test]
    fn presence_and_frequency_count_the_output_alone() {
        let sampling = Sampling { presence_penalty: 0.5, frequency_penalty: 0.25, ..Sampling::default() };
        assert_eq!(penalised(sampling, &[0], &[1, 1, 2], &[1.0, 1.0, 1.0, 1.0]), [1.0, 0.0, 0.25, 1.0]);
    }

    #[test]
    fn neutral_values_count_nothing() {
        let mut penalties = Penalties::new(&Sampling::default(), &[1, 2]);
        penalties.count(3);
        assert!(!penalties.is_active());
    }
}
