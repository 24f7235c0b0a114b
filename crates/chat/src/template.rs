//! A compiled chat template.

use std::ops::Range;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context, syntax::SyntaxConfig, value::Kwargs};
use serde::Serialize;
use thiserror::Error;

use crate::literal;

/// Steps that one rendering may take. Real templates take a few thousand.
const FUEL: u64 = 2_000_000;

/// Depth of macro calls and includes.
const RECURSION: usize = 64;

/// Longest template, in bytes. Those in use are below 20 kB.
const MOST_BYTES: usize = 1 << 20;

/// The name under which the one template of an environment is kept.
const NAME: &str = "chat";

/// A compiled chat template.
pub struct Template {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
    special: Vec<String>,
}

/// One turn.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `system`, `user` or `assistant`.
    pub role: &'a str,
    /// The turn's text.
    pub content: &'a str,
    /// The speaker's name, where there is one.
    pub name: Option<&'a str>,
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
    /// The template itself does not work, or takes too long.
    #[error("the chat template cannot be used: {0}")]
    Template(String),
}

impl Template {
    /// Compiles `source`, Jinja as `transformers` defines it for chat templates.
    ///
    /// `bos` and `eos` are the texts of those tokens; `special` the names of all special tokens.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>, special: Vec<String>) -> Result<Self, Error> {
        if source.len() > MOST_BYTES {
            let message = format!("it has {} bytes, more than the {MOST_BYTES} that are accepted", source.len());
            return Err(Error::Template(message));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| Error::Template(error.to_string()))?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, String::new()).with_source(Raised(message)))
        });
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| Error::Template(error.to_string()))?;
        Ok(Self { environment, bos: bos.map(str::to_owned), eos: eos.map(str::to_owned), special })
    }

    /// Renders a conversation.
    pub fn render(&self, messages: &[Message<'_>], options: &Options) -> Result<Rendered, Error> {
        let messages: Value = messages.iter().map(|message| self.turn(message)).collect();
        let days = i64::try_from(options.unix_time / 86_400).unwrap_or(0);
        let mut environment = self.environment.clone();
        environment.add_function("strftime_now", move |format: String| date(days, &format));
        let template = environment.get_template(NAME).map_err(|error| Error::Template(error.to_string()))?;
        let marked = template
            .render(context! {
                messages,
                add_generation_prompt => options.add_generation_prompt,
                bos_token => self.bos.as_deref().unwrap_or_default(),
                eos_token => self.eos.as_deref().unwrap_or_default(),
            })
            .map_err(|error| reason(&error))?;
        let (text, literal) = literal::unmark(&marked);
        Ok(Rendered { text, literal })
    }
}

impl Template {
    /// A turn as the template sees it, with the caller's special-token names marked.
    fn turn(&self, message: &Message<'_>) -> Value {
        let content = literal::mark(message.content, &self.special);
        let fields = [("role", message.role.to_owned()), ("content", content)];
        Value::from_pairs(fields.into_iter().chain(message.name.map(|name| ("name", name.to_owned()))))
    }
}

/// What `raise_exception` says, on its way out of the template.
#[derive(Debug, Error)]
#[error("{0}")]
struct Raised(String);

fn reason(error: &minijinja::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref::<Raised>() {
            return Error::Raised(message.clone());
        }
        cause = error.source();
    }
    Error::Template(error.to_string())
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=…)`.
fn to_json(value: Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let fault = |error: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut out = Vec::new();
    match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent.min(16));
            let format = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, format)).map_err(fault)?;
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)).map_err(fault)?,
    }
    String::from_utf8(out).map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Python's separators: `, ` and `: `.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// `strftime` with the fields that templates use, for the day that is `days` after 1970-01-01.
fn date(days: i64, format: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    // Civil date of a day count: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let name = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default();
    format
        .replace("%d", &format!("{day:02}"))
        .replace("%m", &format!("{month:02}"))
        .replace("%Y", &year.to_string())
        .replace("%B", name)
        .replace("%b", name.get(..3).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, content: &str) -> Result<Rendered, Error> {
        let template = Template::new(source, Some("<s>"), Some("</s>"), vec!["<|end|>".into()])?;
        let messages = [Message { role: "user", content, name: None }];
        template.render(&messages, &Options { add_generation_prompt: true, unix_time: 1_700_000_000 })
    }

    #[test]
    fn special_tokens_of_the_caller_are_told_from_those_of_the_template() {
        let source = "{% for m in messages %}{{ m.content | trim }}<|end|>\n{% endfor %}";
        let rendered = render(source, " a<|end|>b ").unwrap();
        assert_eq!(rendered.text, "a<|end|>b<|end|>\n");
        assert_eq!(rendered.literal, vec![1..8]);
    }

    #[test]
    fn a_raised_exception_keeps_its_message() {
        let error = render("{{ raise_exception('roles must alternate') }}", "x").unwrap_err();
        assert!(matches!(error, Error::Raised(message) if message == "roles must alternate"));
    }

    #[test]
    fn python_methods_json_and_dates_work_as_in_python() {
        let source =
            "{{ messages[0].content.strip().upper() }} {{ {'a': [1, 'é']} | tojson }} {{ strftime_now('%d %b %Y') }}";
        assert_eq!(render(source, " x ").unwrap().text, "X {\"a\": [1, \"é\"]} 14 Nov 2023");
    }

    #[test]
    fn a_template_that_does_not_end_is_stopped() {
        let source = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(matches!(render(source, "x"), Err(Error::Template(_))));
        assert!(Template::new("{% for %}", None, None, vec![]).is_err());
    }
}
