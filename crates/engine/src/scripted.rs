//! A runner that computes nothing but cannot be fooled: a stand-in for a model in tests.
//!
//! A slot of its KV cache holds the token and the position that were written there. A row's logits are a hash of everything
//! that the block table leads to, up to the row itself: a wrong table, a stolen or stale block, a wrong position or a token
//! that was never run changes them.

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
}

impl Default for Script {
    fn default() -> Self {
        Self { vocabulary: 97, context_length: 512, kv_blocks: 256, panics_at: None, nan_at: None }
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

/// The runner.
pub(crate) struct Scripted {
    script: Script,
    /// Indexed by block id and position in the block.
    slots: Vec<u64>,
    logits: Vec<f32>,
    log: Log,
    /// Each forward pass first takes one message, until the sender is gone.
    gate: Option<mpsc::Receiver<()>>,
}

impl Scripted {
    pub fn new(script: Script) -> Self {
        let slots = vec![0; script.kv_blocks * BLOCK_LEN];
        Self { script, slots, logits: Vec::new(), log: Log::default(), gate: None }
    }

    pub fn gated(script: Script, gate: mpsc::Receiver<()>) -> Self {
        Self { gate: Some(gate), ..Self::new(script) }
    }

    pub fn log(&self) -> Log {
        Arc::clone(&self.log)
    }
}

/// What a slot holds.
fn slot(token: u32, position: usize) -> u64 {
    random::bits(u64::from(token), position as u64)
}

/// The logits of a row that sees these slots, `[vocabulary]`, between 0 and 8.
fn row(vocabulary: usize, seen: impl Iterator<Item = u64>) -> impl Iterator<Item = f32> {
    let state = seen.fold(0, |state, slot| random::bits(state ^ slot, 0));
    (0..vocabulary as u64).map(move |id| (random::bits(state, id) >> 40) as f32 / (1 << 21) as f32)
}

/// The logits after these tokens, worked out without blocks, batches and engine.
pub(crate) fn logits_after(vocabulary: usize, tokens: &[u32]) -> Vec<f32> {
    row(vocabulary, tokens.iter().enumerate().map(|(position, &token)| slot(token, position))).collect()
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
            for (i, &token) in segment.tokens.iter().enumerate() {
                assert!(self.script.panics_at != Some(token), "the script says so");
                let position = segment.position + i;
                self.slots[at(segment.blocks, position)] = slot(token, position);
            }
        }
        for segment in batch.segments {
            let rows = segment.tokens.len();
            let first = match segment.logits {
                Logits::None => rows,
                Logits::Last => rows - 1,
                Logits::All => 0,
            };
            for i in first..rows {
                let seen = (0..=segment.position + i).map(|position| self.slots[at(segment.blocks, position)]);
                let start = self.logits.len();
                self.logits.extend(row(self.script.vocabulary, seen));
                if self.script.nan_at == Some(segment.tokens[i]) {
                    self.logits[start + 5] = f32::NAN;
                }
            }
        }
        &self.logits
    }
}
