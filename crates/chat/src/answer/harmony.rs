//! OpenAI's harmony format: every message of an answer names its channel, and a call its recipient.
//!
//! See "OpenAI Harmony Response Format" in OpenAI's cookbook. The prompt ends with `<|start|>assistant`, so an answer
//! begins inside of a header.

use super::{
    Closing, Malformed,
    calls::Writer,
    deltas::Deltas,
    json::{Json, Step},
    marker::Markers,
};
use crate::constraint::{Part, Vocabulary};

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const CONSTRAIN: &str = "<|constrain|>";
const MESSAGE: &str = "<|message|>";
const END: &str = "<|end|>";
const CALL: &str = "<|call|>";
const RETURN: &str = "<|return|>";

/// All marks of the format.
pub(super) const MARKS: [&str; 7] = [START, CHANNEL, CONSTRAIN, MESSAGE, END, CALL, RETURN];

/// What stands before the form of an answer that is held to one: the analysis, then the final message's header; before `calls`
/// may be, the header is theirs.
pub(super) fn before(calls: bool, vocabulary: &Vocabulary) -> Vec<Part> {
    let tokens = |text: &str| Part::Tokens(vocabulary.spell(text));
    let analysis = tokens(&format!("{CHANNEL}analysis{MESSAGE}"));
    let last = if calls { format!("{START}assistant") } else { format!("{START}assistant{CHANNEL}final{MESSAGE}") };
    vec![analysis, Part::UpTo(END.to_owned()), tokens(&last)]
}

/// What ends the analysis where it did not end by itself. A form that follows brings its own header.
pub(super) fn closing(calls: bool, held: bool) -> Closing {
    let last = format!("{END}{START}assistant{CHANNEL}final{MESSAGE}");
    match (held, calls) {
        (true, _) => Closing::always(END),
        (false, false) => Closing::always(&last),
        // The model chooses between a call and the answer, once.
        (false, true) => Closing { first: format!("{END}{START}assistant"), again: last },
    }
}

/// Longest header, in bytes.
const MOST_HEADER: usize = 512;

/// Reads an answer in harmony.
///
/// What goes to a recipient is a call, the analysis channel is reasoning, everything else is text. Messages of one kind
/// that follow each other are set apart by an empty line.
#[derive(Debug)]
pub(super) struct Harmony {
    markers: Markers,
    /// Whether calls are wanted; else they are text.
    calls: bool,
    at: At,
    writer: Writer,
    /// What came last, where there was anything.
    latest: Option<Said>,
    /// A message has begun since.
    anew: bool,
}

/// What is said of what a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Text,
    Reasoning,
    Call,
}

#[derive(Debug)]
enum At {
    Header(String),
    Text,
    Reasoning,
    Arguments(Json),
    /// Behind a call's arguments.
    Behind,
}

impl Harmony {
    pub(super) fn new(calls: bool) -> Self {
        let (markers, at, writer) = (Markers::new(MARKS), At::Header(String::new()), Writer::default());
        Self { markers, calls, at, writer, latest: None, anew: false }
    }

    /// Whether the next character is reasoning, unless it ends that.
    pub(super) fn is_thinking(&self) -> bool {
        matches!(self.at, At::Reasoning)
    }

    /// Whether there are calls, all of which have ended.
    pub(super) fn ended_in_calls(&self) -> bool {
        self.writer.calls() > 0 && !self.writer.is_open()
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, c: char, out: &mut Deltas) {
        let mut free = String::new();
        let marker = self.markers.push(c, &mut free);
        free.chars().for_each(|c| self.free(c, out));
        if let Some(marker) = marker {
            self.marker(marker, out);
        }
    }

    /// Takes the end of the text.
    pub(super) fn finish(&mut self, out: &mut Deltas) {
        let held = self.markers.finish();
        held.chars().for_each(|c| self.free(c, out));
        if let At::Header(header) = &mut self.at
            && !header.starts_with("<|")
        {
            // A header that is broken off says nothing, but this may be none.
            let header = std::mem::take(header);
            self.say_all(&header, out);
        }
    }

    /// A character that belongs to no mark.
    fn free(&mut self, c: char, out: &mut Deltas) {
        match &mut self.at {
            At::Header(header) => {
                header.push(c);
                let start = header.trim_start();
                let plausible = start.starts_with("<|") || start.starts_with("to=") || "to=".starts_with(start);
                if !plausible || header.len() > MOST_HEADER {
                    let header = std::mem::take(header);
                    self.say_all(&header, out);
                }
            }
            At::Text => self.say(Said::Text, c, out),
            At::Reasoning => self.say(Said::Reasoning, c, out),
            At::Behind if c.is_whitespace() => {}
            At::Behind => {
                self.at = At::Text;
                self.say(Said::Text, c, out);
            }
            At::Arguments(json) => {
                let mut new = String::new();
                let step = json.push_object(c, &mut new);
                match step.and_then(|step| self.writer.arguments(&new, out).map(|()| step)) {
                    Ok(Step::More) => {}
                    Ok(Step::Done | Step::Before) => {
                        self.writer.end("", out);
                        self.at = At::Behind;
                    }
                    Err(Malformed) => {
                        self.break_off(out);
                        self.at = At::Text;
                        self.say(Said::Text, c, out);
                    }
                }
            }
        }
    }

    fn marker(&mut self, marker: &'static str, out: &mut Deltas) {
        match (&mut self.at, marker) {
            (At::Header(header), MESSAGE) => {
                let header = std::mem::take(header);
                self.message(&header, out);
            }
            (At::Header(header), START | CHANNEL | CONSTRAIN) if header.len() < MOST_HEADER => header.push_str(marker),
            (At::Header(header), _) => header.clear(),
            (_, CONSTRAIN | MESSAGE) => marker.chars().for_each(|c| self.free(c, out)),
            // The message ends; some models leave the end out.
            _ => {
                self.break_off(out);
                let begins = matches!(marker, START | CHANNEL);
                self.at = At::Header(if begins { marker.to_owned() } else { String::new() });
                self.anew = true;
            }
        }
    }

    /// A message begins.
    fn message(&mut self, header: &str, out: &mut Deltas) {
        let word = |mark: &str| {
            let (_, rest) = header.split_once(mark)?;
            rest.trim_start().split(|c: char| c.is_whitespace() || c == '<').next().filter(|word| !word.is_empty())
        };
        let recipient = word("to=").filter(|recipient| *recipient != "assistant" && *recipient != "user");
        self.at = match (recipient, word(CHANNEL)) {
            (Some(recipient), _) if self.calls => {
                let name = recipient.strip_prefix("functions.").unwrap_or(recipient);
                match self.writer.begin(name, out) {
                    Ok(()) => {
                        self.latest = Some(Said::Call);
                        At::Arguments(Json::default())
                    }
                    Err(Malformed) => At::Text,
                }
            }
            (_, Some("analysis")) => At::Reasoning,
            _ => At::Text,
        };
    }

    /// A call ends before its arguments do.
    fn break_off(&mut self, out: &mut Deltas) {
        if let At::Arguments(json) = &self.at {
            self.writer.end(&json.closing(), out);
        }
    }

    fn say_all(&mut self, text: &str, out: &mut Deltas) {
        self.at = At::Text;
        text.chars().for_each(|c| self.say(Said::Text, c, out));
    }

    /// A character of a text or of reasoning.
    fn say(&mut self, what: Said, c: char, out: &mut Deltas) {
        let apart = if std::mem::take(&mut self.anew) && self.latest == Some(what) { "\n\n" } else { "" };
        self.latest = Some(what);
        let mut bytes = [0; 4];
        let c = c.encode_utf8(&mut bytes);
        if what == Said::Reasoning {
            out.reasoning(apart);
            out.reasoning(c);
        } else {
            out.text(apart);
            out.text(c);
        }
    }
}
