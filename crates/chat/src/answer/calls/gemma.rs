//! A call as Gemma writes it: `call:NAME{key:<|"|>text<|"|>,other:[1,true]}`.

use serde_json::Value;

use super::{
    super::{
        Malformed,
        json::{beginning, escape, quote},
        marker::Markers,
    },
    Progress, Sink,
};

/// Deepest nesting of lists and objects.
const MOST_DEPTH: usize = 64;

/// Longest name, key, and value without quotes, in bytes.
const MOST_WORD: usize = 512;

/// Reads a call in Gemma's notation.
#[derive(Debug)]
pub(crate) struct Gemma {
    /// Stands before and behind a text.
    markers: Markers,
    /// What is open: `}` or `]`.
    open: Vec<char>,
    at: At,
    /// A comma that was read and is written with what follows it.
    comma: bool,
}

#[derive(Debug)]
enum At {
    /// `call:NAME`.
    Head(String),
    /// Before a key, or in one without quotes.
    Key(String),
    /// In a key with quotes.
    KeyText(String),
    /// Behind a key with quotes.
    Colon(String),
    /// Before a value, or in one without quotes.
    Value(String),
    /// In a value with quotes.
    Text,
    /// Behind a value that needs no end.
    Behind,
}

impl Gemma {
    /// `quote` stands before and behind a text.
    pub(super) fn new(quote: &'static str) -> Self {
        Self { markers: Markers::new([quote]), open: Vec::new(), at: At::Head(String::new()), comma: false }
    }

    pub(super) fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        let mut free = String::new();
        let quote = self.markers.push(c, &mut free).is_some();
        for c in free.chars() {
            if self.free(c, sink)? == Progress::Done {
                return Ok(Progress::Done);
            }
        }
        if quote {
            self.quote(sink)?;
        }
        Ok(Progress::More)
    }

    /// What makes valid JSON of the arguments that were written.
    pub(super) fn closing(&self) -> String {
        let mut out = match &self.at {
            At::Text => "\"".to_owned(),
            At::Value(_) if self.open.last() == Some(&'}') => "null".to_owned(),
            _ => String::new(),
        };
        out.extend(self.open.iter().rev());
        out
    }

    /// What was read of a value but not written, at the end of the text.
    pub(super) fn unwritten(&mut self) -> String {
        let mut out = String::new();
        match &self.at {
            At::Text => self.markers.finish().chars().for_each(|c| escape(c, &mut out)),
            At::Value(word) if !word.trim().is_empty() => {
                out.push_str(if self.comma { "," } else { "" });
                out.push_str(&beginning(word));
            }
            _ => {}
        }
        out
    }

    fn free(&mut self, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        match &mut self.at {
            At::Text => {
                let mut new = String::new();
                escape(c, &mut new);
                sink.arguments(&new)?;
            }
            At::Head(head) if c == '{' => {
                let name = head.trim().strip_prefix("call:").ok_or(Malformed)?.trim().to_owned();
                sink.begin(&name)?;
                self.enter(c, sink)?;
            }
            At::Key(key) if c == '}' && key.trim().is_empty() && !self.comma => return self.leave(c, sink),
            At::Key(key) | At::Colon(key) if c == ':' => {
                let key = std::mem::take(key);
                self.key(&key, sink)?;
            }
            At::Value(word) if matches!(c, '{' | '[') && word.trim().is_empty() => self.enter(c, sink)?,
            At::Value(word) if matches!(c, ',' | '}' | ']') => {
                let word = std::mem::take(word);
                self.word(&word, c, sink)?;
                return self.behind(c, sink);
            }
            At::Behind if !c.is_whitespace() => return self.behind(c, sink),
            At::Colon(_) | At::Behind if c.is_whitespace() => {}
            At::Head(word) | At::Key(word) | At::KeyText(word) | At::Value(word) if word.len() < MOST_WORD => {
                word.push(c);
            }
            _ => return Err(Malformed),
        }
        Ok(Progress::More)
    }

    /// A quote.
    fn quote(&mut self, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        self.at = match &mut self.at {
            At::Key(word) if word.trim().is_empty() => At::KeyText(String::new()),
            At::KeyText(key) => At::Colon(std::mem::take(key)),
            At::Value(word) if word.trim().is_empty() => {
                self.write("\"", sink)?;
                At::Text
            }
            At::Text => {
                sink.arguments("\"")?;
                At::Behind
            }
            _ => return Err(Malformed),
        };
        Ok(())
    }

    /// Writes what begins a key or value.
    fn write(&mut self, text: &str, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        if std::mem::take(&mut self.comma) {
            sink.arguments(",")?;
        }
        sink.arguments(text)
    }

    fn key(&mut self, key: &str, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        self.write(&format!("{}:", quote(key.trim())), sink)?;
        self.at = At::Value(String::new());
        Ok(())
    }

    /// A value without quotes, which ends before `c`.
    fn word(&mut self, word: &str, c: char, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        let in_list = self.open.last() == Some(&']');
        let empty_list = in_list && c == ']' && !self.comma && word.trim().is_empty();
        self.at = At::Behind;
        if empty_list { Ok(()) } else { self.write(&value(word), sink) }
    }

    fn enter(&mut self, c: char, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        if self.open.len() == MOST_DEPTH {
            return Err(Malformed);
        }
        self.write(c.encode_utf8(&mut [0; 4]), sink)?;
        let object = c == '{';
        self.open.push(if object { '}' } else { ']' });
        self.at = if object { At::Key(String::new()) } else { At::Value(String::new()) };
        Ok(())
    }

    /// A comma or a bracket behind a value.
    fn behind(&mut self, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        match (c, self.open.last()) {
            (',', Some('}')) => (self.comma, self.at) = (true, At::Key(String::new())),
            (',', Some(_)) => (self.comma, self.at) = (true, At::Value(String::new())),
            ('}' | ']', Some(open)) if *open == c => return self.leave(c, sink),
            _ => return Err(Malformed),
        }
        Ok(Progress::More)
    }

    fn leave(&mut self, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        if self.open.last() != Some(&c) {
            return Err(Malformed);
        }
        sink.arguments(c.encode_utf8(&mut [0; 4]))?;
        self.open.pop();
        self.at = At::Behind;
        if self.open.is_empty() {
            sink.end("");
            return Ok(Progress::Done);
        }
        Ok(Progress::More)
    }
}

/// A value without quotes: a number, true, false or null, else a text.
fn value(word: &str) -> String {
    let word = word.trim();
    match serde_json::from_str(word) {
        Ok(Value::Null | Value::Bool(_) | Value::Number(_)) => word.to_owned(),
        _ if word == "None" => "null".to_owned(),
        _ => quote(word),
    }
}
