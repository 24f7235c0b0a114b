//! An answer in one piece, before a family gives it its shape.

use inference::{Event, FinishReason, TokenLogprob, Usage};

use crate::apart::append;

/// An answer in one piece.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    /// By index.
    pub(crate) choices: Vec<Choice>,
    /// Token counts.
    pub(crate) usage: Usage,
    /// Instructions of the system were moved.
    pub(crate) merged_system: bool,
}

/// One choice, whole.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// What was said, thought and called, in its order; neighbours differ in kind, except for calls.
    pub(crate) parts: Vec<Part>,
    /// Of every token, when they were asked for.
    pub(crate) logprobs: Vec<TokenLogprob>,
    pub(crate) reason: FinishReason,
    /// The stop string that ended it.
    pub(crate) stop: Option<String>,
}

/// A part of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Reasoning(String),
    Call { id: String, name: String, arguments: String },
}

impl Whole {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(choices: u32) -> Self {
        let choice = |_| Choice { parts: Vec::new(), logprobs: Vec::new(), reason: FinishReason::Stop, stop: None };
        Self { choices: (0..choices).map(choice).collect(), usage: Usage::default(), merged_system: false }
    }

    /// Takes what an event says. A choice that nobody asked for is left out.
    pub(crate) fn push(&mut self, mut event: Event) {
        let choice = event.choice_mut().map(|choice| *choice as usize);
        let choice = choice.and_then(|choice| self.choices.get_mut(choice));
        match (choice, event) {
            (Some(choice), event) => choice.push(event),
            (None, Event::Done(usage) | Event::Failed { usage, .. }) => self.usage = usage,
            (None, _) => {}
        }
    }
}

impl Choice {
    fn push(&mut self, event: Event) {
        match event {
            Event::Text { text, logprobs, .. } => {
                self.logprobs.extend(logprobs);
                match self.parts.last_mut() {
                    _ if text.is_empty() => {}
                    Some(Part::Text(last)) => last.push_str(&text),
                    _ => self.parts.push(Part::Text(text)),
                }
            }
            Event::Reasoning { text, .. } => match self.parts.last_mut() {
                _ if text.is_empty() => {}
                Some(Part::Reasoning(last)) => last.push_str(&text),
                _ => self.parts.push(Part::Reasoning(text)),
            },
            Event::ToolCall { id, name, .. } => self.parts.push(Part::Call { id, name, arguments: String::new() }),
            Event::Arguments { text, .. } => {
                let calls = self.parts.iter_mut().rev();
                let latest = calls.filter_map(|part| match part {
                    Part::Call { arguments, .. } => Some(arguments),
                    _ => None,
                });
                latest.take(1).for_each(|arguments| arguments.push_str(&text));
            }
            Event::Finished { reason, stop, .. } => (self.reason, self.stop) = (reason, stop),
            Event::Started { .. } | Event::Done(_) | Event::Failed { .. } => {}
        }
    }

    /// All that was said.
    pub(crate) fn text(&self) -> String {
        self.joined(|part| match part {
            Part::Text(text) => Some(text),
            Part::Reasoning(_) | Part::Call { .. } => None,
        })
    }

    /// All that was thought; `None` where nothing was.
    pub(crate) fn reasoning(&self) -> Option<String> {
        let reasoning = self.joined(|part| match part {
            Part::Reasoning(text) => Some(text),
            Part::Text(_) | Part::Call { .. } => None,
        });
        Some(reasoning).filter(|reasoning| !reasoning.is_empty())
    }

    fn joined(&self, text: fn(&Part) -> Option<&String>) -> String {
        let mut joined = String::new();
        self.parts.iter().filter_map(text).for_each(|text| append(&mut joined, text));
        joined
    }
}
