//! What templates use of Python: methods of strings and maps, and `json.dumps`.

use std::io::{self, Write};

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, ValueKind, from_args},
};
use minijinja_contrib::pycompat;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::literal::is_mark;

/// Methods of Python's types.
pub(crate) fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "removeprefix") => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(text.strip_prefix(prefix).unwrap_or(text).into())
        }
        (Some(text), "removesuffix") => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(text.strip_suffix(suffix).unwrap_or(text).into())
        }
        (Some(text), "format") => {
            pay_for_format(state, text, args)?;
            pycompat::unknown_method_callback(state, value, name, args)
        }
        _ => pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// `str.format` may give any argument in each of its fields, or as wide as it says, and is not paid for before it does.
fn pay_for_format(state: &State<'_, '_>, format: &str, args: &[Value]) -> Result<(), Error> {
    let longest = args.iter().map(|arg| arg.as_str().map_or(64, str::len)).max().unwrap_or(0);
    let mut bytes = 0usize;
    for field in format.split('{').skip(1) {
        let digits = |part: &str| part.parse().unwrap_or(if part.is_empty() { 0 } else { usize::MAX });
        let inside = field.split('}').next().unwrap_or_default();
        // A width that is an argument itself may be anything; nobody needs it.
        let width = match field.is_empty() || inside.ends_with(':') {
            true if format.contains(":{") || format.contains(".{") => usize::MAX,
            _ => inside.split(|character: char| !character.is_ascii_digit()).map(digits).max().unwrap_or(0),
        };
        bytes = bytes.saturating_add(longest.max(width));
    }
    if bytes > affordable(state) { Err(ErrorKind::OutOfFuel.into()) } else { Ok(()) }
}

/// The number of items or characters; the marks around callers' special tokens do not count.
pub(crate) fn length(value: &Value) -> Result<usize, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.chars().filter(|character| !is_mark(*character)).count());
    }
    value.len().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("cannot calculate the length of a value of type {}", value.kind()),
        )
    })
}

/// Whether Jinja calls a value iterable: nothing (undefined) is, none is not.
pub(crate) fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// Whether Jinja calls a value a sequence: whatever has a length and items, so texts and maps too.
pub(crate) fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined)
}

/// Python's `json.dumps(value, ensure_ascii=False, …)` with the options that `transformers` passes on.
pub(crate) fn to_json(state: &State<'_, '_>, value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<(String, String)> = match options.get::<Option<Value>>("separators")? {
        None => None,
        Some(pair) => Some((separator(&pair, 0)?, separator(&pair, 1)?)),
    };
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    let sorted: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    let value = if sorted == Some(true) { sort_keys(&value)? } else { value };
    let (item, key) = separators.unwrap_or_else(|| {
        let item = if indent.is_some() { "," } else { ", " };
        (item.to_owned(), ": ".to_owned())
    });
    let layout = Layout { item, key, indent: indent.map(|spaces| spaces.min(MOST_INDENT)), depth: 0, empty: true };
    let mut out = Bounded { bytes: Vec::new(), most: affordable(state) };
    let fault = |error: serde_json::Error| match error.is_io() {
        true => Error::from(ErrorKind::OutOfFuel),
        false => Error::new(ErrorKind::BadSerialization, error.to_string()),
    };
    value.serialize(&mut Serializer::with_formatter(&mut out, layout)).map_err(fault)?;
    let json =
        String::from_utf8(out.bytes).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(if ascii == Some(true) { escape_non_ascii(&json) } else { json })
}

/// Widest indent: each line of a deep value repeats it.
const MOST_INDENT: usize = 16;

/// Bytes that the rest of the fuel pays for: the engine takes one for 64 bytes, after the fact.
fn affordable(state: &State<'_, '_>) -> usize {
    state.fuel_levels().map_or(usize::MAX, |(_, remaining)| usize::try_from(remaining * 64).unwrap_or(usize::MAX))
}

fn separator(pair: &Value, index: usize) -> Result<String, Error> {
    pair.get_item_by_index(index)?.as_str().map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::InvalidOperation, "tojson: `separators` must be two texts, for items and for keys")
    })
}

fn sort_keys(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            keys.sort();
            let pairs = keys.into_iter().map(|key| Ok((key.clone(), sort_keys(&value.get_item(&key)?)?)));
            Ok(Value::from_pairs(pairs.collect::<Result<Vec<_>, Error>>()?))
        }
        ValueKind::Seq => value.try_iter()?.map(|item| sort_keys(&item)).collect(),
        _ => Ok(value.clone()),
    }
}

/// `\u00e9` for é, surrogates in pairs; the marks around callers' text stay what they are.
fn escape_non_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() || is_mark(character) {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// Refuses more bytes than the fuel pays for: a small value that shares its parts may be huge when written out.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Python's layout: separators, and lines when there is an indent.
struct Layout {
    item: String,
    key: String,
    indent: Option<usize>,
    depth: usize,
    /// Nothing has been written since the last opening bracket.
    empty: bool,
}

impl Layout {
    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.line(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket)
    }

    fn item<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }

    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(&[b' '; MOST_INDENT][..indent]))
    }
}

impl Formatter for Layout {
    /// As Python's `repr`: with an exponent of two digits at least, from 16 digits on and below a ten-thousandth.
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        match exponent.parse::<i32>().unwrap_or(0) {
            -4..16 => {
                let point = if value.fract() == 0.0 { ".0" } else { "" };
                write!(writer, "{value}{point}")
            }
            exponent => write!(writer, "{digits}e{exponent:+03}"),
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}
