//! How many rows of prompt a step may carry, so that it ends in time.
//!
//! A step is taken to cost `step + decode · rows that decode + prompt · rows of prompt`, and the three are learnt from the
//! steps themselves: `step` and `decode` from those without a prompt, and `prompt` from what is left of the others. Under a
//! load that has prompts in every step the two could not be told apart, so now and then a step goes without: it is short,
//! and the prompts hardly notice.
//!
//! No step counts for more than twice or less than half of what was foretold, so that a machine that was suspended for a
//! minute is not taken to be slow.

use std::time::Duration;

/// Seconds that a row costs as long as nothing is known: so much that the first step is short on any machine.
const GUESS: f64 = 5e-3;

/// Part of what a step teaches that is believed at once.
const RATE: f64 = 0.4;

/// After so many steps that decode and compute prompts, one only decodes.
const MIXED_STEPS: u32 = 32;

/// Part of its bound that a step is planned to fill. The rest is for what is not foreseen.
const FILL: f64 = 0.85;

/// Where decoding alone nearly fills its bound or exceeds it, prompts get this part of the time that decoding takes, lest
/// they never get on.
const LEAST_SHARE: f64 = 0.5;

/// Rows of prompt that a step has at least while nobody decodes. A large model reads its weights for one row in about the
/// time that it computes three, so shorter steps would make prompts slower and hardly end sooner.
const LEAST_ROWS: usize = 8;

/// A cost in seconds is no less, so that it can grow again.
const LEAST_COST: f64 = 1e-9;

/// What a step computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Rows whose logits are wanted because a sequence generates.
    pub decode: usize,
    /// Rows of prompts.
    pub prompt: usize,
}

/// What steps cost, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct StepCost {
    step: f64,
    decode: f64,
    prompt: f64,
    /// A step was seen.
    learnt: bool,
    /// Steps that decoded and computed prompts since one that only decoded.
    mixed: u32,
}

impl Default for StepCost {
    fn default() -> Self {
        Self { step: GUESS, decode: GUESS, prompt: GUESS, learnt: false, mixed: MIXED_STEPS }
    }
}

impl StepCost {
    /// A step of these rows took so long. A clock that stands still teaches nothing.
    pub fn observe(&mut self, rows: Rows, took: Duration) {
        let took = took.as_secs_f64();
        if took <= 0.0 {
            return;
        }
        if !self.learnt {
            // The first step says how fast the machine is, by whatever factor.
            let factor = took / self.of(rows);
            for cost in [&mut self.step, &mut self.decode, &mut self.prompt] {
                *cost *= factor;
            }
            self.learnt = true;
            return;
        }
        let decoding = self.of(Rows { prompt: 0, ..rows });
        if rows.prompt > 0 {
            let each = (took - decoding) / rows.prompt as f64;
            self.prompt = (self.prompt * learning(each / self.prompt)).max(LEAST_COST);
            self.mixed += u32::from(rows.decode > 0);
        } else {
            let ratio = took / decoding;
            self.step = (self.step * learning(ratio)).max(LEAST_COST);
            self.decode = (self.decode * learning(ratio)).max(LEAST_COST);
            // What was that far from the truth is looked at again soon.
            self.mixed = if (0.9..1.1).contains(&ratio) { 0 } else { MIXED_STEPS - 1 };
        }
    }

    /// Rows of prompt with which a step that decodes `decode` rows is likely to end within `bound`; at least one, and
    /// [`LEAST_ROWS`] when none decodes, but for the step now and then that goes without.
    pub fn prompt_rows(&self, decode: usize, bound: Duration) -> usize {
        if self.learnt && decode > 0 && self.mixed >= MIXED_STEPS {
            return 0;
        }
        let decoding = self.of(Rows { decode, prompt: 0 });
        let left = bound.as_secs_f64() * FILL - decoding;
        let (left, least) = if decode > 0 { (left.max(decoding * LEAST_SHARE), 1) } else { (left, LEAST_ROWS) };
        // Where a number is too large, or below zero, the conversion takes the nearest one that is none.
        ((left / self.prompt) as usize).max(least)
    }

    fn of(&self, rows: Rows) -> f64 {
        self.step + self.decode * rows.decode as f64 + self.prompt * rows.prompt as f64
    }
}

/// What a cost is multiplied by that was found to be `ratio` times what was thought.
fn learning(ratio: f64) -> f64 {
    1.0 + RATE * (ratio.clamp(0.5, 2.0) - 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUND: Duration = Duration::from_millis(50);

    /// A machine whose steps take what the model says, give or take.
    #[derive(Debug, Clone, Copy)]
    struct Machine {
        step: f64,
        decode: f64,
        prompt: f64,
        noise: f64,
    }

    impl Machine {
        fn seconds(self, rows: Rows, dice: f64) -> f64 {
            let exact = self.step + self.decode * rows.decode as f64 + self.prompt * rows.prompt as f64;
            exact * (1.0 + self.noise * (2.0 * dice - 1.0))
        }
    }

    fn machine() -> impl Strategy<Value = Machine> {
        // From a large model on a small machine to a small model on a large one.
        (-4.5_f64..-1.5, 0.5_f64..8.0, 0.2_f64..1.5, 0.0_f64..0.05).prop_map(|(prompt, step, decode, noise)| {
            let prompt = 10_f64.powf(prompt);
            Machine { step: step * prompt, decode: decode * prompt, prompt, noise }
        })
    }

    /// Steps of `decode` rows and as much prompt as they may have; what each took that has any.
    fn drive(cost: &mut StepCost, machine: Machine, decode: usize, dice: &[f64]) -> Vec<f64> {
        let step = |&dice: &f64| {
            let rows = Rows { decode, prompt: cost.prompt_rows(decode, BOUND) };
            let took = machine.seconds(rows, dice);
            cost.observe(rows, Duration::from_secs_f64(took));
            (rows.prompt > 0).then_some(took)
        };
        dice.iter().filter_map(step).collect()
    }

    proptest! {
        #[test]
        fn steps_fill_their_bound_and_keep_it(
            machine in machine(),
            decode in 0_usize..12,
            dice in prop::collection::vec(0.0_f64..1.0, 80),
        ) {
            let mut cost = StepCost::default();
            let took = drive(&mut cost, machine, decode, &dice);
            let decoding = machine.seconds(Rows { decode, prompt: 0 }, 0.5);
            // One row more or less is the least that a step can differ by.
            let shortest = if decode > 0 { decoding * (1.0 + LEAST_SHARE) * 1.2 } else { decoding + machine.prompt * LEAST_ROWS as f64 };
            let most = BOUND.as_secs_f64().max(shortest) * (1.0 + machine.noise) + machine.prompt;
            let least = BOUND.as_secs_f64() * 0.6 - machine.prompt;
            for &took in &took[40..] {
                prop_assert!((least..=most).contains(&took), "{took} s is not between {least} and {most}");
            }
        }

        #[test]
        fn what_was_learnt_of_one_mix_soon_fits_another(
            machine in machine(),
            dice in prop::collection::vec(0.0_f64..1.0, 80),
        ) {
            let mut cost = StepCost::default();
            drive(&mut cost, machine, 0, &dice);
            let took = drive(&mut cost, machine, 8, &dice);
            let decoding = machine.seconds(Rows { decode: 8, prompt: 0 }, 0.5);
            let most = BOUND.as_secs_f64().max(decoding * (1.0 + LEAST_SHARE) * 1.2) + machine.prompt;
            prop_assert!(took[40..].iter().all(|&took| took <= most), "{took:?} {most}");
        }
    }

    #[test]
    fn a_step_that_was_suspended_hardly_counts() {
        let machine = Machine { step: 5e-3, decode: 7e-4, prompt: 1.4e-3, noise: 0.0 };
        let mut cost = StepCost::default();
        drive(&mut cost, machine, 8, &[0.5; 40]);
        cost.mixed = 0;
        let before = cost.prompt_rows(8, BOUND);
        cost.observe(Rows { decode: 8, prompt: before }, Duration::from_secs(60));
        let after = cost.prompt_rows(8, BOUND);
        assert!(after * 10 >= before * 6, "{before} rows before, {after} after");
    }

    #[test]
    fn prompts_get_on_however_decoding_fills_the_time() {
        let machine = Machine { step: 5e-3, decode: 10e-3, prompt: 1.5e-3, noise: 0.0 };
        let mut cost = StepCost::default();
        let mut prompt = 0;
        for _ in 0..100 {
            let rows = Rows { decode: 8, prompt: cost.prompt_rows(8, BOUND) };
            prompt += rows.prompt;
            cost.observe(rows, Duration::from_secs_f64(machine.seconds(rows, 0.5)));
        }
        assert!(prompt > 1600, "{prompt} rows in 100 steps: half of the time would do for 2,800");
    }

    #[test]
    fn the_first_step_is_short_and_sets_the_scale() {
        let mut cost = StepCost::default();
        let first = cost.prompt_rows(0, BOUND);
        assert!((1..=16).contains(&first), "{first}");
        // A machine a hundred times as fast as was guessed.
        cost.observe(Rows { decode: 0, prompt: first }, Duration::from_secs_f64(GUESS / 100.0 * (first + 1) as f64));
        assert!(cost.prompt_rows(0, BOUND) > 80 * first);
    }

    #[test]
    fn a_clock_that_stands_still_teaches_nothing() {
        let mut cost = StepCost::default();
        let before = cost.prompt_rows(3, BOUND);
        cost.observe(Rows { decode: 3, prompt: 9 }, Duration::ZERO);
        assert_eq!(cost.prompt_rows(3, BOUND), before);
    }
}
