//! A plain validator for the keywords that the tests' schemas use: a second opinion on what validates. Formats are left to
//! the public suite.

use regex::Regex;
use serde_json::Value;

/// Whether a value validates against a schema without references.
pub fn is_valid(schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else { return schema == &Value::Bool(true) };
    keywords.iter().all(|(keyword, wanted)| holds(keyword, wanted, schema, value))
}

fn holds(keyword: &str, wanted: &Value, schema: &Value, value: &Value) -> bool {
    let number = |test: fn(f64, f64) -> bool| match (value.as_f64(), wanted.as_f64()) {
        (Some(value), Some(wanted)) => test(value, wanted),
        _ => true,
    };
    let size = |size: Option<usize>, test: fn(usize, usize) -> bool| {
        size.is_none_or(|size| test(size, wanted.as_u64().unwrap() as usize))
    };
    let characters = || value.as_str().map(|text| text.chars().count());
    let items = || value.as_array().map(Vec::len);
    match keyword {
        "type" => match wanted {
            Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap(), value)),
            kind => is(kind.as_str().unwrap(), value),
        },
        "const" => same(wanted, value),
        "enum" => wanted.as_array().unwrap().iter().any(|wanted| same(wanted, value)),
        "minimum" => number(|value, least| value >= least),
        "maximum" => number(|value, most| value <= most),
        "exclusiveMinimum" => number(|value, least| value > least),
        "multipleOf" => number(|value, unit| value % unit == 0.0),
        "minLength" => size(characters(), |size, least| size >= least),
        "maxLength" => size(characters(), |size, most| size <= most),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)),
        "minItems" => size(items(), |size, least| size >= least),
        "maxItems" => size(items(), |size, most| size <= most),
        "prefixItems" => value.as_array().is_none_or(|items| {
            items.iter().zip(wanted.as_array().unwrap()).all(|(item, schema)| is_valid(schema, item))
        }),
        "items" => value.as_array().is_none_or(|items| {
            let before = schema["prefixItems"].as_array().map_or(0, Vec::len);
            items.iter().skip(before).all(|item| is_valid(wanted, item))
        }),
        "anyOf" => wanted.as_array().unwrap().iter().any(|schema| is_valid(schema, value)),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(name, value)| wanted.get(name).is_none_or(|schema| is_valid(schema, value)))
        }),
        "required" => value
            .as_object()
            .is_none_or(|map| wanted.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let named = |name: &str| schema["properties"].get(name).is_some();
            map.iter().all(|(name, value)| named(name) || is_valid(wanted, value))
        }),
        "format" => true,
        other => panic!("{other} is not known here"),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{other} is no type"),
    }
}

/// Numbers are the same when they are equal, however they are written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
