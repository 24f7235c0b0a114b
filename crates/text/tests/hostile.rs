//! Half a megabyte of anything is tokenised in time that is proportional to it.
//!
//! There is no clock here: what takes quadratic time would take hours, so such a test does not end.

use std::path::Path;

use text::{Special, Tokenizer};

const LENGTH: usize = 1 << 19;

fn hostile_texts() -> Vec<String> {
    let repeated = |part: &str| part.repeat(LENGTH / part.len());
    let mut texts: Vec<String> = [
        "a",
        " ",
        "\n",
        "\t \n",
        "\u{a0}",
        "1234567890",
        "!",
        "e\u{301}",
        "世",
        "👨\u{200d}",
        "ﬁ",
        "\u{0}",
        "<|im_end|>",
        "<0x0A",
        "▁",
    ]
    .map(repeated)
    .into();
    // All of one kind and then one of another, which a backtracking engine may look for from everywhere.
    texts.push(repeated(" ") + "x");
    texts.push(repeated("a") + "!");
    texts.push("x".to_owned() + &repeated("\u{301}"));
    // Pseudo-random letters, so that no two stretches are alike.
    let mut state = 1u32;
    let letter = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (state >> 24) as u8 % 26)
    };
    texts.push((0..LENGTH).map(letter).collect());
    texts
}

#[track_caller]
fn check(tokenizer: &Tokenizer) {
    for text in hostile_texts() {
        let start: String = text.chars().take(12).collect();
        let tokens = tokenizer.encode(&text, Special { add: true, parse: true }, &[]);
        let tokens = tokens.unwrap_or_else(|error| panic!("{start:?}: {error}"));
        assert!(!tokens.is_empty() && tokens.len() <= text.len() + 2, "{start:?}");
    }
}

fn gguf(path: &Path) -> Tokenizer {
    match weights::Checkpoint::open(path).unwrap() {
        weights::Checkpoint::Gguf(gguf) => Tokenizer::from_gguf(gguf.metadata()).unwrap(),
        weights::Checkpoint::HuggingFace(_) => panic!("{} is no GGUF", path.display()),
    }
}

fn folder(name: &str) -> Tokenizer {
    Tokenizer::from_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

#[test]
fn byte_level_bpe() {
    check(&gguf(&testkit::smollm2()));
}

#[test]
fn sentence_piece_bpe() {
    check(&gguf(&testkit::gemma3()));
}

#[test]
fn bpe_in_stages() {
    check(&folder("first_space"));
}

#[test]
fn word_piece() {
    check(&folder("word_piece"));
}

#[test]
fn unigram() {
    check(&folder("unigram"));
}

/// As many literal ranges as there are special tokens in a text.
#[test]
fn many_literal_ranges() {
    let count = LENGTH / 4;
    let text = "<s>x".repeat(count);
    let literal: Vec<_> = (0..count).filter(|at| at % 2 == 0).map(|at| at * 4..at * 4 + 3).collect();
    for (tokenizer, bos) in [(folder("llama"), 1), (gguf(&testkit::gemma3()), u32::MAX)] {
        let tokens = tokenizer.encode(&text, Special { add: false, parse: true }, &literal).unwrap();
        let found = tokens.iter().filter(|&&token| token == bos).count();
        assert_eq!(found, if bos == u32::MAX { 0 } else { count / 2 });
    }
}
