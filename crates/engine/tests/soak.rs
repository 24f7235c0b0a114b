//! Ten thousand requests of every kind leave nothing behind: no block, no sequence, no memory.
//!
//! A test binary of its own, because it measures the memory of its process.

use std::{collections::VecDeque, time::Duration};

use engine::{Config, Engine, Finish, Output, Sampling, SequenceRequest, SubmitError, Tokens};
use models::{Batch, Logits, Runner};

/// Requests of one part; memory is compared from part to part.
const REQUESTS: u64 = 2500;
const PARTS: u64 = 4;

/// What memory may grow by between the end of the first part and that of the last.
const MOST_GROWTH: u64 = 8 << 20;

/// Long enough for anything; nothing waits for it unless it fails.
const AGES: Duration = Duration::from_secs(300);

const VOCABULARY: usize = 64;

/// A model whose next token follows from the last one and its position: it repeats itself for a while, so that speculation
/// has something to find.
struct Cycles(Vec<f32>);

impl Runner for Cycles {
    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn context_length(&self) -> usize {
        512
    }

    fn kv_blocks(&self) -> usize {
        44
    }

    fn forward(&mut self, batch: &Batch<'_>) -> &[f32] {
        self.0.clear();
        for segment in batch.segments {
            let first = match segment.logits {
                Logits::None => segment.tokens.len(),
                Logits::Last => segment.tokens.len() - 1,
                Logits::All => 0,
            };
            for (row, token) in segment.tokens.iter().enumerate().skip(first) {
                let next = (*token as usize + 1 + (segment.position + row) / 32) % 11;
                let start = self.0.len();
                self.0.resize(start + VOCABULARY, 0.0);
                self.0[start + next] = 5.0;
            }
        }
        &self.0
    }
}

/// SplitMix64: the requests differ, the test does not.
fn random(seed: u64, number: u64) -> u64 {
    let mut z = (seed << 8 | number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A request that is under way, and what its reader is going to do.
struct Running {
    tokens: Tokens,
    /// Outputs after which the reader leaves.
    leaves_after: Option<u64>,
    max_tokens: usize,
}

impl Running {
    /// Reads to the end, or hangs up on the way.
    fn settle(mut self) {
        let mut generated = 0;
        for read in 0.. {
            if self.leaves_after.is_some_and(|after| read >= after) {
                return;
            }
            match self.tokens.blocking_next().expect("the end comes first") {
                Output::Token(_) => generated += 1,
                Output::Prompt(_) => {}
                Output::Finished(finish) => {
                    assert!(matches!(finish, Finish::MaxTokens | Finish::EndToken), "{finish:?}");
                    assert!(generated <= self.max_tokens);
                    return;
                }
            }
        }
    }
}

fn submit(engine: &Engine, seed: u64) -> Result<Running, SubmitError> {
    let dice = |number, sides| random(seed, number) % sides;
    // Prompts share one of twenty beginnings, of up to 96 tokens, and end in tokens of their own; some are long.
    let common = dice(0, 20);
    let beginning = (0..dice(1, 97)).map(|at| random(common, 100 + at) % 64);
    let own = (0..1 + dice(2, if dice(3, 10) == 0 { 250 } else { 20 })).map(|at| dice(10 + at, 64));
    let prompt: Vec<u32> = beginning.chain(own).map(|token| token as u32).collect();
    let max_tokens = 1 + dice(4, 60) as usize;
    let warm = dice(5, 2) == 0;
    let request = SequenceRequest {
        prompt,
        sampling: Sampling { temperature: if warm { 1.0 } else { 0.0 }, seed, ..Sampling::default() },
        max_tokens,
        min_tokens: 0,
        end_tokens: if dice(6, 3) == 0 { vec![3] } else { Vec::new() },
        logprobs: (dice(7, 5) == 0).then_some(2),
        prompt_logprobs: dice(8, 20) == 0,
        salt: dice(9, 5),
        constraint: None,
        forcing: None,
    };
    let leaves_after = (random(seed, 5000).is_multiple_of(3)).then(|| random(seed, 5001) % 40);
    Ok(Running { tokens: engine.submit(request)?, leaves_after, max_tokens })
}

/// Resident memory of this process in bytes.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux says what a process holds");
    let pages: u64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("resident pages");
    pages * 4096
}

#[test]
fn ten_thousand_requests_leave_nothing() {
    let config = Config { max_sequences: 12, max_queue: 24, step_rows: 96, speculation: true, ..Config::default() };
    let engine = Engine::start(Box::new(Cycles(Vec::new())), config);
    let mut resident = Vec::new();
    for part in 0..PARTS {
        // Nobody reads of those that wait here: their queues fill up, and they stall until their turn comes.
        let mut unread = VecDeque::new();
        for seed in part * REQUESTS..(part + 1) * REQUESTS {
            loop {
                match submit(&engine, seed) {
                    Ok(running) => break unread.push_back(running),
                    Err(SubmitError::QueueFull) => unread.pop_front().into_iter().for_each(Running::settle),
                    Err(refused) => panic!("request {seed}: {refused}"),
                }
            }
        }
        unread.into_iter().for_each(Running::settle);
        assert!(engine.wait_idle(AGES), "{:?}", engine.snapshot());
        let snapshot = engine.snapshot();
        assert!(snapshot.is_idle() && snapshot.kv_blocks_cached <= snapshot.kv_blocks_total, "{snapshot:?}");
        resident.push(resident_bytes());
    }
    let snapshot = engine.snapshot();
    assert!(snapshot.tokens_accepted > 0 && snapshot.preemptions > 0, "the load is of every kind: {snapshot:?}");
    let growth = resident[PARTS as usize - 1].saturating_sub(resident[0]);
    assert!(growth < MOST_GROWTH, "resident memory grew from part to part: {resident:?}");
}
