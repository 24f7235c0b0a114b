//! Checks a JSON schema before the library compiles it: names what cannot be honoured, with its place, and resolves what the
//! library cannot.

use serde_json::{Map, Value, json};

use super::Refusal;

/// Most subschemas, over the whole schema.
const MOST_SCHEMAS: usize = 20_000;

/// Most alternatives of one `anyOf` or `oneOf`, and parts of an `allOf`.
const MOST_PARTS: usize = 500;

/// Most patterns of one `patternProperties`: every two of them are compared.
const MOST_PATTERNS: usize = 16;

/// Deepest nesting of subschemas.
const MOST_DEPTH: usize = 64;

/// Longest repetition: of an array's items or a string's characters.
const MOST_LENGTH: u64 = 1 << 20;

/// Keywords that limit what is valid, and that answers cannot be held to.
const NOT_HONOURED: &[&str] = &[
    "$dynamicRef",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// Formats of strings that answers are held to.
const FORMATS: &[&str] = &["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];

/// Keywords whose value is a schema, a list of schemas, or a map of schemas.
const SCHEMA: &[&str] = &["additionalItems", "additionalProperties", "items"];
const SCHEMAS: &[&str] = &["allOf", "anyOf", "items", "oneOf", "prefixItems"];
const SCHEMA_MAPS: &[&str] = &["patternProperties", "properties"];

/// White space that may stand between the parts of a value: one space, or a line break with an indentation. Without a bound a
/// small model writes white space for ever.
const SPACE: &str = r" |\n {0,32}";

/// What may follow a backslash: a character has one spelling, so a property cannot come twice under two.
const ESCAPES: &str = "nrbtf\\\"";

/// Checks a schema; what the library compiles in its stead.
pub(super) fn prepare(schema: &Value) -> Result<Value, Refusal> {
    let mut check = Check { root: schema, schemas: 0, definitions: Map::new(), names: Vec::new() };
    let mut prepared = check.schema(schema, &mut Path::default())?;
    // Definitions may name further ones.
    let mut next = 0;
    while let Some(reference) = check.names.get(next).cloned() {
        let target = check.target(&reference)?.clone();
        let definition = check.schema(&target, &mut Path(vec![reference]))?;
        check.definitions.insert(format!("d{next}"), definition);
        next += 1;
    }
    if let Value::Bool(true) = prepared {
        prepared = json!({});
    }
    let Value::Object(map) = &mut prepared else {
        return Err(Refusal::Form("the schema is satisfied by nothing".into()));
    };
    if !check.definitions.is_empty() {
        map.insert("$defs".into(), Value::Object(check.definitions));
    }
    map.insert("x-guidance".into(), json!({"whitespace_pattern": SPACE, "json_allowed_escapes": ESCAPES}));
    Ok(prepared)
}

/// Where in the schema.
#[derive(Default)]
struct Path(Vec<String>);

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.split_first() {
            Some((first, rest)) if first.starts_with('#') => write!(f, "{first}{}", slashed(rest)),
            _ => write!(f, "#{}", slashed(&self.0)),
        }
    }
}

fn slashed(parts: &[String]) -> String {
    parts.iter().map(|part| format!("/{part}")).collect()
}

struct Check<'a> {
    root: &'a Value,
    schemas: usize,
    definitions: Map<String, Value>,
    /// References whose targets are definitions, in order.
    names: Vec<String>,
}

impl Check<'_> {
    fn schema(&mut self, schema: &Value, path: &mut Path) -> Result<Value, Refusal> {
        self.schemas += 1;
        if self.schemas > MOST_SCHEMAS {
            return Err(Refusal::Limit(format!("the schema has more than {MOST_SCHEMAS} subschemas")));
        }
        if path.0.len() > 2 * MOST_DEPTH {
            return Err(Refusal::Limit(format!("the schema nests deeper than {MOST_DEPTH} subschemas, at {path}")));
        }
        let map = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(map) => map,
            other => {
                return Err(Refusal::Form(format!("a schema is an object or a boolean, but {path} is {other:.40}")));
            }
        };
        let mut out = Map::new();
        for (key, value) in map {
            if let Some(value) = self.keyword(key, value, path)? {
                out.insert(key.clone(), value);
            }
        }
        self.shape(map, path)?;
        if let Some(pattern) = map.get("format").and_then(Value::as_str).and_then(calendar) {
            let pattern = json!({"pattern": pattern});
            match out.get_mut("allOf") {
                Some(Value::Array(parts)) => parts.push(pattern),
                _ => drop(out.insert("allOf".into(), json!([pattern]))),
            }
        }
        Ok(Value::Object(out))
    }

    /// A value that can be written: of the control characters those that have a letter for an escape.
    fn spelled(&self, key: &str, value: &Value, path: &Path) -> Result<Value, Refusal> {
        let spelled = |text: &str| !text.chars().any(|c| c.is_control() && !"\n\r\t\u{8}\u{c}".contains(c));
        let all = match value {
            Value::String(text) => spelled(text),
            Value::Array(list) => list.iter().all(|value| self.spelled(key, value, path).is_ok()),
            Value::Object(map) => {
                map.iter().all(|(name, value)| spelled(name) && self.spelled(key, value, path).is_ok())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        };
        if all { Ok(value.clone()) } else { Err(unsupported(key, path, " with control characters in it")) }
    }

    /// A keyword's value as it is compiled; nothing where the keyword says nothing about validity.
    fn keyword(&mut self, key: &str, value: &Value, path: &mut Path) -> Result<Option<Value>, Refusal> {
        if NOT_HONOURED.contains(&key) {
            return match (key, value) {
                ("uniqueItems", Value::Bool(false)) => Ok(None),
                _ => Err(unsupported(key, path, "")),
            };
        }
        let child = |check: &mut Self, part: String, schema: &Value, path: &mut Path| {
            path.0.push(part);
            let schema = check.schema(schema, path);
            path.0.pop();
            schema
        };
        match (key, value) {
            ("format", Value::String(format)) if ["date", "date-time", "time"].contains(&&**format) => Ok(None),
            ("pattern", Value::String(pattern)) if names_control(pattern) => {
                Err(unsupported(key, path, " with control characters in it"))
            }
            ("const", value) => self.spelled(key, value, path).map(Some),
            ("enum", Value::Array(list)) => {
                list.iter().try_for_each(|value| self.spelled(key, value, path).map(drop))?;
                Ok(Some(value.clone()))
            }
            ("$ref", Value::String(reference)) => self.reference(reference, path).map(Some),
            (_, Value::Array(list)) if SCHEMAS.contains(&key) => {
                if list.len() > MOST_PARTS {
                    let message = format!("`{key}` at {path} has {} parts, but {MOST_PARTS} are accepted", list.len());
                    return Err(Refusal::Limit(message));
                }
                path.0.push(key.to_owned());
                let parts = list.iter().enumerate().map(|(at, schema)| {
                    let schema = if key == "oneOf" { self.resolved(schema) } else { schema.clone() };
                    child(self, at.to_string(), &schema, path)
                });
                let parts = parts.collect::<Result<Vec<_>, _>>();
                path.0.pop();
                Ok(Some(Value::Array(parts?)))
            }
            (_, Value::Object(map)) if SCHEMA_MAPS.contains(&key) => {
                map.keys().try_for_each(|name| self.spelled(key, &Value::from(&**name), path).map(drop))?;
                if key == "patternProperties" && map.len() > MOST_PATTERNS {
                    let message =
                        format!("`{key}` at {path} has {} patterns, but {MOST_PATTERNS} are accepted", map.len());
                    return Err(Refusal::Limit(message));
                }
                path.0.push(key.to_owned());
                let properties = map
                    .iter()
                    .map(|(name, schema)| child(self, name.clone(), schema, path).map(|schema| (name.clone(), schema)));
                let properties = properties.collect::<Result<Map<_, _>, _>>();
                path.0.pop();
                Ok(Some(Value::Object(properties?)))
            }
            (_, Value::Object(_) | Value::Bool(_)) if SCHEMA.contains(&key) => {
                child(self, key.to_owned(), value, path).map(Some)
            }
            (
                "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties",
                Value::Number(number),
            ) => self.length(key, number, path).map(Some),
            // They say nothing of validity, and definitions are copied where they are referred to.
            (
                "$anchor" | "$comment" | "$defs" | "$id" | "$vocabulary" | "contentEncoding" | "contentMediaType"
                | "contentSchema" | "default" | "definitions" | "deprecated" | "description" | "examples" | "id"
                | "readOnly" | "title" | "writeOnly" | "x-guidance" | "$dynamicAnchor" | "$recursiveAnchor",
                _,
            ) => Ok(None),
            _ => Ok(Some(value.clone())),
        }
    }

    /// A whole number, which may be written with a fraction of zero.
    fn length(&self, key: &str, number: &serde_json::Number, path: &Path) -> Result<Value, Refusal> {
        let whole = number.as_u64().or_else(|| {
            let float = number.as_f64().filter(|float| *float >= 0.0 && float.fract() == 0.0 && *float < 1e15)?;
            Some(float as u64)
        });
        match whole {
            Some(whole) if whole <= MOST_LENGTH || key.starts_with("max") => Ok(whole.min(MOST_LENGTH).into()),
            Some(whole) => Err(Refusal::Limit(format!(
                "`{key}` at {path} is {whole}, but {MOST_LENGTH} is the most that is accepted"
            ))),
            None => Err(Refusal::Form(format!("`{key}` at {path} must be a whole number, but it is {number}"))),
        }
    }

    /// What several keywords mean together.
    fn shape(&self, map: &Map<String, Value>, path: &Path) -> Result<(), Refusal> {
        if map.contains_key("$id") && !path.0.is_empty() {
            return Err(unsupported("$id", path, " below the root, where references would be relative to it"));
        }
        let may_be_text = match map.get("type") {
            Some(Value::String(kind)) => kind == "string",
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
            _ => true,
        };
        if let Some(Value::String(format)) = map.get("format").filter(|_| may_be_text)
            && !FORMATS.contains(&&**format)
        {
            let why = format!(" with the value {format:?}; the formats are {}", FORMATS.join(", "));
            return Err(unsupported("format", path, &why));
        }
        // Two properties of one name would count twice while a reader sees one.
        let required = map.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
        match map.get("minProperties").and_then(Value::as_u64) {
            Some(least) if least > required.max(1) => {
                let why = "; it can be held only up to the number of required properties";
                Err(unsupported("minProperties", path, why))
            }
            _ => Ok(()),
        }
    }

    fn reference(&mut self, reference: &str, path: &Path) -> Result<Value, Refusal> {
        if matches!(reference, "#" | "#/") {
            return Ok("#".into());
        }
        self.target(reference).map_err(|refusal| match refusal {
            Refusal::Form(message) => Refusal::Form(format!("{message}, at {path}")),
            other => other,
        })?;
        let number = self.names.iter().position(|name| name == reference).unwrap_or_else(|| {
            self.names.push(reference.to_owned());
            self.names.len() - 1
        });
        Ok(format!("#/$defs/d{number}").into())
    }

    /// What a reference inside of the document refers to (RFC 6901).
    fn target(&self, reference: &str) -> Result<&Value, Refusal> {
        let missing = || Refusal::Form(format!("`$ref` refers to {reference:?}, which is not a place in this schema"));
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.starts_with('/')).ok_or_else(missing)?;
        self.root.pointer(&decoded(pointer).ok_or_else(missing)?).ok_or_else(missing)
    }

    /// A part of a `oneOf`, and if it is nothing but a reference, its target: only there can be seen that the parts exclude
    /// each other.
    fn resolved(&self, schema: &Value) -> Value {
        let alone = schema.as_object().filter(|map| map.len() == 1).and_then(|map| map.get("$ref")?.as_str());
        alone.and_then(|reference| self.target(reference).ok()).unwrap_or(schema).clone()
    }
}

/// Whether a pattern matches a control character by itself: it has no spelling in an answer. Ranges lose theirs.
fn names_control(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(at) = rest.find(|c: char| c == '\\' || c.is_control()) {
        let (here, behind) = rest[at..].split_at(rest[at..].chars().next().map_or(0, char::len_utf8));
        let escapes = ["x0", "x1", "x7f", "x7F", "u000", "u001", "u007f", "u007F", "0", "c", "v", "a"];
        let digits = |escape: &str| {
            if escape.starts_with('u') {
                5
            } else if escape.starts_with('x') {
                3
            } else {
                1
            }
        };
        if here != "\\" {
            if !"\n\r\t".contains(here) {
                return true;
            }
            rest = behind;
            continue;
        }
        if let Some(escape) = escapes.iter().find(|escape| behind.starts_with(**escape))
            && !behind.get(digits(escape)..).is_some_and(|behind| behind.starts_with('-'))
        {
            return true;
        }
        rest = behind.get(behind.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    false
}

/// Dates and times as a calendar has them, without leap seconds, which depend on more than their own digits.
fn calendar(format: &str) -> Option<String> {
    const YEAR: &str = "[0-9]{4}";
    const LEAP_YEAR: &str = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
    const TIME: &str =
        r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?([zZ]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
    let date = format!(
        "({YEAR}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|{YEAR}-(0[469]|11)-(0[1-9]|[12][0-9]|30)\
         |{YEAR}-02-(0[1-9]|1[0-9]|2[0-8])|{LEAP_YEAR}-02-29)"
    );
    match format {
        "date" => Some(format!("^{date}$")),
        "time" => Some(format!("^{TIME}$")),
        "date-time" => Some(format!("^{date}[tT]{TIME}$")),
        _ => None,
    }
}

/// A URI's fragment without percent encoding.
fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push((digit(rest.next()?)? * 16 + digit(rest.next()?)?) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn unsupported(key: &str, path: &Path, why: &str) -> Refusal {
    Refusal::Form(format!("the keyword `{key}` at {path} is not supported{why}"))
}
