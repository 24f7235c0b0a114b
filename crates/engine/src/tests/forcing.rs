//! Forced tokens come where they are forced, and nothing else changes.

use crate::{
    Constraint, Forcing,
    penalties::Penalties,
    sampler::{Choice, Sampler},
    scripted::logits_after,
};

use super::*;

/// After `most` tokens of the model's own, these; and so on again.
#[derive(Clone)]
pub(super) struct Interruption {
    most: usize,
    own: usize,
    text: &'static [u32],
    written: usize,
}

impl Interruption {
    pub fn new(most: usize, text: &'static [u32]) -> Self {
        Self { most, own: 0, text, written: 0 }
    }

    pub fn boxed(self) -> Option<Box<dyn Forcing>> {
        Some(Box::new(self))
    }
}

impl Forcing for Interruption {
    fn forced(&self) -> Option<u32> {
        (self.own == self.most).then(|| self.text[self.written])
    }

    fn accept(&mut self, token: u32) {
        if self.forced() == Some(token) {
            self.written += 1;
        } else if self.own < self.most {
            self.own += 1;
        }
        if self.written == self.text.len() {
            (self.own, self.written) = (0, 0);
        }
    }
}

#[test]
fn the_nth_token_is_forced_or_the_samplers_nth_draw_given_all_before_it() {
    let sampling = Sampling { temperature: 1.5, frequency_penalty: 0.9, seed: 11, ..Sampling::default() };
    let (prompt, text) = ([7, 8, 9], &[40, 41, 42]);
    let asked = SequenceRequest {
        sampling: sampling.clone(),
        forcing: Interruption::new(5, text).boxed(),
        logprobs: Some(0),
        ..request(&prompt, 60)
    };
    let outputs = alone(&Script::default(), asked);
    let (mut sampler, mut all) = (Sampler::default(), prompt.to_vec());
    for index in 0..60 {
        let logits = logits_after(97, &all);
        let mut penalties = Penalties::new(&sampling, &prompt);
        all[prompt.len()..].iter().for_each(|&id| penalties.count(id));
        let choice = Choice { sampling: &sampling, penalties: &penalties, allowed: None, deferred: &[], index };
        let place = index as usize % 8;
        let mut own = || sampler.choose(&logits, &choice).expect("scripted logits are finite");
        all.push(if place < 5 { own() } else { text[place - 5] });
        // What is forced has the probability that the model gives it.
        let Output::Token(token) = &outputs[index as usize] else { panic!("{outputs:?}") };
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        let expect = f64::from(logits[token.id as usize]) - sum.ln();
        assert!((f64::from(token.logprob.expect("it was asked for")) - expect).abs() < 1e-3);
    }
    assert_eq!(ids(&outputs), all[prompt.len()..]);
}

#[test]
fn a_constraint_that_does_not_allow_it_prevails() {
    struct Even;
    impl Constraint for Even {
        fn mask(&mut self, allowed: &mut [u64]) {
            allowed.fill(0x5555_5555_5555_5555);
        }
        fn accept(&mut self, token: u32) {
            assert!(token.is_multiple_of(2), "{token} was not allowed");
        }
        fn rollback(&mut self, _tokens: usize) {}
    }
    let ask = |text| SequenceRequest {
        constraint: Some(Box::new(Even)),
        forcing: Interruption::new(2, text).boxed(),
        ..request(&[1], 20)
    };
    let free = || SequenceRequest { constraint: Some(Box::new(Even)), ..request(&[1], 20) };
    assert_eq!(alone(&Script::default(), ask(&[3])), alone(&Script::default(), free()));
    let forced = ids(&alone(&Script::default(), ask(&[40, 42])));
    assert_eq!((&forced[2..4], &forced[6..8]), (&[40, 42][..], &[40, 42][..]));
}

#[test]
fn every_end_holds_for_forced_tokens_too() {
    let ask = || SequenceRequest { forcing: Interruption::new(3, &[50, 51, 52]).boxed(), ..request(&[1], 4) };
    let outputs = alone(&Script::default(), ask());
    assert_eq!((ids(&outputs)[3], end(&outputs)), (50, Some(Finish::MaxTokens)));
    let outputs = alone(&Script::default(), SequenceRequest { end_tokens: vec![51], ..ask() });
    assert_eq!(end(&outputs), Some(Finish::MaxTokens));
    let outputs = alone(&Script::default(), SequenceRequest { end_tokens: vec![51], max_tokens: 9, ..ask() });
    assert_eq!((ids(&outputs).last(), end(&outputs)), (Some(&51), Some(Finish::EndToken)));
}

#[test]
fn a_token_that_the_vocabulary_lacks_is_not_forced() {
    let ask = || SequenceRequest { forcing: Interruption::new(0, &[97]).boxed(), ..request(&[1], 9) };
    assert_eq!(alone(&Script::default(), ask()), alone(&Script::default(), request(&[1], 9)));
}
