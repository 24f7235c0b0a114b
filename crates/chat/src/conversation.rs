//! A conversation: turns, the tools that the model may call, and what it thought.

mod abilities;
mod fit;
mod plain;

use std::ops::Range;

use minijinja::{Value, context, value::merge_maps};

use crate::constraint::{
    Calling, Compiler, Form, Grammar, Held, Refusal,
    calls::{self, Callable},
};
use crate::{Closing, Dialect, Error, Options, Parser, Rendered, Template, ToolSignature};
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
    /// Most tokens that it shall think, for those templates that tell the model. Nothing here keeps it.
    pub budget: Option<u32>,
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
    /// Whether its arguments are held to the schema in any case.
    pub strict: bool,
}

/// What an answer is held to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Demand {
    /// Its form, where it calls no tools.
    pub form: Option<Form>,
    /// Whether it calls tools.
    pub calling: Calling,
    /// At most one call.
    pub one_call: bool,
}

/// What is at fault when an answer cannot be held to a demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The form.
    Form,
    /// The schema of this tool.
    Tool(String),
    /// The tools together.
    Tools,
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
    declared: Vec<Tool>,
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
            declared: conversation.tools.clone(),
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
        if let Some(thinking_budget) = conversation.budget {
            variables = merge_maps([context! { thinking_budget }, variables]);
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

    /// Whether the model may call anything.
    pub fn has_tools(&self) -> bool {
        !self.declared.is_empty()
    }

    /// Whether calls are held to something.
    pub fn holds_calls(&self, calling: &Calling, one_call: bool) -> bool {
        let strict = self.declared.iter().any(|tool| tool.strict);
        self.has_tools() && (strict || one_call || *calling != Calling::Free)
    }

    /// Holds answers to this prompt to what is demanded of them, behind the reasoning; `None` when that is nothing. Blocks
    /// while it is compiled.
    ///
    /// # Errors
    /// As [`Compiler::text`], and whose fault it is.
    pub fn hold(&self, compiler: &Compiler, salt: u64, demand: &Demand) -> Result<Option<Held>, (Fault, Refusal)> {
        let vocabulary = compiler.vocabulary();
        let calls = self.has_tools();
        if demand.form.is_none() && !self.holds_calls(&demand.calling, demand.one_call) {
            return Ok(None);
        }
        let before = self.dialect.before(&self.text, calls, vocabulary);
        if !calls {
            let Some(form) = &demand.form else { return Ok(None) };
            let held = Grammar::of(form).and_then(|grammar| compiler.compile(salt, &grammar, before));
            return held.map(Some).map_err(|refusal| (Fault::Form, refusal));
        }
        if let Some(form) = &demand.form {
            // What is wrong with the form alone is told as such.
            compiler.text(salt, form).map_err(|refusal| (Fault::Form, refusal))?;
        }
        let asked = calls::Demand { calling: &demand.calling, one: demand.one_call, otherwise: demand.form.as_ref() };
        let compile = |tools: &[Callable]| {
            let grammar = self.dialect.calls(tools, &asked, vocabulary)?;
            compiler.compile(salt, &grammar, before.clone())
        };
        let callable = |tool: &Tool| Callable { name: tool.name.clone(), schema: tool.parameters.clone() };
        let mut tools: Vec<Callable> = self.declared.iter().map(callable).collect();
        let refusal = match compile(&tools) {
            Ok(held) => return Ok(Some(held)),
            Err(refusal) => refusal,
        };
        // Which of the tools is at fault? One that is not strict may be called with any arguments then.
        let mut loosened = false;
        for (index, declared) in self.declared.iter().enumerate() {
            let alone = calls::Demand { calling: &Calling::Required, one: true, otherwise: None };
            let grammar = self.dialect.calls(&tools[index..=index], &alone, vocabulary);
            if let Err(refusal) = grammar.and_then(|grammar| compiler.compile(salt, &grammar, before.clone())) {
                if declared.strict {
                    return Err((Fault::Tool(declared.name.clone()), refusal));
                }
                tools[index].schema = None;
                loosened = true;
            }
        }
        if !loosened {
            return Err((Fault::Tools, refusal));
        }
        compile(&tools).map(Some).map_err(|refusal| (Fault::Tools, refusal))
    }

    /// What ends the reasoning in an answer to this prompt, which may be `held` to a form, where it did not end by itself;
    /// `None` where the model does not reason.
    pub fn closing(&self, held: bool) -> Option<Closing> {
        self.dialect.closing(!self.tools.is_empty(), held)
    }

    /// Reads one answer to this prompt.
    pub fn parser(&self) -> Parser {
        self.dialect.parser(&self.text, self.tools.clone())
    }
}
