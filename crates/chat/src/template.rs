//! A compiled chat template.

use std::{ops::Range, thread};

use minijinja::{
    Environment, ErrorKind, UndefinedBehavior, Value, context,
    syntax::SyntaxConfig,
    value::{Serde, merge_maps},
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    date,
    literal::{self, Names},
    python,
};

/// What one rendering may use beside what its input pays for: about one unit a step and one for 64 bytes that are written
/// or built. Real templates take a few thousand, so this is 50 times that, or 12.8 MB. Lists that hold themselves twice
/// over, again and again, are the one thing that it does not bound.
const FUEL: u64 = 200_000;

/// Bytes of the messages and variables that add one unit, so that a long conversation with many tools does not run out.
const BYTES_PER_FUEL: usize = 2;

/// Fuel that each message adds.
const FUEL_PER_MESSAGE: u64 = 1000;

/// The most that a rendering gets, however long its input: 38 MB, or a thousand bytes of [`STACK`] for each list that it
/// may put into another.
const MOST_FUEL: u64 = 600_000;

/// Depth of macro calls.
const RECURSION: usize = 64;

/// Longest template, in bytes. Those in use are below 20 kB.
const MOST_BYTES: usize = 1 << 16;

/// Stack for compiling and rendering, which both recurse as deep as the template nests. Only what is used is ever touched.
const STACK: usize = 512 << 20;

/// The name under which the one template of an environment is kept; errors give it with the line.
const NAME: &str = "chat template";

/// A compiled chat template.
pub struct Template {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
    special: Names,
}

/// What the template is told beside the messages.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// End with the opening of the model's turn.
    pub add_generation_prompt: bool,
    /// Now, in seconds since 1970, for templates that tell the model the date.
    pub unix_time: u64,
}

/// A prompt.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The whole prompt.
    pub text: String,
    /// Byte ranges of it that hold names of special tokens which a caller wrote; they stay text.
    pub literal: Vec<Range<usize>>,
}

/// Why there is no prompt.
#[derive(Debug, Error)]
pub enum Error {
    /// The template refuses the messages (`raise_exception`): the caller's fault.
    #[error("{0}")]
    Raised(String),
    /// Turns do not fit together: the caller's fault.
    #[error("messages[{index}].{field}: {message}")]
    Message {
        /// Which turn, from 0.
        index: usize,
        /// Which part of it, as OpenAI's API names it.
        field: String,
        /// What was found.
        message: String,
    },
    /// The template itself does not work.
    #[error("the chat template cannot be used: {0}")]
    Template(String),
    /// The template takes too many steps or builds too much text for such an input.
    #[error(
        "the chat template was stopped after {fuel} steps and pieces of 64 bytes, far more than any real one takes"
    )]
    Exhausted {
        /// What it was given.
        fuel: u64,
    },
}

impl Template {
    /// Compiles `source`, Jinja as `transformers` defines it for chat templates.
    ///
    /// `bos` and `eos` are the texts of those tokens; `special` the names of all special tokens.
    ///
    /// # Errors
    /// [`Error::Template`] when the source is too long or no Jinja; the message gives the line.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>, special: Vec<String>) -> Result<Self, Error> {
        if source.len() > MOST_BYTES {
            let message = format!("it has {} bytes, more than the {MOST_BYTES} that are accepted", source.len());
            return Err(Error::Template(message));
        }
        let environment = with_stack(|| compile(source))?;
        let special = Names::new(&special)?;
        Ok(Self { environment, bos: bos.map(str::to_owned), eos: eos.map(str::to_owned), special })
    }

    /// Renders `messages`, each a map with `role`, `content` and whatever else the template knows.
    ///
    /// # Errors
    /// [`Error::Raised`] when the template refuses the messages, and the others when it does not work.
    pub fn render<M: Serialize>(&self, messages: &[M], options: &Options) -> Result<Rendered, Error> {
        self.render_with(messages, &context! {}, options)
    }

    /// Renders a conversation with more `variables` than the usual ones: a map with `tools`, `documents`,
    /// `enable_thinking` or whatever the template knows. They do not replace the usual ones.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_with<M: Serialize, V: Serialize>(
        &self,
        messages: &[M],
        variables: &V,
        options: &Options,
    ) -> Result<Rendered, Error> {
        let turns = messages.len() as u64;
        let mut size = 0;
        let messages = self.special.mark(&Value::from(Serde(messages)), &mut size);
        let variables = self.special.mark(&Value::from(Serde(variables)), &mut size);
        let fuel = (FUEL + turns * FUEL_PER_MESSAGE + (size / BYTES_PER_FUEL) as u64).min(MOST_FUEL);
        let unix_time = options.unix_time;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        environment.add_function("strftime_now", move |format: &str| {
            date::strftime(unix_time, format)
                .map_err(|problem| minijinja::Error::new(ErrorKind::InvalidOperation, problem))
        });
        let usual = context! {
            messages,
            add_generation_prompt => options.add_generation_prompt,
            bos_token => self.bos.as_deref().unwrap_or_default(),
            eos_token => self.eos.as_deref().unwrap_or_default(),
        };
        // Templates ask whether these are none, not whether they are defined. Of two maps the later one wins.
        let absent = context! { tools => (), documents => () };
        let context = merge_maps([absent, variables, usual]);
        let marked = with_stack(move || {
            let outcome = environment.get_template(NAME).and_then(|template| template.render(context));
            outcome.map_err(|error| reason(&error, fuel))
        })?;
        let (text, literal) = literal::unmark(&marked);
        Ok(Rendered { text, literal })
    }
}

fn compile(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| reason(&error, 0))?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_recursion_limit(RECURSION);
    environment.set_unknown_method_callback(python::method);
    environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, String::new()).with_source(Raised(message)))
    });
    environment.add_filter("tojson", python::to_json);
    environment.add_filter("length", python::length);
    environment.add_filter("count", python::length);
    environment.add_test("iterable", python::is_iterable);
    environment.add_test("sequence", python::is_sequence);
    environment.add_template_owned(NAME, without_generation_tags(source)).map_err(|error| reason(&error, 0))?;
    Ok(environment)
}

/// Runs `work` with [`STACK`].
fn with_stack<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("chat template".into()).stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| Error::Template(format!("no thread to run it: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(Error::Template("its interpreter panicked".into())))
    })
}

/// `transformers` marks the model's turns for training with `{% generation %}`; for rendering it means nothing.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        rest = tag;
        let Some((inside, behind)) = tag.split_once("%}") else { break };
        let replacement = match inside.trim_matches(['-', '+']).trim() {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => continue,
        };
        let name = inside.trim_matches(['-', '+']).trim();
        out.push_str(&inside.replace(name, &format!(" {replacement} ")));
        out.push_str("%}");
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// What `raise_exception` says, on its way out of the template.
#[derive(Debug, Error)]
#[error("{0}")]
struct Raised(String);

fn reason(error: &minijinja::Error, fuel: u64) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref::<Raised>() {
            return Error::Raised(literal::unmark(message).0);
        }
        if let Some(error) = error.downcast_ref::<minijinja::Error>()
            && error.kind() == ErrorKind::OutOfFuel
        {
            return Error::Exhausted { fuel };
        }
        cause = error.source();
    }
    Error::Template(literal::unmark(&error.to_string()).0)
}
