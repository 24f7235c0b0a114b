//! One answer as it is held to its form, token by token.

use std::{collections::VecDeque, sync::Arc};

use toktrie::TokenId;

use super::{Refusal, Vocabulary, compiler::refusal};

/// The tokens that may follow: bit `id % 32` of word `id / 32`.
pub type Mask = Vec<u32>;

/// What stands in an answer before its form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// The answer may also begin with the form itself; only this token leads to the parts.
    pub(crate) only_behind: Option<TokenId>,
    /// What comes, in order.
    pub(crate) parts: Vec<Part>,
}

/// A part of an answer before its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Exactly these tokens.
    Tokens(Vec<TokenId>),
    /// Anything up to and including this text. The answer cannot end before it.
    UpTo(String),
}

/// Says which tokens may follow, and takes the one that does.
pub struct Matcher {
    vocabulary: Arc<Vocabulary>,
    only_behind: Option<TokenId>,
    before: VecDeque<Part>,
    /// The last bytes of what is read of a part.
    read: Vec<u8>,
    /// The mask inside of a part, between beginnings of its end.
    within: Option<(String, Mask)>,
    form: llguidance::Matcher,
    /// Tokens that were taken, for [`rollback`](Self::rollback): the state before each of them.
    earlier: Vec<Earlier>,
}

/// The state before a token; the form's own is kept by the library.
#[derive(Clone)]
struct Earlier {
    only_behind: Option<TokenId>,
    before: VecDeque<Part>,
    read: Vec<u8>,
    /// The token went to the form.
    formed: usize,
}

/// States that are kept. A draft is never longer.
const MOST_EARLIER: usize = 64;

impl Matcher {
    /// `form` has read nothing yet.
    pub(super) fn new(vocabulary: Arc<Vocabulary>, form: llguidance::Matcher, before: Before) -> Self {
        let Before { only_behind, parts } = before;
        Self {
            vocabulary,
            only_behind,
            before: parts.into(),
            read: Vec::new(),
            within: None,
            form,
            earlier: Vec::new(),
        }
    }

    /// The tokens that may follow.
    ///
    /// # Errors
    /// When a limit is passed. The matcher is of no use afterwards.
    pub fn mask(&mut self) -> Result<Mask, Refusal> {
        match (self.only_behind, self.before.front()) {
            (None, Some(Part::Tokens(tokens))) => return Ok(self.only(tokens.first().copied())),
            (None, Some(Part::UpTo(end))) => {
                let end = end.clone();
                return Ok(self.up_to(end));
            }
            _ => {}
        }
        let mask = self.form.compute_mask_or_eos().map_err(|error| refusal(&error))?;
        let mut mask: Mask = mask.into();
        if let Some(token) = self.only_behind {
            allow(&mut mask, token);
        }
        Ok(mask)
    }

    /// Takes the token that follows.
    ///
    /// # Errors
    /// When a limit is passed, or the token was not allowed.
    pub fn accept(&mut self, token: TokenId) -> Result<(), Refusal> {
        let mut earlier =
            Earlier { only_behind: self.only_behind, before: self.before.clone(), read: self.read.clone(), formed: 0 };
        if let Some(opening) = self.only_behind.take() {
            if token != opening {
                self.before.clear();
            }
            if token == opening {
                return self.remember(earlier);
            }
        }
        match self.before.front_mut() {
            Some(Part::Tokens(tokens)) => {
                if tokens.first() == Some(&token) {
                    tokens.remove(0);
                }
                if tokens.is_empty() {
                    self.before.pop_front();
                }
            }
            Some(Part::UpTo(end)) => {
                let end = std::mem::take(end);
                self.read.extend_from_slice(self.vocabulary.bytes(token));
                match behind(&self.read, end.as_bytes()) {
                    Some(_) => {
                        self.before.pop_front();
                        self.read.clear();
                    }
                    None => {
                        let keep = self.read.len().min(end.len() - 1);
                        self.read.drain(..self.read.len() - keep);
                        self.before[0] = Part::UpTo(end);
                    }
                }
            }
            // A form that is complete takes nothing any more, the end included.
            None if self.form.is_stopped() && self.vocabulary.ends().contains(&token) => {}
            None => {
                self.form.consume_token(token).map_err(|error| refusal(&error))?;
                earlier.formed = 1;
            }
        }
        self.remember(earlier)
    }

    /// Takes back the last `tokens` accepted ones.
    ///
    /// # Errors
    /// When there were not as many.
    pub fn rollback(&mut self, tokens: usize) -> Result<(), Refusal> {
        let mut formed = 0;
        for _ in 0..tokens {
            let Some(earlier) = self.earlier.pop() else { return Err(Refusal::Internal) };
            (self.only_behind, self.before, self.read) = (earlier.only_behind, earlier.before, earlier.read);
            formed += earlier.formed;
        }
        self.form.rollback(formed).map_err(|error| refusal(&error))
    }

    fn remember(&mut self, earlier: Earlier) -> Result<(), Refusal> {
        if self.earlier.len() == MOST_EARLIER {
            self.earlier.remove(0);
        }
        self.earlier.push(earlier);
        Ok(())
    }

    fn only(&self, token: Option<TokenId>) -> Mask {
        let mut mask = self.nothing();
        token.into_iter().for_each(|token| allow(&mut mask, token));
        mask
    }

    /// All tokens but those that end the answer.
    fn up_to(&mut self, end: String) -> Mask {
        if (1..end.len()).any(|length| self.read.ends_with(&end.as_bytes()[..length])) {
            return self.within(&self.read, &end);
        }
        match &self.within {
            Some((known, mask)) if *known == end => mask.clone(),
            _ => {
                let mask = self.within(&[], &end);
                self.within = Some((end, mask.clone()));
                mask
            }
        }
    }

    /// The tokens that may follow `read`: none that ends the answer or is special, and not those that write anything but white space behind `end`, for that would be a
    /// part of the form.
    fn within(&self, read: &[u8], end: &str) -> Mask {
        let mut mask = self.nothing();
        let mut text = read.to_vec();
        for token in 0..self.vocabulary.len() as TokenId {
            text.truncate(read.len());
            text.extend_from_slice(self.vocabulary.bytes(token));
            let clean = behind(&text, end.as_bytes()).is_none_or(|rest| rest.trim_ascii().is_empty());
            // A special token begins something else, unless it is the end of this.
            let foreign = self.vocabulary.is_special(token) && self.vocabulary.bytes(token) != end.as_bytes();
            if text.len() > read.len() && clean && !foreign && !self.vocabulary.ends().contains(&token) {
                allow(&mut mask, token);
            }
        }
        mask
    }

    fn nothing(&self) -> Mask {
        vec![0; self.vocabulary.len().div_ceil(32)]
    }
}

fn allow(mask: &mut Mask, token: TokenId) {
    if let Some(word) = mask.get_mut(token as usize / 32) {
        *word |= 1 << (token % 32);
    }
}

/// What stands behind the first `end` in `text`.
fn behind<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(end.len().max(1)).position(|window| window == end)?;
    Some(&text[at + end.len()..])
}
