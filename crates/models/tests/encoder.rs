//! Encoders against the reference implementation: the default embedding model on 50 texts, and tiny random models for what
//! that one does not have.

mod drive;

use std::{fs, path::Path};

use drive::fixture;
use models::{Encoder, EncoderDescription, EncoderOptions, Input, Level, Output, Rows};
use serde_json::Value;
use weights::Checkpoint;

fn load(path: &Path, level: Level, threads: usize) -> Encoder {
    let checkpoint = Checkpoint::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let options = EncoderOptions { level, threads };
    let encoder = Encoder::load(&checkpoint, &options, &|_, _| ());
    encoder.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn describe(path: &Path) -> Result<EncoderDescription, models::Error> {
    EncoderDescription::of(&Checkpoint::open(path).unwrap()).map(|description| description.expect("it is an encoder"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(fixture(name)).expect("the fixture is there")).expect("JSON")
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = fs::read(fixture(name)).expect("the fixture is there");
    let (numbers, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// All inputs, in passes that are as full as they may be.
fn run(encoder: &mut Encoder, inputs: &[Input<'_>]) -> Vec<f32> {
    let mut out = Vec::new();
    let (mut pass, mut blocks) = (Vec::new(), 0);
    for input in inputs {
        if blocks + input.blocks() > encoder.pass_blocks() {
            out.extend(encoder.run(&std::mem::take(&mut pass)));
            blocks = 0;
        }
        blocks += input.blocks();
        pass.push(*input);
    }
    out.extend(encoder.run(&pass));
    out
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn the_default_embedding_model_makes_the_vectors_of_the_reference() {
    let expected = floats("minilm/vectors.f32");
    let texts: Vec<Vec<u32>> =
        json("minilm/texts.json").as_array().unwrap().iter().map(|text| tokens(&text["tokens"])).collect();
    let inputs: Vec<Input<'_>> = texts.iter().map(|tokens| Input::text(tokens)).collect();
    let mut encoder = load(&testkit::minilm(), Level::detect(), 2);
    let found = run(&mut encoder, &inputs);
    assert_eq!((encoder.width(), found.len()), (384, expected.len()));
    for (number, (found, expected)) in found.chunks(384).zip(expected.chunks(384)).enumerate() {
        let apart = 1.0 - cosine(found, expected);
        // Asked for is 1e-4; only the order of sums differs.
        assert!(apart < 1e-6, "text {number} is {apart:e} from the reference");
        let length: f64 = found.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6, "text {number} has a vector of length {length}");
    }
    // Alone, in another company, on one thread: the same bits.
    let alone: Vec<f32> = inputs.iter().flat_map(|input| encoder.run(&[*input])).collect();
    assert!(bits(&alone) == bits(&found));
    let backwards: Vec<Input<'_>> = inputs.iter().rev().copied().collect();
    let turned = run(&mut load(&testkit::minilm(), Level::detect(), 1), &backwards);
    assert!(turned.chunks(384).rev().flatten().map(|x| x.to_bits()).eq(bits(&found)));
    // Plain Rust is slow: a few texts.
    let few = load(&testkit::minilm(), Level::Scalar, 2).run(&inputs[..12]);
    assert!(bits(&few) == bits(&found[..12 * 384]));
}

/// A tiny model: inputs as tokens with the number of the first one of the second text, and what comes out.
#[track_caller]
fn check_tiny(name: &str, output: impl Fn(&Output) -> bool) {
    let path = fixture(&format!("tiny/{name}/hf"));
    assert!(output(&describe(&path).unwrap().output));
    let inputs = json(&format!("tiny/{name}/inputs.json"));
    let inputs: Vec<(Vec<u32>, usize)> = (inputs.as_array().unwrap().iter())
        .map(|input| (tokens(&input["tokens"]), input["second"].as_u64().unwrap() as usize))
        .collect();
    let inputs: Vec<Input<'_>> = inputs.iter().map(|(tokens, second)| Input { tokens, second: *second }).collect();
    let expected = floats(&format!("tiny/{name}/outputs.f32"));
    for level in Level::available() {
        let found = load(&path, level, 2).run(&inputs);
        assert_eq!(found.len(), expected.len());
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found - expected).abs() < 2e-5, "{name}, {level:?}: {found} at {at}, not {expected}");
        }
    }
}

#[test]
fn bert_may_take_the_first_row() {
    check_tiny(
        "bert-cls",
        |output| matches!(output, Output::Embedding(pooling) if pooling.rows == Rows::First && pooling.normalised && pooling.shorter == [8, 16]),
    );
}

#[test]
fn xlm_roberta_has_positions_behind_the_padding_and_need_not_normalise() {
    check_tiny(
        "xlm-roberta",
        |output| matches!(output, Output::Embedding(pooling) if pooling.rows == Rows::Mean && !pooling.normalised),
    );
}

#[test]
fn a_cross_encoder_scores_pairs() {
    check_tiny("bert-score", |output| *output == Output::Score);
    check_tiny("xlm-roberta-score", |output| *output == Output::Score);
}

/// Copies a tiny model and changes one file of it.
fn changed(name: &str, file: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = fixture(&format!("tiny/{name}/hf"));
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let path = folder.path().join(file);
    let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
    folder
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let cases: [(&str, &str, Value, &str); 8] = [
        ("config.json", "position_embedding_type", "relative_key".into(), "position_embedding_type"),
        ("config.json", "hidden_act", "relu".into(), "hidden_act"),
        ("config.json", "num_attention_heads", 5.into(), "num_attention_heads"),
        ("config.json", "is_decoder", true.into(), "is_decoder"),
        ("config.json", "hidden_size", 64.into(), "word_embeddings"),
        ("config.json", "max_position_embeddings", 3.into(), "position_embeddings"),
        ("1_Pooling.config.json", "pooling_mode_max_tokens", true.into(), "pooling_mode_max_tokens"),
        ("sentence_bert_config.json", "max_seq_length", (-1).into(), "max_seq_length"),
    ];
    for (file, key, value, named) in cases {
        let folder = changed("bert-cls", file, |config| config[key] = value.clone());
        let error = describe(folder.path()).expect_err(key).to_string();
        assert!(error.contains(named), "{key}: {error}");
    }
    let folder = changed("bert-cls", "modules.json", |modules| modules[2]["type"] = "x.models.Dense".into());
    let error = describe(folder.path()).expect_err("a module").to_string();
    assert!(error.contains("Dense"), "{error}");
}

#[test]
#[should_panic(expected = "input 1 has token")]
fn a_token_outside_of_the_vocabulary_is_refused() {
    let mut encoder = load(&fixture("tiny/bert-cls/hf"), Level::Scalar, 1);
    encoder.run(&[Input::text(&[1]), Input::text(&[1, 128])]);
}
