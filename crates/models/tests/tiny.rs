//! Every architecture and variant against the reference implementation, on tiny models with random weights.
//!
//! The bound is the largest difference of any logit, relative to the root mean square of all: 1e-3 where nothing is
//! rounded but by f32 itself. The looser ones stand where they are used.

mod drive;

use std::fs;

use drive::{Random, Setup, blocks_in_order, fixture, load, rows};
use models::{KvType, Level};

/// F32 weights, F32 cache: only f32's own rounding and the order of sums differ.
const EXACT: f64 = 1e-3;
/// A cache in f16 keeps 11 bits of every key and value.
const F16_CACHE: f64 = 2e-2;
/// Products with Q8_0 weights round each activation to 16 bits of the largest of its 32.
const Q8_0: f64 = 5e-3;

fn prompts(model: &str) -> Vec<Vec<u32>> {
    let text = fs::read_to_string(fixture(&format!("tiny/{model}/prompts.json"))).expect("the fixture is there");
    serde_json::from_str(&text).expect("lists of token ids")
}

fn reference(model: &str, file: &str) -> Vec<f32> {
    let bytes = fs::read(fixture(&format!("tiny/{model}/{file}"))).expect("the fixture is there");
    let (numbers, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

/// Runs all prompts, each in one pass, and compares with `logits`.
#[track_caller]
fn check_at(model: &str, file: &str, logits: &str, level: Level, kv_type: KvType, bound: f64) {
    let expected = reference(model, logits);
    let path = fixture(&format!("tiny/{model}/{file}"));
    let mut runner = load(&path, Setup { level, threads: 2, kv_type, positions: 64 });
    let mut found = Vec::new();
    for tokens in prompts(model) {
        found.extend(rows(&mut *runner, &tokens, &[tokens.len()], &blocks_in_order(tokens.len())));
    }
    let name = format!("{model}/{file}, {level:?}, {kv_type:?}");
    compare(&name, &found, &expected, bound);
}

/// Fails when any logit is further from its reference than `bound` allows.
#[track_caller]
fn compare(name: &str, found: &[f32], expected: &[f32], bound: f64) {
    assert_eq!(found.len(), expected.len());
    let rms = (expected.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / expected.len() as f64).sqrt();
    let differences = found.iter().zip(expected).map(|(found, expected)| f64::from((found - expected).abs()));
    // `max` would pass over a NaN.
    let worst = differences.fold(0.0, |worst: f64, next| if next > worst || next.is_nan() { next } else { worst });
    assert!(worst <= bound * rms, "{name}: largest difference {:.2e} of the RMS, allowed {bound:.0e}", worst / rms);
}

#[track_caller]
fn check(model: &str, file: &str) {
    for level in Level::available() {
        check_at(model, file, "logits.f32", level, KvType::F32, EXACT);
    }
    check_at(model, file, "logits.f32", Level::detect(), KvType::F16, F16_CACHE);
}

#[track_caller]
fn check_q8_0(model: &str) {
    for level in Level::available() {
        check_at(model, "q8_0.gguf", "logits-q8_0.f32", level, KvType::F32, Q8_0);
    }
}

#[test]
fn llama3_has_stretched_frequencies_and_a_head_of_its_own() {
    check("llama3", "hf");
}

#[test]
fn llama_rotates_neighbours_in_a_gguf_and_halves_in_a_folder() {
    check("llama3", "f32-00001-of-00002.gguf");
    check("llama3", "f32-00002-of-00002.gguf");
    check_q8_0("llama3");
}

#[test]
fn llama_may_have_biases_everywhere_and_linear_scaling() {
    check("llama-biased", "hf");
    check("llama-biased", "f32.gguf");
}

#[test]
fn mistral_has_a_window_on_every_layer() {
    check("mistral", "hf");
}

#[test]
fn qwen2_has_biases_and_may_have_yarn() {
    check("qwen2", "hf");
    check("qwen2", "f32.gguf");
}

#[test]
fn qwen2_may_have_a_window_on_its_upper_layers() {
    check("qwen2-window", "hf");
}

#[test]
fn qwen3_normalises_each_head() {
    check("qwen3", "hf");
    check("qwen3", "f32.gguf");
    check_q8_0("qwen3");
}

#[test]
fn phi3_has_fused_tensors_and_a_window() {
    check("phi3", "hf");
    check("phi3", "f32.gguf");
    check_q8_0("phi3");
}

/// The reference takes the divisors by each prompt's length; here a context that is as long as the prompt does the same.
#[test]
fn phi3_may_have_long_rope() {
    let expected = reference("phi3-long", "logits.f32");
    for (file, level) in
        ["hf", "f32.gguf"].into_iter().flat_map(|file| Level::available().into_iter().map(move |level| (file, level)))
    {
        let path = fixture(&format!("tiny/phi3-long/{file}"));
        let mut at = 0;
        for tokens in prompts("phi3-long") {
            let count = tokens.len();
            let setup = Setup { level, threads: 2, kv_type: KvType::F32, positions: count };
            let found = rows(&mut *load(&path, setup), &tokens, &[count], &blocks_in_order(count));
            compare(&format!("{file}, {level:?}, {count} tokens"), &found, &expected[at..at + found.len()], EXACT);
            at += found.len();
        }
        assert_eq!(at, expected.len());
    }
}

#[test]
fn qwen3_may_have_experts_in_some_layers_or_all() {
    check("qwen3moe-mixed", "hf");
    check("qwen3moe", "hf");
    check("qwen3moe", "f32.gguf");
    for file in ["q4_1.gguf", "q4_1-fused.gguf"] {
        for level in Level::available() {
            // The weights are the same numbers, but activations are rounded for them.
            check_at("qwen3moe", file, "logits.f32", level, KvType::F32, Q8_0);
        }
    }
}

#[test]
fn mixtral_has_experts_and_is_llama_in_a_gguf() {
    check("mixtral", "hf");
    check("mixtral", "f32.gguf");
}

#[test]
fn gpt_oss_has_sinks_clamped_gates_and_experts_in_mxfp4() {
    check("gpt-oss", "hf");
    check("gpt-oss", "f32.gguf");
    for file in ["hf-mxfp4", "mxfp4.gguf"] {
        for level in Level::available() {
            // The weights are the same numbers, but activations are rounded for them.
            check_at("gpt-oss", file, "logits.f32", level, KvType::F32, Q8_0);
        }
    }
}

#[test]
fn gemma2_has_windows_four_norms_and_soft_caps() {
    check("gemma2", "hf");
    check("gemma2", "f32.gguf");
    check("gemma2-silent", "hf");
}

#[test]
fn gemma3_has_windows_four_norms_and_two_ropes() {
    check("gemma3", "hf");
    check("gemma3", "f32.gguf");
}

#[test]
fn gemma3_may_be_nested_and_have_soft_caps() {
    check("gemma3-nested", "hf");
}

#[test]
fn a_long_run_through_the_cache_is_the_same_as_one_pass() {
    for (model, file) in [
        ("gemma3", "hf"),
        ("mistral", "hf"),
        ("qwen2-window", "hf"),
        ("llama3", "q8_0.gguf"),
        ("phi3", "q8_0.gguf"),
        ("phi3-long", "hf"),
        ("gemma2", "f32.gguf"),
        ("qwen3moe-mixed", "hf"),
        ("qwen3moe", "q4_1.gguf"),
        ("mixtral", "f32.gguf"),
        ("gpt-oss", "mxfp4.gguf"),
        ("gpt-oss", "hf"),
    ] {
        for kv_type in [KvType::F32, KvType::F16] {
            let path = fixture(&format!("tiny/{model}/{file}"));
            let mut runner = load(&path, Setup { level: Level::detect(), threads: 2, kv_type, positions: 64 });
            let mut random = Random(5);
            let tokens: Vec<u32> = (0..64).map(|_| random.below(128) as u32).collect();
            let blocks = blocks_in_order(64);
            let whole = rows(&mut *runner, &tokens, &[64], &blocks);
            assert!(whole.iter().all(|logit| logit.is_finite()));
            for chunks in [vec![1; 64], random.chunks(64, 20), random.chunks(64, 5)] {
                let cut = rows(&mut *runner, &tokens, &chunks, &blocks);
                assert_eq!(drive::first_difference(&whole, &cut), None, "{model} {kv_type:?} {chunks:?}");
            }
        }
    }
}
