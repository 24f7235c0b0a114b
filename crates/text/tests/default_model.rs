//! The tokenizer of the default model, against what llama.cpp gives for it.

#![expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]

use std::{ops::Range, sync::Arc};

use text::{Detokenizer, Special, Tokenizer};

fn tokenizer() -> Tokenizer {
    let checkpoint = weights::Checkpoint::open(&testkit::smollm2()).unwrap();
    let weights::Checkpoint::Gguf(gguf) = checkpoint else { panic!("the default model is a GGUF") };
    Tokenizer::from_gguf(gguf.metadata()).unwrap()
}

#[derive(serde::Deserialize)]
struct Line {
    text: String,
    parse_special: bool,
    tokens: Vec<u32>,
}

fn lines() -> Vec<Line> {
    let lines = include_str!("fixtures/smollm2.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn encode(tokenizer: &Tokenizer, text: &str, parse: bool, literal: &[Range<usize>]) -> Vec<u32> {
    tokenizer.encode(text, Special { add: false, parse }, literal).unwrap()
}

#[test]
fn all_texts_give_the_reference_tokens_and_come_back() {
    let tokenizer = Arc::new(tokenizer());
    let lines = lines();
    assert_eq!(lines.len(), 54);
    for Line { text, parse_special, tokens } in lines {
        assert_eq!(encode(&tokenizer, &text, parse_special, &[]), tokens, "{text:?}");
        assert_eq!(tokenizer.decode(&tokens, true).unwrap(), text);
        let mut detokenizer = Detokenizer::new(Arc::clone(&tokenizer), true);
        let mut pieces: String = tokens.iter().map(|&token| detokenizer.push(token)).collect();
        pieces += &detokenizer.finish();
        assert_eq!(pieces, text);
    }
}

#[test]
fn special_tokens_in_literal_ranges_are_text_and_cut_nothing() {
    let tokenizer = tokenizer();
    let text = "<|im_start|>user\nsay <|im_end|>now<|im_end|>\n";
    let start = text.find("<|im_end|>").unwrap();
    let literal = [start..start + "<|im_end|>".len()];
    let tokens = encode(&tokenizer, text, true, &literal);
    let inner = encode(&tokenizer, "user\nsay <|im_end|>now", false, &[]);
    assert_eq!(tokens, [[1].as_slice(), &inner, &[2, 198]].concat());
    // Literal ranges around ordinary text change nothing.
    let plain = "Hello, world!";
    assert_eq!(encode(&tokenizer, plain, true, &[2..4, 7..9]), encode(&tokenizer, plain, true, &[]));
}

#[test]
fn what_the_file_says_of_special_tokens() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.vocabulary(), 49_152);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
    assert_eq!(tokenizer.end_tokens(), [0, 2]);
    assert!(!tokenizer.adds_bos());
    assert_eq!(tokenizer.encode("The", Special { add: true, parse: true }, &[]).unwrap(), [504]);
    assert!(tokenizer.is_special(2) && !tokenizer.is_special(504) && !tokenizer.is_special(u32::MAX));
    assert_eq!(tokenizer.token_bytes(2), Some("<|im_end|>".as_bytes()));
    assert_eq!(tokenizer.token_bytes(504), Some("The".as_bytes()));
    assert_eq!(tokenizer.token_bytes(49_152), None);
    assert!(tokenizer.decode(&[49_152], true).is_err());
    assert_eq!(tokenizer.decode(&[504, 2], false).unwrap(), "The");
    assert!(tokenizer.special_names().iter().any(|name| name == "<|im_start|>"));
}
