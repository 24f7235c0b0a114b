//! What the text of an answer to a conversation means, as events.

use std::collections::HashSet;

use chat::{Delta, Parser, Prompt};
use inference::{Error, Event, TokenLogprob};
use text::Tokenizer;

/// How the answers to one prompt are read.
#[derive(Debug)]
pub(crate) struct Reading {
    prompt: Prompt,
    /// Special tokens that mark something.
    shown: HashSet<u32>,
    /// Makes the ids of calls differ from those of other answers.
    salt: u64,
}

impl Reading {
    /// `special` are the model's special tokens with their names.
    pub fn new(prompt: Prompt, special: &[(u32, String)]) -> Result<Self, Error> {
        let salt = getrandom::u64().map_err(|error| {
            tracing::error!(%error, "the system gave no random salt");
            Error::Internal
        })?;
        let marks = prompt.marks();
        let is_mark = |name: &str| marks.iter().any(|mark| mark.contains(name));
        let shown = special.iter().filter(|(_, name)| is_mark(name)).map(|(token, _)| *token).collect();
        Ok(Self { prompt, shown, salt })
    }

    /// The prompt that is answered.
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// Whether a special token reaches the reader.
    pub fn shows(&self, token: u32) -> bool {
        self.shown.contains(&token)
    }

    /// Reads one choice for what it means alone.
    pub fn parser(&self) -> Parser {
        self.prompt.parser()
    }

    /// Reads one choice.
    pub fn reader(&self, choice: u32) -> Reader {
        Reader { choice, parser: self.prompt.parser(), salt: self.salt.wrapping_add(u64::from(choice)), calls: 0 }
    }
}

/// Special tokens with their names, of a whole vocabulary.
pub(crate) fn special_tokens(tokenizer: &Tokenizer) -> Vec<(u32, String)> {
    let name = |token: u32| Some(str::from_utf8(tokenizer.token_bytes(token)?).ok()?.to_owned());
    let special = (0..tokenizer.vocabulary()).filter(|token| tokenizer.is_special(*token));
    special.filter_map(|token| Some((token, name(token)?))).filter(|(_, name)| !name.is_empty()).collect()
}

/// Reads one choice as it comes.
pub(crate) struct Reader {
    choice: u32,
    parser: Parser,
    salt: u64,
    calls: u32,
}

impl Reader {
    /// What became certain with `text`. The first event is a text, maybe an empty one, that reports the tokens. They are
    /// reasoning where the model was thinking before them or is behind them.
    pub fn push(&mut self, text: &str, tokens: u64, logprobs: Vec<TokenLogprob>) -> Vec<Event> {
        let choice = self.choice;
        let was_thinking = self.parser.is_thinking();
        let mut deltas = self.parser.push(text).into_iter().peekable();
        let reasoning_tokens = if was_thinking || self.parser.is_thinking() { tokens } else { 0 };
        let text = match deltas.next_if(|delta| matches!(delta, Delta::Text(_))) {
            Some(Delta::Text(text)) => text,
            _ => String::new(),
        };
        let mut events = vec![Event::Text { choice, text, tokens, reasoning_tokens, logprobs }];
        events.extend(deltas.map(|delta| self.event(delta)));
        events
    }

    /// What is left, and whether the turn ends in calls that wait for their results.
    pub fn finish(&mut self) -> (Vec<Event>, bool) {
        let deltas = self.parser.finish();
        let events = deltas.into_iter().map(|delta| self.event(delta)).collect();
        (events, self.parser.ended_in_calls())
    }

    fn event(&mut self, delta: Delta) -> Event {
        let choice = self.choice;
        match delta {
            Delta::Text(text) => Event::Text { choice, text, tokens: 0, reasoning_tokens: 0, logprobs: Vec::new() },
            Delta::Reasoning(text) => Event::Reasoning { choice, text },
            Delta::Call { name } => {
                self.calls += 1;
                Event::ToolCall { choice, id: format!("call_{:016x}{:08x}", self.salt, self.calls), name }
            }
            Delta::Arguments(text) => Event::Arguments { choice, text },
        }
    }
}
