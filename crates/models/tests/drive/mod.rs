//! Drives a runner over one sequence in several ways, the way the engine does over many.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

use std::{
    hash::{DefaultHasher, Hasher},
    path::PathBuf,
};

use models::{BLOCK_LEN, Batch, KvType, Level, Logits, Options, Runner, Segment};
use weights::Checkpoint;

/// How a test loads a model.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub level: Level,
    pub threads: usize,
    pub kv_type: KvType,
    /// Positions that the cache holds.
    pub positions: usize,
}

impl Setup {
    /// The CPU's best level, two threads, a cache in f16: as the service runs.
    pub fn usual(positions: usize) -> Self {
        Self { level: Level::detect(), threads: 2, kv_type: KvType::F16, positions }
    }
}

pub fn load(path: &std::path::Path, setup: Setup) -> Box<dyn Runner> {
    let checkpoint = Checkpoint::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let options = Options {
        level: setup.level,
        threads: setup.threads,
        context_length: None,
        kv_blocks: setup.positions.div_ceil(BLOCK_LEN),
        kv_type: setup.kv_type,
    };
    models::load(&checkpoint, &options, &|_, _| ()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Small reproducible randomness (splitmix64), so that a failure can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Cuts `total` into random pieces of 1 to `most`.
    pub fn chunks(&mut self, mut total: usize, most: usize) -> Vec<usize> {
        let mut chunks = Vec::new();
        while total > 0 {
            let chunk = (1 + self.below(most)).min(total);
            chunks.push(chunk);
            total -= chunk;
        }
        chunks
    }
}

/// The first blocks of the cache, in order.
pub fn blocks_in_order(positions: usize) -> Vec<u32> {
    (0..positions.div_ceil(BLOCK_LEN) as u32).collect()
}

/// Runs `tokens` from position 0 in the given chunks; `each(position, logits)` gets every row.
pub fn run(
    runner: &mut dyn Runner,
    tokens: &[u32],
    chunks: &[usize],
    blocks: &[u32],
    each: &mut dyn FnMut(usize, &[f32]),
) {
    assert_eq!(chunks.iter().sum::<usize>(), tokens.len());
    let vocabulary = runner.vocabulary();
    let mut position = 0;
    for chunk in chunks {
        let segment = Segment { tokens: &tokens[position..position + chunk], position, blocks, logits: Logits::All };
        let logits = runner.forward(&Batch { segments: &[segment] });
        assert_eq!(logits.len(), chunk * vocabulary);
        for (row, logits) in logits.chunks_exact(vocabulary).enumerate() {
            each(position + row, logits);
        }
        position += chunk;
    }
}

/// All rows of logits, one after the other.
pub fn rows(runner: &mut dyn Runner, tokens: &[u32], chunks: &[usize], blocks: &[u32]) -> Vec<f32> {
    let mut all = Vec::new();
    run(runner, tokens, chunks, blocks, &mut |_, logits| all.extend_from_slice(logits));
    all
}

/// A number for the exact bits of a row, to compare long runs without keeping them.
pub fn fingerprint(logits: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    logits.iter().for_each(|logit| hasher.write_u32(logit.to_bits()));
    hasher.finish()
}

/// [`fingerprint`] of every row.
pub fn fingerprints(runner: &mut dyn Runner, tokens: &[u32], chunks: &[usize], blocks: &[u32]) -> Vec<u64> {
    let mut all = Vec::new();
    run(runner, tokens, chunks, blocks, &mut |_, logits| all.push(fingerprint(logits)));
    all
}

/// Where two runs first differ in any bit.
pub fn first_difference(a: &[f32], b: &[f32]) -> Option<usize> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits())
}
