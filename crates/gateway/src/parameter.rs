//! The ranges of parameters: an impossible value is refused by name, never bent into a possible one.

use std::{fmt::Display, ops::RangeInclusive};

use axum::extract::{Query, rejection::QueryRejection};
use inference::{Error, Tool, ToolChoice};
use serde_json::Value;

use crate::error::ApiError;

/// OpenAI takes 4; more do no harm, up to what is cheap to look for.
const MOST_STOPS: usize = 16;

/// The parameters of a query.
pub(crate) fn query<T>(read: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    let Query(query) = read.map_err(|error| Error::Invalid {
        parameter: None,
        message: format!("the query cannot be read: {}", error.body_text()),
    })?;
    Ok(query)
}

/// A number within `range`.
pub(crate) fn number(parameter: &str, value: Option<f64>, range: RangeInclusive<f64>) -> Result<Option<f32>, ApiError> {
    value.map(|value| within(parameter, value, &range).map(|()| value as f32)).transpose()
}

/// A whole number within `range`.
pub(crate) fn integer(
    parameter: &str,
    value: Option<i64>,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    within(parameter, value, &(i64::from(*range.start())..=i64::from(*range.end())))?;
    Ok(u32::try_from(value).ok())
}

/// Refuses a value outside of `range`.
pub(crate) fn within<T: PartialOrd + Display>(
    parameter: &str,
    value: T,
    range: &RangeInclusive<T>,
) -> Result<(), ApiError> {
    if range.contains(&value) {
        return Ok(());
    }
    let message = format!("{parameter} must be from {} to {}, but it is {value}", range.start(), range.end());
    Err(ApiError::invalid(parameter, message))
}

/// Stop strings: a few, none of them empty.
pub(crate) fn stops(parameter: &str, stops: Vec<String>) -> Result<Vec<String>, ApiError> {
    if stops.len() > MOST_STOPS {
        let message = format!("{parameter} takes up to {MOST_STOPS} strings, but there are {}", stops.len());
        return Err(ApiError::invalid(parameter, message));
    }
    if stops.iter().any(String::is_empty) {
        return Err(ApiError::invalid(parameter, "a stop string must not be empty: it would end every answer at once"));
    }
    Ok(stops)
}

/// Whether a value asks for something. Null, `false`, and empty texts, lists and objects do not.
pub(crate) fn asks(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// Refuses the first of `parameters` that [`asks`] for something.
pub(crate) fn absent(parameters: &[(&str, Option<&Value>)]) -> Result<(), ApiError> {
    match parameters.iter().find(|(_, value)| value.is_some_and(asks)) {
        Some((parameter, _)) => Err(not_supported(parameter)),
        None => Ok(()),
    }
}

/// Refuses values of a parameter that are known and not served here.
pub(crate) fn only(parameter: &str, value: Option<&str>, served: &[&str]) -> Result<(), ApiError> {
    match value {
        Some(value) if !served.contains(&value) => {
            let message = format!("{parameter} {value:?} is not supported here; {} is", served.join(" or "));
            Err(ApiError::unsupported(parameter, message))
        }
        _ => Ok(()),
    }
}

/// Refuses a parameter that is not served here.
pub(crate) fn not_supported(parameter: &str) -> ApiError {
    ApiError::unsupported(parameter, format!("{parameter} is not supported here; leave it out"))
}

/// Longest name of a tool. OpenAI takes 64 characters, Anthropic 128.
const MOST_TOOL_NAME: usize = 128;

/// Most tools, as OpenAI has it.
const MOST_TOOLS: usize = 128;

/// Adds a tool to `tools`; its name and schema come with the parameter's names that the caller used.
pub(crate) fn tool(
    tools: &mut Vec<Tool>,
    (name_at, name): (&str, String),
    description: Option<String>,
    (schema_at, schema): (&str, Option<Value>),
    strict: bool,
) -> Result<(), ApiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > MOST_TOOL_NAME || !name.chars().all(plain) {
        let message =
            format!("a tool's name is 1 to {MOST_TOOL_NAME} letters, digits, \"_\" and \"-\", but it is {name:?}");
        return Err(ApiError::invalid(name_at, message));
    }
    if tools.iter().any(|tool| tool.name == name) {
        return Err(ApiError::invalid(name_at, format!("two tools have the name {name:?}")));
    }
    if tools.len() == MOST_TOOLS {
        return Err(ApiError::invalid("tools", format!("a request may have {MOST_TOOLS} tools, but there are more")));
    }
    let schema = schema.filter(|schema| !schema.is_null());
    if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(ApiError::invalid(schema_at, "the schema of a tool's arguments must be a JSON object"));
    }
    tools.push(Tool { name, description, parameters: schema.map(|schema| schema.to_string()), strict });
    Ok(())
}

/// Refuses a choice of tools that none of them can meet.
pub(crate) fn callable(tools: &[Tool], choice: &ToolChoice) -> Result<(), ApiError> {
    let message = match choice {
        ToolChoice::Required if tools.is_empty() => "tool_choice asks for a call, but there are no tools".to_owned(),
        ToolChoice::Named(name) if !tools.iter().any(|tool| tool.name == *name) => {
            format!("tool_choice names the tool {name:?}, which is not among the tools")
        }
        _ => return Ok(()),
    };
    Err(ApiError::invalid("tool_choice", message))
}

/// The text of the parts of a turn, each with its type, one below the other, as other engines join them.
pub(crate) fn join_text(
    parameter: &str,
    parts: impl IntoIterator<Item = (String, Option<String>)>,
) -> Result<String, ApiError> {
    let mut texts = Vec::new();
    for (position, (kind, text)) in parts.into_iter().enumerate() {
        let at = |field: &str| format!("{parameter}[{position}].{field}");
        if kind != "text" {
            let message = format!("a part of type {kind:?} is not supported here; only \"text\" is");
            return Err(ApiError::unsupported(at("type"), message));
        }
        texts.push(text.ok_or_else(|| ApiError::invalid(at("text"), "a part of type \"text\" needs text"))?);
    }
    Ok(texts.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter<T>(result: Result<T, ApiError>) -> Option<String> {
        result.err().and_then(|error| error.openai().error.param)
    }

    #[test]
    fn bounds_belong_to_the_range() {
        assert_eq!(number("t", Some(2.0), 0.0..=2.0).unwrap(), Some(2.0));
        assert_eq!(number("t", None, 0.0..=2.0).unwrap(), None);
        for value in [-0.1, 2.1, f64::NAN, f64::INFINITY] {
            assert_eq!(parameter(number("t", Some(value), 0.0..=2.0)).as_deref(), Some("t"));
        }
        assert_eq!(integer("n", Some(128), 1..=128).unwrap(), Some(128));
        for value in [0, 129, -1, i64::MAX, i64::MIN] {
            assert_eq!(parameter(integer("n", Some(value), 1..=128)).as_deref(), Some("n"));
        }
    }

    #[test]
    fn stops_are_few_and_say_something() {
        assert_eq!(stops("stop", vec!["\n".into()]).unwrap(), ["\n"]);
        assert!(stops("stop", vec!["x".into(); 16]).is_ok());
        for wrong in [vec![String::new()], vec!["x".into(); 17], vec!["a".into(), String::new()]] {
            assert_eq!(parameter(stops("stop", wrong)).as_deref(), Some("stop"));
        }
    }

    #[test]
    fn only_what_asks_for_something_is_refused() {
        for quiet in [json!(null), json!(false), json!(""), json!([]), json!({})] {
            assert!(absent(&[("p", Some(&quiet)), ("q", None)]).is_ok());
        }
        for loud in [json!(true), json!("x"), json!([1]), json!({"type": "object"}), json!(0)] {
            assert_eq!(parameter(absent(&[("p", None), ("q", Some(&loud))])).as_deref(), Some("q"));
        }
    }
}
