//! Fits a conversation to what a template can place.

use std::collections::HashMap;

use super::{
    Call, Conversation, Message, Role,
    abilities::{Abilities, Ids},
    plain,
};
use crate::Error;

/// A conversation that a template can place.
pub(super) struct Fitted {
    pub(super) messages: Vec<Message>,
    /// Instructions were moved.
    pub(super) merged_system: bool,
}

/// Checks that the turns fit together, and rewrites those that the template has no place for.
pub(super) fn fit(conversation: &Conversation, abilities: &Abilities) -> Result<Fitted, Error> {
    let mut messages = answered(&conversation.messages)?;
    // A template without tools may know calls, but a model that is told of its tools in words calls in words.
    if abilities.calls && (abilities.tools || conversation.tools.is_empty()) {
        renumber(&mut messages, abilities.ids);
        if !abilities.several_calls {
            messages = one_call_a_turn(messages);
        }
    } else {
        messages = plain::calls_as_text(messages);
    }
    if !abilities.tools && !conversation.tools.is_empty() {
        messages.insert(0, Message::new(Role::System, plain::instructions(&conversation.tools)));
        // The caller's own instructions come first, and one turn holds both.
        if messages.get(1).is_some_and(|message| message.role == Role::System) {
            let own = messages.remove(0).content;
            append(&mut messages[0].content, &own);
        }
    }
    let has_system = conversation.messages.iter().any(|message| message.role == Role::System);
    let merged_system = place_systems(&mut messages, abilities) && has_system;
    Ok(Fitted { messages, merged_system })
}

/// The turns, each tool's answer with the tool's name.
fn answered(messages: &[Message]) -> Result<Vec<Message>, Error> {
    let fault = |index: usize, field: String, message: String| Error::Message { index, field, message };
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut turns = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let mut turn = message.clone();
        for (position, call) in turn.calls.iter_mut().enumerate() {
            // Clients write nothing where there are no arguments.
            if call.arguments.trim().is_empty() {
                call.arguments = "{}".into();
            }
            let field = format!("tool_calls[{position}].function.arguments");
            match serde_json::from_str::<serde_json::Value>(&call.arguments) {
                Ok(serde_json::Value::Object(_)) => {}
                Ok(_) => return Err(fault(index, field, "the arguments of a call must be a JSON object".into())),
                Err(error) => return Err(fault(index, field, format!("the arguments of a call are no JSON: {error}"))),
            }
        }
        names.extend(message.calls.iter().map(|call| (call.id.as_str(), call.name.as_str())));
        if message.role == Role::Tool {
            let id = message.call_id.as_deref().unwrap_or_default();
            let Some(name) = names.get(id) else {
                let message = format!("no earlier turn of the assistant has a call with the id {id:?}");
                return Err(fault(index, "tool_call_id".into(), message));
            };
            turn.name = Some((*name).to_owned());
        }
        turns.push(turn);
    }
    Ok(turns)
}

/// Gives calls ids of the kind that the template takes, unless all are of it. They are numbered, so that they stay as a
/// conversation grows, and its prompt keeps its beginning.
fn renumber(messages: &mut [Message], ids: Ids) {
    let calls: Vec<Call> = messages.iter().flat_map(|message| message.calls.clone()).collect();
    let fits = |call: &Call| match ids {
        Ids::Any => true,
        Ids::Nine => call.id.len() == 9 && call.id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        Ids::Named => call.id.starts_with(&format!("functions.{}:", call.name)),
    };
    if calls.iter().all(fits) {
        return;
    }
    let numbers: HashMap<&str, String> =
        calls.iter().enumerate().map(|(number, call)| (call.id.as_str(), ids.numbered(number, &call.name))).collect();
    for message in messages {
        let own = message.calls.iter_mut().map(|call| &mut call.id);
        for id in own.chain(&mut message.call_id) {
            if let Some(number) = numbers.get(id.as_str()) {
                id.clone_from(number);
            }
        }
    }
}

/// Turns with several calls become several turns, each followed by the answer to its call.
fn one_call_a_turn(messages: Vec<Message>) -> Vec<Message> {
    let mut turns = Vec::with_capacity(messages.len());
    let mut messages = messages.into_iter().peekable();
    while let Some(message) = messages.next() {
        if message.calls.len() < 2 {
            turns.push(message);
            continue;
        }
        let mut results = Vec::new();
        while let Some(result) = messages.next_if(|message| message.role == Role::Tool) {
            results.push(result);
        }
        let mut first = Some(Message { calls: Vec::new(), ..message.clone() });
        for call in message.calls {
            let empty = || Message::new(Role::Assistant, "");
            let id = call.id.clone();
            turns.push(Message { calls: vec![call], ..first.take().unwrap_or_else(empty) });
            let (own, others) = results.into_iter().partition(|result| result.call_id.as_deref() == Some(&id));
            let own: Vec<Message> = own;
            turns.extend(own);
            results = others;
        }
        turns.extend(results);
    }
    turns
}

/// Moves instructions that the template cannot place to the first turn, or into the first turn of the user. True when
/// something was moved.
fn place_systems(messages: &mut Vec<Message>, abilities: &Abilities) -> bool {
    let leading = messages.iter().take_while(|message| message.role == Role::System).count();
    let stays = |index: usize| match index {
        0 => abilities.system,
        _ if index < leading => abilities.second_system,
        _ => abilities.late_system,
    };
    let mut moved = false;
    let mut instructions = String::new();
    let mut rest = Vec::with_capacity(messages.len());
    for (index, message) in std::mem::take(messages).into_iter().enumerate() {
        if message.role == Role::System && !stays(index) {
            append(&mut instructions, &message.content);
            moved = true;
        } else {
            rest.push(message);
        }
    }
    if !moved {
        *messages = rest;
        return false;
    }
    match rest.first_mut() {
        Some(first) if first.role == Role::System => append(&mut first.content, &instructions),
        _ if abilities.system => rest.insert(0, Message::new(Role::System, instructions)),
        _ => match rest.iter_mut().find(|message| message.role == Role::User) {
            Some(user) => {
                append(&mut instructions, &user.content);
                user.content = instructions;
            }
            None => rest.insert(0, Message::new(Role::User, instructions)),
        },
    }
    *messages = rest;
    true
}

/// Adds a paragraph.
pub(super) fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}
