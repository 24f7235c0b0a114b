//! Tokenizers from GGUF metadata, against the reference libraries.

use std::{fs, path::Path, sync::Arc};

use serde_json::Value as Json;
use text::{Detokenizer, Error, Special, Tokenizer};
use weights::{Array, Metadata, Value};

const PLAIN: Special = Special { add: false, parse: false };
const PARSED: Special = Special { add: false, parse: true };
const FRAMED: Special = Special { add: true, parse: true };

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// The metadata in the first line of a fixture.
fn metadata(name: &str) -> Metadata {
    let fixture = fixture(name);
    let entries: serde_json::Map<String, Json> = serde_json::from_str(fixture.lines().next().unwrap()).unwrap();
    Metadata(entries.into_iter().map(|(key, value)| (key, of_json(&value))).collect())
}

fn of_json(value: &Json) -> Value {
    match value {
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => Value::U32(number.as_u64().unwrap() as u32),
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => Value::Array(match &items[0] {
            Json::String(_) => Array::Str(items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()),
            Json::Number(number) if number.is_f64() => {
                Array::F32(items.iter().map(|item| item.as_f64().unwrap() as f32).collect())
            }
            _ => Array::I32(items.iter().map(|item| item.as_i64().unwrap() as i32).collect()),
        }),
        other => panic!("{other} is no metadata"),
    }
}

fn load(name: &str) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::from_gguf(&metadata(name)).unwrap())
}

fn real(path: &Path) -> Metadata {
    match weights::Checkpoint::open(path).unwrap() {
        weights::Checkpoint::Gguf(gguf) => gguf.metadata().clone(),
        weights::Checkpoint::HuggingFace(_) => panic!("{} is no GGUF", path.display()),
    }
}

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    tokens: Vec<u32>,
    decoded: Option<String>,
}

fn cases(name: &str, skip: usize) -> Vec<Case> {
    let fixture = fixture(name);
    let cases: Vec<Case> = fixture.lines().skip(skip).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 50);
    cases
}

/// What `decode` and the incremental detokenizer make of a whole text's tokens, which must be the same.
#[track_caller]
fn decoded(tokenizer: &Arc<Tokenizer>, tokens: &[u32]) -> String {
    let mut detokenizer = Detokenizer::whole(Arc::clone(tokenizer), true);
    let pieces: String = tokens.iter().map(|&token| detokenizer.push(token)).collect();
    let decoded = tokenizer.decode(tokens, true).unwrap();
    assert_eq!(pieces + &detokenizer.finish(), decoded);
    decoded
}

#[test]
fn sentence_piece_bpe_of_a_real_model() {
    let tokenizer = Arc::new(Tokenizer::from_gguf(&real(&testkit::gemma3())).unwrap());
    for Case { text, tokens, .. } in cases("gemma3.jsonl", 0) {
        assert_eq!(tokenizer.encode(&text, PLAIN, &[]).unwrap(), tokens, "{text:?}");
        assert_eq!(decoded(&tokenizer, &tokens), text);
    }
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.adds_bos()), (Some(2), Some(1), true));
    assert_eq!(tokenizer.end_tokens(), [1, 106]);
    let turn = tokenizer.encode("<start_of_turn>user\nHi<end_of_turn>\n", FRAMED, &[]).unwrap();
    assert_eq!((turn[0], turn[1], turn[turn.len() - 2]), (2, 105, 106));
    // A template that writes the BOS itself gets one, not two.
    assert_eq!(tokenizer.encode("<bos><start_of_turn>user\nHi<end_of_turn>\n", FRAMED, &[]).unwrap(), turn);
    assert_eq!(tokenizer.decode(&turn, false).unwrap(), "user\nHi\n");
}

#[test]
fn sentence_piece_bpe_with_a_space_in_front() {
    let tokenizer = load("gguf_llama.jsonl");
    for Case { text, tokens, decoded: expect } in cases("gguf_llama.jsonl", 1) {
        assert_eq!(tokenizer.encode(&text, PLAIN, &[]).unwrap(), tokens, "{text:?}");
        assert_eq!(decoded(&tokenizer, &tokens), expect.unwrap());
    }
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.end_tokens()), (Some(1), Some(2), [2].as_slice()));
    let once = tokenizer.encode("<s>a", FRAMED, &[]).unwrap();
    assert_eq!(once.iter().filter(|&&token| token == 1).count(), 1);
    assert_eq!(once, tokenizer.encode("a", FRAMED, &[]).unwrap());
}

#[test]
fn unigram_with_a_normaliser() {
    let tokenizer = load("gguf_t5.jsonl");
    for Case { text, tokens, decoded: expect } in cases("gguf_t5.jsonl", 1) {
        assert_eq!(tokenizer.encode(&text, PLAIN, &[]).unwrap(), tokens, "{text:?}");
        if !tokens.contains(&2) {
            assert_eq!(decoded(&tokenizer, &tokens), expect.unwrap());
        }
    }
    assert_eq!(tokenizer.encode("a", FRAMED, &[]).unwrap().last(), Some(&1));
    assert_eq!(tokenizer.encode("a</s>", FRAMED, &[]).unwrap().iter().filter(|&&token| token == 1).count(), 1);
}

/// A case of the folder whose tokenizer a fixture was converted from.
#[derive(serde::Deserialize)]
struct FolderCase {
    text: String,
    framed: Vec<u32>,
    parsed: Vec<u32>,
    plain: Vec<u32>,
}

/// Whether the cases of a folder hold for what was converted from it; `skip` says for which texts they do not.
#[track_caller]
fn as_in_folder(folder: &str, skip: impl Fn(&str) -> bool) -> Arc<Tokenizer> {
    let tokenizer = load(&format!("gguf_{folder}.jsonl"));
    let cases = fixture(&format!("{folder}/cases.jsonl"));
    let cases: Vec<FolderCase> = cases.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept: Vec<&FolderCase> = cases.iter().filter(|case| !skip(&case.text)).collect();
    assert!(kept.len() + 4 > cases.len() && cases.len() > 50);
    for FolderCase { text, framed, parsed, plain } in kept {
        assert_eq!(tokenizer.encode(text, PARSED, &[]).unwrap(), *parsed, "{text:?}, parsed");
        assert_eq!(tokenizer.encode(text, PLAIN, &[]).unwrap(), *plain, "{text:?}, plain");
        assert_eq!(tokenizer.encode(text, FRAMED, &[]).unwrap(), *framed, "{text:?}, framed");
    }
    tokenizer
}

#[test]
fn byte_level_bpe() {
    // The folder composes characters first, which a GGUF cannot say.
    let tokenizer = as_in_folder("byte_level_split", |text| text.contains('\u{301}'));
    let names: Vec<&[u8]> = tokenizer.end_tokens().iter().filter_map(|&token| tokenizer.token_bytes(token)).collect();
    assert_eq!(names, [b"<|im_end|>".as_slice(), b"<|endoftext|>"]);
    assert!(!tokenizer.adds_bos());
    assert!(as_in_folder("byte_level_digits", |_| false).adds_bos());
}

#[test]
fn word_piece() {
    let tokenizer = as_in_folder("word_piece", |_| false);
    let tokens = tokenizer.encode("two words", PLAIN, &[]).unwrap();
    assert_eq!(tokenizer.decode(&tokens, false).unwrap(), "two words");
}

/// The error for a fixture's metadata after a change.
#[track_caller]
fn refused(name: &str, key: &str, value: Option<Value>) -> String {
    let mut metadata = metadata(name);
    metadata.0.remove(key);
    metadata.0.extend(value.map(|value| (key.to_owned(), value)));
    match Tokenizer::from_gguf(&metadata) {
        Ok(_) => panic!("{name} with another {key} was accepted"),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error} {source}")
        }
    }
}

fn texts(texts: &[&str]) -> Option<Value> {
    Some(Value::Array(Array::Str(texts.iter().map(|&text| text.to_owned()).collect())))
}

#[test]
fn lying_metadata_is_an_error_that_names_the_key() {
    let number = |number| Some(Value::U32(number));
    let byte_level = "gguf_byte_level_split.jsonl";
    for (fixture, key, value, what) in [
        (byte_level, "tokenizer.ggml.model", None, "convert the model again"),
        (byte_level, "tokenizer.ggml.model", Some(Value::Str("gpt9".into())), "gpt9"),
        (byte_level, "tokenizer.ggml.model", number(3), "the u32 3"),
        (byte_level, "tokenizer.ggml.pre", Some(Value::Str("unheard-of".into())), "unheard-of"),
        (byte_level, "tokenizer.ggml.tokens", None, "convert the model again"),
        (byte_level, "tokenizer.ggml.tokens", texts(&[]), "0 tokens"),
        (byte_level, "tokenizer.ggml.tokens", texts(&["a", &"a".repeat(5000)]), "token 1 is 5000 bytes long"),
        (byte_level, "tokenizer.ggml.tokens", Some(Value::Array(Array::U8(vec![1]))), "elements are u8, not strings"),
        (byte_level, "tokenizer.ggml.token_type", Some(Value::Array(Array::I32(vec![1, 2]))), "2 entries for"),
        (byte_level, "tokenizer.ggml.token_type", Some(Value::Array(Array::I32(vec![9; 504]))), "9 is no token type"),
        (byte_level, "tokenizer.ggml.token_type", Some(Value::Array(Array::F32(vec![1.0]))), "elements are f32"),
        (byte_level, "tokenizer.ggml.merges", None, "convert the model again"),
        (byte_level, "tokenizer.ggml.merges", texts(&["a b", "nosuch token"]), "entry 1 is \"nosuch token\""),
        (byte_level, "tokenizer.ggml.merges", texts(&["ab"]), "entry 0 is \"ab\""),
        (byte_level, "tokenizer.ggml.merges", texts(&["a  b"]), "entry 0 is"),
        (byte_level, "tokenizer.ggml.bos_token_id", number(u32::MAX), "token 4294967295 is not in the vocabulary"),
        (byte_level, "tokenizer.ggml.eos_token_id", number(100_000), "token 100000 is not in the vocabulary"),
        (byte_level, "tokenizer.ggml.eot_token_id", number(100_000), "token 100000 is not in the vocabulary"),
        (byte_level, "tokenizer.ggml.eos_token_id", Some(Value::Str("x".into())), "a string of 1 bytes"),
        (byte_level, "tokenizer.ggml.add_bos_token", number(1), "the u32 1"),
        ("gguf_llama.jsonl", "tokenizer.ggml.scores", None, "convert the model again"),
        ("gguf_llama.jsonl", "tokenizer.ggml.scores", Some(Value::Array(Array::F32(vec![1.0]))), "1 entries for"),
        ("gguf_llama.jsonl", "tokenizer.ggml.scores", Some(Value::Array(Array::I32(vec![1]))), "elements are i32"),
        ("gguf_llama.jsonl", "tokenizer.ggml.unknown_token_id", number(100_000), "token 100000"),
        ("gguf_t5.jsonl", "tokenizer.ggml.precompiled_charsmap", Some(Value::Array(Array::U8(vec![9; 7]))), ""),
        ("gguf_t5.jsonl", "tokenizer.ggml.precompiled_charsmap", Some(Value::Array(Array::U8(vec![255; 64]))), ""),
        ("gguf_t5.jsonl", "tokenizer.ggml.precompiled_charsmap", Some(Value::Array(Array::U8(vec![]))), ""),
        ("gguf_word_piece.jsonl", "tokenizer.ggml.unknown_token_id", number(100_000), "token 100000"),
    ] {
        let problem = refused(fixture, key, value);
        assert!(problem.contains(key) && problem.contains(what), "{fixture}: {key}: {problem}");
    }
}

#[test]
fn a_charsmap_that_lies_is_refused_or_harmless() {
    let good = metadata("gguf_t5.jsonl");
    let Some(Value::Array(Array::I32(map))) = good.get("tokenizer.ggml.precompiled_charsmap").cloned() else {
        panic!("the fixture has a charsmap")
    };
    for at in 0..map.len().min(400) {
        for change in [0, 1, 127, 255] {
            let mut map = map.clone();
            map[at] = change;
            let mut metadata = good.clone();
            metadata.0.insert("tokenizer.ggml.precompiled_charsmap".into(), Value::Array(Array::I32(map)));
            if let Ok(tokenizer) = Tokenizer::from_gguf(&metadata) {
                // An answer or an error, no panic.
                let _ = tokenizer.encode("ﬁ\tＡ！ e\u{301} plain", PLAIN, &[]);
            }
        }
    }
}

#[test]
fn what_a_vocabulary_says_twice_or_not_at_all() {
    // Two tokens of one text: both decode, one is encoded.
    let mut twice = metadata("gguf_llama.jsonl");
    if let Some(Value::Array(Array::Str(tokens))) = twice.0.get_mut("tokenizer.ggml.tokens") {
        let last = tokens.len() - 1;
        tokens[last] = tokens[last - 1].clone();
    }
    let tokenizer = Tokenizer::from_gguf(&twice).unwrap();
    let last = tokenizer.vocabulary() - 1;
    assert_eq!(tokenizer.token_bytes(last), tokenizer.token_bytes(last - 1));
    // No bytes and no unknown token: a character that is no piece cannot be told to the model.
    let mut mute = metadata("gguf_llama.jsonl");
    if let Some(Value::Array(Array::I32(types))) = mute.0.get_mut("tokenizer.ggml.token_type") {
        types.iter_mut().filter(|kind| **kind == 6).for_each(|kind| *kind = 5);
    }
    let tokenizer = Tokenizer::from_gguf(&mute).unwrap();
    assert_eq!(tokenizer.encode("\u{10348}", PLAIN, &[]).unwrap().last(), Some(&0));
    // Several ends: the file's own and those known by name.
    let mut ends = metadata("gguf_byte_level_split.jsonl");
    ends.0.insert("tokenizer.ggml.eot_token_id".into(), Value::U32(7));
    assert_eq!(Tokenizer::from_gguf(&ends).unwrap().end_tokens().len(), 3);
    assert!(matches!(Tokenizer::from_gguf(&Metadata::default()), Err(Error::Missing { .. })));
}

/// The metadata with more tokens behind its own; the id of the first.
fn with_tokens(mut metadata: Metadata, names: &[&str]) -> (Metadata, u32) {
    let Some(Value::Array(Array::Str(tokens))) = metadata.0.get_mut("tokenizer.ggml.tokens") else { panic!("names") };
    let first = tokens.len() as u32;
    tokens.extend(names.iter().map(|name| (*name).to_owned()));
    if let Some(Value::Array(Array::F32(scores))) = metadata.0.get_mut("tokenizer.ggml.scores") {
        scores.extend(names.iter().map(|_| -1e6));
    }
    if let Some(Value::Array(Array::I32(types))) = metadata.0.get_mut("tokenizer.ggml.token_type") {
        types.extend(names.iter().map(|_| 3));
    }
    (metadata, first)
}

#[test]
fn a_gap_is_marked_by_the_tokens_of_the_models_family() {
    for names in [
        ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"],
        ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"],
        ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<|file_sep|>"],
        ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"],
    ] {
        for file in ["gguf_byte_level_digits.jsonl", "gguf_llama.jsonl"] {
            let (metadata, first) = with_tokens(metadata(file), &names);
            let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
            let infill = tokenizer.infill().expect("it has the tokens");
            assert_eq!(infill.ends(), [first + 3]);
            // What is to be completed may be about the tokens themselves.
            let (prefix, suffix) = (format!("a {} b", names[2]), " c\n");
            let tokens = tokenizer.encode_gap(infill, &prefix, suffix).unwrap();
            let marks: Vec<u32> = tokens.iter().copied().filter(|token| *token >= first).collect();
            assert_eq!(marks, [first, first + 1, first + 2], "{file} {names:?}");
            let frame = if tokenizer.adds_bos() { vec![tokenizer.bos().unwrap()] } else { Vec::new() };
            assert!(tokens.starts_with(&[&frame[..], &[first]].concat()));
            let parts: Vec<&[u32]> = tokens.split(|token| *token >= first).collect();
            let text = |tokens: &[u32]| -> Vec<u8> {
                tokens.iter().flat_map(|token| tokenizer.token_bytes(*token).unwrap().to_vec()).collect()
            };
            // The space in front of a text is put before the prefix, and not into the middle of the file again.
            // To that model `▁` is a space, whoever writes it.
            let expect = if file.contains("llama") { format!(" {prefix}").replace('▁', " ") } else { prefix };
            assert_eq!(text(parts[1]), expect.into_bytes(), "{file}");
            assert_eq!(text(parts[2]), suffix.as_bytes(), "{file}");
        }
    }
}

#[test]
fn the_file_says_which_tokens_mark_a_gap() {
    let (mut metadata, first) = with_tokens(metadata("gguf_byte_level_digits.jsonl"), &["x1", "x2", "x3", "x4"]);
    assert!(Tokenizer::from_gguf(&metadata).unwrap().infill().is_none());
    for (key, token) in [("fim_pre_token_id", 1), ("suffix_token_id", 2), ("fim_mid_token_id", 0)] {
        metadata.0.insert(format!("tokenizer.ggml.{key}"), Value::U32(first + token));
    }
    let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
    let tokens = tokenizer.encode_gap(tokenizer.infill().unwrap(), "", "").unwrap();
    assert!(tokens.ends_with(&[first + 1, first + 2, first]), "{tokens:?}");
    metadata.0.insert("tokenizer.ggml.fim_pre_token_id".into(), Value::U32(first + 4));
    assert!(Tokenizer::from_gguf(&metadata).is_err(), "no such token");
}
