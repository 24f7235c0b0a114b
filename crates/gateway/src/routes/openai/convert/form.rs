//! The form that an answer is to have: OpenAI's parameter for it, and those of vLLM and of llama.cpp's server.

use inference::Constraint;
use serde_json::Value;
use wire::openai::{ChatRequest, CompletionRequest, ResponseFormat};

use crate::{error::ApiError, form, parameter::asks};

/// Everything that can ask for a form.
pub(super) struct Forms<'a> {
    response_format: Option<&'a ResponseFormat>,
    guided_json: Option<&'a Value>,
    guided_regex: Option<&'a Value>,
    guided_choice: Option<&'a Value>,
    guided_grammar: Option<&'a Value>,
    structured_outputs: Option<&'a Value>,
    grammar: Option<&'a Value>,
    json_schema: Option<&'a Value>,
}

/// Both requests have the same fields for it, and no type in common.
macro_rules! forms_of {
    ($($request:ty),*) => {$(
        impl<'a> From<&'a $request> for Forms<'a> {
            fn from(body: &'a $request) -> Self {
                Self {
                    response_format: body.response_format.as_ref(),
                    guided_json: body.guided_json.as_ref(),
                    guided_regex: body.guided_regex.as_ref(),
                    guided_choice: body.guided_choice.as_ref(),
                    guided_grammar: body.guided_grammar.as_ref(),
                    structured_outputs: body.structured_outputs.as_ref(),
                    grammar: body.grammar.as_ref(),
                    json_schema: body.json_schema.as_ref(),
                }
            }
        }
    )*};
}

forms_of!(ChatRequest, CompletionRequest);

/// The one form that is asked for.
pub(super) fn constraint(forms: &Forms<'_>) -> Result<Option<Constraint>, ApiError> {
    type Read = fn(&str, &Value) -> Result<Constraint, ApiError>;
    let parameters: [(&str, Option<&Value>, Read); 6] = [
        ("guided_json", forms.guided_json, form::schema),
        ("guided_regex", forms.guided_regex, form::regex),
        ("guided_choice", forms.guided_choice, form::choice),
        ("guided_grammar", forms.guided_grammar, form::grammar),
        ("grammar", forms.grammar, form::grammar),
        ("json_schema", forms.json_schema, form::schema),
    ];
    let mut asked = Vec::new();
    if let Some(format) = forms.response_format {
        asked.extend(response_format(format)?);
    }
    for (parameter, value, read) in parameters {
        if let Some(value) = value.filter(|value| asks(value)) {
            asked.push(read(parameter, value)?);
        }
    }
    if let Some(value) = forms.structured_outputs.filter(|value| asks(value)) {
        asked.extend(structured_outputs(value)?);
    }
    if let [first, second, ..] = &asked[..] {
        let message = format!("an answer has one form, but {} and {} ask for two", first.parameter, second.parameter);
        return Err(ApiError::invalid(&*second.parameter, message));
    }
    Ok(asked.pop())
}

fn response_format(format: &ResponseFormat) -> Result<Option<Constraint>, ApiError> {
    let own = format.json_schema.as_ref().and_then(|format| format.schema.as_ref());
    match (format.r#type.as_str(), own, &format.schema) {
        ("text", _, _) => Ok(None),
        ("json_schema", Some(schema), _) => form::schema("response_format.json_schema.schema", schema).map(Some),
        ("json_schema" | "json_object", None, Some(schema)) => form::schema("response_format.schema", schema).map(Some),
        ("json_object", _, _) => Ok(Some(form::json_object("response_format"))),
        ("json_schema", None, None) => {
            let parameter = "response_format.json_schema.schema";
            Err(ApiError::invalid(parameter, "a response format of type \"json_schema\" needs a schema"))
        }
        (other, _, _) => {
            let message = format!("response_format.type must be text, json_object or json_schema, but it is {other:?}");
            Err(ApiError::unsupported("response_format.type", message))
        }
    }
}

fn structured_outputs(value: &Value) -> Result<Vec<Constraint>, ApiError> {
    let Value::Object(map) = value else {
        return Err(ApiError::invalid("structured_outputs", "structured_outputs must be an object"));
    };
    let mut asked = Vec::new();
    for (key, value) in map.iter().filter(|(_, value)| asks(value)) {
        let parameter = format!("structured_outputs.{key}");
        asked.push(match key.as_str() {
            "json" => form::schema(&parameter, value)?,
            "regex" => form::regex(&parameter, value)?,
            "choice" => form::choice(&parameter, value)?,
            "grammar" => form::grammar(&parameter, value)?,
            "json_object" => form::json_object(&parameter),
            // An answer without it would be of another form.
            _ => {
                let message =
                    format!("{parameter} is not supported here; json, regex, choice, grammar and json_object are");
                return Err(ApiError::unsupported(parameter, message));
            }
        });
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use inference::Form;
    use serde_json::{from_value, json};

    use super::*;

    fn read(body: Value) -> Result<Option<Constraint>, ApiError> {
        let mut request = json!({"model": "m", "messages": []});
        request.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let body: ChatRequest = from_value(request).unwrap();
        constraint(&Forms::from(&body))
    }

    #[track_caller]
    fn check(body: Value, parameter: &str, form: Form) {
        assert_eq!(read(body).unwrap(), Some(Constraint { form, parameter: parameter.into() }));
    }

    #[test]
    fn every_way_to_ask_for_a_form_is_read() {
        let schema = || Form::JsonSchema(r#"{"type":"object"}"#.into());
        let object = json!({"type": "object"});
        let own = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": object}});
        check(json!({"response_format": own}), "response_format.json_schema.schema", schema());
        check(json!({"response_format": {"type": "json_object"}}), "response_format", Form::JsonObject);
        let beside = json!({"type": "json_object", "schema": object});
        check(json!({"response_format": beside}), "response_format.schema", schema());
        check(json!({"guided_json": object}), "guided_json", schema());
        check(json!({"guided_json": "{\"type\":\"object\"}"}), "guided_json", schema());
        check(json!({"json_schema": object}), "json_schema", schema());
        check(json!({"guided_regex": "a+"}), "guided_regex", Form::Regex("a+".into()));
        check(json!({"guided_choice": ["a", "b"]}), "guided_choice", Form::Choice(vec!["a".into(), "b".into()]));
        check(json!({"guided_grammar": "start: \"a\""}), "guided_grammar", Form::Lark("start: \"a\"".into()));
        check(json!({"grammar": "root ::= \"a\""}), "grammar", Form::Gbnf("root ::= \"a\"".into()));
        check(json!({"structured_outputs": {"json": object}}), "structured_outputs.json", schema());
        check(json!({"structured_outputs": {"regex": "a"}}), "structured_outputs.regex", Form::Regex("a".into()));
        let json_object = json!({"json_object": true, "regex": null});
        check(json!({"structured_outputs": json_object}), "structured_outputs.json_object", Form::JsonObject);
    }

    #[test]
    fn what_asks_for_nothing_is_no_form() {
        let text =
            json!({"response_format": {"type": "text"}, "guided_json": null, "grammar": "", "structured_outputs": {}});
        assert_eq!(read(text).unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, parameter) in [
            (json!({"response_format": {"type": "xml"}}), "response_format.type"),
            (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema.schema"),
            (json!({"guided_json": [1]}), "guided_json"),
            (json!({"guided_regex": {"a": 1}}), "guided_regex"),
            (json!({"guided_choice": "a"}), "guided_choice"),
            (json!({"guided_choice": ["a", 1]}), "guided_choice[1]"),
            (json!({"structured_outputs": "a"}), "structured_outputs"),
            (json!({"structured_outputs": {"structural_tag": "a"}}), "structured_outputs.structural_tag"),
            (json!({"guided_regex": "a", "grammar": "start: \"a\""}), "grammar"),
        ] {
            let error = read(body.clone()).unwrap_err();
            assert_eq!(error.openai().error.param.as_deref(), Some(parameter), "{body}");
        }
    }
}
