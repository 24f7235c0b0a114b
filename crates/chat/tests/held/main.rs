//! Answers that are held to a form: what can be said is what the form allows, whoever chooses the tokens.

mod calls;
mod forms;
mod hostile;
mod sampling;
mod suite;
mod validate;

use chat::{Compiler, Form, Held, Refusal, Vocabulary};
use serde_json::Value;

/// Ends an answer.
const END: u32 = 256;

/// Tokens of several bytes, behind those of one byte each and the end.
const LONGER: [&str; 12] = ["{\"", "\":", "\": ", "\",", "true", "null", "ab", "[]", "}}", "</", "<tool", "  "];

/// A compiler for a vocabulary of all bytes and some longer tokens.
fn compiler() -> Compiler {
    compiler_with(&[])
}

/// The same with special tokens of these names.
fn compiler_with(special: &[&str]) -> Compiler {
    let texts = texts(special);
    let tokens = texts.iter().enumerate().map(|(token, text)| (&text[..], token == END as usize || token >= plain()));
    Compiler::new(Vocabulary::new(tokens, &[END]).expect("a vocabulary with an end"))
}

/// Tokens that are not among the special ones of a test.
fn plain() -> usize {
    END as usize + 1 + LONGER.len()
}

/// What each token writes; the end has a name.
fn texts(special: &[&str]) -> Vec<Vec<u8>> {
    let bytes = (0..=255).map(|byte| vec![byte]);
    let named = std::iter::once("<|the end|>").chain(LONGER).chain(special.iter().copied());
    bytes.chain(named.map(|name| name.as_bytes().to_vec())).collect()
}

fn schema(compiler: &Compiler, schema: Value) -> Result<Held, Refusal> {
    compiler.text(0, &Form::Schema(schema))
}

fn allows(mask: &[u32], token: u32) -> bool {
    mask[token as usize / 32] >> (token % 32) & 1 == 1
}

/// Whether an answer can be exactly this text.
fn accepts(held: &Held, text: &str) -> bool {
    let mut matcher = held.matcher();
    for &byte in text.as_bytes() {
        let mask = matcher.mask().expect("no limit is passed");
        if !allows(&mask, u32::from(byte)) {
            return false;
        }
        matcher.accept(u32::from(byte)).expect("an allowed token is taken");
    }
    allows(&matcher.mask().expect("no limit is passed"), END)
}

/// A source of numbers that is the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

/// What a model that knows nothing says, up to so many tokens; whether it came to an end.
fn babble(held: &Held, dice: &mut Dice, most: usize) -> (String, bool) {
    babble_with(held, &[], dice, most)
}

/// The same with special tokens of these names.
fn babble_with(held: &Held, special: &[&str], dice: &mut Dice, most: usize) -> (String, bool) {
    let texts = texts(special);
    let mut matcher = held.matcher();
    let mut said = Vec::new();
    for _ in 0..most {
        let mask = matcher.mask().expect("no limit is passed");
        let allowed: Vec<u32> = (0..texts.len() as u32).filter(|token| allows(&mask, *token)).collect();
        assert!(!allowed.is_empty(), "an answer is stuck behind {:?}", String::from_utf8_lossy(&said));
        // What closes something is chosen more often than it would be, so that answers end.
        let closing: Vec<u32> = allowed
            .iter()
            .copied()
            .filter(|&token| {
                token == END || token as usize >= plain() || token < END && b"\"]},".contains(&(token as u8))
            })
            .collect();
        let pick = if !closing.is_empty() && dice.below(3) == 0 { &closing } else { &allowed };
        let token = pick[dice.below(pick.len())];
        matcher.accept(token).expect("an allowed token is taken");
        if token == END {
            return (String::from_utf8_lossy(&said).into_owned(), true);
        }
        said.extend_from_slice(&texts[token as usize]);
    }
    (String::from_utf8_lossy(&said).into_owned(), false)
}
