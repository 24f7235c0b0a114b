//! The forms that an answer can be asked to have, each with the parameter that asked for it.

use inference::{Constraint, Form};
use serde_json::Value;

use crate::error::ApiError;

/// JSON that validates against a schema, which may come as text.
pub(crate) fn schema(parameter: &str, schema: &Value) -> Result<Constraint, ApiError> {
    let text = match schema {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Bool(_) => schema.to_string(),
        _ => return Err(ApiError::invalid(parameter, "a JSON schema is an object")),
    };
    Ok(constraint(parameter, Form::JsonSchema(text)))
}

/// Any JSON object.
pub(crate) fn json_object(parameter: &str) -> Constraint {
    constraint(parameter, Form::JsonObject)
}

/// A text that a regular expression matches as a whole.
pub(crate) fn regex(parameter: &str, regex: &Value) -> Result<Constraint, ApiError> {
    Ok(constraint(parameter, Form::Regex(text(parameter, regex)?)))
}

/// A text of a grammar. The two syntaxes are told apart by how a rule is defined.
pub(crate) fn grammar(parameter: &str, grammar: &Value) -> Result<Constraint, ApiError> {
    let text = text(parameter, grammar)?;
    let form = if text.contains("::=") { Form::Gbnf(text) } else { Form::Lark(text) };
    Ok(constraint(parameter, form))
}

/// One of several texts.
pub(crate) fn choice(parameter: &str, choices: &Value) -> Result<Constraint, ApiError> {
    let Value::Array(choices) = choices else {
        return Err(ApiError::invalid(parameter, format!("{parameter} must be a list of texts")));
    };
    let choices = choices.iter().enumerate().map(|(at, choice)| text(&format!("{parameter}[{at}]"), choice));
    Ok(constraint(parameter, Form::Choice(choices.collect::<Result<_, _>>()?)))
}

fn constraint(parameter: &str, form: Form) -> Constraint {
    Constraint { form, parameter: parameter.to_owned() }
}

fn text(parameter: &str, value: &Value) -> Result<String, ApiError> {
    value.as_str().map(str::to_owned).ok_or_else(|| ApiError::invalid(parameter, format!("{parameter} must be a text")))
}
