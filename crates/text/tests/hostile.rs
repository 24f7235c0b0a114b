//! A megabyte of anything is tokenised in time that is proportional to it.
//!
//! There is no clock here: what takes quadratic time would take hours, so such a test does not end.

use std::path::Path;

use text::{Special, Tokenizer};

const MEGABYTE: usize = 1 << 20;

fn hostile_texts() -> Vec<String> {
    let repeated = |part: &str| part.repeat(MEGABYTE / part.len());
    let mut texts: Vec<String> = [
        "a",
        "ab",
        " ",
        "\n",
        "\r\n",
        "\t ",
        " \n",
        "\u{a0}",
        "0",
        "1234567890",
        "!",
        "'",
        "'s",
        "_",
        "-",
        "é",
        "e\u{301}",
        "\u{301}",
        "世",
        "👨\u{200d}",
        "\u{200d}",
        "🇫🇷",
        "\u{fe0f}",
        "ﬁ",
        "Aa",
        "A",
        "\u{0}",
        "\u{fffd}",
        "<",
        "<|im_end|>",
        "<|im_end|",
        "<0x0A>",
        "▁",
        "##a",
        "[MASK]",
        "</s>",
        "ก็",
        "İ",
        "ß",
        ".,",
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
    texts.push((0..MEGABYTE).map(letter).collect());
    texts
}

#[track_caller]
fn check(name: &str, tokenizer: &Tokenizer) {
    for text in hostile_texts() {
        for parse in [false, true] {
            let start: String = text.chars().take(12).collect();
            let started = std::time::Instant::now();
            let tokens = tokenizer
                .encode(&text, Special { add: true, parse }, &[])
                .unwrap_or_else(|error| panic!("{name}: {start:?}: {error}"));
            eprintln!("{name} {start:?} {parse} {:?}", started.elapsed());
            assert!(tokens.len() <= text.len() + 2, "{name}: {start:?}");
        }
    }
}

#[test]
fn gguf_tokenizers() {
    for (name, path) in [("smollm2", testkit::smollm2()), ("gemma3", testkit::gemma3())] {
        let weights::Checkpoint::Gguf(gguf) = weights::Checkpoint::open(&path).unwrap() else { panic!("{name}") };
        check(name, &Tokenizer::from_gguf(gguf.metadata()).unwrap());
    }
}

#[test]
fn folder_tokenizers() {
    for name in ["byte_level_split", "byte_level_digits", "llama", "first_space", "word_piece", "unigram"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        check(name, &Tokenizer::from_folder(&folder).unwrap());
    }
}
