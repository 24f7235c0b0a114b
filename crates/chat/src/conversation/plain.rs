//! Tools, calls and results in words, for templates that know nothing of them.

use serde_json::json;

use super::{Message, Role, Tool, fit::append};

/// Tells a model which tools there are and how it calls them.
pub(super) fn instructions(tools: &[Tool]) -> String {
    let mut text =
        String::from("You have tools. Each is described by a JSON object, its parameters by a JSON schema:\n");
    for tool in tools {
        let tool = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
        text.push_str(&format!("{tool}\n"));
    }
    text.push_str(
        "\nTo call a tool, answer with nothing but a JSON object like this, one on each line for each call:\n\
         {\"name\": \"name of the tool\", \"arguments\": {\"name of a parameter\": \"its value\"}}\n\
         You will be told what the tool answered. Without need of a tool, answer in plain text.",
    );
    text
}

/// Turns without calls and results: what was called stands in the assistant's turns, what came of it in the user's.
pub(super) fn calls_as_text(messages: Vec<Message>) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len());
    // The last turn holds results. Speakers have to alternate in most of these templates, so the user goes on in it.
    let mut results = false;
    for mut message in messages {
        for call in std::mem::take(&mut message.calls) {
            // Checked before; a text that is no JSON would be shown as one.
            let arguments = serde_json::from_str(&call.arguments).unwrap_or(json!(call.arguments));
            let line = json!({"name": call.name, "arguments": arguments}).to_string();
            if !message.content.is_empty() {
                message.content.push('\n');
            }
            message.content.push_str(&line);
        }
        let is_result = message.role == Role::Tool;
        if is_result {
            let name = message.name.take().unwrap_or_default();
            message = Message::new(Role::User, format!("The tool {name} answered:\n{}", message.content));
        }
        match turns.last_mut() {
            Some(last) if last.role == message.role && (is_result || results) => {
                append(&mut last.content, &message.content);
            }
            _ => turns.push(message),
        }
        results = is_result;
    }
    turns
}
