//! JSON one character at a time: what is right so far is passed on at once.

use std::fmt::Write;

use super::Malformed;

/// Deepest nesting of lists and objects. JSON readers commonly stop at 128.
const MOST_DEPTH: usize = 64;

/// Reads one value and writes it out as compact, valid JSON.
///
/// What models often get wrong inside of strings is put right without loss: line breaks and other control characters are
/// escaped, a backslash that escapes nothing is doubled, half a surrogate pair becomes U+FFFD. All else that is no JSON is
/// [`Malformed`]. What is written ends between characters and escapes of a string, never inside.
#[derive(Debug, Default)]
pub(super) struct Json {
    /// What is open: `}` or `]`.
    open: Vec<char>,
    at: At,
    /// A string that is being read is a key.
    key: bool,
    /// A comma that was read and is written with what follows it.
    comma: bool,
    /// The first half of a surrogate pair, not yet written.
    high: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Value,
    /// Behind `[`.
    ValueOrEnd,
    /// Behind `{`.
    KeyOrEnd,
    /// Behind a comma in an object.
    Key,
    Colon,
    Text,
    Escape,
    /// Digits read of `\uXXXX`, and their value.
    Hex(u8, u16),
    /// What must follow of `true`, `false` or `null`.
    Literal(&'static str),
    Number(Number),
    /// Behind a value.
    Behind,
}

/// How far a number has come (RFC 8259, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// What a character meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The value goes on.
    More,
    /// The value ends with this character.
    Done,
    /// The value, a number, ended before this character, which is not part of it.
    Before,
}

impl Json {
    /// Takes the next character and appends to `out` what became certain.
    pub(super) fn push(&mut self, c: char, out: &mut String) -> Result<Step, Malformed> {
        match self.at {
            At::Text => self.text(c, out),
            At::Escape => self.escape(c, out),
            At::Hex(digits, value) => self.hex(c, digits, value, out),
            At::Literal(rest) => match rest.strip_prefix(c) {
                Some("") => Ok(self.value_ends(c, out)),
                Some(rest) => {
                    out.push(c);
                    self.at = At::Literal(rest);
                    Ok(Step::More)
                }
                None => Err(Malformed),
            },
            At::Number(number) => match number.next(c) {
                Some(number) => {
                    out.push(c);
                    self.at = At::Number(number);
                    Ok(Step::More)
                }
                None if number.complete().is_empty() && self.open.is_empty() => Ok(Step::Before),
                None if number.complete().is_empty() => {
                    self.at = At::Behind;
                    self.between(c, out)
                }
                None => Err(Malformed),
            },
            _ => self.between(c, out),
        }
    }

    /// As [`push`](Self::push), for a value that must be an object.
    pub(super) fn push_object(&mut self, c: char, out: &mut String) -> Result<Step, Malformed> {
        let begins = self.is_empty() && !c.is_whitespace();
        if begins && c != '{' { Err(Malformed) } else { self.push(c, out) }
    }

    /// Whether nothing but white space was read.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.at == At::Value
    }

    /// What makes valid JSON of what was written so far.
    pub(super) fn closing(&self) -> String {
        let mut out = String::new();
        match self.at {
            At::Value if self.open.is_empty() || !self.comma => out.push_str("null"),
            At::Colon => out.push_str(":null"),
            At::Text | At::Escape | At::Hex(..) => {
                if self.high.is_some() {
                    out.push_str("\\ufffd");
                }
                out.push_str(if self.key { "\":null" } else { "\"" });
            }
            At::Literal(rest) => out.push_str(rest),
            At::Number(number) => out.push_str(number.complete()),
            At::Value | At::ValueOrEnd | At::KeyOrEnd | At::Key | At::Behind => {}
        }
        out.extend(self.open.iter().rev());
        out
    }

    /// A character outside of strings, numbers and names.
    fn between(&mut self, c: char, out: &mut String) -> Result<Step, Malformed> {
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            return Ok(Step::More);
        }
        match (self.at, c) {
            (At::Value | At::ValueOrEnd, _) if c != ']' => self.value(c, out),
            (At::KeyOrEnd | At::Key, '"') => {
                self.begin(c, At::Text, out);
                self.key = true;
                Ok(Step::More)
            }
            (At::Colon, ':') => {
                out.push(c);
                self.at = At::Value;
                Ok(Step::More)
            }
            (At::Behind, ',') => {
                self.comma = true;
                self.at = if self.open.last() == Some(&'}') { At::Key } else { At::Value };
                Ok(Step::More)
            }
            (At::ValueOrEnd | At::KeyOrEnd | At::Behind, '}' | ']') if self.open.last() == Some(&c) => {
                self.open.pop();
                Ok(self.value_ends(c, out))
            }
            _ => Err(Malformed),
        }
    }

    /// The first character of a value.
    fn value(&mut self, c: char, out: &mut String) -> Result<Step, Malformed> {
        let at = match c {
            '"' => At::Text,
            '{' => At::KeyOrEnd,
            '[' => At::ValueOrEnd,
            't' => At::Literal("rue"),
            'f' => At::Literal("alse"),
            'n' => At::Literal("ull"),
            '-' => At::Number(Number::Minus),
            '0' => At::Number(Number::Zero),
            '1'..='9' => At::Number(Number::Digits),
            _ => return Err(Malformed),
        };
        if let '{' | '[' = c {
            if self.open.len() == MOST_DEPTH {
                return Err(Malformed);
            }
            self.open.push(if c == '{' { '}' } else { ']' });
        }
        self.key = false;
        self.begin(c, at, out);
        Ok(Step::More)
    }

    fn begin(&mut self, c: char, at: At, out: &mut String) {
        if std::mem::take(&mut self.comma) {
            out.push(',');
        }
        out.push(c);
        self.at = at;
    }

    fn value_ends(&mut self, c: char, out: &mut String) -> Step {
        out.push(c);
        self.at = At::Behind;
        if self.open.is_empty() { Step::Done } else { Step::More }
    }

    fn text(&mut self, c: char, out: &mut String) -> Result<Step, Malformed> {
        if c == '\\' {
            self.at = At::Escape;
            return Ok(Step::More);
        }
        self.settle_surrogate(out);
        match c {
            '"' if self.key => {
                out.push(c);
                self.at = At::Colon;
            }
            '"' => return Ok(self.value_ends(c, out)),
            _ => escape(c, out),
        }
        Ok(Step::More)
    }

    fn escape(&mut self, c: char, out: &mut String) -> Result<Step, Malformed> {
        if c == 'u' {
            self.at = At::Hex(0, 0);
            return Ok(Step::More);
        }
        self.settle_surrogate(out);
        self.at = At::Text;
        match c {
            '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => out.extend(['\\', c]),
            // A backslash before anything else was meant as such, as in a regular expression.
            _ => {
                out.push_str("\\\\");
                escape(c, out);
            }
        }
        Ok(Step::More)
    }

    fn hex(&mut self, c: char, digits: u8, value: u16, out: &mut String) -> Result<Step, Malformed> {
        let digit = c.to_digit(16).ok_or(Malformed)?;
        let value = value << 4 | digit as u16;
        self.at = At::Hex(digits + 1, value);
        if digits == 3 {
            self.at = At::Text;
            self.code_unit(value, out);
        }
        Ok(Step::More)
    }

    /// Code units of UTF-16, escaped, of which only pairs of surrogates are characters.
    fn code_unit(&mut self, unit: u16, out: &mut String) {
        match (self.high.take(), unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{high:04x}\\u{unit:04x}");
            }
            (high, _) => {
                if high.is_some() {
                    out.push_str("\\ufffd");
                }
                match unit {
                    0xD800..=0xDBFF => self.high = Some(unit),
                    0xDC00..=0xDFFF => out.push_str("\\ufffd"),
                    _ => {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
    }

    fn settle_surrogate(&mut self, out: &mut String) {
        if self.high.take().is_some() {
            out.push_str("\\ufffd");
        }
    }
}

impl Number {
    /// The state after one more character; `None` when it cannot belong to the number.
    fn next(self, c: char) -> Option<Self> {
        match (self, c) {
            (Self::Minus, '0') => Some(Self::Zero),
            (Self::Minus | Self::Digits, '0'..='9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, '.') => Some(Self::Point),
            (Self::Point | Self::Fraction, '0'..='9') => Some(Self::Fraction),
            (Self::Zero | Self::Digits | Self::Fraction, 'e' | 'E') => Some(Self::Exponent),
            (Self::Exponent, '+' | '-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, '0'..='9') => Some(Self::ExponentDigits),
            _ => None,
        }
    }

    /// What a number that ends here lacks.
    fn complete(self) -> &'static str {
        match self {
            Self::Minus | Self::Point | Self::Exponent | Self::ExponentSign => "0",
            Self::Zero | Self::Digits | Self::Fraction | Self::ExponentDigits => "",
        }
    }
}

/// A character as it stands in a JSON string.
pub(super) fn escape(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..='\x1f' => {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        _ => out.push(c),
    }
}

/// A whole text as a JSON string.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    text.chars().for_each(|c| escape(c, &mut out));
    out.push('"');
    out
}

/// What of `text` is JSON, from its beginning on.
pub(super) fn beginning(text: &str) -> String {
    let (mut json, mut out) = (Json::default(), String::new());
    for c in text.chars() {
        if !matches!(json.push(c, &mut out), Ok(Step::More)) {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// What is written of `text`, and how it ends.
    fn read(text: &str) -> (String, Result<Step, Malformed>) {
        let (mut json, mut out) = (Json::default(), String::new());
        for c in text.chars() {
            match json.push(c, &mut out) {
                Ok(Step::More) => {}
                end => return (out, end),
            }
        }
        (out, Ok(Step::More))
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(read(text), (expect.to_owned(), Ok(Step::Done)), "{text}");
        assert!(serde_json::from_str::<Value>(expect).is_ok(), "{expect}");
    }

    #[test]
    fn values_are_written_compactly() {
        check(
            r#" { "a" : [ 1 , -2.5e+3 , "x y" ] , "b" : { } , "c" : null }"#,
            r#"{"a":[1,-2.5e+3,"x y"],"b":{},"c":null}"#,
        );
        check(r#"{"}": "{\"]", "é": true}"#, r#"{"}":"{\"]","é":true}"#);
        check("[[],[0,false]]", "[[],[0,false]]");
    }

    #[test]
    fn what_is_wrong_inside_of_strings_is_put_right() {
        check("\"a\nb\t\u{1}\"", r#""a\nb\t\u0001""#);
        check(r#""\d+\'\/""#, r#""\\d+\\'\/""#);
        check(r#""\ud83d\ude00""#, r#""\ud83d\ude00""#);
        check(r#""\ud83d""#, r#""\ufffd""#);
        check(r#""\ud83dx\ude00\ud83d\n\ud83d\ud83d\ude00""#, r#""\ufffdx\ufffd\ufffd\n\ufffd\ud83d\ude00""#);
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in
            ["}", "{,", "{\"a\",", "[1,]", "{\"a\":1,}", "[1}", "tru ", "[01]", "-a", "1.e", "'a'", "\"\\uzz", "{a"]
        {
            assert_eq!(read(text).1, Err(Malformed), "{text}");
        }
        assert_eq!(read(&"[".repeat(MOST_DEPTH + 1)).1, Err(Malformed));
        assert_eq!(read("12 "), ("12".into(), Ok(Step::Before)));
    }

    proptest! {
        #[test]
        fn a_beginning_can_always_be_closed(value in any_json(), cut in 0.0..1.0f64) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            let length = text.chars().count();
            let (mut json, mut out) = (Json::default(), String::new());
            for c in text.chars().take((length as f64 * cut) as usize) {
                json.push(c, &mut out).unwrap();
            }
            out.push_str(&json.closing());
            prop_assert!(serde_json::from_str::<Value>(&out).is_ok(), "{}", out);
        }

        #[test]
        fn what_is_written_means_what_was_read(value in any_json()) {
            let text = format!("{} ", serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(&read(&text).0).unwrap(), value);
        }

        #[test]
        fn any_text_is_read_without_panic_and_can_be_closed(text in "[\\[\\]{}:,\"\\\\utrfaln0-9.eE \\-+é\n]{0,40}") {
            let (mut json, mut out) = (Json::default(), String::new());
            let ended = text.chars().any(|c| !matches!(json.push(c, &mut out), Ok(Step::More)));
            if !ended {
                out.push_str(&json.closing());
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&out).is_ok(), "{} of {}", out, text);
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6f64).prop_map(|number| Value::from(number.round() / 8.0)),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
