//! An answer in one piece, before a family gives it its shape.

use inference::{Event, FinishReason, TokenLogprob, Usage};

/// An answer in one piece.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    /// By index.
    pub(crate) choices: Vec<Choice>,
    /// Token counts.
    pub(crate) usage: Usage,
}

/// One choice, whole.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) text: String,
    /// Of every token, when they were asked for.
    pub(crate) logprobs: Vec<TokenLogprob>,
    pub(crate) reason: FinishReason,
    /// The stop string that ended it.
    pub(crate) stop: Option<String>,
}

impl Whole {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(choices: u32) -> Self {
        let choice = |_| Choice { text: String::new(), logprobs: Vec::new(), reason: FinishReason::Stop, stop: None };
        Self { choices: (0..choices).map(choice).collect(), usage: Usage::default() }
    }

    /// Takes what an event says. A choice that nobody asked for is left out.
    pub(crate) fn push(&mut self, event: Event) {
        match event {
            Event::Started { .. } => {}
            Event::Text { choice, text, logprobs, .. } => {
                let Some(choice) = self.choices.get_mut(choice as usize) else { return };
                choice.text.push_str(&text);
                choice.logprobs.extend(logprobs);
            }
            Event::Finished { choice, reason, stop } => {
                let Some(choice) = self.choices.get_mut(choice as usize) else { return };
                (choice.reason, choice.stop) = (reason, stop);
            }
            Event::Done(usage) | Event::Failed { usage, .. } => self.usage = usage,
        }
    }
}
