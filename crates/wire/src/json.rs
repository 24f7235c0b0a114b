//! Reads a body that is JSON, and says of a wrong one in which parameter it is wrong.

mod objects;

use serde::de::DeserializeOwned;

use objects::Objects;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not JSON, or too deep.
    NotJson {
        /// What is found where.
        message: String,
    },
    /// It is JSON of another shape.
    Wrong {
        /// The path to what is wrong or missing, such as `messages[0].role`.
        parameter: Option<String>,
        /// What is found and what is expected.
        message: String,
    },
}

/// Reads a value. A list is never taken for an object, a text after the value is a fault, and messages speak JSON's language.
///
/// # Errors
///
/// A [`Fault`] with the parameter where one is at fault.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if !cause.is_data() {
            return Fault::NotJson { message: cause.to_string() };
        }
        let message = in_json_words(&cause.to_string());
        let within = (path != ".").then_some(path);
        match (within, missing_field(&message)) {
            (Some(path), Some(field)) => Fault::Wrong { parameter: Some(format!("{path}.{field}")), message },
            (Some(path), None) => Fault::Wrong { message: format!("`{path}`: {message}"), parameter: Some(path) },
            (None, field) => Fault::Wrong { parameter: field.map(str::to_owned), message },
        }
    })?;
    json.end().map_err(|error| Fault::NotJson { message: error.to_string() })?;
    Ok(value)
}

/// A message of the reader in the words of JSON. It names what it found and expected by the types of this program.
fn in_json_words(message: &str) -> String {
    // What was found may quote the caller, so only the beginning and what stands last are ours.
    let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let found = match found.strip_prefix("invalid type: ") {
        Some("sequence") => "invalid type: a list".to_owned(),
        Some("map") => "invalid type: an object".to_owned(),
        _ => found.to_owned(),
    };
    if expected.is_empty() {
        return found;
    }
    let (what, place) = expected.split_once(" at line ").map_or((expected, None), |(what, place)| (what, Some(place)));
    let what = match what {
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        what if what.starts_with("struct ") => "an object",
        what => what,
    };
    match place {
        Some(place) => format!("{found}, expected {what} at line {place}"),
        None => format!("{found}, expected {what}"),
    }
}

/// The name in serde's sentence about a field that is not there.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

#[cfg(test)]
mod tests {
    use crate::openai::{ChatRequest, CompletionRequest};

    use super::*;

    /// The parameter that is at fault and what is said of it.
    fn wrong<T: DeserializeOwned>(text: &str) -> (Option<String>, String) {
        match parse::<T>(text.as_bytes()).err().expect("this body must be refused") {
            Fault::Wrong { parameter, message } => (parameter, message),
            Fault::NotJson { message } => panic!("{text} is JSON: {message}"),
        }
    }

    fn is_no_json<T: DeserializeOwned>(text: &str) -> bool {
        matches!(parse::<T>(text.as_bytes()), Err(Fault::NotJson { .. }))
    }

    #[test]
    fn a_wrong_type_is_told_with_the_path_to_it() {
        let check = |text: &str, param: Option<&str>, says: &str| {
            let (found, message) = wrong::<ChatRequest>(text);
            assert_eq!(found.as_deref(), param, "{message}");
            assert!(message.contains(says), "{message}");
        };
        check(r#"{"messages":[]}"#, Some("model"), "missing field `model`");
        check(r#"{"model":"m"}"#, Some("messages"), "missing field `messages`");
        check(r#"{"model":"m","messages":[{"content":"x"}]}"#, Some("messages[0].role"), "missing field `role`");
        check(r#"{"model":"m","messages":[],"temperature":"hot"}"#, Some("temperature"), "expected a number");
        check(r#"{"model":"m","messages":[],"n":1.5}"#, Some("n"), "floating point `1.5`, expected a whole number");
        check(
            r#"{"model":"m","messages":[{"role":"user","content":7}]}"#,
            Some("messages[0].content"),
            "a string or a list",
        );
        check(r#"{"model":"m","messages":[],"stop":["a",1]}"#, Some("stop[1]"), "expected a string");
        check(
            r#"{"model":"m","messages":[],"stream_options":{"include_usage":3}}"#,
            Some("stream_options.include_usage"),
            "boolean",
        );
        check("[]", None, "a list, expected an object");
        check("7", None, "integer `7`, expected an object");
    }

    #[test]
    fn a_list_is_no_object_wherever_one_is_meant() {
        let check = |text: &str, param: &str| {
            let (found, message) = wrong::<ChatRequest>(text);
            assert_eq!(found.as_deref(), Some(param), "{message}");
            assert!(message.contains("a list, expected an object"), "{message}");
        };
        check(r#"{"model":"m","messages":[["user","x"]]}"#, "messages[0]");
        check(r#"{"model":"m","messages":[],"stream_options":[true]}"#, "stream_options");
        check(r#"{"model":"m","messages":[],"response_format":["text"]}"#, "response_format");
        check(r#"{"model":"m","messages":[],"tools":[["function"]]}"#, "tools[0]");
        check(r#"{"model":"m","messages":[],"tools":[{"type":"function","function":["f"]}]}"#, "tools[0].function");
        check(r#"{"model":"m","messages":[{"role":"user","content":[["text","x"]]}]}"#, "messages[0].content[0]");
        check(r#"{"model":"m","messages":[],"logit_bias":[1]}"#, "logit_bias");
    }

    #[test]
    fn what_may_be_anything_stays_as_it_is() {
        let text = r#"{"model":"m","messages":[],"guided_json":{"b":[1,{"a":null}],"a":1.5},"tool_choice":"auto"}"#;
        let request: ChatRequest = parse(text.as_bytes()).unwrap();
        assert_eq!(request.guided_json.unwrap().to_string(), r#"{"b":[1,{"a":null}],"a":1.5}"#);
        let raw: Box<serde_json::value::RawValue> = parse(br#"{"a": [1,  2]}"#).unwrap();
        assert_eq!(raw.get(), r#"{"a": [1,  2]}"#);
    }

    #[test]
    fn messages_name_no_type_of_this_program() {
        for (message, expect) in [
            (
                "invalid type: string \"x, expected i64\", expected f64",
                "invalid type: string \"x, expected i64\", expected a number",
            ),
            (
                "invalid type: map, expected u32 at line 1 column 2",
                "invalid type: an object, expected a whole number at line 1 column 2",
            ),
            ("invalid type: sequence, expected struct NamedTool", "invalid type: a list, expected an object"),
            ("invalid value: integer `-1`, expected u64", "invalid value: integer `-1`, expected a whole number"),
            ("missing field `model`", "missing field `model`"),
        ] {
            assert_eq!(in_json_words(message), expect);
        }
    }

    #[test]
    fn a_prompt_of_the_wrong_type_is_named() {
        let (param, _) = wrong::<CompletionRequest>(r#"{"model":"m","prompt":[[1],[true]]}"#);
        assert_eq!(param.as_deref(), Some("prompt[1][0]"));
    }

    #[test]
    fn what_is_no_json_is_told_as_that() {
        for text in ["", "{", "model=m", r#"{"model":"m","messages":[]} trailing"#, "{\"model\":\"\u{0}\"}"] {
            assert!(is_no_json::<ChatRequest>(text), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_where_it_is_kept_and_skipped_where_it_is_not() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = |field: &str| format!(r#"{{"model":"m","messages":[],"{field}":{deep}}}"#);
        assert!(is_no_json::<ChatRequest>(&body("guided_json")));
        assert!(parse::<ChatRequest>(body("unknown").as_bytes()).is_ok());
    }
}
