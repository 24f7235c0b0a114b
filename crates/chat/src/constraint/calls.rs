//! Holds an answer to tool calls, in the notation of the model's family.
//!
//! What is written here is what `answer::calls` reads: a call of a known tool with arguments of its schema.

use serde_json::{Map, Value, json};

use super::{
    Form, Refusal, Vocabulary,
    grammar::{Grammar, literal},
};

/// Most calls in one answer.
const MOST_CALLS: usize = 32;

/// Whether an answer calls tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Calling {
    /// As the model likes.
    #[default]
    Free,
    /// At least one.
    Required,
    /// This one, once.
    Named(String),
}

/// A tool, as far as its calls are held to something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Callable {
    pub(crate) name: String,
    /// The schema of its arguments; absent: any object.
    pub(crate) schema: Option<Value>,
}

/// How a family writes calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notation {
    /// Before the first call; empty where nothing marks one.
    pub(crate) open: &'static str,
    /// Between calls.
    pub(crate) between: &'static str,
    /// Behind the last call.
    pub(crate) close: &'static str,
    /// Before a tool's name.
    pub(crate) name: &'static str,
    /// Between the name and the arguments.
    pub(crate) arguments: Arguments,
    /// Behind the arguments.
    pub(crate) end: &'static str,
}

/// How arguments are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arguments {
    /// As JSON, behind this text.
    Json(&'static str),
    /// As one tag each.
    Tags {
        /// Behind the tool's name.
        behind_name: &'static str,
        /// Before an argument's name.
        open: &'static str,
        /// Behind the name of one that is text.
        text: &'static str,
        /// Behind the name of one that is JSON.
        json: &'static str,
        /// Behind a value. Its first two characters end a text.
        close: &'static str,
    },
    /// As Gemma does, with this quote around texts.
    Gemma(&'static str),
}

/// What is asked of an answer's calls.
pub(crate) struct Demand<'a> {
    pub(crate) calling: &'a Calling,
    /// At most one call.
    pub(crate) one: bool,
    /// What the answer is where it calls nothing; absent: any text.
    pub(crate) otherwise: Option<&'a Form>,
}

/// The grammar of an answer that may call `tools`, or has to.
pub(crate) fn grammar(
    notation: Notation,
    tools: &[Callable],
    demand: &Demand<'_>,
    vocabulary: &Vocabulary,
) -> Result<Grammar, Refusal> {
    let mut writer = Writer { grammar: Grammar::new(), vocabulary, rules: 0 };
    let named = |tool: &&Callable| match demand.calling {
        Calling::Named(name) => tool.name == *name,
        Calling::Free | Calling::Required => true,
    };
    let mut calls = Vec::new();
    for tool in tools.iter().filter(named) {
        calls.push(writer.call(notation, tool)?);
    }
    if calls.is_empty() {
        return Err(Refusal::Form("no tool can be called".into()));
    }
    let call = writer.rule(&calls.join(" | "));
    let one = demand.one || matches!(demand.calling, Calling::Named(_));
    let more = if one {
        String::new()
    } else {
        let between = writer.text(notation.between);
        format!(" ({between} {call}){{0,{}}}", MOST_CALLS - 1)
    };
    let close = writer.text(notation.close);
    let behind_open = writer.rule(&format!("{call}{more} {close}"));
    let open = writer.text(notation.open);
    let calls = format!("{open} {behind_open}");
    let start = match (demand.calling, demand.otherwise) {
        (Calling::Required | Calling::Named(_), _) => calls,
        (Calling::Free, Some(form)) => {
            let otherwise = writer.grammar.form(form)?;
            if otherwise.is_empty() {
                return Err(Refusal::Form("a grammar of its own cannot stand beside tools".into()));
            }
            format!("{calls} | {otherwise}")
        }
        (Calling::Free, None) => writer.text_or_calls(notation.open, &open, &behind_open),
    };
    writer.grammar.rule("start", &start);
    Ok(writer.grammar)
}

/// The grammar of a call in OpenAI's harmony format, behind `<|start|>assistant`, or of a final message.
pub(crate) fn harmony(tools: &[Callable], demand: &Demand<'_>, vocabulary: &Vocabulary) -> Result<Grammar, Refusal> {
    const CALL: Notation = Notation {
        open: "<|channel|>commentary to=functions.",
        between: "",
        close: "",
        name: "",
        arguments: Arguments::Json(" <|constrain|>json<|message|>"),
        end: "",
    };
    let mut writer = Writer { grammar: Grammar::new(), vocabulary, rules: 0 };
    let named = |tool: &&Callable| !matches!(demand.calling, Calling::Named(name) if tool.name != *name);
    let mut ways = Vec::new();
    for tool in tools.iter().filter(named) {
        ways.push(writer.call(CALL, tool)?);
    }
    if ways.is_empty() {
        return Err(Refusal::Form("no tool can be called".into()));
    }
    let open = writer.text(CALL.open);
    let mut start = format!("{open} ({})", ways.join(" | "));
    if *demand.calling == Calling::Free {
        let last = writer.text("<|channel|>final<|message|>");
        let said = match demand.otherwise {
            Some(form) => writer.grammar.form(form)?,
            None => "/(?s:.+)/".into(),
        };
        start = format!("{start} | {last} {said}");
    }
    writer.grammar.rule("start", &start);
    Ok(writer.grammar)
}

/// Writes the rules of a grammar.
struct Writer<'a> {
    grammar: Grammar,
    vocabulary: &'a Vocabulary,
    rules: usize,
}

impl Writer<'_> {
    /// Adds a rule; its name.
    fn rule(&mut self, body: &str) -> String {
        let name = format!("c{}", self.rules);
        self.rules += 1;
        self.grammar.rule(&name, body);
        name
    }

    /// A text, with the special tokens whose names stand in it.
    fn text(&self, text: &str) -> String {
        let parts = self.vocabulary.parts(text).into_iter().map(|part| match part {
            Ok(token) => format!("<[{token}]>"),
            Err(text) => literal(text),
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    fn call(&mut self, notation: Notation, tool: &Callable) -> Result<String, Refusal> {
        let before = self.text(&format!("{}{}", notation.name, tool.name));
        let arguments = match notation.arguments {
            Arguments::Json(behind_name) => {
                let any = json!({"type": "object"});
                let schema = self.grammar.schema(tool.schema.as_ref().unwrap_or(&any))?;
                format!("{} {schema}", self.text(behind_name))
            }
            Arguments::Tags { .. } => self.tags(notation.arguments, tool)?,
            Arguments::Gemma(quote) => match &tool.schema {
                Some(schema) => self.gemma(schema, schema, quote, 0)?,
                None => self.gemma_object(quote),
            },
        };
        let end = self.text(notation.end);
        Ok(self.rule(&format!("{before} {arguments} {end}")))
    }

    /// Arguments as tags, in the order of the schema.
    fn tags(&mut self, arguments: Arguments, tool: &Callable) -> Result<String, Refusal> {
        let Arguments::Tags { behind_name, open, text, json, close } = arguments else { return Ok(String::new()) };
        let empty = json!({});
        let schema = tool.schema.as_ref().unwrap_or(&empty);
        only_properties(schema)?;
        let no_properties = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&no_properties);
        let mut out = self.text(behind_name);
        for (name, property) in properties {
            let end = self.text(close);
            let tag = if is_text(property) {
                let before = self.text(&format!("{open}{name}{text}"));
                format!("{before} {}", self.tag_text(property, close)?)
            } else {
                // What the property refers to is found where it was.
                let mut value = property.clone();
                if let (Value::Object(map), Some(definitions)) = (&mut value, schema.get("$defs")) {
                    map.insert("$defs".into(), definitions.clone());
                }
                let value = self.grammar.schema(&value)?;
                format!("{} {value} {end}", self.text(&format!("{open}{name}{json}")))
            };
            let tag = self.rule(&tag);
            let optional = if is_required(schema, name) { "" } else { "?" };
            out.push_str(&format!(" {tag}{optional}"));
        }
        Ok(out)
    }

    /// A text up to and including the tag behind it.
    fn tag_text(&mut self, schema: &Value, close: &str) -> Result<String, Refusal> {
        if let Some(choices) = choices(schema) {
            let choices: Vec<String> =
                choices.iter().map(|choice| literal(choice)).filter(|text| !text.is_empty()).collect();
            return Ok(format!("({}) {}", choices.join(" | "), self.text(close)));
        }
        unlimited(schema)?;
        // A special token in the tag cannot be part of the expression that ends there.
        let (mark, rest) = close.split_at(close.char_indices().nth(2).map_or(close.len(), |(at, _)| at));
        let name = self.lazy_rule(&format!("/(?s:.*){mark}/", mark = mark.replace('/', "\\/")));
        Ok(format!("{name} {}", self.text(rest)))
    }

    /// A rule whose expression ends as early as it can.
    fn lazy_rule(&mut self, body: &str) -> String {
        let name = format!("c{}", self.rules);
        self.rules += 1;
        self.grammar.rule(&format!("{name}[lazy]"), body);
        name
    }

    /// A value in Gemma's notation.
    fn gemma(&mut self, schema: &Value, root: &Value, quote: &'static str, depth: usize) -> Result<String, Refusal> {
        if depth > 16 {
            return Err(Refusal::Limit("its schema nests deeper than this model's notation is held to".into()));
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            let target =
                target.ok_or_else(|| Refusal::Form(format!("`$ref` refers to {reference:?}, which is not there")))?;
            return self.gemma(target, root, quote, depth + 1);
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            let options = options.iter().map(|option| self.gemma(option, root, quote, depth + 1));
            return Ok(format!("({})", options.collect::<Result<Vec<_>, _>>()?.join(" | ")));
        }
        let mark = self.text(quote);
        if let Some(choices) = choices(schema) {
            let choices: Vec<String> =
                choices.iter().map(|choice| format!("{mark} {} {mark}", literal(choice))).collect();
            return Ok(format!("({})", choices.join(" | ")));
        }
        for keyword in [
            "allOf",
            "oneOf",
            "enum",
            "const",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "minItems",
            "maxItems",
            "prefixItems",
            "patternProperties",
        ] {
            if schema.get(keyword).is_some() {
                return Err(in_this_notation(keyword));
            }
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => {
                unlimited(schema)?;
                Ok(self.gemma_text(quote))
            }
            Some("integer") => Ok("/-?(0|[1-9][0-9]{0,17})/".into()),
            Some("number") => Ok("/-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?/".into()),
            Some("boolean") => Ok("(\"true\" | \"false\")".into()),
            Some("null") => Ok("\"null\"".into()),
            Some("array") => {
                let any = json!({});
                let item = self.gemma(schema.get("items").unwrap_or(&any), root, quote, depth + 1)?;
                let item = self.rule(&item);
                Ok(format!("\"[\" ({item} (\",\" {item})*)? \"]\""))
            }
            Some("object") if schema.get("properties").is_some() => {
                only_properties(schema)?;
                let properties = schema["properties"].as_object().cloned().unwrap_or_default();
                let mut required = Vec::new();
                let mut optional = Vec::new();
                for (name, property) in &properties {
                    let value = self.gemma(property, root, quote, depth + 1)?;
                    let pair = self.rule(&format!("{} {value}", literal(&format!("{name}:"))));
                    if is_required(schema, name) { required.push(pair) } else { optional.push(pair) }
                }
                let inside = match required.is_empty() {
                    false => {
                        let optional: String = optional.iter().map(|pair| format!(" (\",\" {pair})?")).collect();
                        format!("{}{optional}", required.join(" \",\" "))
                    }
                    // Any of them may come first.
                    true => {
                        let ways = (0..optional.len()).map(|at| {
                            let rest: String =
                                optional[at + 1..].iter().map(|pair| format!(" (\",\" {pair})?")).collect();
                            format!("{}{rest}", optional[at])
                        });
                        format!("({})?", ways.collect::<Vec<_>>().join(" | "))
                    }
                };
                let inside = if properties.is_empty() { String::new() } else { inside };
                Ok(format!("\"{{\" {inside} \"}}\""))
            }
            Some("object") => Ok(self.gemma_object(quote)),
            Some(_) | None if schema.get("type").is_some() => Err(in_this_notation("type")),
            _ => {
                let object = self.gemma_object(quote);
                let text = self.gemma_text(quote);
                Ok(format!("({object} | {text} | /-?[0-9]{{1,18}}/ | \"true\" | \"false\" | \"null\")"))
            }
        }
    }

    fn gemma_text(&mut self, quote: &str) -> String {
        let mark = self.text(quote);
        match self.vocabulary.special(quote) {
            Some(_) => format!("{mark} /(?s:.*)/ {mark}"),
            None => {
                let text = self.lazy_rule(&format!("/(?s:.*){}/", quote.replace('|', "\\|")));
                format!("{mark} {text}")
            }
        }
    }

    /// An object of texts and numbers.
    fn gemma_object(&mut self, quote: &str) -> String {
        let text = self.gemma_text(quote);
        let pair = self.rule(&format!(
            "/[A-Za-z_][A-Za-z0-9_]{{0,63}}:/ ({text} | /-?[0-9]{{1,18}}/ | \"true\" | \"false\" | \"null\")"
        ));
        self.rule(&format!("\"{{\" ({pair} (\",\" {pair}){{0,32}})? \"}}\""))
    }

    /// Calls, or text in which none begins, or both: text first.
    fn text_or_calls(&mut self, open: &str, open_rule: &str, behind_open: &str) -> String {
        if open.is_empty() {
            // An answer that begins as a call is one.
            return format!("{behind_open} | /[^\\s{{\\[`](?s:.*)/");
        }
        let first = self.vocabulary.parts(open).into_iter().next();
        match first {
            // Text cannot hold a special token.
            Some(Ok(_)) => format!("/(?s:.+)/ | /(?s:.*)/ {open_rule} {behind_open}"),
            _ => {
                let mark: String = open
                    .chars()
                    .map(|c| if c.is_alphanumeric() { c.to_string() } else { format!("\\x{{{:x}}}", u32::from(c)) })
                    .collect();
                let head = self.lazy_rule(&format!("/(?s:.*){mark}/"));
                self.grammar.rule("PLAIN", &format!("/(?s:.+)/ & ~/(?s:.*){mark}(?s:.*)/"));
                format!("PLAIN | {head} {behind_open}")
            }
        }
    }
}

/// The texts that a schema allows, if it lists them.
fn choices(schema: &Value) -> Option<Vec<String>> {
    let listed = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(list)), _) => list.clone(),
        (_, Some(text)) => vec![text.clone()],
        _ => return None,
    };
    listed.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn is_text(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "string") || choices(schema).is_some()
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|required| required == name))
}

/// A text in a notation without quotes, or with others than JSON's, is free.
fn unlimited(schema: &Value) -> Result<(), Refusal> {
    match ["minLength", "maxLength", "pattern", "format"].iter().find(|keyword| schema.get(keyword).is_some()) {
        Some(keyword) => Err(in_this_notation(keyword)),
        None => Ok(()),
    }
}

/// An object is its properties, and nothing says more about them.
fn only_properties(schema: &Value) -> Result<(), Refusal> {
    let keywords =
        ["allOf", "anyOf", "oneOf", "$ref", "patternProperties", "minProperties", "maxProperties", "if", "not"];
    match keywords.iter().find(|keyword| schema.get(keyword).is_some()) {
        Some(keyword) => Err(in_this_notation(keyword)),
        None => Ok(()),
    }
}

fn in_this_notation(keyword: &str) -> Refusal {
    Refusal::Form(format!("the keyword `{keyword}` is not supported in this model's notation of calls"))
}
