//! What a model's text means: text for the reader, reasoning, tool calls.
//!
//! Every reader here takes one character at a time and decides by what came before it alone. So it cannot matter how a
//! text was cut into pieces: the deltas of all pieces, put together, are those of the whole text.

mod calls;
mod deltas;
mod harmony;
mod json;
mod marker;
mod reasoning;

use calls::{Calls, Family};
use deltas::Deltas;
use harmony::Harmony;
use reasoning::{Reasoning, Tags};

pub use deltas::Delta;

use crate::constraint::{
    Before, Grammar, Part, Refusal, Vocabulary,
    calls::{self as calls_grammar, Callable, Notation as Written},
};

/// How the model that a chat template belongs to writes its answers.
#[derive(Debug, Clone, Copy)]
pub struct Dialect(Notation);

#[derive(Debug, Clone, Copy)]
enum Notation {
    Harmony,
    Tagged { family: &'static Family, written: Written, tags: Option<&'static Tags> },
}

impl Dialect {
    /// The dialect of a template, by the marks that stand in its source.
    pub fn of(template: &str) -> Self {
        if template.contains("<|channel|>") && template.contains("<|message|>") {
            return Self(Notation::Harmony);
        }
        let family = Family::of(template);
        Self(Notation::Tagged { family, written: family.written(template), tags: Tags::of(template) })
    }

    /// The same, with calls as plain JSON.
    pub(crate) fn with_plain_calls(self) -> Self {
        match self.0 {
            Notation::Harmony => self,
            Notation::Tagged { tags, .. } => {
                let family = Family::of("");
                Self(Notation::Tagged { family, written: family.written(""), tags })
            }
        }
    }

    /// The texts that have a meaning of their own, those of calls only `with_calls`.
    pub fn marks(self, with_calls: bool) -> Vec<&'static str> {
        match self.0 {
            Notation::Harmony => harmony::MARKS.to_vec(),
            Notation::Tagged { family, tags, .. } => {
                let mut marks = if with_calls { family.marks() } else { Vec::new() };
                marks.extend(tags.iter().flat_map(|tags| [tags.open, tags.close]));
                marks
            }
        }
    }

    /// The grammar of an answer that may call `tools`, or has to, as [`before`](Self::before) leaves it to begin.
    pub(crate) fn calls(
        self,
        tools: &[Callable],
        demand: &calls_grammar::Demand<'_>,
        vocabulary: &Vocabulary,
    ) -> Result<Grammar, Refusal> {
        match self.0 {
            Notation::Harmony => calls_grammar::harmony(tools, demand, vocabulary),
            Notation::Tagged { written, .. } => calls_grammar::grammar(written, tools, demand, vocabulary),
        }
    }

    /// What an answer to a prompt has before its form, or before its `calls`: the reasoning, where there is any.
    pub(crate) fn before(self, prompt: &str, calls: bool, vocabulary: &Vocabulary) -> Before {
        match self.0 {
            Notation::Harmony => Before { only_behind: None, parts: harmony::before(calls, vocabulary) },
            Notation::Tagged { tags: None, .. } => Before::default(),
            Notation::Tagged { tags: Some(tags), .. } => {
                let open = tags.is_open_in(prompt);
                let closed = prompt.trim_end().ends_with(tags.close);
                // Where no one token opens the reasoning, the form begins at once.
                let opening = vocabulary.token(tags.open).filter(|_| !open && !closed);
                let parts =
                    if open || opening.is_some() { vec![Part::UpTo(tags.close.to_owned())] } else { Vec::new() };
                Before { only_behind: opening, parts }
            }
        }
    }

    /// What ends reasoning that did not end by itself, in an answer that may have `calls` and may be `held` to a form behind
    /// it; `None` where the dialect has no reasoning.
    pub fn closing(self, calls: bool, held: bool) -> Option<Closing> {
        match self.0 {
            Notation::Harmony => Some(harmony::closing(calls, held)),
            // A form begins directly behind the tag.
            Notation::Tagged { tags, .. } => {
                tags.map(|tags| Closing::always(if held { tags.leave.trim_end() } else { tags.leave }))
            }
        }
    }

    /// Reads the answer to a prompt, whose end may have opened the reasoning. Calls of `tools` are calls; without tools
    /// they are text.
    pub fn parser(self, prompt: &str, tools: Vec<ToolSignature>) -> Parser {
        let reader = match self.0 {
            Notation::Harmony => Reader::Harmony(Harmony::new(!tools.is_empty())),
            Notation::Tagged { family, tags, .. } => {
                let calls = (!tools.is_empty()).then(|| Calls::new(family, tools));
                match (tags, calls) {
                    (Some(tags), calls) => Reader::Reasoning(Reasoning::new(tags, tags.is_open_in(prompt), calls)),
                    (None, Some(calls)) => Reader::Calls(calls),
                    (None, None) => Reader::Text,
                }
            }
        };
        Parser(reader)
    }
}

/// What ends reasoning that did not end by itself. Special tokens are written by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The first time.
    pub first: String,
    /// Whenever the model begins to reason anew: what leaves it no choice but to answer.
    pub again: String,
}

impl Closing {
    fn always(text: &str) -> Self {
        Self { first: text.to_owned(), again: text.to_owned() }
    }
}

/// What a parser must know of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSignature {
    /// The tool's name.
    pub name: String,
    /// The arguments that are no texts: notations without quotes do not tell.
    pub other_than_text: Vec<String>,
}

/// Reads one answer as it comes.
///
/// The arguments of a call are valid JSON, except when the answer ends in the middle of them: then they are as far as
/// the model came. What is malformed is text.
#[derive(Debug)]
pub struct Parser(Reader);

#[derive(Debug)]
enum Reader {
    Text,
    Calls(Calls),
    Reasoning(Reasoning),
    Harmony(Harmony),
}

impl Parser {
    /// Takes the next piece of the answer.
    pub fn push(&mut self, text: &str) -> Vec<Delta> {
        let mut out = Deltas::default();
        match &mut self.0 {
            Reader::Text => out.text(text),
            Reader::Calls(calls) => text.chars().for_each(|c| calls.push(c, &mut out)),
            Reader::Reasoning(reasoning) => text.chars().for_each(|c| reasoning.push(c, &mut out)),
            Reader::Harmony(harmony) => text.chars().for_each(|c| harmony.push(c, &mut out)),
        }
        out.into_vec()
    }

    /// Takes the end of the answer.
    pub fn finish(&mut self) -> Vec<Delta> {
        let mut out = Deltas::default();
        match &mut self.0 {
            Reader::Text => {}
            Reader::Calls(calls) => calls.finish(&mut out),
            Reader::Reasoning(reasoning) => reasoning.finish(&mut out),
            Reader::Harmony(harmony) => harmony.finish(&mut out),
        }
        out.into_vec()
    }

    /// Whether the model is in the middle of reasoning: what follows is more of it, or ends it.
    pub fn is_thinking(&self) -> bool {
        match &self.0 {
            Reader::Text | Reader::Calls(_) => false,
            Reader::Reasoning(reasoning) => reasoning.is_inside(),
            Reader::Harmony(harmony) => harmony.is_thinking(),
        }
    }

    /// After the end: whether there are calls, and none was broken off.
    pub fn ended_in_calls(&self) -> bool {
        match &self.0 {
            Reader::Text => false,
            Reader::Calls(calls) => calls.ended_in_calls(),
            Reader::Reasoning(reasoning) => reasoning.calls().is_some_and(Calls::ended_in_calls),
            Reader::Harmony(harmony) => harmony.ended_in_calls(),
        }
    }
}

/// What was read is not of the form that it began in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;
