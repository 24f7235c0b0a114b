//! The ranges of parameters: an impossible value is refused by name, never bent into a possible one.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use serde_json::Value;
use wire::openai::{ResponseFormat, Stop};

use crate::error::ApiError;

/// OpenAI takes 4; more do no harm, up to what is cheap to look for.
const MOST_STOPS: usize = 16;

/// A number within `range`.
pub(super) fn number(parameter: &str, value: Option<f64>, range: RangeInclusive<f64>) -> Result<Option<f32>, ApiError> {
    value.map(|value| within(parameter, value, &range).map(|()| value as f32)).transpose()
}

/// A whole number within `range`.
pub(super) fn integer(
    parameter: &str,
    value: Option<i64>,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    within(parameter, value, &(i64::from(*range.start())..=i64::from(*range.end())))?;
    Ok(u32::try_from(value).ok())
}

fn within<T: PartialOrd + Display>(parameter: &str, value: T, range: &RangeInclusive<T>) -> Result<(), ApiError> {
    if range.contains(&value) {
        return Ok(());
    }
    let message = format!("{parameter} must be from {} to {}, but it is {value}", range.start(), range.end());
    Err(ApiError::invalid(parameter, message))
}

/// Stop strings: a few, none of them empty.
pub(super) fn stops(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
        None => return Ok(Vec::new()),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Many(stops)) => stops,
    };
    if stops.len() > MOST_STOPS {
        let message = format!("stop takes up to {MOST_STOPS} strings, but there are {}", stops.len());
        return Err(ApiError::invalid("stop", message));
    }
    if stops.iter().any(String::is_empty) {
        return Err(ApiError::invalid("stop", "a stop string must not be empty: it would end every answer at once"));
    }
    Ok(stops)
}

/// From token id (JSON's keys are strings) to bias. Whether the model has the token is not known yet.
pub(super) fn logit_bias(bias: Option<BTreeMap<String, f64>>) -> Result<Vec<(u32, f32)>, ApiError> {
    let entry = |(key, value): (String, f64)| {
        let id = key.parse().map_err(|_| {
            ApiError::invalid("logit_bias", format!("the keys of logit_bias are token ids, but one is {key:?}"))
        })?;
        within("logit_bias", value, &(-100.0..=100.0))?;
        Ok((id, value as f32))
    };
    bias.unwrap_or_default().into_iter().map(entry).collect()
}

/// Only plain text can be asked for: another format could not be kept, and an answer that breaks it would be worse.
pub(super) fn response_format(format: Option<&ResponseFormat>) -> Result<(), ApiError> {
    match format {
        Some(format) if format.r#type != "text" => {
            let message = format!("the response format {:?} is not supported; only \"text\" is", format.r#type);
            Err(ApiError::unsupported("response_format", message))
        }
        _ => Ok(()),
    }
}

/// Refuses the first of `parameters` that asks for something. Null, `false`, and empty texts, lists and objects do not.
pub(super) fn absent(parameters: &[(&str, Option<&Value>)]) -> Result<(), ApiError> {
    let asks = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    match parameters.iter().find(|(_, value)| value.is_some_and(asks)) {
        Some((parameter, _)) => Err(not_supported(parameter)),
        None => Ok(()),
    }
}

/// Refuses a parameter that is not served here.
pub(super) fn not_supported(parameter: &str) -> ApiError {
    ApiError::unsupported(parameter, format!("{parameter} is not supported here; leave it out"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter<T>(result: Result<T, ApiError>) -> Option<String> {
        result.err().and_then(|error| error.body().error.param)
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
        assert_eq!(stops(Some(Stop::One("\n".into()))).unwrap(), ["\n"]);
        assert!(stops(Some(Stop::Many(vec!["x".into(); 16]))).is_ok());
        for stop in
            [Stop::One(String::new()), Stop::Many(vec!["x".into(); 17]), Stop::Many(vec!["a".into(), "".into()])]
        {
            assert_eq!(parameter(stops(Some(stop))).as_deref(), Some("stop"));
        }
    }

    #[test]
    fn biases_are_by_token_id() {
        let bias = |key: &str, value| logit_bias(Some(BTreeMap::from([(key.to_owned(), value)])));
        assert_eq!(bias("7", -100.0).unwrap(), [(7, -100.0)]);
        for (key, value) in [("seven", 1.0), ("-1", 1.0), ("4294967296", 1.0), ("7", 100.5)] {
            assert_eq!(parameter(bias(key, value)).as_deref(), Some("logit_bias"));
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
