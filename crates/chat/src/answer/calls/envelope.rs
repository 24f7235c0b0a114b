//! A call as JSON: `{"name": …, "arguments": {…}}`, or a list of such.

use super::{
    super::{
        Malformed,
        json::{Json, Step},
    },
    Progress, Sink,
};

/// Arguments that come before the name wait for it, up to so many bytes.
const MOST_WAITING: usize = 1 << 16;

/// Longest key and name, in bytes of JSON.
const MOST_TEXT: usize = 512;

/// Reads one call or a list of calls.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    /// Inside of `[`.
    list: bool,
    at: At,
    name: Option<String>,
    arguments: Arguments,
}

#[derive(Debug, Default)]
enum At {
    /// Before the first call, or before its list.
    #[default]
    Start,
    /// Before a call of a list; whether the list may end here.
    Item {
        may_end: bool,
    },
    /// Before a key; whether the object may end here.
    Key {
        may_end: bool,
    },
    /// In a key.
    KeyText(Json, String),
    Colon(Field),
    /// Before a value.
    Value(Field),
    Name(Json, String),
    Object(Json),
    Encoded(Encoded),
    /// In a value that says nothing.
    Other(Json),
    /// Behind a value.
    Behind,
    /// Behind a call of a list.
    BehindItem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    Other,
}

/// What is known of the arguments.
#[derive(Debug, Default)]
enum Arguments {
    #[default]
    Unknown,
    /// Read before the name was.
    Waiting(String),
    Written,
}

impl Envelope {
    pub(super) fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        let space = matches!(c, ' ' | '\t' | '\n' | '\r');
        match &mut self.at {
            At::Object(json) => {
                let mut new = String::new();
                let step = json.push(c, &mut new)?;
                self.arguments.write(&new, sink)?;
                if step == Step::Done {
                    self.at = At::Behind;
                }
            }
            At::Encoded(encoded) => {
                let mut new = String::new();
                let done = encoded.push(c, &mut new)?;
                self.arguments.write(&new, sink)?;
                if done {
                    self.at = At::Behind;
                }
            }
            At::KeyText(json, text) => {
                if let Some(key) = read_text(json, text, c)? {
                    self.at = At::Colon(self.field(&key, sink)?);
                }
            }
            At::Name(json, text) => {
                if let Some(name) = read_text(json, text, c)? {
                    self.at = At::Behind;
                    self.name(name, sink)?;
                }
            }
            At::Other(json) => match json.push(c, &mut String::new())? {
                Step::More => {}
                Step::Done => self.at = At::Behind,
                Step::Before => {
                    self.at = At::Behind;
                    return self.push(c, sink);
                }
            },
            _ if space => {}
            At::Start if c == '[' => (self.list, self.at) = (true, At::Item { may_end: true }),
            At::Start | At::Item { .. } if c == '{' => {
                (self.name, self.arguments) = (None, Arguments::Unknown);
                self.at = At::Key { may_end: true };
            }
            At::Item { may_end: true } | At::BehindItem if c == ']' => return Ok(Progress::Done),
            At::BehindItem if c == ',' => self.at = At::Item { may_end: false },
            At::Key { .. } if c == '"' => {
                let (mut json, mut text) = (Json::default(), String::new());
                read_text(&mut json, &mut text, c)?;
                self.at = At::KeyText(json, text);
            }
            At::Colon(field) if c == ':' => self.at = At::Value(*field),
            At::Value(field) => {
                let field = *field;
                return self.value(field, c, sink);
            }
            At::Behind if c == ',' => self.at = At::Key { may_end: false },
            At::Key { may_end: true } | At::Behind if c == '}' => return self.end(sink),
            _ => return Err(Malformed),
        }
        Ok(Progress::More)
    }

    /// What makes valid JSON of the arguments that were written.
    pub(super) fn closing(&self) -> String {
        match &self.at {
            At::Object(json) => json.closing(),
            At::Encoded(encoded) => encoded.inner.closing(),
            _ => String::new(),
        }
    }

    fn field(&self, key: &str, sink: &Sink<'_>) -> Result<Field, Malformed> {
        let known = match &self.arguments {
            Arguments::Unknown => false,
            Arguments::Waiting(_) | Arguments::Written => true,
        };
        match key {
            "name" | "tool_name" if self.name.is_none() => Ok(Field::Name),
            "arguments" | "parameters" if !known => Ok(Field::Arguments),
            "id" | "type" | "tool_call_id" => Ok(Field::Other),
            // Where nothing marks a call, any other object is an answer in JSON.
            _ if sink.only_known => Err(Malformed),
            _ => Ok(Field::Other),
        }
    }

    /// The first character of a value.
    fn value(&mut self, field: Field, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        match (field, c) {
            (Field::Name, '"') => {
                let (mut json, mut text) = (Json::default(), String::new());
                read_text(&mut json, &mut text, c)?;
                self.at = At::Name(json, text);
            }
            (Field::Name, _) => return Err(Malformed),
            (Field::Arguments, '{') => {
                self.arguments = Arguments::Waiting(String::new());
                self.begin_call(sink)?;
                self.at = At::Object(Json::default());
                return self.push(c, sink);
            }
            (Field::Arguments, '"') => {
                self.arguments = Arguments::Waiting(String::new());
                self.begin_call(sink)?;
                self.at = At::Encoded(Encoded::default());
                return self.push(c, sink);
            }
            (Field::Arguments, 'n') | (Field::Other, _) => {
                self.at = At::Other(Json::default());
                return self.push(c, sink);
            }
            (Field::Arguments, _) => return Err(Malformed),
        }
        Ok(Progress::More)
    }

    fn name(&mut self, name: String, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        if sink.only_known && !sink.knows(&name) {
            return Err(Malformed);
        }
        self.name = Some(name);
        // Where nothing marks a call, only name and arguments together are one.
        if sink.only_known && matches!(self.arguments, Arguments::Unknown) {
            return Ok(());
        }
        self.begin_call(sink)
    }

    /// Begins the call once its name is known, with the arguments that waited for it.
    fn begin_call(&mut self, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        let Some(name) = &self.name else { return Ok(()) };
        if !sink.writer.is_open() {
            sink.begin(name)?;
        }
        if let Arguments::Waiting(text) = &mut self.arguments {
            let text = std::mem::take(text);
            self.arguments = Arguments::Written;
            sink.arguments(&text)?;
        }
        Ok(())
    }

    fn end(&mut self, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        if !sink.writer.is_open() {
            return Err(Malformed);
        }
        sink.end("");
        self.at = At::BehindItem;
        Ok(if self.list { Progress::More } else { Progress::Done })
    }
}

impl Arguments {
    fn write(&mut self, new: &str, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        match self {
            Self::Written => sink.arguments(new),
            Self::Waiting(text) if text.len() + new.len() <= MOST_WAITING => {
                text.push_str(new);
                Ok(())
            }
            Self::Unknown | Self::Waiting(_) => Err(Malformed),
        }
    }
}

/// Arguments that are a JSON text inside of a JSON string.
#[derive(Debug, Default)]
struct Encoded {
    outer: Json,
    inner: Json,
    inner_done: bool,
}

impl Encoded {
    /// Takes the next character of the string. True at its end.
    fn push(&mut self, c: char, out: &mut String) -> Result<bool, Malformed> {
        let begins = self.outer.is_empty();
        let mut units = String::new();
        let done = self.outer.push(c, &mut units)? == Step::Done;
        // Only whole characters and escapes are written, so each piece is the inside of a string.
        let inside = match (begins, done) {
            (true, _) => "",
            (false, true) => units.strip_suffix('"').unwrap_or(&units),
            (false, false) => &units,
        };
        let text: String = serde_json::from_str(&format!("\"{inside}\"")).map_err(|_| Malformed)?;
        for c in text.chars() {
            if self.inner_done {
                if !c.is_whitespace() {
                    return Err(Malformed);
                }
                continue;
            }
            self.inner_done = self.inner.push_object(c, out)? == Step::Done;
        }
        // An empty string is no arguments.
        if done && !self.inner_done && !self.inner.is_empty() { Err(Malformed) } else { Ok(done) }
    }
}

/// Reads a JSON string up to its end, where its text is returned.
fn read_text(json: &mut Json, text: &mut String, c: char) -> Result<Option<String>, Malformed> {
    if text.len() > MOST_TEXT {
        return Err(Malformed);
    }
    match json.push(c, text)? {
        Step::Done => serde_json::from_str(text).map(Some).map_err(|_| Malformed),
        Step::More | Step::Before => Ok(None),
    }
}
