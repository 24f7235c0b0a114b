//! Token by token gives the same text as all at once, and never half a character.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use text::{Detokenizer, Special, StopStrings, Tokenizer};

fn load(name: &str) -> Arc<Tokenizer> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    Arc::new(Tokenizer::from_folder(&folder).unwrap())
}

/// One that spells every byte in its alphabet, and one that falls back to bytes and drops a leading space.
static TOKENIZERS: LazyLock<[Arc<Tokenizer>; 2]> = LazyLock::new(|| [load("byte_level_split"), load("llama")]);

/// Characters of one to four bytes, joiners and combining marks.
const TEXT: &str = r"([a-z <>]|é|e\u{301}|ß|世|界|한|ก็|🎉|👨\u{200d}👩\u{200d}👧|🇫🇷|𝔘|\u{fffd}|\n){0,24}";

/// The token that is one byte and nothing else.
fn byte_token(tokenizer: &Tokenizer, byte: u8) -> u32 {
    (0..tokenizer.vocabulary()).find(|&id| tokenizer.token_bytes(id) == Some(&[byte])).unwrap()
}

/// `text` in tokens, of which those characters that `spelled` chooses are spelled byte by byte.
fn partly_spelled(tokenizer: &Tokenizer, text: &str, spelled: &[bool]) -> Vec<u32> {
    let mut tokens = Vec::new();
    for (character, spell) in text.chars().zip(spelled.iter().cycle()) {
        let mut buffer = [0; 4];
        let character = &*character.encode_utf8(&mut buffer);
        // A character of its own may get a space in front, and then is not what is meant here.
        let whole = tokenizer.encode(character, Special { add: false, parse: false }, &[]).unwrap();
        if *spell
            || tokenizer.decode(&whole, true).unwrap() != character
            || whole_bytes(tokenizer, &whole, true) != character.as_bytes()
        {
            tokens.extend(character.bytes().map(|byte| byte_token(tokenizer, byte)));
        } else {
            tokens.extend(whole);
        }
    }
    tokens
}

fn whole_bytes(tokenizer: &Tokenizer, tokens: &[u32], special: bool) -> Vec<u8> {
    let shown = tokens.iter().filter(|&&token| special || !tokenizer.is_special(token));
    shown.flat_map(|&token| tokenizer.token_bytes(token).unwrap_or_default()).copied().collect()
}

fn pushed(mut detokenizer: Detokenizer, tokens: &[u32]) -> String {
    let mut text = String::new();
    for &token in tokens {
        text += &detokenizer.push(token);
    }
    text + &detokenizer.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spelled_characters_come_whole_and_end_where_a_stop_string_begins(
        text in TEXT,
        spelled in prop::collection::vec(any::<bool>(), 1..9),
        stop in "[a-z]|é|\u{301}|世界?|🎉|\u{200d}👩|\n<",
    ) {
        for tokenizer in TOKENIZERS.iter() {
            let tokens = partly_spelled(tokenizer, &text, &spelled);
            let mut detokenizer = Detokenizer::new(Arc::clone(tokenizer), true);
            let mut stops = StopStrings::new(vec![stop.clone()]);
            let (mut shown, mut kept) = (String::new(), String::new());
            for (at, &token) in tokens.iter().enumerate() {
                let piece = detokenizer.push(token);
                shown += &piece;
                // All that is known of the text, up to its last whole character.
                let bytes = whole_bytes(tokenizer, &tokens[..=at], true);
                let known = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                prop_assert_eq!(&shown, known);
                kept += &stops.push(&piece).text;
            }
            prop_assert_eq!(detokenizer.finish(), "");
            kept += &stops.finish();
            prop_assert_eq!(&shown, &text);
            prop_assert_eq!(kept, text.split(stop.as_str()).next().unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn texts_come_back_at_every_step(text in TEXT) {
        for tokenizer in TOKENIZERS.iter() {
            // The first normalises to composed characters; its text is what its own decoding gives.
            let tokens = tokenizer.encode(&text, Special { add: false, parse: false }, &[]).unwrap();
            let at_once = tokenizer.decode(&tokens, true).unwrap();
            prop_assert_eq!(at_once.contains('\u{fffd}'), text.contains('\u{fffd}'));
            let mut detokenizer = Detokenizer::whole(Arc::clone(tokenizer), true);
            let mut so_far = String::new();
            for &token in &tokens {
                so_far += &detokenizer.push(token);
                prop_assert!(at_once.starts_with(&so_far), "{so_far:?} is no beginning of {at_once:?}");
            }
            prop_assert_eq!(detokenizer.finish(), "");
            prop_assert_eq!(so_far, at_once);
        }
    }

    #[test]
    fn any_tokens_give_the_text_of_their_bytes(ids in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        for tokenizer in TOKENIZERS.iter() {
            let vocabulary = tokenizer.vocabulary() as usize;
            let tokens: Vec<u32> = ids.iter().map(|id| id.index(vocabulary) as u32).collect();
            for special in [false, true] {
                let bytes = whole_bytes(tokenizer, &tokens, special);
                let continued = pushed(Detokenizer::new(Arc::clone(tokenizer), special), &tokens);
                prop_assert_eq!(continued, String::from_utf8_lossy(&bytes));
                let whole = pushed(Detokenizer::whole(Arc::clone(tokenizer), special), &tokens);
                prop_assert_eq!(whole, tokenizer.decode(&tokens, special).unwrap());
            }
        }
    }
}

#[test]
fn byte_fallback_waits_for_the_whole_character() {
    let tokenizer = &TOKENIZERS[1];
    let id = |byte| byte_token(tokenizer, byte);
    let mut detokenizer = Detokenizer::new(Arc::clone(tokenizer), false);
    let steps: Vec<String> = "世".bytes().map(|byte| detokenizer.push(id(byte))).collect();
    assert_eq!(steps, ["", "", "世"]);
    // Half a character before another one, and at the end.
    assert_eq!(detokenizer.push(id(0xE4)), "");
    assert_eq!(detokenizer.push(id(0xC3)), "\u{fffd}");
    assert_eq!(detokenizer.finish(), "\u{fffd}");
    assert_eq!(detokenizer.finish(), "");
}

#[test]
fn a_continuation_keeps_its_space_and_a_whole_text_does_not() {
    let tokenizer = &TOKENIZERS[1];
    let tokens = tokenizer.encode("a", Special { add: false, parse: false }, &[]).unwrap();
    assert_eq!(pushed(Detokenizer::new(Arc::clone(tokenizer), false), &tokens), " a");
    assert_eq!(pushed(Detokenizer::whole(Arc::clone(tokenizer), false), &tokens), "a");
    assert_eq!(tokenizer.decode(&tokens, false).unwrap(), "a");
}

#[test]
fn ids_outside_the_vocabulary_add_nothing() {
    let mut detokenizer = Detokenizer::new(Arc::clone(&TOKENIZERS[0]), true);
    assert_eq!(detokenizer.push(u32::MAX), "");
    assert_eq!(detokenizer.finish(), "");
}
