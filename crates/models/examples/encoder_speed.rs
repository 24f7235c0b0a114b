//! Measures an encoder: `cargo run --release -p models --example encoder_speed -- FOLDER [THREADS]`.
//!
//! 512 texts of 5 to 40 tokens, in passes as full as they may be; the median of several runs.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::{path::Path, time::Instant};

use models::{Encoder, EncoderDescription, EncoderOptions, Input, Level};
use weights::Checkpoint;

const TEXTS: usize = 512;
const RUNS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().expect("usage: encoder_speed FOLDER [THREADS]");
    let threads = arguments.get(1).map_or(2, |threads| threads.parse().expect("THREADS is a number"));
    let checkpoint = Checkpoint::open(Path::new(path)).unwrap_or_else(|error| panic!("opening {path}: {error}"));
    let description = EncoderDescription::of(&checkpoint).expect("it can be read").expect("it is an encoder");
    let options = EncoderOptions { level: Level::detect(), threads };
    let mut encoder =
        Encoder::load(&checkpoint, &options, &|_, _| ()).unwrap_or_else(|error| panic!("{path}: {error}"));

    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let texts: Vec<Vec<u32>> = (0..TEXTS)
        .map(|_| {
            let length = 5 + draw(36);
            (0..length).map(|_| draw(description.vocabulary) as u32).collect()
        })
        .collect();
    let tokens: usize = texts.iter().map(Vec::len).sum();
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let (mut pass, mut blocks) = (Vec::new(), 0);
            for input in texts.iter().map(|text| Input::text(text)) {
                if blocks + input.blocks() > encoder.pass_blocks() {
                    encoder.run(&std::mem::take(&mut pass));
                    blocks = 0;
                }
                blocks += input.blocks();
                pass.push(input);
            }
            encoder.run(&pass);
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[RUNS / 2];
    println!("{:.0} texts/s, {:.0} tokens/s", TEXTS as f64 / median, tokens as f64 / median);
}
