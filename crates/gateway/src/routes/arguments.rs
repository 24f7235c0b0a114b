//! The arguments of a call as an object.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// What may be missing behind a text that was cut: nothing, the end of a string or of a word, or a value.
const ENDS: [&str; 14] =
    ["", "\"", "null", ":null", "\":null", "0", "rue", "ue", "e", "alse", "lse", "se", "ull", "ll"];

/// `arguments` as they are, or where they were cut, closed so that they are an object.
pub(crate) fn object(arguments: String) -> Box<RawValue> {
    let is_object = |text: &str| text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
    let closed = if is_object(&arguments) {
        Some(arguments)
    } else {
        let text = arguments.trim_end().trim_end_matches(',');
        let brackets = open_brackets(text);
        ENDS.iter().chain(&["l"]).map(|end| format!("{text}{end}{brackets}")).find(|text| is_object(text))
    };
    let closed = closed.unwrap_or_else(|| "{}".to_owned());
    // What was found to be an object is one.
    RawValue::from_string(closed).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The brackets that close what `text` opens outside of strings.
fn open_brackets(text: &str) -> String {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for c in text.chars() {
        match c {
            _ if std::mem::take(&mut escaped) => {}
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' => open.push('}'),
            '[' => open.push(']'),
            '}' | ']' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_is_closed_and_the_rest_is_as_it_was() {
        for (arguments, expect) in [
            (r#"{"a": 1e999, "b": [true]}"#, r#"{"a": 1e999, "b": [true]}"#),
            ("{", "{}"),
            (r#"{"a"#, r#"{"a":null}"#),
            (r#"{"a":"#, r#"{"a":null}"#),
            (r#"{"a":"x}"#, r#"{"a":"x}"}"#),
            (r#"{"a":"x\""#, r#"{"a":"x\""}"#),
            (r#"{"a":[1,{"b":-"#, r#"{"a":[1,{"b":-0}]}"#),
            (r#"{"a":[1,"#, r#"{"a":[1]}"#),
            (r#"{"a":t"#, r#"{"a":true}"#),
            (r#"{"a":nul"#, r#"{"a":null}"#),
        ] {
            assert_eq!(object(arguments.into()).get(), expect, "{arguments}");
        }
    }

    #[test]
    fn every_beginning_of_an_object_becomes_one() {
        let whole = r#"{"a":[1.5,"b\\\"[",{"c":null,"d":false}],"e":-2e+7}"#;
        for (end, _) in whole.char_indices() {
            let closed = object(whole[..end].into());
            let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(closed.get());
            assert!(object.is_ok(), "{} became {closed}", &whole[..end]);
        }
    }
}
