//! A row's logits are the same bits whatever else is in the batch.
//!
//! Many sequences run together the way an engine runs them, in steps drawn at random: some decode, some are in the
//! middle of their prompt, some wait; their blocks lie anywhere, hold what earlier sequences left there, and are shared
//! where two sequences begin alike. Each row's bits are compared with those of its sequence alone in one pass.

mod drive;

use std::{collections::HashMap, path::Path};

use drive::{Random, Setup, blocks_in_order, fingerprint, fingerprints, fixture, load};
use models::{BLOCK_LEN, Batch, KvType, Logits, Runner, Segment};

/// A sequence on its way.
struct Sequence {
    tokens: Vec<u32>,
    blocks: Vec<u32>,
    /// Rows that have run.
    done: usize,
    /// The sequence (by number) whose first blocks are this one's too, and how many.
    shares: Option<(usize, usize)>,
}

/// What a sequence's rows are when it runs alone.
fn alone(runner: &mut dyn Runner, tokens: &[u32]) -> Vec<u64> {
    fingerprints(runner, tokens, &[tokens.len()], &blocks_in_order(tokens.len()))
}

/// Sequences of these lengths over blocks that are dealt at random; every third begins as the one before it does.
fn deal(lengths: &[usize], vocabulary: usize, kv_blocks: usize, random: &mut Random) -> Vec<Sequence> {
    let mut free = blocks_in_order(kv_blocks * BLOCK_LEN);
    random.shuffle(&mut free);
    let mut sequences: Vec<Sequence> = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        let mut tokens: Vec<u32> = (0..*length).map(|_| random.below(vocabulary) as u32).collect();
        let mut blocks = Vec::new();
        let mut shares = None;
        if let Some(before) = number.checked_sub(1).filter(|_| number % 3 == 2) {
            // Whole blocks only, and a row of its own: what an engine can take from its cache.
            let shared = (sequences[before].tokens.len().min(length - 1) / BLOCK_LEN).min(1 + random.below(8));
            if shared > 0 {
                tokens[..shared * BLOCK_LEN].copy_from_slice(&sequences[before].tokens[..shared * BLOCK_LEN]);
                blocks.extend(&sequences[before].blocks[..shared]);
                shares = Some((before, shared * BLOCK_LEN));
            }
        }
        let more = length.div_ceil(BLOCK_LEN) - blocks.len();
        blocks.extend(free.drain(free.len() - more..));
        sequences.push(Sequence { tokens, blocks, done: shares.map_or(0, |(_, rows)| rows), shares });
    }
    sequences
}

/// Runs all sequences to their ends; the bits of each row whose logits were asked for, by (sequence, position).
fn together(runner: &mut dyn Runner, sequences: &mut [Sequence], random: &mut Random) -> HashMap<(usize, usize), u64> {
    let mut found = HashMap::new();
    let vocabulary = runner.vocabulary();
    while sequences.iter().any(|sequence| sequence.done < sequence.tokens.len()) {
        let ready = |number: &usize| {
            let Sequence { tokens, done, shares, .. } = &sequences[*number];
            *done < tokens.len() && shares.is_none_or(|(other, rows)| sequences[other].done >= rows)
        };
        let mut numbers: Vec<usize> = (0..sequences.len()).filter(ready).collect();
        random.shuffle(&mut numbers);
        numbers.truncate(1 + random.below(numbers.len()));
        let mut planned = Vec::new();
        for number in numbers {
            let left = sequences[number].tokens.len() - sequences[number].done;
            let rows = if random.below(2) == 0 { 1 } else { 1 + random.below(60) };
            let logits = [Logits::None, Logits::Last, Logits::All][random.below(3)];
            planned.push((number, rows.min(left), logits));
        }
        let segment = |(number, rows, logits): &(usize, usize, Logits)| {
            let Sequence { tokens, blocks, done, .. } = &sequences[*number];
            Segment { tokens: &tokens[*done..*done + *rows], position: *done, blocks, logits: *logits }
        };
        let segments: Vec<Segment<'_>> = planned.iter().map(segment).collect();
        let mut logits = runner.forward(&Batch { segments: &segments }).chunks_exact(vocabulary);
        for (number, rows, wanted) in planned {
            let done = &mut sequences[number].done;
            let first = match wanted {
                Logits::None => rows,
                Logits::Last => rows - 1,
                Logits::All => 0,
            };
            for row in first..rows {
                let logits = logits.next().expect("a row of logits for each that was wanted");
                found.insert((number, *done + row), fingerprint(logits));
            }
            *done += rows;
        }
        assert_eq!(logits.len(), 0, "no more rows than were wanted");
    }
    found
}

/// Several rounds on one runner for each number of threads: later rounds find the keys and values of earlier ones.
#[track_caller]
fn check(path: &Path, kv_type: KvType, lengths: &[usize], rounds: u64, threads: &[usize]) {
    let kv_blocks: usize = lengths.iter().map(|length| length.div_ceil(BLOCK_LEN)).sum();
    let positions = kv_blocks * BLOCK_LEN;
    let start = |threads: &usize| load(path, Setup { threads: *threads, kv_type, ..Setup::usual(positions) });
    let mut runners: Vec<Box<dyn Runner>> = threads.iter().map(start).collect();
    for round in 0..rounds {
        // The same sequences for each number of threads, in steps of their own.
        let mut steps = Random(round);
        let vocabulary = runners[0].vocabulary();
        let sequences = || deal(lengths, vocabulary, kv_blocks, &mut Random(round));
        let wanted: Vec<_> = sequences().iter().map(|sequence| alone(&mut *runners[0], &sequence.tokens)).collect();
        for (threads, runner) in threads.iter().zip(&mut runners) {
            let found = together(&mut **runner, &mut sequences(), &mut steps);
            assert!(found.len() > lengths.len(), "hardly any logits were asked for");
            for ((number, position), bits) in found {
                assert_eq!(
                    bits,
                    wanted[number][position],
                    "{}, {kv_type:?}, round {round}, {threads} threads: row {position} of sequence {number} of {}",
                    path.display(),
                    lengths[number]
                );
            }
        }
    }
}

#[test]
fn tiny_models_of_every_kind() {
    // 64 positions are what they were made for: windows end within.
    let lengths = [1, 64, 40, 16, 17, 33, 5, 50, 64, 31, 2, 48];
    for model in [
        "llama3/q8_0.gguf",
        "mistral/hf",
        "qwen2-window/hf",
        "qwen3/hf",
        "gemma3/hf",
        "gemma3-nested/hf",
        "phi3/hf",
        "gemma2/hf",
        "qwen3moe/q4_1.gguf",
        "qwen3moe-mixed/hf",
        "mixtral/hf",
        "gpt-oss/hf-mxfp4",
    ] {
        for kv_type in [KvType::F16, KvType::F32, KvType::I8] {
            check(&fixture(&format!("tiny/{model}")), kv_type, &lengths, 4, &[1, 2, 3]);
        }
    }
}

#[test]
fn the_default_model() {
    // Attention takes keys in parts of 256 positions, and adds up the parts of few rows in another way than of many: some
    // lengths end before, at and after a border, and the longest, which is the last to run, has three parts.
    check(&testkit::smollm2(), KvType::F16, &[1, 620, 140, 16, 257, 33, 7, 90], 1, &[1, 2]);
}

#[test]
fn a_batch_may_be_empty_or_have_empty_segments() {
    let mut runner = load(&fixture("tiny/gemma3/hf"), Setup::usual(64));
    assert!(runner.forward(&Batch { segments: &[] }).is_empty());
    let empty = Segment { tokens: &[], position: 0, blocks: &[], logits: Logits::All };
    assert!(runner.forward(&Batch { segments: &[empty, empty] }).is_empty());

    let wanted = alone(&mut *runner, &[3, 1, 4]);
    let blocks = [2];
    let full = Segment { tokens: &[3, 1, 4], position: 0, blocks: &blocks, logits: Logits::Last };
    let logits = runner.forward(&Batch { segments: &[empty, full, empty] });
    assert_eq!(fingerprint(logits), wanted[2]);
}
