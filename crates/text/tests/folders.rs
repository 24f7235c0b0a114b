//! Tokenizers from Hugging Face folders, against the reference library.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use text::{Detokenizer, Error, Special, Tokenizer};

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    framed: Vec<u32>,
    parsed: Vec<u32>,
    plain: Vec<u32>,
    decoded: String,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load(name: &str) -> Tokenizer {
    Tokenizer::from_folder(&folder(name)).unwrap()
}

/// The reference frames a text that is framed already once more; here the frame stands once.
fn once(tokenizer: &Tokenizer, mut framed: Vec<u32>) -> Vec<u32> {
    if tokenizer.adds_bos() && framed.starts_with(&[tokenizer.bos().unwrap(); 2]) {
        framed.remove(0);
    }
    if let [.., a, b] = framed[..]
        && a == b
        && Some(a) == tokenizer.eos()
    {
        framed.pop();
    }
    framed
}

/// Every text of the folder's cases, encoded in three ways and decoded.
#[track_caller]
fn check(name: &str) {
    let tokenizer = Arc::new(load(name));
    let cases = fs::read_to_string(folder(name).join("cases.jsonl")).unwrap();
    assert!(cases.lines().count() > 50);
    for line in cases.lines() {
        let Case { text, framed, parsed, plain, decoded } = serde_json::from_str(line).unwrap();
        let encode = |add, parse| tokenizer.encode(&text, Special { add, parse }, &[]).unwrap();
        assert_eq!(encode(false, true), parsed, "{name}: {text:?}, parsed");
        let literal_tokens = encode(false, false);
        if plain.iter().any(|&token| tokenizer.is_special(token)) {
            // The reference's unigram takes any piece of its vocabulary, even the name of a special token.
            assert_eq!(name, "unigram");
            assert!(!literal_tokens.iter().any(|&token| tokenizer.is_special(token)), "{name}: {text:?}, plain");
            assert_eq!(tokenizer.decode(&literal_tokens, false).unwrap(), tokenizer.decode(&plain, true).unwrap());
        } else {
            assert_eq!(literal_tokens, plain, "{name}: {text:?}, plain");
        }
        assert_eq!(encode(true, true), once(&tokenizer, framed), "{name}: {text:?}, framed");
        let all = [(0, text.len())].map(|(start, end)| start..end);
        let literal = tokenizer.encode(&text, Special { add: false, parse: true }, &all).unwrap();
        assert_eq!(literal, literal_tokens, "{name}: {text:?}, literal");
        assert_eq!(tokenizer.decode(&parsed, false).unwrap(), decoded, "{name}: {text:?}, decoded");
        let mut detokenizer = Detokenizer::whole(Arc::clone(&tokenizer), false);
        let pieces: String = parsed.iter().map(|&token| detokenizer.push(token)).collect();
        assert_eq!(pieces + &detokenizer.finish(), decoded, "{name}: {text:?}, piece by piece");
    }
}

#[test]
fn byte_level_bpe_behind_a_pattern() {
    check("byte_level_split");
    let tokenizer = load("byte_level_split");
    assert_eq!(tokenizer.bos(), None);
    let names: Vec<&[u8]> = tokenizer.end_tokens().iter().filter_map(|&token| tokenizer.token_bytes(token)).collect();
    assert_eq!(names, [b"<|im_end|>".as_slice(), b"<|endoftext|>"]);
    assert_eq!(tokenizer.token_bytes(tokenizer.eos().unwrap()).unwrap(), b"<|im_end|>");
}

#[test]
fn byte_level_bpe_behind_digits() {
    check("byte_level_digits");
    let tokenizer = load("byte_level_digits");
    assert!(tokenizer.adds_bos());
    let once = tokenizer.encode("<|begin|>a", Special { add: true, parse: true }, &[]).unwrap();
    let twice = tokenizer.encode("<|begin|>a", Special { add: true, parse: false }, &[]).unwrap();
    assert_eq!(once.iter().filter(|&&token| Some(token) == tokenizer.bos()).count(), 1);
    assert!(Some(twice[0]) == tokenizer.bos() && twice.len() > once.len());
}

#[test]
fn sentence_piece_bpe_with_byte_fallback_and_added_tokens() {
    check("llama");
    let tokenizer = load("llama");
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.end_tokens()), (Some(1), Some(2), [2].as_slice()));
    assert!(tokenizer.special_names().contains(&"<mask>".to_owned()));
    assert!(!tokenizer.special_names().contains(&"<b>".to_owned()));
}

#[test]
fn only_the_first_piece_gets_a_space() {
    check("first_space");
}

#[test]
fn word_piece() {
    check("word_piece");
}

#[test]
fn unigram() {
    check("unigram");
}

/// A copy of a fixture folder with one file replaced.
fn changed(name: &str, file: &str, content: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    fs::write(copy.path().join(file), content).unwrap();
    copy
}

fn refusal(name: &str, file: &str, content: &str) -> Error {
    match Tokenizer::from_folder(changed(name, file, content).path()) {
        Err(error) => error,
        Ok(_) => panic!("{file} with {content:?} was accepted"),
    }
}

#[test]
fn lying_files_are_errors_that_name_them() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Tokenizer::from_folder(empty.path()), Err(Error::Malformed { .. })));
    assert!(matches!(refusal("llama", "config.json", "{"), Error::Parse { .. }));
    let outside = refusal("llama", "generation_config.json", r#"{"eos_token_id": [2, 99999]}"#).to_string();
    assert!(outside.contains("generation_config.json") && outside.contains("99999"), "{outside}");
    let long = format!(r#"{{"model":{{"type":"BPE","vocab":{{"{}":0}},"merges":[]}}}}"#, "a".repeat(5000));
    for (definition, what) in [
        ("{", "EOF"),
        ("[]", "tokenizer.json"),
        ("{}", "missing field `model`"),
        (r#"{"model":{"type":"Oracle"}}"#, "`Oracle` is no known type of model"),
        (r#"{"model":{"type":"BPE","vocab":{"a":4294967295},"merges":[]}}"#, "highest token id"),
        (r#"{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}"#, "-1"),
        (r#"{"model":{"type":"BPE","vocab":{},"merges":[]}}"#, "highest token id is None"),
        (r#"{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a c"]}}"#, "c"),
        (r#"{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["ab"]}}"#, ""),
        (r#"{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[["a","b","a"]]}}"#, ""),
        // Joined, the two are longer than the longest token: the library's own buffer is too short for them.
        (r#"{"model":{"type":"BPE","vocab":{"aa":0,"bb":1},"merges":[["aa","bb"]]}}"#, ""),
        (&long, "token 0 is 5000 bytes long"),
        (r#"{"model":{"type":"Unigram","vocab":[["a",0.0]],"unk_id":7}}"#, "UnkIdNotInVocabulary"),
        (r#"{"model":{"type":"Unigram","vocab":[]}}"#, ""),
        (r#"{"model":{"type":"WordPiece","vocab":{"a":-1}}}"#, ""),
        (
            r###"{"model":{"type":"WordPiece","vocab":{"a":0},"unk_token":"a","continuing_subword_prefix":"##","max_input_chars_per_word":1000000}}"###,
            "max_input_chars_per_word: 1000000",
        ),
        (
            r#"{"added_tokens":[{"id":4294967295,"content":"x"}],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            "4294967295",
        ),
        (r#"{"added_tokens":[{"id":1}],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#, "content"),
        (r#"{"pre_tokenizer":{"type":"Nothing"},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#, ""),
        (
            r#"{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            "",
        ),
        (
            r#"{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"((((a{999}){999}){999}){999})"},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            "",
        ),
        (
            r#"{"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            "",
        ),
        (
            r#"{"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"x":{"id":"x","ids":[77],"tokens":["x"]}}},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            "post_processor: token 77",
        ),
    ] {
        let error = refusal("unigram", "tokenizer.json", definition);
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let problem = format!("{error} {source}");
        assert!(problem.contains("tokenizer.json") && problem.contains(what), "{definition}: {problem}");
    }
}

/// Accepted, because nothing says that it is wrong; then no text makes it panic or run away.
#[test]
fn strange_files_tokenise_or_refuse_a_text() {
    let byte_level = r#"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"#;
    let split = |pattern: &str| {
        format!(
            r#"{{"pre_tokenizer":{{"type":"Sequence","pretokenizers":[{{"type":"Split","pattern":{{"Regex":"{pattern}"}},"behavior":"Isolated","invert":false}},{byte_level}]}},"model":{{"type":"BPE","vocab":{{"a":0,"aa":1}},"merges":["a a"]}}}}"#
        )
    };
    let definitions = [
        split("(a+)+\\1b"),
        split("(?=(a+))\\1*b"),
        split(""),
        split("(?:)|b"),
        split("(?<=a)"),
        r#"{"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[],"dropout":0.5}}"#.to_owned(),
        r#"{"model":{"type":"Unigram","vocab":[["",0.0],["a",-1.0],["a",-1.0]],"unk_id":0}}"#.to_owned(),
        r#"{"model":{"type":"Unigram","vocab":[["a",-1e308],["aa",-1e308]]}}"#.to_owned(),
        r###"{"model":{"type":"WordPiece","vocab":{"a":0},"unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100}}"###.to_owned(),
        r#"{"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"?"}}"#.to_owned(),
        r#"{"added_tokens":[{"id":1,"content":"x"},{"id":2,"content":"x","special":true},{"id":1,"content":"y"},{"id":3,"content":""}],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#.to_owned(),
        r#"{"normalizer":{"type":"Replace","pattern":{"Regex":"a*"},"content":"aa"},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#.to_owned(),
        r#"{"normalizer":{"type":"Replace","pattern":{"String":""},"content":"aa"},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#.to_owned(),
        r#"{"added_tokens":[{"id":1,"content":"A","normalized":true}],"normalizer":{"type":"Replace","pattern":{"String":"A"},"content":""},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#.to_owned(),
    ];
    for definition in definitions {
        let tokenizer = match Tokenizer::from_folder(changed("unigram", "tokenizer.json", &definition).path()) {
            Ok(tokenizer) => tokenizer,
            Err(Error::Parse { .. } | Error::Library { .. } | Error::Malformed { .. }) => continue,
            Err(other) => panic!("{definition}: {other}"),
        };
        for text in ["", "a", "A", "xyx", "世\u{301}", &"a".repeat(20_000), &"x ".repeat(2000)] {
            match tokenizer.encode(text, Special { add: true, parse: true }, &[]) {
                Ok(tokens) => {
                    assert!(tokens.iter().all(|&token| token < tokenizer.vocabulary()), "{definition}");
                    tokenizer.decode(&tokens, true).unwrap();
                }
                Err(error) => assert!(matches!(error, Error::Library { .. }), "{definition}: {error}"),
            }
        }
    }
}

#[test]
fn settings_beside_the_tokenizer_decide_about_bos_and_ends() {
    let settings = r#"{"bos_token": "<s>", "add_bos_token": false, "add_eos_token": true, "eos_token": "</s>"}"#;
    let tokenizer = Tokenizer::from_folder(changed("llama", "tokenizer_config.json", settings).path()).unwrap();
    assert!(!tokenizer.adds_bos());
    let tokens = tokenizer.encode("a", Special { add: true, parse: true }, &[]).unwrap();
    assert_eq!(tokens.last(), Some(&2));
    let both = changed("llama", "config.json", r#"{"text_config": {"eos_token_id": [2, 0]}}"#);
    assert_eq!(Tokenizer::from_folder(both.path()).unwrap().end_tokens(), [0, 2]);
}

#[test]
fn special_tokens_that_are_found_in_normalised_text_can_be_literal_too() {
    let definition = fs::read_to_string(folder("llama").join("tokenizer.json")).unwrap();
    let definition = definition.replace(r#""rstrip":true,"normalized":false"#, r#""rstrip":true,"normalized":true"#);
    let tokenizer = Tokenizer::from_folder(changed("llama", "tokenizer.json", &definition).path()).unwrap();
    assert!(tokenizer.special_names().contains(&"<end>".to_owned()));
    let end = (0..tokenizer.vocabulary()).find(|&id| tokenizer.token_bytes(id) == Some(b"<end>")).unwrap();
    let encode = |literal| tokenizer.encode("<end>", Special { add: false, parse: true }, literal).unwrap();
    assert_eq!(encode(&[]), [end]);
    assert!(!encode(&[(0, 5)].map(|(start, end)| start..end)).contains(&end));
}
