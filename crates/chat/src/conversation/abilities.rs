//! What a chat template can do, found out by rendering small conversations and looking for their words.

use minijinja::{Value, context, value::Serde};
use serde::Serialize;

use super::{Call, Message, Role, Tool};
use crate::{Options, Template};

/// What a template can place, and in which form it wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Instructions in the first turn.
    pub(super) system: bool,
    /// Further instructions directly behind those.
    pub(super) second_system: bool,
    /// Instructions between turns.
    pub(super) late_system: bool,
    /// A list of tools.
    pub(super) tools: bool,
    /// Calls and their results.
    pub(super) calls: bool,
    /// Several calls in one turn.
    pub(super) several_calls: bool,
    /// The ids of calls.
    pub(super) ids: Ids,
    /// The form in which calls are placed.
    form: Form,
    /// What is said and what was thought in one turn with calls.
    text_beside_reasoning: bool,
}

/// Which ids of calls a template takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// Any.
    Any,
    /// Nine letters and digits, as Mistral's.
    Nine,
    /// `functions.NAME:NUMBER`, as Kimi's, which show no other name.
    Named,
}

impl Ids {
    /// The id of the call number `number`, counted from 0.
    pub(super) fn numbered(self, number: usize, name: &str) -> String {
        match self {
            Self::Any => format!("call_{number:024}"),
            Self::Nine => format!("{:09}", number + 1),
            Self::Named => format!("functions.{name}:{number}"),
        }
    }
}

/// How a turn with calls is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    /// What stands for content that is empty.
    empty: Empty,
    /// Arguments are a text rather than an object.
    arguments_as_text: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    Text,
    Null,
    Absent,
}

/// Words that no template holds.
const FIRST: &str = "qzfirst";
const SYSTEM: &str = "qzsystem";
const TOOL: &str = "qztool";
const OTHER_TOOL: &str = "qzother";
const ARGUMENT: &str = "qzargument";
const RESULT: &str = "qzresult";

impl Abilities {
    /// Tries a template out.
    pub(super) fn of(template: &Template) -> Self {
        let places = |messages: &[&Message], with_tool: bool, words: &[&str]| {
            let messages: Vec<Value> = messages.iter().map(|message| write(message, Form::COMMON)).collect();
            let text = render(template, &messages, with_tool);
            text.is_some_and(|text| words.iter().all(|word| text.contains(word)))
        };
        let turn = |role, content: &str| Message::new(role, content);
        let (first, system) = (turn(Role::System, FIRST), turn(Role::System, SYSTEM));
        let (user, assistant) = (turn(Role::User, "a"), turn(Role::Assistant, "b"));
        let ways = [Ids::Any, Ids::Nine, Ids::Named].into_iter().flat_map(|ids| Form::ALL.map(|form| (ids, form)));
        let way = ways.into_iter().find(|(ids, form)| form.works(template, &[TOOL], *ids));
        let (ids, form) = way.unwrap_or((Ids::Any, Form::COMMON));
        Self {
            system: places(&[&system, &user], false, &[SYSTEM]),
            second_system: places(&[&first, &system, &user], false, &[FIRST, SYSTEM]),
            late_system: places(&[&first, &user, &assistant, &system, &user], false, &[FIRST, SYSTEM]),
            tools: places(&[&system, &user], true, &[TOOL]) || places(&[&user], true, &[TOOL]),
            calls: way.is_some(),
            several_calls: way.is_some() && form.works(template, &[TOOL, OTHER_TOOL], ids),
            text_beside_reasoning: way.is_some() && form.works_beside_reasoning(template, ids),
            ids,
            form,
        }
    }

    /// The same, with all instructions in front.
    pub(super) fn with_one_system(self) -> Self {
        Self { second_system: false, late_system: false, ..self }
    }

    /// A turn as the template wants it.
    pub(super) fn message(&self, message: &Message) -> Value {
        match &message.reasoning {
            // What was said before a call is a part of the reasoning there.
            Some(reasoning) if !self.text_beside_reasoning && !message.calls.is_empty() => {
                let reasoning = Some(format!("{reasoning}\n\n{}", message.content).trim_end().to_owned());
                write(&Message { reasoning, content: String::new(), ..message.clone() }, self.form)
            }
            _ => write(message, self.form),
        }
    }
}

impl Form {
    /// The most common one.
    const COMMON: Self = Self { empty: Empty::Text, arguments_as_text: false };

    /// All forms, those first that more templates expect.
    const ALL: [Self; 6] = [
        Self::COMMON,
        Self { empty: Empty::Null, arguments_as_text: false },
        Self { empty: Empty::Absent, arguments_as_text: false },
        Self { empty: Empty::Text, arguments_as_text: true },
        Self { empty: Empty::Null, arguments_as_text: true },
        Self { empty: Empty::Absent, arguments_as_text: true },
    ];

    /// Whether all of a turn with calls of `tools` and of their results is rendered, and no null.
    fn works(self, template: &Template, tools: &[&str], ids: Ids) -> bool {
        let mut messages = turns_with_calls(tools, ids);
        let Some(text) = self.render(template, &messages) else { return false };
        let nulls = |text: &str| text.matches("None").count() + text.matches("none").count();
        messages[1].content = "b".into();
        let fewest = self.render(template, &messages).map_or(0, |text| nulls(&text));
        let shows = |tool: &str| {
            let words = [format!("{ARGUMENT}{tool}"), format!("{RESULT}{tool}")];
            words.iter().all(|word| text.contains(word.as_str()))
        };
        messages.truncate(2);
        // The name stands in the call itself, not only beside the result. It is a part of its argument here too.
        let calls = self.render(template, &messages).unwrap_or(text.clone());
        let named = |tool: &str| calls.matches(tool).count() > 1;
        tools.iter().all(|tool| named(tool)) && tools.iter().all(|tool| shows(tool)) && nulls(&text) <= fewest
    }

    /// Whether a turn may hold text and reasoning too.
    fn works_beside_reasoning(self, template: &Template, ids: Ids) -> bool {
        let mut messages = turns_with_calls(&[TOOL], ids);
        messages[1].content = "b".into();
        messages[1].reasoning = Some("c".into());
        self.render(template, &messages).is_some()
    }

    fn render(self, template: &Template, messages: &[Message]) -> Option<String> {
        let messages: Vec<Value> = messages.iter().map(|message| write(message, self)).collect();
        render(template, &messages, false)
    }
}

/// A question, a turn with a call of each tool, and the results.
fn turns_with_calls(tools: &[&str], ids: Ids) -> Vec<Message> {
    let calls: Vec<Call> =
        tools.iter().enumerate().map(|(number, name)| call(name, ids.numbered(number, name))).collect();
    let result = |call: &Call| Message {
        call_id: Some(call.id.clone()),
        name: Some(call.name.clone()),
        ..Message::new(Role::Tool, format!("{RESULT}{}", call.name))
    };
    let results: Vec<Message> = calls.iter().map(result).collect();
    let mut messages = vec![Message::new(Role::User, "a"), Message { calls, ..Message::new(Role::Assistant, "") }];
    messages.extend(results);
    messages
}

fn call(name: &str, id: String) -> Call {
    Call { id, name: name.to_owned(), arguments: format!("{{\"key\": \"{ARGUMENT}{name}\"}}") }
}

fn render(template: &Template, messages: &[Value], with_tool: bool) -> Option<String> {
    let declared = Tool {
        strict: false,
        name: TOOL.to_owned(),
        description: Some("b".to_owned()),
        parameters: serde_json::from_str(
            r#"{"type":"object","properties":{"key":{"type":"string","description":"c"}},"required":["key"]}"#,
        )
        .ok(),
    };
    let tools = with_tool.then(|| context! { tools => [tool(&declared)] });
    let options = Options { add_generation_prompt: true, unix_time: 0 };
    template.render_with(messages, &tools.unwrap_or_else(|| context! {}), &options).ok().map(|rendered| rendered.text)
}

/// A tool as OpenAI's API describes it, which is what templates expect.
pub(super) fn tool(tool: &Tool) -> Value {
    #[derive(Serialize)]
    struct Function<'a> {
        name: &'a str,
        /// Some templates add it to a text without a look, so it is there even where it says nothing.
        description: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<&'a serde_json::Value>,
    }
    let function = Function {
        name: &tool.name,
        description: tool.description.as_deref().unwrap_or_default(),
        parameters: tool.parameters.as_ref(),
    };
    // Not by `context!`, to which a keyword of Rust's is no name.
    Value::from_pairs([("type", Value::from("function")), ("function", Value::from(Serde(function)))])
}

/// A turn as templates expect it: what is not there has no key.
fn write(message: &Message, form: Form) -> Value {
    let mut pairs: Vec<(&str, Value)> = vec![("role", message.role.as_str().into())];
    match form.empty {
        _ if !message.content.is_empty() || message.calls.is_empty() => {
            pairs.push(("content", message.content.as_str().into()));
        }
        Empty::Text => pairs.push(("content", "".into())),
        Empty::Null => pairs.push(("content", ().into())),
        Empty::Absent => {}
    }
    if let Some(reasoning) = message.reasoning.as_deref().filter(|reasoning| !reasoning.is_empty()) {
        // Both names are in use; the reference renderer gives both too.
        pairs.extend([("reasoning_content", reasoning.into()), ("thinking", reasoning.into())]);
    }
    if !message.calls.is_empty() {
        let calls: Vec<Value> = message.calls.iter().map(|call| write_call(call, form.arguments_as_text)).collect();
        pairs.push(("tool_calls", calls.into()));
    }
    if let Some(id) = &message.call_id {
        pairs.push(("tool_call_id", id.as_str().into()));
    }
    if let Some(name) = &message.name {
        pairs.push(("name", name.as_str().into()));
    }
    Value::from_pairs(pairs)
}

fn write_call(call: &Call, arguments_as_text: bool) -> Value {
    let object = if arguments_as_text { None } else { serde_json::from_str::<Value>(&call.arguments).ok() };
    let arguments = object.unwrap_or_else(|| call.arguments.as_str().into());
    let function = Value::from_pairs([("name", call.name.as_str().into()), ("arguments", arguments)]);
    Value::from_pairs([("id", call.id.as_str().into()), ("type", "function".into()), ("function", function)])
}
