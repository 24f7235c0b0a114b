//! Items: checked and completed as they come in, and put together to the turns of a conversation.

use std::collections::HashSet;

use inference::{Message, Role, ToolCall};
use wire::openai::{
    ItemRole, ItemStatus, ReasoningPart, ResponseInput, ResponseInputContent, ResponseInputItem, ResponseInputPart,
    ResponseItem, ResponsePart,
};

use crate::{apart::append, error::ApiError};

/// Longest id of an item that a caller gives.
const MOST_ID: usize = 256;

/// The items of `input`, each with an id. Those that have none get one from `stem`, which is unique to the response.
pub(super) fn read(input: Option<ResponseInput>, stem: &str) -> Result<Vec<ResponseItem>, ApiError> {
    let items = match input {
        None => Vec::new(),
        Some(ResponseInput::Text(text)) => {
            let content = Some(ResponseInputContent::Text(text));
            vec![ResponseInputItem { role: Some("user".to_owned()), content, ..ResponseInputItem::default() }]
        }
        Some(ResponseInput::Items(items)) => items,
    };
    if items.is_empty() {
        return Err(ApiError::invalid("input", "input is missing or empty; it is a text, or a list of items"));
    }
    items.into_iter().enumerate().map(|(position, item)| read_one(position, item, stem)).collect()
}

fn read_one(position: usize, item: ResponseInputItem, stem: &str) -> Result<ResponseItem, ApiError> {
    let at = |field: &str| format!("input[{position}].{field}");
    let needed = |field: &str, value: Option<String>| {
        value.ok_or_else(|| ApiError::invalid(at(field), format!("an item of this type needs {field}")))
    };
    let kind = match (item.r#type.as_deref(), &item.role) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "message",
        (None, None) => return Err(ApiError::invalid(at("type"), "an item needs a type, or a role")),
    };
    let id = item.id.filter(|id| !id.is_empty());
    if id.as_ref().is_some_and(|id| id.len() > MOST_ID) {
        return Err(ApiError::invalid(at("id"), format!("an id has at most {MOST_ID} bytes")));
    }
    let named = |prefix: &str| id.clone().unwrap_or_else(|| format!("{prefix}_{stem}_in{position}"));
    let status = ItemStatus::Completed;
    match kind {
        "message" => {
            let role = role(&at("role"), &needed("role", item.role)?)?;
            let content = match item.content {
                Some(ResponseInputContent::Text(text)) => vec![said(role, text)],
                Some(ResponseInputContent::Parts(parts)) => {
                    let parts = texts(&at("content"), parts, &["input_text", "output_text", "text"])?;
                    parts.into_iter().map(|text| said(role, text)).collect()
                }
                None => {
                    let message = "a message needs content: a string or a list of parts";
                    return Err(ApiError::invalid(at("content"), message));
                }
            };
            Ok(ResponseItem::Message { id: named("msg"), status, role, content })
        }
        "reasoning" => {
            let content = match item.content {
                None => Vec::new(),
                Some(ResponseInputContent::Text(text)) => vec![text],
                Some(ResponseInputContent::Parts(parts)) => texts(&at("content"), parts, &["reasoning_text", "text"])?,
            };
            let content = content.into_iter().map(ReasoningPart::new).collect();
            Ok(ResponseItem::Reasoning { id: named("rs"), status, summary: Vec::new(), content })
        }
        "function_call" => Ok(ResponseItem::FunctionCall {
            id: named("fc"),
            status,
            call_id: needed("call_id", item.call_id)?,
            name: needed("name", item.name)?,
            arguments: needed("arguments", item.arguments)?,
        }),
        "function_call_output" => {
            let output = match item.output {
                Some(ResponseInputContent::Text(text)) => text,
                Some(ResponseInputContent::Parts(parts)) => {
                    texts(&at("output"), parts, &["input_text", "output_text", "text"])?.join("\n")
                }
                None => {
                    let message = "the output of a call needs output: a string or a list of parts";
                    return Err(ApiError::invalid(at("output"), message));
                }
            };
            let call_id = needed("call_id", item.call_id)?;
            Ok(ResponseItem::FunctionCallOutput { id: named("fco"), status, call_id, output })
        }
        other => {
            let message = format!(
                "an item of type {other:?} is not supported here; message, reasoning, function_call and \
                 function_call_output are"
            );
            Err(ApiError::unsupported(at("type"), message))
        }
    }
}

fn role(parameter: &str, role: &str) -> Result<ItemRole, ApiError> {
    match role {
        "user" => Ok(ItemRole::User),
        "assistant" => Ok(ItemRole::Assistant),
        "system" => Ok(ItemRole::System),
        "developer" => Ok(ItemRole::Developer),
        other => {
            let message = format!("the role must be user, assistant, system or developer, but it is {other:?}");
            Err(ApiError::invalid(parameter, message))
        }
    }
}

fn said(role: ItemRole, text: String) -> ResponsePart {
    match role {
        ItemRole::Assistant => ResponsePart::output(text),
        ItemRole::User | ItemRole::System | ItemRole::Developer => ResponsePart::InputText { text },
    }
}

/// The texts of parts of these kinds. Whatever else a part may be (an image, say) is refused, and never fetched.
fn texts(parameter: &str, parts: Vec<ResponseInputPart>, kinds: &[&str]) -> Result<Vec<String>, ApiError> {
    let text = |(position, part): (usize, ResponseInputPart)| {
        let at = |field: &str| format!("{parameter}[{position}].{field}");
        if !kinds.contains(&part.r#type.as_str()) {
            let message = format!("a part of type {:?} is not supported here; {} is", part.r#type, kinds[0]);
            return Err(ApiError::unsupported(at("type"), message));
        }
        part.text.ok_or_else(|| ApiError::invalid(at("text"), "a part that is a text needs text"))
    };
    parts.into_iter().enumerate().map(text).collect()
}

/// Puts items together to turns: what the model thought, said and called in a row is one turn of it.
///
/// Of the items the last `own` are the request's `input`, the others are continued. A call whose arguments are no JSON
/// object, and an output that answers no call, are refused by their place.
pub(super) fn turns(items: &[ResponseItem], own: usize) -> Result<Vec<Message>, ApiError> {
    let mut turns: Vec<Message> = Vec::new();
    let mut calls = HashSet::new();
    let refused =
        |position: usize, field: &str, message: String| match position.checked_sub(items.len().saturating_sub(own)) {
            Some(position) => ApiError::invalid(format!("input[{position}].{field}"), message),
            None => ApiError::invalid("previous_response_id", message),
        };
    for (position, item) in items.iter().enumerate() {
        match item {
            ResponseItem::Message { role: ItemRole::Assistant, content, .. } => {
                append(&mut assistant(&mut turns).content, &joined(content));
            }
            ResponseItem::Message { role, content, .. } => {
                let role = if *role == ItemRole::User { Role::User } else { Role::System };
                turns.push(Message::new(role, joined(content)));
            }
            ResponseItem::Reasoning { content, .. } => {
                let thought: Vec<&str> = content.iter().map(|part| part.text.as_str()).collect();
                if !thought.is_empty() {
                    append(assistant(&mut turns).reasoning.get_or_insert_default(), &thought.join("\n"));
                }
            }
            ResponseItem::FunctionCall { call_id, name, arguments, .. } => {
                if !is_object(arguments) {
                    let message = format!("the arguments of the call {call_id:?} must be a JSON object, as text");
                    return Err(refused(position, "arguments", message));
                }
                calls.insert(call_id.as_str());
                let (id, name, arguments) = (call_id.clone(), name.clone(), arguments.clone());
                assistant(&mut turns).tool_calls.push(ToolCall { id, name, arguments });
            }
            ResponseItem::FunctionCallOutput { call_id, output, .. } => {
                if !calls.contains(call_id.as_str()) {
                    let message = format!("no function_call before this item has the call_id {call_id:?}");
                    return Err(refused(position, "call_id", message));
                }
                turns.push(Message { tool_call_id: Some(call_id.clone()), ..Message::new(Role::Tool, output) });
            }
        }
    }
    Ok(turns)
}

/// Whether arguments are what a call needs. Clients write nothing where there are none.
fn is_object(arguments: &str) -> bool {
    let arguments = arguments.trim();
    arguments.is_empty() || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments).is_ok()
}

/// The turn of the model that is last, or a new one.
fn assistant(turns: &mut Vec<Message>) -> &mut Message {
    if turns.last().is_none_or(|turn| turn.role != Role::Assistant) {
        turns.push(Message::new(Role::Assistant, ""));
    }
    // One was pushed where there was none.
    let last = turns.len() - 1;
    &mut turns[last]
}

fn joined(content: &[ResponsePart]) -> String {
    content.iter().map(ResponsePart::text).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn check(input: Value) -> Result<Vec<Message>, ApiError> {
        let items = read(Some(from_value(input).unwrap()), "s")?;
        turns(&items, items.len())
    }

    #[test]
    fn a_text_is_what_the_user_says() {
        assert_eq!(check(json!("Hi")).unwrap(), [Message::new(Role::User, "Hi")]);
        assert_eq!(check(json!([{"role": "user", "content": "Hi"}])).unwrap(), [Message::new(Role::User, "Hi")]);
    }

    #[test]
    fn what_the_model_did_in_a_row_is_one_turn() {
        let part = |kind: &str, text: &str| json!({"type": kind, "text": text, "annotations": []});
        let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}", "status": "completed"});
        let output = |id: &str, output: Value| json!({"type": "function_call_output", "call_id": id, "output": output});
        let found = check(json!([
            {"role": "developer", "content": [part("input_text", "a"), part("input_text", "b")]},
            {"type": "message", "role": "user", "content": [part("input_text", "?")]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [part("reasoning_text", "hm")], "encrypted_content": null},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part("output_text", "I look.")]},
            call("c1"), call("c2"),
            output("c2", json!("two")), output("c1", json!([part("input_text", "o"), part("input_text", "ne")])),
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "not shown"}]},
            {"role": "assistant", "content": "Well."}, {"role": "assistant", "content": "Done."},
        ]))
        .unwrap();
        let call = |id: &str| ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into() };
        let result = |id: &str, text: &str| Message { tool_call_id: Some(id.into()), ..Message::new(Role::Tool, text) };
        let expect = [
            Message::new(Role::System, "a\nb"),
            Message::new(Role::User, "?"),
            Message {
                reasoning: Some("hm".into()),
                tool_calls: vec![call("c1"), call("c2")],
                ..Message::new(Role::Assistant, "I look.")
            },
            result("c2", "two"),
            result("c1", "o\nne"),
            Message::new(Role::Assistant, "Well.\nDone."),
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let image = json!({"type": "input_image", "image_url": "http://127.0.0.1:9/never"});
        let fine = json!({"role": "user", "content": "x"});
        for (input, param, code) in [
            (json!([]), "input", "invalid_value"),
            (json!([fine, {"content": "x"}]), "input[1].type", "invalid_value"),
            (json!([{"type": "message", "content": "x"}]), "input[0].role", "invalid_value"),
            (json!([{"role": "tool", "content": "x"}]), "input[0].role", "invalid_value"),
            (json!([{"role": "user"}]), "input[0].content", "invalid_value"),
            (
                json!([{"role": "user", "content": [{"type": "input_text"}]}]),
                "input[0].content[0].text",
                "invalid_value",
            ),
            (json!([fine, {"role": "user", "content": [image]}]), "input[1].content[0].type", "unsupported_value"),
            (json!([{"type": "web_search_call"}]), "input[0].type", "unsupported_value"),
            (json!([{"type": "item_reference", "id": "x"}]), "input[0].type", "unsupported_value"),
            (json!([{"type": "function_call", "call_id": "c", "name": "f"}]), "input[0].arguments", "invalid_value"),
            (
                json!([fine, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}]),
                "input[1].arguments",
                "invalid_value",
            ),
            (
                json!([fine, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "[]"}]),
                "input[1].arguments",
                "invalid_value",
            ),
            (
                json!([fine, {"type": "function_call_output", "call_id": "c", "output": "x"}]),
                "input[1].call_id",
                "invalid_value",
            ),
            (json!([{"role": "user", "content": "x", "id": "i".repeat(257)}]), "input[0].id", "invalid_value"),
        ] {
            let error = check(input.clone()).expect_err(param).openai().error;
            assert_eq!((error.param.as_deref(), error.code), (Some(param), code), "{input}");
        }
        let none = read(None, "s").unwrap_err().openai().error;
        assert_eq!(none.param.as_deref(), Some("input"));
    }

    #[test]
    fn a_fault_of_what_is_continued_names_that() {
        let broken = json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a"}, {"role": "user", "content": "x"}]);
        let items = read(Some(from_value(broken).unwrap()), "s").unwrap();
        let error = turns(&items, 1).unwrap_err().openai().error;
        assert_eq!(error.param.as_deref(), Some("previous_response_id"));
    }

    #[test]
    fn items_keep_their_ids_and_get_one_where_they_have_none() {
        let items = json!([{"role": "user", "content": "x", "id": "mine"}, {"role": "user", "content": "y"}]);
        let items = read(Some(from_value(items).unwrap()), "s").unwrap();
        assert_eq!(items.iter().map(ResponseItem::id).collect::<Vec<_>>(), ["mine", "msg_s_in1"]);
    }
}
