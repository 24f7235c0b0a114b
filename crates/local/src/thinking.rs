//! Ends a model's thinking when its budget is spent, and lets it answer.
//!
//! What counts is what callers see as reasoning: the same reader tells it as reads the answer, so it cannot matter whether
//! the tags are tokens of their own, who opened them, and in which notation. A token counts that was chosen while the model
//! was thinking; those that close it count for nothing here, but they are tokens of the answer as all others.

use std::sync::Arc;

use chat::Parser;
use engine::Forcing;
use inference::Error;
use text::{Detokenizer, Special, Tokenizer};

use crate::reading::Reading;

/// Most tokens by which a budget is passed so that a character is not cut in half: it has four bytes at most.
const REST_OF_CHARACTER: usize = 3;

/// How much may be thought in each answer to one prompt.
pub(crate) struct Budget {
    most: usize,
    closing: Arc<Closing>,
    reading: Arc<Reading>,
    tokenizer: Arc<Tokenizer>,
}

/// What ends the thinking, as tokens.
struct Closing {
    first: Vec<u32>,
    /// Whenever the model begins to think anew.
    again: Vec<u32>,
}

impl Budget {
    /// A budget of `most` tokens in answers that are read by `reading`, and `held` to a form or not; `None` where the model
    /// does not think.
    pub fn new(
        most: u32,
        reading: &Arc<Reading>,
        tokenizer: &Arc<Tokenizer>,
        held: bool,
    ) -> Result<Option<Self>, Error> {
        let Some(closing) = reading.prompt().closing(held) else { return Ok(None) };
        let tokens = |text: &str| {
            tokenizer.encode(text, Special { add: false, parse: true }, &[]).map_err(|error| {
                tracing::error!(%error, "what ends this model's thinking cannot be tokenised");
                Error::Internal
            })
        };
        let closing = Arc::new(Closing { first: tokens(&closing.first)?, again: tokens(&closing.again)? });
        let (reading, tokenizer) = (Arc::clone(reading), Arc::clone(tokenizer));
        Ok(Some(Self { most: most as usize, closing, reading, tokenizer }))
    }

    /// Keeps one more choice to it.
    pub fn begin(&self) -> Box<dyn Forcing> {
        let mut thinking = Thinking {
            left: self.most,
            patience: REST_OF_CHARACTER,
            closing: Arc::clone(&self.closing),
            closed: false,
            written: None,
            text: Detokenizer::new(Arc::clone(&self.tokenizer), true),
            parser: self.reading.parser(),
            reading: Arc::clone(&self.reading),
            tokenizer: Arc::clone(&self.tokenizer),
        };
        thinking.close_if_spent();
        Box::new(thinking)
    }
}

/// One choice, as far as it has come.
struct Thinking {
    /// Tokens that may still be thought.
    left: usize,
    /// Tokens by which the budget may still be passed to complete a character.
    patience: usize,
    closing: Arc<Closing>,
    /// The thinking was ended once.
    closed: bool,
    /// While it is being ended: tokens of the closing that are written.
    written: Option<usize>,
    text: Detokenizer,
    parser: Parser,
    reading: Arc<Reading>,
    tokenizer: Arc<Tokenizer>,
}

impl Thinking {
    fn closing(&self) -> &[u32] {
        if self.closed { &self.closing.again } else { &self.closing.first }
    }

    fn close_if_spent(&mut self) {
        if self.left > 0 || !self.parser.is_thinking() {
            return;
        }
        if self.text.is_within_character() && self.patience > 0 {
            self.patience -= 1;
        } else {
            self.written = Some(0);
        }
    }
}

impl Forcing for Thinking {
    fn forced(&self) -> Option<u32> {
        self.closing().get(self.written?).copied()
    }

    fn accept(&mut self, token: u32) {
        match self.written {
            Some(written) if self.forced() == Some(token) => {
                self.written = Some(written + 1);
                if written + 1 == self.closing().len() {
                    (self.closed, self.written) = (true, None);
                }
            }
            // The form of the answer did not allow it.
            Some(_) => self.written = None,
            None if self.parser.is_thinking() => self.left = self.left.saturating_sub(1),
            None => {}
        }
        if self.reading.shows(token) || !self.tokenizer.is_special(token) {
            self.parser.push(&self.text.push(token));
        }
        if self.written.is_none() {
            self.close_if_spent();
        }
    }
}

#[cfg(test)]
mod tests;
