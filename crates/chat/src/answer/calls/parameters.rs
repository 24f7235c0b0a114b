//! A call as tags, one for each argument: Qwen's coder models, DeepSeek's DSML, MiniMax.

use serde::de::IgnoredAny;

use super::{
    super::{
        Malformed,
        json::{beginning, escape, quote},
        marker::Markers,
    },
    Progress, Sink,
};

/// Longest text of a tag, in bytes.
const MOST_TAG: usize = 512;

/// Longest value that is no text, in bytes: it is read as a whole.
const MOST_VALUE: usize = 1 << 16;

/// How a family writes its tags.
#[derive(Debug)]
pub(crate) struct Tags {
    /// Before a call's name, which goes up to `>`.
    pub(super) call: &'static str,
    /// Behind a call.
    pub(super) call_end: &'static str,
    /// Before an argument's name, which goes up to `>`.
    pub(super) parameter: &'static str,
    /// Behind an argument.
    pub(super) parameter_end: &'static str,
    /// Line breaks around a value are not part of it.
    pub(super) lines: bool,
}

/// Reads a call whose arguments are tags.
#[derive(Debug)]
pub(crate) struct Parameters {
    tags: &'static Tags,
    markers: Markers,
    at: At,
    /// The tool that is called.
    name: String,
    /// An argument was written.
    some: bool,
}

#[derive(Debug)]
enum At {
    /// Before the call's tag.
    Start,
    CallTag(String),
    /// Between arguments.
    Between,
    ParameterTag(String),
    Text(Text),
    /// A value that is no text, as it was read so far.
    Other(String),
}

/// A value that is text, written as it comes.
#[derive(Debug, Default)]
struct Text {
    begun: bool,
    /// A line break that is part of the value unless it is the last one.
    line: bool,
}

impl Parameters {
    /// Before the call's tag, or behind its beginning.
    pub(super) fn new(tags: &'static Tags, in_tag: bool) -> Self {
        let at = if in_tag { At::CallTag(String::new()) } else { At::Start };
        Self { tags, markers: Markers::new([tags.call]), at, name: String::new(), some: false }
    }

    pub(super) fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        match &mut self.at {
            At::CallTag(tag) | At::ParameterTag(tag) if c != '>' => {
                tag.push(c);
                return if tag.len() > MOST_TAG { Err(Malformed) } else { Ok(Progress::More) };
            }
            At::CallTag(tag) => {
                self.name = tag_name(tag).to_owned();
                sink.begin(&self.name)?;
                self.between();
                return Ok(Progress::More);
            }
            At::ParameterTag(tag) => {
                let tag = std::mem::take(tag);
                self.value(&tag, sink)?;
                return Ok(Progress::More);
            }
            At::Start | At::Between | At::Text(_) | At::Other(_) => {}
        }
        let mut free = String::new();
        let marker = self.markers.push(c, &mut free);
        match &mut self.at {
            At::Text(text) => {
                let new = text.write(&free, self.tags.lines);
                sink.arguments(&new)?;
            }
            At::Other(value) => {
                value.push_str(&free);
                if value.len() > MOST_VALUE {
                    return Err(Malformed);
                }
            }
            _ if free.chars().all(char::is_whitespace) => {}
            _ => return Err(Malformed),
        }
        match marker {
            None => {}
            Some(marker) if marker == self.tags.call => self.at = At::CallTag(String::new()),
            Some(marker) if marker == self.tags.parameter => self.at = At::ParameterTag(String::new()),
            Some(marker) if marker == self.tags.parameter_end => {
                let end = match &self.at {
                    At::Other(value) => json(value),
                    _ => "\"".to_owned(),
                };
                sink.arguments(&end)?;
                self.between();
            }
            Some(_) => {
                if self.some {
                    sink.arguments("}")?;
                }
                sink.end("");
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }

    /// What makes valid JSON of the arguments that were written.
    pub(super) fn closing(&self) -> String {
        match &self.at {
            At::Text(_) => "\"}".to_owned(),
            At::Other(_) => "null}".to_owned(),
            _ if self.some => "}".to_owned(),
            _ => String::new(),
        }
    }

    /// What was read of a value but not written, at the end of the text.
    pub(super) fn unwritten(&mut self) -> String {
        match &mut self.at {
            At::Text(text) => text.write(&self.markers.finish(), self.tags.lines),
            At::Other(value) => beginning(value),
            _ => String::new(),
        }
    }

    fn between(&mut self) {
        self.at = At::Between;
        self.markers = Markers::new([self.tags.parameter, self.tags.call_end]);
    }

    /// Behind an argument's tag.
    fn value(&mut self, tag: &str, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        let key = tag_name(tag);
        let text = match (tag.contains("string=\"true\""), tag.contains("string=\"false\"")) {
            (true, _) => true,
            (_, true) => false,
            _ => sink.wants_text(&self.name, key),
        };
        let opening = if std::mem::replace(&mut self.some, true) { "," } else { "{" };
        sink.arguments(&format!("{opening}{}:{}", quote(key), if text { "\"" } else { "" }))?;
        self.at = if text { At::Text(Text::default()) } else { At::Other(String::new()) };
        self.markers = Markers::new([self.tags.parameter_end]);
        Ok(())
    }
}

impl Text {
    /// What of `new` can be written, escaped.
    fn write(&mut self, new: &str, lines: bool) -> String {
        let mut out = String::new();
        for c in new.chars() {
            let first = !std::mem::replace(&mut self.begun, true);
            if lines && first && c == '\n' {
                continue;
            }
            if std::mem::take(&mut self.line) {
                escape('\n', &mut out);
            }
            if lines && c == '\n' {
                self.line = true;
            } else {
                escape(c, &mut out);
            }
        }
        out
    }
}

/// The name in a tag: `NAME`, or `"NAME"` with whatever follows.
fn tag_name(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix('"').unwrap_or(tag).split('"').next().unwrap_or_default().trim()
}

/// A value as JSON: as it is where it is JSON, else as a string.
fn json(value: &str) -> String {
    let value = value.trim();
    match serde_json::from_str::<IgnoredAny>(value) {
        Ok(_) => beginning(value),
        Err(_) => quote(value),
    }
}
