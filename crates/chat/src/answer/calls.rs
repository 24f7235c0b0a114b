//! Splits an answer into text and tool calls.

mod envelope;
mod family;
mod gemma;
mod named;
mod parameters;
mod writer;

use super::{Malformed, ToolSignature, deltas::Deltas, marker::Markers};
use envelope::Envelope;
use family::Form;
use gemma::Gemma;
use named::Named;
use parameters::Parameters;

pub(super) use family::Family;
pub(super) use writer::Writer;

/// Most text of a call that is read but not yet written, in bytes.
const MOST_UNWRITTEN: usize = 1 << 17;

/// Reads text with calls in it.
///
/// White space before, between and behind calls is layout of the model's and left out. What turns out to be no call is
/// text; where a part of it was written as a call, its arguments are closed so that they are valid JSON, and the rest is text.
#[derive(Debug)]
pub(super) struct Calls {
    family: &'static Family,
    tools: Vec<ToolSignature>,
    markers: Markers,
    at: At,
    writer: Writer,
    /// White space that is text if more text follows.
    space: String,
    /// White space that comes now is layout.
    layout: bool,
    /// Directly behind a call: what closes it may follow.
    behind: bool,
    /// No text was said since the beginning or the last call.
    fresh: bool,
    /// What was read of a call but not written.
    unwritten: String,
    /// Calls before the notation that is being read.
    before: usize,
}

#[derive(Debug)]
enum At {
    Text,
    /// Behind an opening whose form is not decided.
    Opened(Form),
    Call(Body),
}

/// One or several calls in some notation.
#[derive(Debug)]
enum Body {
    Envelope(Envelope),
    Named(Named),
    Parameters(Parameters),
    Gemma(Gemma),
}

/// Whether the notation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

/// Where a notation writes its calls to.
struct Sink<'a> {
    writer: &'a mut Writer,
    out: &'a mut Deltas,
    tools: &'a [ToolSignature],
    /// Nothing marks a call but its JSON, so only a call of a known tool is one.
    only_known: bool,
    /// Something was written.
    wrote: bool,
}

impl Calls {
    /// Reads calls of `tools` as the family writes them.
    pub(super) fn new(family: &'static Family, tools: Vec<ToolSignature>) -> Self {
        let openings = family.openings.iter().map(|(opening, _)| opening);
        Self {
            markers: Markers::new(openings.chain(family.sections).chain(family.closings).copied()),
            family,
            tools,
            at: At::Text,
            writer: Writer::default(),
            space: String::new(),
            layout: false,
            behind: false,
            fresh: true,
            unwritten: String::new(),
            before: 0,
        }
    }

    /// Whether no text stands since the beginning or the last call.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh && matches!(self.at, At::Text) && self.markers.held().trim_start().is_empty()
    }

    /// Leaves out the white space up to here and what follows of it.
    pub(super) fn trim(&mut self) {
        self.markers.finish();
        self.space.clear();
        self.layout = true;
    }

    /// Whether there are calls, all of which have ended.
    pub(super) fn ended_in_calls(&self) -> bool {
        self.writer.calls() > 0 && !self.writer.is_open()
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, c: char, out: &mut Deltas) {
        let bare = self.family.bare && matches!(c, '{' | '[') && self.is_fresh();
        match &mut self.at {
            At::Text if bare => {
                let held = self.markers.finish();
                held.chars().for_each(|c| self.text(c, out));
                self.before = self.writer.calls();
                self.at = At::Call(Body::Envelope(Envelope::default()));
                self.call(c, out);
            }
            At::Text => {
                let mut free = String::new();
                let marker = self.markers.push(c, &mut free);
                free.chars().for_each(|c| self.text(c, out));
                if let Some(marker) = marker {
                    self.marker(marker, out);
                }
            }
            At::Opened(_) if c.is_whitespace() => self.unwritten.push(c),
            At::Opened(form) => match form.body(Some(c)) {
                Some(body) => {
                    self.at = At::Call(body);
                    self.call(c, out);
                }
                None => self.give_up(c, out),
            },
            At::Call(_) => self.call(c, out),
        }
    }

    /// Takes the end of the text. A call that has begun is left as far as it is; what was not yet one is text.
    pub(super) fn finish(&mut self, out: &mut Deltas) {
        let held = self.markers.finish();
        held.chars().for_each(|c| self.text(c, out));
        match &mut self.at {
            At::Call(body) if self.writer.is_open() => {
                let rest = match body {
                    Body::Parameters(parameters) => parameters.unwritten(),
                    Body::Gemma(gemma) => gemma.unwritten(),
                    Body::Envelope(_) | Body::Named(_) => String::new(),
                };
                // Too much of it is left out, as all that follows is.
                let _ = self.writer.arguments(&rest, out);
            }
            _ => {
                let unwritten = std::mem::take(&mut self.unwritten);
                unwritten.chars().for_each(|c| self.text(c, out));
                out.text(&std::mem::take(&mut self.space));
            }
        }
    }

    /// A character that belongs to no marker.
    fn text(&mut self, c: char, out: &mut Deltas) {
        if c.is_whitespace() {
            if !self.layout {
                self.space.push(c);
            }
            return;
        }
        (self.layout, self.behind, self.fresh) = (false, false, false);
        out.text(&std::mem::take(&mut self.space));
        out.text(c.encode_utf8(&mut [0; 4]));
    }

    fn marker(&mut self, marker: &'static str, out: &mut Deltas) {
        match self.family.openings.iter().find(|(opening, _)| *opening == marker) {
            Some((_, form)) => {
                self.before = self.writer.calls();
                self.unwritten = marker.to_owned();
                self.at = match form.body(None) {
                    Some(body) => At::Call(body),
                    None => At::Opened(*form),
                };
            }
            // Layout, if a call follows.
            None if self.family.sections.contains(&marker) => self.space.push_str(marker),
            None if self.behind => {}
            None => marker.chars().for_each(|c| self.text(c, out)),
        }
    }

    /// A character of a call.
    fn call(&mut self, c: char, out: &mut Deltas) {
        let At::Call(body) = &mut self.at else { return };
        // A bare call has no opening, and what a fence opens may be any JSON.
        let only_known = self.family.bare;
        let mut sink = Sink { writer: &mut self.writer, out, tools: &self.tools, only_known, wrote: false };
        let progress = match body {
            Body::Envelope(envelope) => envelope.push(c, &mut sink),
            Body::Named(named) => named.push(c, &mut sink),
            Body::Parameters(parameters) => parameters.push(c, &mut sink),
            Body::Gemma(gemma) => gemma.push(c, &mut sink),
        };
        if sink.wrote {
            self.unwritten.clear();
            self.space.clear();
            (self.layout, self.fresh) = (true, true);
        } else {
            self.unwritten.push(c);
        }
        match progress {
            Ok(Progress::More) if self.unwritten.len() <= MOST_UNWRITTEN => {}
            Ok(Progress::Done) => {
                self.at = At::Text;
                self.behind = self.writer.calls() > self.before;
                let unwritten = std::mem::take(&mut self.unwritten);
                // A list without calls was no call.
                if !self.behind {
                    unwritten.chars().for_each(|c| self.text(c, out));
                }
            }
            Ok(Progress::More) | Err(Malformed) => {
                if !self.unwritten.is_empty() {
                    self.unwritten.pop();
                }
                self.give_up(c, out);
            }
        }
    }

    /// What was read is no call, or not to its end. `c` comes next.
    fn give_up(&mut self, c: char, out: &mut Deltas) {
        let unwritten = std::mem::take(&mut self.unwritten);
        match std::mem::replace(&mut self.at, At::Text) {
            At::Call(body) if self.writer.is_open() => {
                let closing = match body {
                    Body::Envelope(envelope) => envelope.closing(),
                    Body::Named(named) => named.closing(),
                    Body::Parameters(parameters) => parameters.closing(),
                    Body::Gemma(gemma) => gemma.closing(),
                };
                self.writer.end(&closing, out);
                // What stands behind a broken call is no new one, unless a mark says so.
                (self.behind, self.fresh) = (true, false);
                unwritten.chars().for_each(|c| self.push(c, out));
            }
            _ => unwritten.chars().for_each(|c| self.text(c, out)),
        }
        self.fresh = false;
        self.push(c, out);
    }
}

impl Sink<'_> {
    fn begin(&mut self, name: &str) -> Result<(), Malformed> {
        self.writer.begin(name, self.out)?;
        self.wrote = true;
        Ok(())
    }

    fn arguments(&mut self, text: &str) -> Result<(), Malformed> {
        self.writer.arguments(text, self.out)?;
        self.wrote |= !text.is_empty();
        Ok(())
    }

    fn end(&mut self, rest: &str) {
        self.writer.end(rest, self.out);
        self.wrote = true;
    }

    fn knows(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// Whether a tool's argument is a text, by its schema; where that is silent, it is.
    fn wants_text(&self, tool: &str, argument: &str) -> bool {
        let tool = self.tools.iter().find(|known| known.name == tool);
        tool.is_none_or(|tool| !tool.other_than_text.iter().any(|name| name == argument))
    }
}
