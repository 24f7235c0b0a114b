//! Templates against what the reference renderer (`transformers`) makes of them.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use chat::{Error, Options, Template};
use minijinja::Value;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Fixture {
    templates: BTreeMap<String, (String, String, Vec<String>)>,
    conversations: HashMap<String, Vec<Value>>,
    variables: HashMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: String,
    variables: String,
    add_generation_prompt: bool,
    text: Option<String>,
    raised: Option<String>,
}

/// Templates in the style of model families, with the cases that try them hardest.
const OWN: &str = "";

/// The templates of real models, as llama.cpp collects them.
const LLAMA_CPP: &str = "llama.cpp";

/// Where the reference fails on what ours lets pass: a loop over tools that are none, a filter's result as JSON.
const LENIENT: [&str; 5] = [
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "LFM2.5-8B-A1B",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "llama-cpp-deepseek-r1",
];

/// Where the reference writes `&#39;` for an apostrophe, because of a `safe` that the template's author did not mean so.
const ESCAPED: &str = "meetkai-functionary-medium-v3.1";

fn folder(set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(set)
}

fn fixture(set: &str) -> Fixture {
    serde_json::from_str(&fs::read_to_string(folder(set).join("cases.json")).unwrap()).unwrap()
}

fn template(set: &str, fixture: &Fixture, name: &str) -> Template {
    let path = folder(set).join("templates").join(format!("{name}.jinja"));
    let source = fs::read_to_string(path).unwrap();
    let (bos, eos, special) = &fixture.templates[name];
    Template::new(&source, Some(bos), Some(eos), special.clone()).unwrap()
}

#[track_caller]
fn check(set: &str, at_least: usize) {
    let fixture = fixture(set);
    let templates: HashMap<&str, Template> =
        fixture.templates.keys().map(|name| (name.as_str(), template(set, &fixture, name))).collect();
    assert!(fixture.cases.len() >= at_least);
    let mut faults = Vec::new();
    for case in &fixture.cases {
        let messages = &fixture.conversations[&case.conversation];
        let options = Options { add_generation_prompt: case.add_generation_prompt, unix_time: 1_700_000_000 };
        let rendered =
            templates[case.template.as_str()].render_with(messages, &fixture.variables[&case.variables], &options);
        let right = match (&rendered, &case.text, &case.raised) {
            (Ok(rendered), Some(text), _) if rendered.text == *text => true,
            (Err(Error::Raised(message)), _, Some(raised)) => message == raised,
            (Err(Error::Template(_)), None, None) => true,
            (Ok(_), None, None) => LENIENT.contains(&case.template.as_str()),
            (Ok(rendered), Some(text), _) => {
                case.template == ESCAPED
                    && rendered.text
                        == text
                            .replace("&#39;", "'")
                            .replace("&#34;", "\"")
                            .replace("&lt;", "<")
                            .replace("&gt;", ">")
                            .replace("&amp;", "&")
            }
            _ => false,
        };
        if !right {
            let Case { template, conversation, variables, .. } = case;
            let expect = case.text.as_ref().or(case.raised.as_ref());
            faults.push(format!("{template}, {conversation}, {variables}:\n{rendered:?}\n{expect:?}"));
        }
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), fixture.cases.len(), faults.join("\n\n"));
}

#[test]
fn all_cases_are_as_the_reference_renders_them() {
    check(OWN, 330);
}

#[test]
fn templates_of_real_models_are_as_the_reference_renders_them() {
    check(LLAMA_CPP, 1330);
}

/// Every special token in a prompt is either the template's or literal, and callers' ones are all literal.
#[test]
fn special_tokens_of_the_caller_are_literal() {
    let fixture = fixture(OWN);
    for case in fixture.cases.iter().filter(|case| case.conversation == "special" && case.text.is_some()) {
        if case.template == "python" {
            continue;
        }
        let special = &fixture.templates[&case.template].2;
        let template = template(OWN, &fixture, &case.template);
        let options = Options { add_generation_prompt: case.add_generation_prompt, unix_time: 1_700_000_000 };
        let count = |text: &str| special.iter().map(|name| text.matches(name.as_str()).count()).sum::<usize>();
        let render = |messages: &[Value]| template.render(messages, &options).unwrap();
        let hostile = &fixture.conversations["special"];
        let rendered = render(hostile);
        // The same conversation with harmless contents: what is left is the template's own.
        let harmless: Vec<Value> = hostile
            .iter()
            .map(|message| Value::from_pairs([("role", message.get_attr("role").unwrap()), ("content", "x".into())]))
            .collect();
        let own = count(&render(&harmless).text);
        let literal: usize = rendered.literal.iter().map(|range| count(&rendered.text[range.clone()])).sum();
        assert_eq!(count(&rendered.text), own + literal, "{}", case.template);
        assert_eq!(literal, rendered.literal.len(), "{}", case.template);
        assert!(literal > 0 || case.template == "gemma", "{}", case.template);
    }
}

#[test]
fn what_raise_exception_says_is_the_callers_text_without_marks() {
    let source = "{{ raise_exception('not ' + messages[0].content) }}";
    let template = Template::new(source, None, None, vec!["<|end|>".into()]).unwrap();
    let messages = [json!({"role": "user", "content": "<|end|>"})];
    let error = template.render(&messages, &Options::default()).unwrap_err();
    assert!(matches!(&error, Error::Raised(message) if message == "not <|end|>"), "{error}");
}
