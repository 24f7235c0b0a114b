//! Measures a model: `cargo run --release -p models --example speed -- MODEL [THREADS] [LEVEL]`.
//!
//! `MODEL` is a GGUF file or a folder, `LEVEL` one of this CPU's (`scalar`, `avx2`, `avx512`, `avx512vnni`; the best one
//! when left out). Decode is measured as whole steps at a context length, prefill as one step of a prompt of which only
//! the last row's logits are wanted. Each figure is the median of several runs.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::{path::Path, time::Instant};

use models::{BLOCK_LEN, Batch, KvType, Level, Logits, Options, Runner, Segment};
use weights::Checkpoint;

/// Steps of one run of decode.
const STEPS: usize = 32;
const RUNS: usize = 7;
const PROMPT: usize = 512;
const MOST_STREAMS: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().expect("usage: speed MODEL [THREADS] [LEVEL]");
    let threads = arguments.get(1).map_or(2, |threads| threads.parse().expect("THREADS is a number"));
    let level = match arguments.get(2) {
        None => Level::detect(),
        Some(name) => Level::available()
            .into_iter()
            .find(|level| format!("{level:?}").eq_ignore_ascii_case(name))
            .unwrap_or_else(|| panic!("LEVEL is one of {:?}, not {name}", Level::available())),
    };
    let blocks_each = (PROMPT + STEPS).div_ceil(BLOCK_LEN);
    let options =
        Options { level, threads, context_length: None, kv_blocks: MOST_STREAMS * blocks_each, kv_type: KvType::F16 };
    let start = Instant::now();
    let checkpoint = Checkpoint::open(Path::new(path)).unwrap_or_else(|error| panic!("opening {path}: {error}"));
    let mut runner =
        models::load(&checkpoint, &options, &|_, _| ()).unwrap_or_else(|error| panic!("loading {path}: {error}"));
    println!("{path}: {level:?}, {threads} threads, loaded in {:.2} s", start.elapsed().as_secs_f64());

    let tables: Vec<Vec<u32>> = (0..MOST_STREAMS)
        .map(|stream| (stream * blocks_each..(stream + 1) * blocks_each).map(|block| block as u32).collect())
        .collect();
    let vocabulary = runner.vocabulary() as u32;
    let tokens: Vec<u32> = (0..PROMPT as u32).map(|i| (i * 7919 + 13) % vocabulary).collect();
    for blocks in &tables {
        let seconds = step(&mut *runner, &[segment(&tokens, 0, blocks, Logits::None)]);
        assert!(seconds > 0.0);
    }

    let seconds = median(|| step(&mut *runner, &[segment(&tokens, 0, &tables[0], Logits::Last)]));
    println!("prefill of {PROMPT} tokens: {:.0} tokens/s", PROMPT as f64 / seconds);
    for streams in [1, MOST_STREAMS] {
        for context in [0, 128, 512] {
            let seconds = median(|| decode(&mut *runner, &tables[..streams], context));
            println!(
                "decode, {streams} stream{} at a context of {context}: {:.1} tokens/s ({:.2} ms a step)",
                if streams == 1 { "" } else { "s" },
                (streams * STEPS) as f64 / seconds,
                1e3 * seconds / STEPS as f64
            );
        }
    }
}

fn segment<'a>(tokens: &'a [u32], position: usize, blocks: &'a [u32], logits: Logits) -> Segment<'a> {
    Segment { tokens, position, blocks, logits }
}

/// Seconds of one step.
fn step(runner: &mut dyn Runner, segments: &[Segment<'_>]) -> f64 {
    let start = Instant::now();
    runner.forward(&Batch { segments });
    start.elapsed().as_secs_f64()
}

/// Seconds of [`STEPS`] steps from `context` on. The cache holds the prompt up to there.
fn decode(runner: &mut dyn Runner, tables: &[Vec<u32>], context: usize) -> f64 {
    let positions = context..context + STEPS;
    positions
        .map(|position| {
            let token = [position as u32 % 1000];
            let segments: Vec<_> =
                tables.iter().map(|blocks| segment(&token, position, blocks, Logits::Last)).collect();
            step(runner, &segments)
        })
        .sum()
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..RUNS).map(|_| measure()).collect();
    all.sort_by(f64::total_cmp);
    all[RUNS / 2]
}
