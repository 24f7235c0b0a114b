//! A conversation: turns, the tools that the model may call, and what it thought.

mod abilities;
mod fit;
mod plain;

use std::ops::Range;

use minijinja::{Value, context, value::merge_maps};

use crate::{Dialect, Error, Options, Parser, Rendered, Template, ToolSignature};
use abilities::Abilities;

/// A conversation that is to be continued.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The turns so far, oldest first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model shall think first; `None` leaves that to its template.
    pub thinking: Option<bool>,
    /// How much it shall think, in the template's own words, such as `low`.
    pub effort: Option<String>,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, or what a tool answered.
    pub content: String,
    /// The speaker's name, where there is one.
    pub name: Option<String>,
    /// What the model thought before it said this.
    pub reasoning: Option<String>,
    /// The tools that the model calls in this turn.
    pub calls: Vec<Call>,
    /// The call that a tool answers.
    pub call_id: Option<String>,
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// A tool that was called.
    Tool,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Names this call; the tool's answer says the same.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// A JSON object, as text.
    pub arguments: String,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The tool's name.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub parameters: Option<serde_json::Value>,
}

impl Message {
    /// A turn that only says something.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), name: None, reasoning: None, calls: Vec::new(), call_id: None }
    }
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

impl Tool {
    /// What a parser must know of the tool.
    fn signature(&self) -> ToolSignature {
        let properties = self.parameters.as_ref().and_then(|schema| schema["properties"].as_object());
        let other = properties.into_iter().flatten().filter(|(_, schema)| !may_be_text(schema));
        ToolSignature { name: self.name.clone(), other_than_text: other.map(|(name, _)| name.clone()).collect() }
    }
}

/// Whether a value of this schema may be a text. What a reference refers to is not looked up; it is seldom a text.
fn may_be_text(schema: &serde_json::Value) -> bool {
    use serde_json::Value;
    let any = |list: &[Value], test: fn(&Value) -> bool| list.iter().any(test);
    match (&schema["type"], &schema["enum"]) {
        (Value::String(kind), _) => kind == "string",
        (Value::Array(kinds), _) => any(kinds, |kind| kind == "string"),
        (_, Value::Array(values)) => any(values, Value::is_string),
        _ => match schema.get("anyOf").or(schema.get("oneOf")) {
            Some(Value::Array(schemas)) => any(schemas, may_be_text),
            _ => schema.get("$ref").is_none() && schema.get("allOf").is_none(),
        },
    }
}

/// A chat template with what it can and cannot do, which is found out once by trying.
pub struct Chat {
    template: Template,
    dialect: Dialect,
    abilities: Abilities,
}

/// A prompt, and what is needed to read its answer.
#[derive(Debug)]
pub struct Prompt {
    /// The whole prompt.
    pub text: String,
    /// Byte ranges of it that hold names of special tokens which a caller wrote; they stay text.
    pub literal: Vec<Range<usize>>,
    /// Instructions of the system were moved, because the template cannot place them where they stood.
    pub merged_system: bool,
    dialect: Dialect,
    tools: Vec<ToolSignature>,
}

impl Chat {
    /// As [`Template::new`].
    ///
    /// # Errors
    /// As [`Template::new`].
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>, special: Vec<String>) -> Result<Self, Error> {
        let template = Template::new(source, bos, eos, special)?;
        let abilities = Abilities::of(&template);
        let dialect = Dialect::of(source);
        let dialect = if abilities.tools { dialect } else { dialect.with_plain_calls() };
        Ok(Self { template, dialect, abilities })
    }

    /// Renders a conversation up to the opening of the model's turn.
    ///
    /// What the template has no place for is said in text: tools in the instructions, calls and their results in turns.
    ///
    /// # Errors
    /// [`Error::Message`] when turns do not fit together, and those of [`Template::render`].
    pub fn render(&self, conversation: &Conversation, unix_time: u64) -> Result<Prompt, Error> {
        let fitted = fit::fit(conversation, &self.abilities)?;
        let (rendered, merged_system) = match self.place(&fitted.messages, conversation, unix_time) {
            // Other turns were tried out than these. With all instructions in front the template may accept them.
            Err(error @ Error::Raised(_)) => {
                let fitted = fit::fit(conversation, &self.abilities.clone().with_one_system())?;
                if !fitted.merged_system {
                    return Err(error);
                }
                (self.place(&fitted.messages, conversation, unix_time)?, true)
            }
            rendered => (rendered?, fitted.merged_system),
        };
        Ok(Prompt {
            text: rendered.text,
            literal: rendered.literal,
            merged_system,
            dialect: self.dialect,
            tools: conversation.tools.iter().map(Tool::signature).collect(),
        })
    }

    /// Renders turns that fit, with the tools and wishes of their conversation.
    fn place(&self, messages: &[Message], conversation: &Conversation, unix_time: u64) -> Result<Rendered, Error> {
        let options = Options { add_generation_prompt: true, unix_time };
        let mut variables = context! {};
        if self.abilities.tools && !conversation.tools.is_empty() {
            let tools: Vec<Value> = conversation.tools.iter().map(abilities::tool).collect();
            variables = merge_maps([context! { tools }, variables]);
        }
        if let Some(thinking) = conversation.thinking {
            variables = merge_maps([context! { enable_thinking => thinking, thinking }, variables]);
        }
        if let Some(reasoning_effort) = &conversation.effort {
            variables = merge_maps([context! { reasoning_effort }, variables]);
        }
        let messages: Vec<Value> = messages.iter().map(|message| self.abilities.message(message)).collect();
        self.template.render_with(&messages, &variables, &options)
    }
}

impl Prompt {
    /// The texts that have a meaning of their own in an answer. Special tokens whose names occur in them must reach the
    /// parser.
    pub fn marks(&self) -> Vec<&'static str> {
        self.dialect.marks(!self.tools.is_empty())
    }

    /// Reads one answer to this prompt.
    pub fn parser(&self) -> Parser {
        self.dialect.parser(&self.text, self.tools.clone())
    }
}
