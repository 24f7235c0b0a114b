//! Calls in the notations of the families: what the grammar lets a model write, the parser reads as calls of the tools.

use chat::{Calling, Chat, Conversation, Delta, Demand, Message, Prompt, Role, Tool};
use serde_json::json;

use super::*;

/// A template of each family, by its file.
const TEMPLATES: [&str; 17] = [
    "openai-gpt-oss-120b",
    "google-gemma-4-31B-it",
    "deepseek-ai-DeepSeek-V3.2",
    "deepseek-ai-DeepSeek-V3.1",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "moonshotai-Kimi-K2",
    "MiniMax-M2",
    "ByteDance-Seed-OSS",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "unsloth-mistral-Devstral-Small-2507",
    "Qwen3-Coder",
    "Qwen-Qwen3-0.6B",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "ibm-granite-granite-3.3-2B-Instruct",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
    "meta-llama-Llama-3.1-8B-Instruct",
    "google-gemma-2-2b-it",
];

fn tools(strict: bool) -> Vec<Tool> {
    let weather = json!({
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "days": {"type": "integer"},
        },
        "required": ["city", "days"],
        "additionalProperties": false,
    });
    let tool = |name: &str, parameters| Tool { name: name.into(), description: None, parameters, strict };
    vec![
        tool("get_weather", Some(weather)),
        tool("stop-all", Some(json!({"type": "object", "properties": {}, "additionalProperties": false}))),
    ]
}

fn prompt(template: &str, strict: bool) -> Prompt {
    let path = format!("{}/tests/fixtures/llama.cpp/templates/{template}.jinja", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let chat = Chat::new(&source, Some("<s>"), Some("</s>"), Vec::new()).unwrap();
    let messages = vec![Message::new(Role::User, "Weather?")];
    let conversation = Conversation { messages, tools: tools(strict), ..Conversation::default() };
    chat.render(&conversation, 0).unwrap()
}

/// Calls and text that were read.
fn read(prompt: &Prompt, text: &str) -> (Vec<(String, String)>, String) {
    let mut parser = prompt.parser();
    let mut deltas = parser.push(text);
    deltas.extend(parser.finish());
    let (mut calls, mut said) = (Vec::new(), String::new());
    for delta in deltas {
        match delta {
            Delta::Call { name } => calls.push((name, String::new())),
            Delta::Arguments(more) => calls.last_mut().unwrap().1.push_str(&more),
            Delta::Text(text) => said.push_str(&text),
            Delta::Reasoning(_) => {}
        }
    }
    (calls, said)
}

fn check_call((name, arguments): &(String, String), text: &str) {
    let tools = tools(true);
    let tool = tools.iter().find(|tool| tool.name == *name).unwrap_or_else(|| panic!("{name} in {text}"));
    let arguments: Value =
        serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{error}: {arguments} in {text}"));
    let schema = tool.parameters.as_ref().unwrap();
    assert!(validate::is_valid(schema, &arguments), "{arguments} in {text}");
}

/// The marks of a prompt that are special tokens in its model, or none of them.
fn special(prompt: &Prompt, any: bool) -> Vec<&'static str> {
    let marks = ["<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|constrain|>", "｜DSML｜"];
    let own = prompt.marks().into_iter().filter(|mark| {
        let brackets = [("<|", "|>"), ("<｜", "｜>"), ("[", "]"), ("<|", ">")];
        brackets.iter().any(|(open, close)| mark.starts_with(open) && mark.ends_with(close)) && !mark.contains("DSML")
    });
    // Without a token of its own, the end of the reasoning, or of a text, is never found by chance.
    let thinks =
        |mark: &&str| mark.to_lowercase().contains("think") || ["<channel|>", "<|\"|>", "<escape>"].contains(mark);
    let mut all: Vec<&str> = marks.into_iter().chain(own).filter(|mark| any || thinks(mark)).collect();
    all.extend(prompt.marks().into_iter().filter(thinks));
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn required_calls_are_read_as_calls_in_every_notation() {
    for template in TEMPLATES {
        let prompt = prompt(template, false);
        for any in [true, false] {
            if !any && template.starts_with("openai") {
                continue; // its reasoning ends with a mark of the format
            }
            let special = special(&prompt, any);
            let compiler = compiler_with(&special);
            for (calling, one_call) in
                [(Calling::Required, false), (Calling::Required, true), (Calling::Named("get_weather".into()), false)]
            {
                let demand = Demand { form: None, calling: calling.clone(), one_call };
                let held = prompt.hold(&compiler, 0, &demand).unwrap_or_else(|error| panic!("{template}: {error:?}"));
                let held = held.expect("a call is demanded");
                let dice = &mut Dice(5);
                let mut complete = 0;
                for _ in 0..12 {
                    let (text, ended) = babble_with(&held, &special, dice, 1500);
                    if !ended {
                        continue;
                    }
                    complete += 1;
                    let (calls, said) = read(&prompt, &text);
                    assert!(!calls.is_empty() && said.trim().is_empty(), "{template} {any}: {said:?} in {text}");
                    calls.iter().for_each(|call| check_call(call, &text));
                    assert!(calls.len() == 1 || !one_call && calling == Calling::Required, "{template}: {text}");
                    let named = matches!(calling, Calling::Required) || calls[0].0 == "get_weather";
                    assert!(named, "{template}: {text}");
                }
                assert!(complete >= 3, "{template} {any}: only {complete} answers came to an end");
            }
        }
    }
}

#[test]
fn strict_tools_leave_text_free_and_hold_calls() {
    for template in TEMPLATES {
        let prompt = prompt(template, true);
        let special = special(&prompt, true);
        let compiler = compiler_with(&special);
        let held =
            prompt.hold(&compiler, 0, &Demand::default()).unwrap_or_else(|error| panic!("{template}: {error:?}"));
        let held = held.expect("strict tools are held");
        let dice = &mut Dice(9);
        for _ in 0..12 {
            let (text, ended) = babble_with(&held, &special, dice, 600);
            if ended {
                read(&prompt, &text).0.iter().for_each(|call| check_call(call, &text));
            }
        }
    }
}

#[test]
fn a_form_beside_tools_is_a_call_or_the_form() {
    let prompt = prompt("Qwen-Qwen3-0.6B", false);
    let special = special(&prompt, true);
    let demand = Demand { form: Some(Form::Schema(json!({"const": "done"}))), ..Demand::default() };
    let held = prompt.hold(&compiler_with(&special), 0, &demand).unwrap().unwrap();
    let dice = &mut Dice(1);
    let (mut called, mut said) = (0, 0);
    for _ in 0..40 {
        let (text, ended) = babble_with(&held, &special, dice, 600);
        if !ended {
            continue;
        }
        let (calls, answer) = read(&prompt, &text);
        match calls.is_empty() {
            true => {
                assert_eq!(answer, "\"done\"");
                said += 1;
            }
            false => called += 1,
        }
    }
    assert!(called > 0 && said > 0, "{called} {said}");
}

#[test]
fn a_strict_schema_that_cannot_be_honoured_is_refused_and_another_loosened() {
    let schema = json!({"type": "object", "properties": {"a": {"not": {}}}});
    for strict in [true, false] {
        let source = "{% for m in messages %}{{ m.content }}{% endfor %}<tool_call>{{ tools }}";
        let chat = Chat::new(source, None, None, Vec::new()).unwrap();
        let tool = Tool { name: "f".into(), description: None, parameters: Some(schema.clone()), strict };
        let messages = vec![Message::new(Role::User, "x")];
        let prompt = chat.render(&Conversation { messages, tools: vec![tool], ..Conversation::default() }, 0).unwrap();
        let demand = Demand { calling: Calling::Required, ..Demand::default() };
        match prompt.hold(&compiler(), 0, &demand) {
            Err((fault, refusal)) => {
                assert!(
                    strict && fault == chat::Fault::Tool("f".into()) && refusal.to_string().contains("`not`"),
                    "{refusal}"
                );
            }
            Ok(held) => assert!(!strict && held.is_some()),
        }
    }
}
