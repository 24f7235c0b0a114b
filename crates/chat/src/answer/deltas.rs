//! What an answer consists of, piece by piece.

/// What is new in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Text for the reader, which follows all earlier text.
    Text(String),
    /// The model's reasoning, which follows all earlier reasoning.
    Reasoning(String),
    /// A tool call begins. Whatever call was there before has ended.
    Call {
        /// The tool's name.
        name: String,
    },
    /// More of the JSON text that is the latest call's arguments.
    Arguments(String),
}

/// Deltas in their order; neighbours of one kind become one.
#[derive(Debug, Default)]
pub(super) struct Deltas(Vec<Delta>);

impl Deltas {
    pub(super) fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::Text(last)) => last.push_str(text),
            _ => self.0.push(Delta::Text(text.to_owned())),
        }
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::Reasoning(last)) => last.push_str(text),
            _ => self.0.push(Delta::Reasoning(text.to_owned())),
        }
    }

    pub(super) fn call(&mut self, name: &str) {
        self.0.push(Delta::Call { name: name.to_owned() });
    }

    pub(super) fn arguments(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::Arguments(last)) => last.push_str(text),
            _ => self.0.push(Delta::Arguments(text.to_owned())),
        }
    }

    pub(super) fn into_vec(self) -> Vec<Delta> {
        self.0
    }
}
