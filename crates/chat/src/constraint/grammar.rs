//! What an answer is held to, as text that can be compiled.

use llguidance::{
    api::{GrammarWithLexer, TopLevelGrammar},
    regex_to_lark,
};
use serde_json::{Value, json};

use super::{Refusal, gbnf, schema};

/// Most bytes of a form, over all schemas and grammars of one request.
const MOST_BYTES: usize = 1 << 18;

/// Most brackets of a grammar that are open at one time.
const MOST_DEPTH: usize = 100;

/// Most choices, and most bytes of one.
const MOST_CHOICES: usize = 1000;

/// A form that a caller asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    /// JSON that validates against a schema.
    Schema(Value),
    /// A text that a regular expression matches as a whole, in the syntax of Rust's `regex` without anchors and look-around.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text of a grammar in Lark's syntax, whose first rule is `start`.
    Lark(String),
    /// A text of a grammar in llama.cpp's syntax, whose first rule is `root`.
    Gbnf(String),
}

/// A grammar in Lark's syntax, and the schemas that it names `@s0`, `@s1` and so on.
#[derive(Debug, Clone, PartialEq)]
pub struct Grammar {
    lark: String,
    schemas: Vec<Value>,
}

impl Grammar {
    /// The grammar of a form.
    ///
    /// # Errors
    /// When the form is malformed, too large, or asks for what is not supported.
    pub fn of(form: &Form) -> Result<Self, Refusal> {
        let mut grammar = Self::new();
        let body = grammar.form(form)?;
        if !body.is_empty() {
            grammar.rule("start", &body);
        }
        Ok(grammar)
    }

    /// No rules.
    pub(super) fn new() -> Self {
        Self { lark: String::new(), schemas: Vec::new() }
    }

    /// Adds a rule.
    pub(super) fn rule(&mut self, name: &str, body: &str) {
        self.lark.push_str(&format!("{name}: {body}\n"));
    }

    /// Adds a schema; what names it in a rule.
    pub(super) fn schema(&mut self, value: &Value) -> Result<String, Refusal> {
        self.schemas.push(schema::prepare(value)?);
        Ok(format!("@s{}", self.schemas.len() - 1))
    }

    /// Adds a form; what stands for it in a rule, or nothing when it brought the rule `start` itself.
    pub(super) fn form(&mut self, form: &Form) -> Result<String, Refusal> {
        match form {
            Form::JsonObject => self.schema(&json!({"type": "object"})),
            Form::Schema(value) => self.schema(value),
            Form::Regex(regex) => {
                if regex.is_empty() {
                    return Err(Refusal::Form("the regular expression is empty".into()));
                }
                Ok(format!("/{}/", regex_to_lark(unanchored(regex), "")))
            }
            Form::Choice(choices) => choice(choices),
            Form::Lark(text) => {
                bounded("the grammar", text)?;
                self.lark.push_str(text);
                self.lark.push('\n');
                Ok(String::new())
            }
            Form::Gbnf(text) => {
                bounded("the grammar", text)?;
                self.lark.push_str(&gbnf::to_lark(text)?);
                Ok(String::new())
            }
        }
    }

    /// All of it as one text, by which it is known.
    pub(super) fn key(&self) -> String {
        let schemas = self.schemas.iter().map(|schema| format!("\u{0}{schema}"));
        std::iter::once(self.lark.clone()).chain(schemas).collect()
    }

    /// In the library's words.
    pub(super) fn top_level(&self) -> Result<TopLevelGrammar, Refusal> {
        let bytes = self.key().len();
        if bytes > MOST_BYTES {
            return Err(Refusal::Limit(format!("it has {bytes} bytes, but {MOST_BYTES} are accepted")));
        }
        let start = GrammarWithLexer::from_lark(self.lark.clone());
        let schemas = self.schemas.iter().enumerate().map(|(number, schema)| GrammarWithLexer {
            name: Some(format!("s{number}")),
            ..GrammarWithLexer::from_json_schema(schema.clone())
        });
        Ok(TopLevelGrammar { grammars: std::iter::once(start).chain(schemas).collect(), max_tokens: None })
    }
}

/// A text in a rule.
pub(super) fn literal(text: &str) -> String {
    if text.is_empty() { String::new() } else { Value::from(text).to_string() }
}

/// The whole text is matched in any case, so anchors around it say nothing.
fn unanchored(regex: &str) -> &str {
    let regex = regex.strip_prefix('^').unwrap_or(regex);
    match regex.strip_suffix('$') {
        Some(inner) if !inner.ends_with('\\') => inner,
        _ => regex,
    }
}

fn choice(choices: &[String]) -> Result<String, Refusal> {
    if choices.is_empty() || choices.len() > MOST_CHOICES {
        let message = format!("there are {} choices, but it must be 1 to {MOST_CHOICES}", choices.len());
        return Err(Refusal::Form(message));
    }
    if choices.iter().any(String::is_empty) {
        return Err(Refusal::Form("a choice is an empty text".into()));
    }
    let literals: Vec<String> = choices.iter().map(|choice| literal(choice)).collect();
    Ok(format!("({})", literals.join(" | ")))
}

/// Refuses a text that is too long, or whose brackets are too deep: parsers recurse as deep.
fn bounded(what: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > MOST_BYTES {
        return Err(Refusal::Limit(format!("{what} has {} bytes, but {MOST_BYTES} are accepted", text.len())));
    }
    if depth(text) > MOST_DEPTH {
        return Err(Refusal::Limit(format!("{what} opens more than {MOST_DEPTH} brackets inside of each other")));
    }
    Ok(())
}

/// How deep brackets and negations of a grammar nest, those in literals left out.
fn depth(grammar: &str) -> usize {
    let (mut depth, mut deepest, mut negations) = (0_usize, 0, 0);
    let mut within = None;
    let mut bytes = grammar.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (within, byte) {
            (Some(_), b'\\') => drop(bytes.next()),
            (Some(end), _) => within = within.filter(|_| byte != end && byte != b'\n'),
            (None, b'/') if bytes.peek() == Some(&b'/') => within = Some(b'\n'),
            (None, b'#') => within = Some(b'\n'),
            (None, b'"' | b'/') => within = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        negations = if byte == b'~' { negations + 1 } else { 0 };
        deepest = deepest.max(depth + negations);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_brackets_outside_of_literals() {
        assert_eq!(depth(r#"start: ("(((" /[(]\/((/ [a ~~{"b"}]) # (((("#), 4);
        assert_eq!(depth(&"(".repeat(200)), 200);
        assert_eq!(depth(&format!("A: {}", "(\"[\")\n".repeat(200))), 1);
    }

    #[test]
    fn forms_that_say_nothing_or_too_much_are_refused() {
        let forms = [
            Form::Choice(vec![]),
            Form::Choice(vec![String::new()]),
            Form::Choice(vec!["a".into(); MOST_CHOICES + 1]),
            Form::Regex(String::new()),
            Form::Regex("a".repeat(MOST_BYTES + 1)),
            Form::Lark(format!("start: {}", "(".repeat(MOST_DEPTH + 1))),
        ];
        for (number, form) in forms.iter().enumerate() {
            assert!(Grammar::of(form).and_then(|grammar| grammar.top_level()).is_err(), "form {number}");
        }
    }

    #[test]
    fn anchors_around_the_whole_are_left_out() {
        assert_eq!(unanchored("^a$"), "a");
        assert_eq!(unanchored(r"a\$"), r"a\$");
    }
}
