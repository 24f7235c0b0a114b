//! Texts that stand apart in an answer, with a call between them say, where a family has one text for all of them.
//!
//! A turn of the conversation has one text and one reasoning too. Whether an answer was flattened when it was told, or its
//! pieces are when they come back, the turn is the same: all do it as this module does.

/// What is written between them.
const BETWEEN: &str = "\n";

/// Adds a text to those that stand before it.
pub(crate) fn append(texts: &mut String, more: &str) {
    if !texts.is_empty() && !more.is_empty() {
        texts.push_str(BETWEEN);
    }
    texts.push_str(more);
}

/// What an answer consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Call,
}

/// How far one choice has come that is told in pieces.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flattening {
    /// What the latest piece was.
    latest: Option<Kind>,
    /// There was text.
    text: bool,
    /// There was reasoning.
    reasoning: bool,
}

impl Flattening {
    /// Notes that a call begins.
    pub(crate) fn call(&mut self) {
        self.latest = Some(Kind::Call);
    }

    /// A piece of text, with what stands between it and a text before it.
    pub(crate) fn text(&mut self, piece: String) -> String {
        self.piece(Kind::Text, piece)
    }

    /// The same of reasoning.
    pub(crate) fn reasoning(&mut self, piece: String) -> String {
        self.piece(Kind::Reasoning, piece)
    }

    fn piece(&mut self, kind: Kind, piece: String) -> String {
        if piece.is_empty() {
            return piece;
        }
        let seen = if kind == Kind::Text { &mut self.text } else { &mut self.reasoning };
        let apart = std::mem::replace(seen, true) && self.latest != Some(kind);
        self.latest = Some(kind);
        if apart { format!("{BETWEEN}{piece}") } else { piece }
    }
}
