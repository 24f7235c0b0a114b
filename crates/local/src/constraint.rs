//! The form that an answer is held to, from the request to the engine.

use std::sync::{Arc, OnceLock};

use chat::{Calling, Compiler, Demand, Fault, Held, Refusal, Vocabulary};
use inference::{Error, Form, Input, Request, ToolChoice};
use text::Tokenizer;

use crate::masks::Masks;

/// Threads that compute masks, for all answers of a model. They run beside the forward passes, so few of them are enough.
const THREADS: usize = 2;

/// What a request asks of its answers.
pub(crate) struct Demands {
    form: Option<inference::Constraint>,
    calling: Calling,
    one_call: bool,
}

impl Demands {
    /// Takes the demands out of a request.
    pub fn take(request: &mut Request) -> Self {
        let (calling, one_call) = match &request.input {
            Input::Chat(chat) => {
                let calling = match &chat.tool_choice {
                    ToolChoice::Auto | ToolChoice::None => Calling::Free,
                    ToolChoice::Required => Calling::Required,
                    ToolChoice::Named(name) => Calling::Named(name.clone()),
                };
                (calling, chat.one_call)
            }
            Input::Text(_) | Input::Tokens(_) | Input::Gap { .. } => (Calling::Free, false),
        };
        Self { form: request.constraint.take(), calling, one_call }
    }

    /// The parameter that a limit is told of under.
    pub fn parameter(&self) -> &str {
        self.form.as_ref().map_or("tool_choice", |form| &form.parameter)
    }

    /// Whether anything is asked.
    pub fn ask(&self, chat: Option<&chat::Prompt>) -> bool {
        let calls = |chat: &chat::Prompt| chat.has_tools() && chat.holds_calls(&self.calling, self.one_call);
        self.form.is_some() || chat.is_some_and(calls)
    }
}

/// Compiles the forms of one model's requests.
pub(crate) struct Constraints {
    tokenizer: Arc<Tokenizer>,
    /// Made for the first form. `None` where no token ends an answer, so that none could be complete.
    compiler: OnceLock<Option<Compiler>>,
    masks: OnceLock<Masks>,
}

/// A form that was compiled, for the choices of one request.
pub(crate) struct Constraint {
    held: Held,
    masks: Masks,
    parameter: String,
}

impl Constraints {
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, compiler: OnceLock::new(), masks: OnceLock::new() }
    }

    /// Compiles what is asked for, of a conversation behind its reasoning. Blocks.
    pub fn compile(
        &self,
        demands: &Demands,
        chat: Option<&chat::Prompt>,
        salt: u64,
    ) -> Result<Option<Constraint>, Error> {
        let parameter = demands.parameter();
        let form = demands.form.as_ref().map(|form| convert(form.form.clone())).transpose();
        let form = form.map_err(|refusal| refused(parameter, refusal))?;
        let demand = Demand { form, calling: demands.calling.clone(), one_call: demands.one_call };
        let compiler = self.compiler.get_or_init(|| compiler(&self.tokenizer)).as_ref();
        let compiler = compiler.ok_or_else(|| {
            let message = "this model's answers cannot be held to a form: its tokenizer names no token that ends them";
            Error::invalid(parameter, message)
        })?;
        let held = match (chat, &demand.form) {
            (Some(prompt), _) => prompt.hold(compiler, salt, &demand),
            (None, Some(form)) => compiler.text(salt, form).map(Some).map_err(|refusal| (Fault::Form, refusal)),
            (None, None) => Ok(None),
        };
        let held = held.map_err(|(fault, refusal)| match fault {
            Fault::Form => refused(parameter, refusal),
            Fault::Tool(name) => refused("tools", prefixed(refusal, &format!("the schema of the tool `{name}`: "))),
            Fault::Tools => refused("tools", refusal),
        })?;
        let masks = || self.masks.get_or_init(|| Masks::start(THREADS)).clone();
        Ok(held.map(|held| Constraint { held, masks: masks(), parameter: parameter.to_owned() }))
    }
}

/// A refusal, of what a parameter asks for.
fn refused(parameter: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Internal => Error::Internal,
        Refusal::Form(message) | Refusal::Limit(message) => {
            Error::invalid(parameter, format!("{parameter} cannot be honoured: {message}"))
        }
    }
}

fn prefixed(refusal: Refusal, prefix: &str) -> Refusal {
    match refusal {
        Refusal::Form(message) => Refusal::Form(format!("{prefix}{message}")),
        Refusal::Limit(message) => Refusal::Limit(format!("{prefix}{message}")),
        Refusal::Internal => Refusal::Internal,
    }
}

impl Constraint {
    /// Holds one more choice to it; `failure` gets what makes that fail.
    pub fn begin(&self, failure: Arc<OnceLock<Error>>) -> Box<dyn engine::Constraint> {
        Box::new(self.masks.constraint(self.held.matcher(), self.parameter.clone(), failure))
    }
}

fn compiler(tokenizer: &Tokenizer) -> Option<Compiler> {
    let token = |token| (tokenizer.token_bytes(token).unwrap_or_default(), tokenizer.is_special(token));
    let vocabulary = Vocabulary::new((0..tokenizer.vocabulary()).map(token), tokenizer.end_tokens());
    vocabulary.map(Compiler::new)
}

/// A form in the words of `chat`.
fn convert(form: Form) -> Result<chat::Form, Refusal> {
    Ok(match form {
        Form::JsonObject => chat::Form::JsonObject,
        Form::JsonSchema(text) => {
            let schema = serde_json::from_str(&text);
            chat::Form::Schema(schema.map_err(|error| Refusal::Form(format!("the schema is no JSON: {error}")))?)
        }
        Form::Regex(regex) => chat::Form::Regex(regex),
        Form::Choice(choices) => chat::Form::Choice(choices),
        Form::Lark(grammar) => chat::Form::Lark(grammar),
        Form::Gbnf(grammar) => chat::Form::Gbnf(grammar),
    })
}
