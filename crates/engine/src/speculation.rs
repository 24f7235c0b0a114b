//! Prompt look-up: guesses the next tokens of a sequence from its earlier ones.
//!
//! Where the last tokens of a sequence stand in it before, what followed them there is proposed to follow again (Yang et
//! al. 2023, "Inference with Reference: Lossless Acceleration of Large Language Models"; Saxena 2023, "Prompt Lookup
//! Decoding"). It costs no second model, and it is right often when an answer repeats its prompt: edits, extracts,
//! summaries, code. One forward pass checks a whole draft, as Leviathan et al. 2023 ("Fast Inference from Transformers via
//! Speculative Decoding") do, but no draft token is ever accepted by chance: each position is sampled as it always is, and
//! the draft only says how many positions can be sampled at once. So the tokens are the same with and without it.

/// Tokens that must have stood there before: the longer run is looked for first.
const RUNS: [usize; 2] = [3, 2];

/// Most tokens of one draft.
const LONGEST: usize = 8;

/// Tokens of the first draft.
const FIRST: usize = 4;

/// Most steps without a draft after one that was wrong from its first token.
const LONGEST_PAUSE: u32 = 64;

/// How long the next draft of a sequence may be, by how its earlier ones went.
///
/// A draft that is right doubles the next, one that is wrong somewhere ends where this one was wrong, and one that is
/// wrong from its first token makes a pause that doubles each time. A sequence that never repeats itself thus pays for a
/// wrong token in every 64.
#[derive(Debug)]
pub(crate) struct Speculation {
    length: usize,
    /// Steps to go without a draft.
    pause: u32,
    next_pause: u32,
}

impl Default for Speculation {
    fn default() -> Self {
        Self { length: FIRST, pause: 0, next_pause: 1 }
    }
}

impl Speculation {
    /// Appends to `draft` what may follow `tokens`, at most `most` tokens.
    pub fn propose(&mut self, tokens: &[u32], most: usize, draft: &mut Vec<u32>) {
        if self.pause > 0 {
            self.pause -= 1;
        } else {
            look_up(tokens, most.min(self.length), draft);
        }
    }

    /// Of a draft of so many tokens, at least one, the first `accepted` were right.
    pub fn learn(&mut self, drafted: usize, accepted: usize) {
        if accepted == 0 {
            self.length = 1;
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        } else {
            self.length = if accepted < drafted { accepted } else { (self.length * 2).min(LONGEST) };
            self.next_pause = 1;
        }
    }
}

/// Appends the tokens that followed the last place where the end of `tokens` stood before. Where the copy reaches the end it
/// goes on with itself, so that a text that repeats is continued for as long as is asked.
fn look_up(tokens: &[u32], most: usize, draft: &mut Vec<u32>) {
    if most == 0 {
        return;
    }
    let found = RUNS.into_iter().find_map(|run| {
        let (before, end) =
            (tokens.get(..tokens.len().checked_sub(1)?)?, tokens.get(tokens.len().checked_sub(run)?..)?);
        before.windows(run).rposition(|window| window == end).map(|at| at + run)
    });
    let Some(start) = found else { return };
    let own = draft.len();
    for at in start..start + most {
        let token = match tokens.get(at) {
            Some(&token) => token,
            None => draft[own + at - tokens.len()],
        };
        draft.push(token);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draft(tokens: &[u32], most: usize) -> Vec<u32> {
        let mut draft = vec![99]; // somebody else's
        look_up(tokens, most, &mut draft);
        draft.split_off(1)
    }

    #[test]
    fn the_longest_run_wins_and_among_equals_the_last() {
        assert_eq!(
            draft(&[1, 2, 3, 4, 5, 2, 3, 6, 1, 2, 3], 3),
            [4, 5, 2],
            "three tokens stood there, two stand nearer"
        );
        assert_eq!(draft(&[2, 3, 4, 7, 2, 3, 6, 8, 2, 3], 2), [6, 8]);
        assert!(draft(&[1, 2, 3, 4, 5], 4).is_empty() && draft(&[1, 2, 3, 1, 2], 0).is_empty());
    }

    #[test]
    fn a_text_that_repeats_is_continued() {
        assert_eq!(draft(&[5, 5, 5], 4), [5, 5, 5, 5]);
        assert_eq!(draft(&[1, 2, 1, 2], 5), [1, 2, 1, 2, 1]);
    }

    proptest! {
        /// The twin tries every place from the end, token by token.
        #[test]
        fn the_look_up_is_a_search(tokens in prop::collection::vec(0_u32..3, 0..30), most in 0_usize..10) {
            let mut text = tokens.clone();
            for run in [3, 2] {
                let places = (run..tokens.len()).rev();
                let same = |place: &usize| (1..=run).all(|back| tokens[place - back] == tokens[tokens.len() - back]);
                if let Some(place) = places.into_iter().find(same) {
                    (0..most).for_each(|at| text.push(text[place + at]));
                    break;
                }
            }
            prop_assert_eq!(&draft(&tokens, most)[..], &text[tokens.len()..]);
        }

        /// Whatever happens, wrong tokens stay few beside right ones and steps.
        #[test]
        fn a_sequence_that_is_always_wrong_pays_little(steps in 200_usize..2000) {
            let mut speculation = Speculation::default();
            let mut wrong = 0;
            for _ in 0..steps {
                let mut draft = Vec::new();
                speculation.propose(&[1, 1, 1], 8, &mut draft);
                if !draft.is_empty() {
                    wrong += draft.len();
                    speculation.learn(draft.len(), 0);
                }
            }
            prop_assert!(wrong <= 11 + steps / 64, "{wrong} of {steps}");
        }
    }

    #[test]
    fn what_is_right_grows_and_what_is_half_right_shrinks() {
        let mut speculation = Speculation::default();
        let mut length = |drafted, accepted| {
            speculation.learn(drafted, accepted);
            speculation.length
        };
        assert_eq!([length(4, 4), length(8, 8), length(8, 3), length(3, 3), length(6, 0)], [8, 8, 3, 6, 1]);
    }
}
