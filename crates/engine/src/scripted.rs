//! A runner that computes nothing but cannot be fooled: a stand-in for a model in tests.
//!
//! A slot of its KV cache holds the token and the position that were written there, and a hash of everything that came before
//! them, as keys and values of a model do. A row's logits are a hash of everything that the block table leads to, up to the
//! row itself: a wrong table, a stolen or stale block, a wrong position or a token that was never run changes them. A slot
//! that was written behind other tokens than those that the table leads to is a panic.

use std::sync::{Arc, Mutex, mpsc};

use models::{Batch, Logits, Runner};

use crate::{blocks::BLOCK_LEN, random};

/// How the runner behaves.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub vocabulary: usize,
    pub context_length: usize,
    pub kv_blocks: usize,
    /// A forward pass with this token in it panics.
    pub panics_at: Option<u32>,
    /// A row of this token has a NaN among its logits.
    pub nan_at: Option<u32>,
    /// Added to the logit of the token that comes next in a cycle of seven: makes texts that repeat themselves.
    pub habit: f32,
}

impl Default for Script {
    fn default() -> Self {
        Self { vocabulary: 97, context_length: 512, kv_blocks: 256, panics_at: None, nan_at: None, habit: 0.0 }
    }
}

/// What the runner was asked to do in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// First token, position and rows of each segment.
    pub segments: Vec<(u32, usize, usize)>,
}

impl Step {
    pub fn rows(&self) -> usize {
        self.segments.iter().map(|&(_, _, rows)| rows).sum()
    }
}

/// Steps in order, shared with the test.
pub(crate) type Log = Arc<Mutex<Vec<Step>>>;

/// What is written at a position.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Hash of token and position.
    own: u64,
    /// Hash of this and all before it.
    state: u64,
}

impl Slot {
    fn after(state: u64, token: u32, position: usize) -> Self {
        let own = random::bits(u64::from(token), position as u64);
        Self { own, state: fold(state, own) }
    }
}

fn fold(state: u64, own: u64) -> u64 {
    random::bits(state ^ own, 0)
}

/// The runner.
pub(crate) struct Scripted {
    script: Script,
    /// Indexed by block id and position in the block.
    slots: Vec<Slot>,
    logits: Vec<f32>,
    log: Log,
    /// Each forward pass first takes one message, until the sender is gone.
    gate: Option<mpsc::Receiver<()>>,
}

impl Scripted {
    pub fn new(script: Script) -> Self {
        let slots = vec![Slot::default(); script.kv_blocks * BLOCK_LEN];
        Self { script, slots, logits: Vec::new(), log: Log::default(), gate: None }
    }

    pub fn gated(script: Script, gate: mpsc::Receiver<()>) -> Self {
        Self { gate: Some(gate), ..Self::new(script) }
    }

    pub fn log(&self) -> Log {
        Arc::clone(&self.log)
    }
}

/// The logits of a row that sees everything up to this state, `[vocabulary]`, between 0 and 8.
fn row(vocabulary: usize, state: u64) -> impl Iterator<Item = f32> {
    (0..vocabulary as u64).map(move |id| (random::bits(state, id) >> 40) as f32 / (1 << 21) as f32)
}

/// The logits after these tokens, worked out without blocks, batches and engine.
pub(crate) fn logits_after(vocabulary: usize, tokens: &[u32]) -> Vec<f32> {
    let next = |state, (position, &token)| Slot::after(state, token, position).state;
    row(vocabulary, tokens.iter().enumerate().fold(0, next)).collect()
}

impl Runner for Scripted {
    fn vocabulary(&self) -> usize {
        self.script.vocabulary
    }

    fn context_length(&self) -> usize {
        self.script.context_length
    }

    fn kv_blocks(&self) -> usize {
        self.script.kv_blocks
    }

    fn forward(&mut self, batch: &Batch<'_>) -> &[f32] {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        self.logits.clear();
        let segments = batch.segments.iter().map(|s| (s.tokens[0], s.position, s.tokens.len())).collect();
        self.log.lock().expect("no test panics with the log in hand").push(Step { segments });
        let at =
            |blocks: &[u32], position: usize| blocks[position / BLOCK_LEN] as usize * BLOCK_LEN + position % BLOCK_LEN;
        // As in a model, all of the step is written before any of it is read.
        for segment in batch.segments {
            let mut state = match segment.position.checked_sub(1) {
                Some(before) => self.slots[at(segment.blocks, before)].state,
                None => 0,
            };
            for (i, &token) in segment.tokens.iter().enumerate() {
                assert!(self.script.panics_at != Some(token), "the script says so");
                let position = segment.position + i;
                let slot = Slot::after(state, token, position);
                self.slots[at(segment.blocks, position)] = slot;
                state = slot.state;
            }
        }
        for segment in batch.segments {
            let rows = segment.tokens.len();
            let first = match segment.logits {
                Logits::None => rows,
                Logits::Last => rows - 1,
                Logits::All => 0,
            };
            let mut state = 0;
            for position in 0..segment.position + rows {
                let slot = self.slots[at(segment.blocks, position)];
                state = fold(state, slot.own);
                assert_eq!(slot.state, state, "position {position} was written behind other tokens");
                if position >= segment.position + first {
                    let start = self.logits.len();
                    let token = segment.tokens[position - segment.position];
                    self.logits.extend(row(self.script.vocabulary, state));
                    self.logits[start + (token as usize + 1) % 7] += self.script.habit;
                    if self.script.nan_at == Some(token) {
                        self.logits[start + 5] = f32::NAN;
                    }
                }
            }
        }
        &self.logits
    }
}

#[cfg(test)]
mod tests {
    use models::Segment;

    use super::*;

    fn run(runner: &mut Scripted, tokens: &[u32], position: usize, blocks: &[u32]) -> Vec<f32> {
        let segments = [Segment { tokens, position, blocks, logits: Logits::Last }];
        runner.forward(&Batch { segments: &segments }).to_vec()
    }

    #[test]
    fn the_right_blocks_give_the_right_logits() {
        let mut runner = Scripted::new(Script::default());
        let tokens: Vec<u32> = (0..40).collect();
        run(&mut runner, &tokens[..33], 0, &[4, 2, 7]);
        assert_eq!(run(&mut runner, &tokens[33..], 33, &[4, 2, 7]), logits_after(97, &tokens));
    }

    #[test]
    #[should_panic(expected = "position 16 was written behind other tokens")]
    fn a_block_from_behind_another_prefix_is_noticed() {
        let mut runner = Scripted::new(Script::default());
        run(&mut runner, &[1; 33], 0, &[0, 1, 2]);
        run(&mut runner, &[2; 16], 0, &[3]);
        run(&mut runner, &[1], 32, &[3, 1, 2]);
    }
}
