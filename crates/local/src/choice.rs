//! One choice of an answer: tokens from the engine become text, up to a stop, and the text what it means.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use engine::{Finish, Output, Token, Tokens};
use inference::{Error, Event, FinishReason, TokenLogprob};
use text::{Detokenizer, StopStrings, Tokenizer};

use crate::{
    answer::Counts,
    reading::{Reader, Reading},
};

/// What the text stage must know of the request.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Strings that end the answer.
    pub stop: Vec<String>,
    /// Stops are not looked for before this many tokens.
    pub min_tokens: usize,
    /// Tokens that end the answer and are not part of its text; empty when they are to be ignored.
    pub end_tokens: Vec<u32>,
    /// Whether log-probabilities are reported.
    pub logprobs: bool,
    /// Text to send before what is generated: the prompt, when it is echoed as a whole.
    pub echo: Option<String>,
    /// What made the constraint fail, where there is one and it did.
    pub failure: Arc<OnceLock<Error>>,
    /// How the answer to a conversation is read; other answers are nothing but text.
    pub reading: Option<Arc<Reading>>,
}

/// One running choice.
pub(crate) struct Choice {
    index: u32,
    /// `None` once the choice has ended: dropping the tokens frees the sequence before the engine's next step.
    tokens: Option<Tokens>,
    tokenizer: Arc<Tokenizer>,
    prompt_text: Detokenizer,
    answer_text: Detokenizer,
    stops: StopStrings,
    reader: Option<Reader>,
    rules: Rules,
    generated: usize,
    /// The first choice has said when the request's turn came.
    started: bool,
    /// Shared by all choices of the request, for its usage.
    counts: Arc<Counts>,
    /// Events that are ready but were not taken yet.
    ready: VecDeque<Event>,
}

/// What [`Choice::next`] gives.
pub(crate) enum Next {
    /// An event of this choice.
    Event(Event),
    /// The choice has failed, and with it the request.
    Failed(Error),
    /// The choice has ended and was told so before.
    End,
}

impl Choice {
    /// `counts` gets what the engine commits, up to and including the token that completes a stop.
    pub fn new(index: u32, tokens: Tokens, tokenizer: Arc<Tokenizer>, rules: Rules, counts: Arc<Counts>) -> Self {
        let mut ready = VecDeque::new();
        if let Some(prompt) = &rules.echo {
            ready.push_back(plain(index, prompt.clone(), 0, Vec::new()));
        }
        Self {
            index,
            tokens: Some(tokens),
            prompt_text: Detokenizer::new(Arc::clone(&tokenizer), true),
            // Of the special tokens the hidden ones are left out before.
            answer_text: Detokenizer::new(Arc::clone(&tokenizer), true),
            reader: rules.reading.as_ref().map(|reading| reading.reader(index)),
            stops: StopStrings::new(rules.stop.clone()),
            tokenizer,
            rules,
            generated: 0,
            started: false,
            counts,
            ready,
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Next {
        loop {
            if self.index == 0 && !self.started {
                let Some(tokens) = &mut self.tokens else { return Next::End };
                let cached_tokens = tokens.started().await;
                self.started = true;
                self.counts.set_cached(cached_tokens);
                return Next::Event(Event::Started { cached_tokens: cached_tokens as u64 });
            }
            if let Some(event) = self.ready.pop_front() {
                return Next::Event(event);
            }
            let Some(tokens) = &mut self.tokens else { return Next::End };
            match tokens.next().await {
                Some(Output::Prompt(token)) => self.prompt_token(&token),
                Some(Output::Token(token)) => self.token(&token),
                Some(Output::Finished(finish)) => {
                    if let Err(error) = self.finish(finish) {
                        self.tokens = None;
                        return Next::Failed(error);
                    }
                }
                None => {
                    self.tokens = None;
                    return Next::Failed(Error::Internal);
                }
            }
        }
    }

    fn prompt_token(&mut self, token: &Token) {
        let text = self.prompt_text.push(token.id);
        let logprobs = vec![self.logprob(token)];
        self.ready.push_back(plain(self.index, text, 0, logprobs));
    }

    fn token(&mut self, token: &Token) {
        self.generated += 1;
        self.counts.add_completion();
        let ends = self.generated >= self.rules.min_tokens;
        if ends && self.rules.end_tokens.contains(&token.id) {
            self.text(String::new(), 1, Vec::new()); // counted, not shown; the engine says Finished next
            return;
        }
        let text = if self.hides(token.id) { String::new() } else { self.answer_text.push(token.id) };
        let logprobs = if self.rules.logprobs { vec![self.logprob(token)] } else { Vec::new() };
        if !ends || self.rules.stop.is_empty() {
            self.text(text, 1, logprobs);
            return;
        }
        let scanned = self.stops.push(&text);
        self.text(scanned.text, 1, logprobs);
        if scanned.stopped {
            self.end(FinishReason::Stop);
        }
    }

    fn finish(&mut self, finish: Finish) -> Result<(), Error> {
        let reason = match finish {
            Finish::EndToken => FinishReason::Stop,
            Finish::MaxTokens | Finish::ContextFull => FinishReason::Length,
            Finish::ShutDown => return Err(Error::ShuttingDown),
            Finish::SlowReader => return Err(Error::SlowReader),
            Finish::Failed => return Err(self.rules.failure.get().cloned().unwrap_or(Error::Internal)),
        };
        let rest = self.answer_text.finish();
        let mut text = self.stops.push(&rest).text;
        text.push_str(&self.stops.finish());
        if !text.is_empty() {
            self.text(text, 0, Vec::new());
        }
        self.end(if self.stops.stopped() { FinishReason::Stop } else { reason });
        Ok(())
    }

    /// Whether a token is special and no mark of the model's notation.
    fn hides(&self, token: u32) -> bool {
        let shown = self.rules.reading.as_ref().is_some_and(|reading| reading.shows(token));
        !shown && self.tokenizer.is_special(token)
    }

    /// A token whose text is held back is reported at once all the same: whoever leaves next has got it.
    fn text(&mut self, text: String, tokens: u64, logprobs: Vec<TokenLogprob>) {
        match &mut self.reader {
            None => self.ready.push_back(plain(self.index, text, tokens, logprobs)),
            Some(reader) => {
                let events = reader.push(&text, tokens, logprobs);
                if let Some(Event::Text { reasoning_tokens, .. }) = events.first() {
                    self.counts.add_reasoning(*reasoning_tokens);
                }
                self.ready.extend(events);
            }
        }
    }

    fn end(&mut self, reason: FinishReason) {
        self.tokens = None;
        let stop = self.stops.matched().map(str::to_owned);
        let mut reason = reason;
        if let Some(reader) = &mut self.reader {
            let (rest, in_calls) = reader.finish();
            self.ready.extend(rest);
            if in_calls && reason == FinishReason::Stop && stop.is_none() {
                reason = FinishReason::ToolCalls;
            }
        }
        self.ready.push_back(Event::Finished { choice: self.index, reason, stop });
    }

    fn logprob(&self, token: &Token) -> TokenLogprob {
        let bytes = |id| self.tokenizer.token_bytes(id).map(<[u8]>::to_vec).unwrap_or_default();
        TokenLogprob {
            token: token.id,
            bytes: bytes(token.id),
            logprob: token.logprob,
            top: token
                .top
                .iter()
                .map(|&(id, logprob)| TokenLogprob {
                    token: id,
                    bytes: bytes(id),
                    logprob: Some(logprob),
                    top: Vec::new(),
                })
                .collect(),
        }
    }
}

/// Text that is no reasoning.
fn plain(choice: u32, text: String, tokens: u64, logprobs: Vec<TokenLogprob>) -> Event {
    Event::Text { choice, text, tokens, reasoning_tokens: 0, logprobs }
}

#[cfg(test)]
mod tests;
