//! Log-probabilities in OpenAI's two shapes.

use std::fmt::Write;

use inference::TokenLogprob;
use wire::openai::{ChatTokenLogprob, ChatTopLogprob, CompletionLogprobs, TopLogprobs};

/// What OpenAI writes for a token that cannot come; JSON has no infinity.
const IMPOSSIBLE: f32 = -9999.0;

/// A token in the shape of chat completions.
pub(in crate::routes::openai) fn chat(token: &TokenLogprob, top: u32) -> ChatTokenLogprob {
    let likely = token.top.iter().take(top as usize).map(|token| ChatTopLogprob {
        token: chat_text(&token.bytes),
        logprob: finite(token.logprob.unwrap_or(IMPOSSIBLE)),
        bytes: token.bytes.clone(),
    });
    ChatTokenLogprob {
        token: chat_text(&token.bytes),
        logprob: finite(token.logprob.unwrap_or(IMPOSSIBLE)),
        bytes: token.bytes.clone(),
        top_logprobs: likely.collect(),
    }
}

/// The parallel lists of completions, as they grow.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    lists: CompletionLogprobs,
    top: u32,
}

impl Lists {
    /// Empty lists with the `top` most likely tokens; with 0 there is no list of those.
    pub(super) fn new(top: u32) -> Self {
        let top_logprobs = (top > 0).then(Vec::new);
        Self { lists: CompletionLogprobs { top_logprobs, ..CompletionLogprobs::default() }, top }
    }

    /// Appends tokens; `offsets` is the choice's, and goes on through all of its chunks.
    pub(super) fn extend(&mut self, tokens: &[TokenLogprob], offsets: &mut Offsets) {
        for token in tokens {
            self.lists.tokens.push(completion_text(&token.bytes));
            self.lists.token_logprobs.push(token.logprob.map(finite));
            self.lists.text_offset.push(offsets.next(&token.bytes));
            if let Some(top_logprobs) = &mut self.lists.top_logprobs {
                top_logprobs.push(token.logprob.is_some().then(|| likely(token, self.top)));
            }
        }
    }

    /// The lists.
    pub(super) fn finish(self) -> CompletionLogprobs {
        self.lists
    }
}

/// The most likely tokens, and the chosen one where it is not among them, as OpenAI does. Tokens of the same text share
/// one entry, the likeliest.
fn likely(token: &TokenLogprob, top: u32) -> TopLogprobs {
    let mut entries: Vec<(String, f32)> = Vec::new();
    for token in token.top.iter().take(top as usize).chain([token]) {
        let text = completion_text(&token.bytes);
        if !entries.iter().any(|(known, _)| *known == text) {
            entries.push((text, finite(token.logprob.unwrap_or(IMPOSSIBLE))));
        }
    }
    TopLogprobs(entries)
}

/// Where tokens begin, in characters from the beginning of the choice's text. A token that begins inside a character
/// begins where that character does.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offsets {
    /// Characters that have begun.
    begun: u64,
}

impl Offsets {
    fn next(&mut self, bytes: &[u8]) -> u64 {
        let continues = bytes.first().is_some_and(|byte| is_continuation(*byte));
        let offset = if continues { self.begun.saturating_sub(1) } else { self.begun };
        self.begun += bytes.iter().filter(|byte| !is_continuation(**byte)).count() as u64;
        offset
    }
}

/// Whether a byte of UTF-8 continues a character.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() { logprob } else { IMPOSSIBLE }
}

fn chat_text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| escape(bytes), str::to_owned)
}

fn completion_text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| format!("bytes:{}", escape(bytes)), str::to_owned)
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    fn token(bytes: &[u8], logprob: Option<f32>, top: Vec<TokenLogprob>) -> TokenLogprob {
        TokenLogprob { token: 0, bytes: bytes.to_vec(), logprob, top }
    }

    #[test]
    fn the_chosen_token_is_always_among_the_likely_ones() {
        let top = vec![token(b"a", Some(-0.5), vec![]), token(b"b", Some(-1.0), vec![])];
        let mut lists = Lists::new(1);
        lists.extend(&[token(b"c", Some(-9.0), top.clone()), token(b"a", Some(-0.5), top)], &mut Offsets::default());
        assert_eq!(to_value(lists.finish().top_logprobs).unwrap(), json!([{"a": -0.5, "c": -9.0}, {"a": -0.5}]));
    }

    #[test]
    fn the_first_token_of_an_echoed_prompt_has_null() {
        let mut lists = Lists::new(2);
        lists.extend(&[token(b"a", None, vec![])], &mut Offsets::default());
        let expect = json!({"tokens": ["a"], "token_logprobs": [null], "top_logprobs": [null], "text_offset": [0]});
        assert_eq!(to_value(lists.finish()).unwrap(), expect);
    }

    #[test]
    fn offsets_count_characters_and_halves_belong_to_theirs() {
        let mut offsets = Offsets::default();
        let tokens: [&[u8]; 5] = ["aé".as_bytes(), b"\xe2\x82", b"\xac", b"b", b""];
        assert_eq!(tokens.map(|bytes| offsets.next(bytes)), [0, 2, 2, 3, 4]);
    }

    #[test]
    fn bytes_that_are_no_text_are_written_out() {
        assert_eq!(chat_text(b"\xe2\x82"), r"\xe2\x82");
        assert_eq!(completion_text(b"\xe2\x82"), r"bytes:\xe2\x82");
        assert_eq!(completion_text("€".as_bytes()), "€");
    }

    #[test]
    fn json_holds_no_infinity() {
        let chosen = chat(&token(b"a", Some(f32::NEG_INFINITY), vec![token(b"b", Some(f32::NAN), vec![])]), 5);
        assert_eq!((chosen.logprob, chosen.top_logprobs[0].logprob), (IMPOSSIBLE, IMPOSSIBLE));
    }
}
