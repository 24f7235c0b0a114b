//! Tools, their calls and results, and reasoning, in both families.

use inference::{ChatInput, Event, FinishReason, Input, Message, Role, Tool, ToolCall, ToolChoice};
use serde_json::{Value, json};

use crate::stage::{Script, Scripted, app, check, done, says, text};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn reasoning(text: &str) -> Event {
    Event::Reasoning { choice: 0, text: text.into() }
}

fn call(id: &str) -> Event {
    Event::ToolCall { choice: 0, id: id.into(), name: "get_weather".into() }
}

fn arguments(text: &str) -> Event {
    Event::Arguments { choice: 0, text: text.into() }
}

/// A model that thinks, speaks and calls a tool twice.
fn calls() -> Vec<Event> {
    vec![
        reasoning("Two "),
        reasoning("cities."),
        text(0, "I look."),
        call("call_1"),
        arguments("{\"city\":"),
        arguments("\"Ulm\"}"),
        call("call_2"),
        arguments("{}"),
        Event::Finished { choice: 0, reason: FinishReason::ToolCalls, stop: None },
        done(7, 9),
    ]
}

fn scripted(events: Vec<Event>) -> axum::Router {
    app(Scripted::once(Script::Events(events)))
}

fn ask(extra: Value) -> Value {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Weather?"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn openai_answers_with_calls_and_reasoning() {
    let answer = check(&scripted(calls()), "POST", CHAT, ask(json!({})), 200).await.json();
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}});
    let message = json!({"role": "assistant", "content": "I look.", "reasoning_content": "Two cities.",
        "tool_calls": [call("call_1", "{\"city\":\"Ulm\"}"), call("call_2", "{}")], "refusal": null});
    assert_eq!(answer["choices"][0]["message"], message);
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let silent = vec![
        self::call("call_1"),
        Event::Finished { choice: 0, reason: FinishReason::ToolCalls, stop: None },
        done(7, 9),
    ];
    let answer = check(&scripted(silent), "POST", CHAT, ask(json!({})), 200).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
}

#[tokio::test]
async fn anthropic_answers_with_blocks_in_their_order() {
    let answer = check(&scripted(calls()), "POST", MESSAGES, ask(json!({})), 200).await.json();
    let call = |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "get_weather", "input": input});
    let content = json!([
        {"type": "thinking", "thinking": "Two cities.", "signature": "unsigned"},
        {"type": "text", "text": "I look."},
        call("call_1", json!({"city": "Ulm"})),
        call("call_2", json!({})),
    ]);
    assert_eq!((&answer["content"], &answer["stop_reason"]), (&content, &json!("tool_use")));
}

#[tokio::test]
async fn a_call_that_was_cut_is_as_far_as_it_is() {
    let cut = || {
        let end = Event::Finished { choice: 0, reason: FinishReason::Length, stop: None };
        vec![call("call_1"), arguments("{\"city\":\"U"), end, done(7, 9)]
    };
    let answer = check(&scripted(cut()), "POST", CHAT, ask(json!({})), 200).await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["arguments"], "{\"city\":\"U");
    let answer = check(&scripted(cut()), "POST", MESSAGES, ask(json!({})), 200).await.json();
    assert_eq!((&answer["content"][0]["input"], &answer["stop_reason"]), (&json!({"city": "U"}), &json!("max_tokens")));
}

/// The one conversation that both families say here.
fn conversation() -> ChatInput {
    let call =
        |id: &str| ToolCall { id: id.into(), name: "get_weather".into(), arguments: "{\"city\":\"Ulm\"}".into() };
    let result = |id: &str, text: &str| Message { tool_call_id: Some(id.into()), ..Message::new(Role::Tool, text) };
    ChatInput {
        messages: vec![
            Message::new(Role::User, "Weather?"),
            Message {
                reasoning: Some("Two cities.".into()),
                tool_calls: vec![call("call_1"), call("call_2")],
                ..Message::new(Role::Assistant, "I look.")
            },
            result("call_1", "rain"),
            result("call_2", "Error: no such city"),
            Message::new(Role::User, "Well?"),
        ],
        tools: vec![Tool {
            name: "get_weather".into(),
            description: Some("The weather".into()),
            parameters: Some("{\"type\":\"object\",\"properties\":{\"z\":{},\"a\":{}}}".into()),
            strict: false,
        }],
        tool_choice: ToolChoice::None,
        one_call: false,
        thinking: Some(false),
        reasoning_effort: None,
        thinking_budget: None,
    }
}

#[track_caller]
fn asked(backend: &Scripted) -> ChatInput {
    let asked = backend.asked.lock().unwrap().pop().unwrap();
    let Input::Chat(chat) = asked.input else { panic!("{asked:?}") };
    chat
}

#[tokio::test]
async fn one_word_asks_for_the_same_thinking_in_every_family() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let messages = json!([{"role": "user", "content": "x"}]);
    for (word, budget) in [("low", 1024), ("medium", 8192), ("high", 24576)] {
        for (path, body) in [
            (CHAT, json!({"messages": messages, "reasoning_effort": word})),
            ("/v1/responses", json!({"input": "x", "reasoning": {"effort": word}})),
            ("/api/chat", json!({"messages": messages, "think": word})),
            ("/api/generate", json!({"prompt": "x", "think": word})),
        ] {
            let mut body = body;
            body["model"] = json!("m");
            check(&app(backend.clone()), "POST", path, body, 200).await;
            let chat = asked(&backend);
            let thinking = (chat.thinking, chat.reasoning_effort.as_deref(), chat.thinking_budget);
            assert_eq!(thinking, (Some(true), Some(word), Some(budget)), "{path}");
        }
    }
}

#[tokio::test]
async fn openais_history_reaches_the_backend() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let call = |id: &str| {
        json!({"id": id, "type": "function",
        "function": {"name": "get_weather", "arguments": "{\"city\":\"Ulm\"}"}})
    };
    let schema = json!({"type": "object", "properties": {"z": {}, "a": {}}});
    let body = ask(json!({
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "I look.", "reasoning_content": "Two cities.",
                "tool_calls": [call("call_1"), call("call_2")]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "Error: no such city"}]},
            {"role": "user", "content": "Well?", "tool_calls": null},
        ],
        "tools": [{"type": "function",
            "function": {"name": "get_weather", "description": "The weather", "parameters": schema, "strict": false}}],
        "tool_choice": "none", "parallel_tool_calls": true, "reasoning_effort": "none",
    }));
    check(&app(backend.clone()), "POST", CHAT, body, 200).await;
    assert_eq!(asked(&backend), conversation());
    for nothing in [json!([]), json!(null)] {
        let turn = json!({"role": "assistant", "content": "x", "tool_calls": nothing});
        check(&app(backend.clone()), "POST", CHAT, ask(json!({"messages": [turn]})), 200).await;
        assert_eq!(asked(&backend).messages, [Message::new(Role::Assistant, "x")]);
    }
}

#[tokio::test]
async fn anthropics_history_reaches_the_backend() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "get_weather", "input": {"city": "Ulm"}});
    let schema = json!({"type": "object", "properties": {"z": {}, "a": {}}});
    let body = ask(json!({
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Two cities.", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I look."}, call("call_1"), call("call_2"),
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "rain", "cache_control": {"type": "ephemeral"}},
                {"type": "tool_result", "tool_use_id": "call_2", "is_error": true,
                    "content": [{"type": "text", "text": "no such city"}]},
                {"type": "text", "text": "Well?"},
            ]},
        ],
        "tools": [{"name": "get_weather", "description": "The weather", "input_schema": schema, "type": "custom"}],
        "tool_choice": {"type": "none"}, "thinking": {"type": "disabled"},
    }));
    check(&app(backend.clone()), "POST", MESSAGES, body, 200).await;
    assert_eq!(asked(&backend), conversation());
}

#[tokio::test]
async fn instructions_that_were_moved_are_noted_in_a_header() {
    for (path, stream) in [(CHAT, false), (CHAT, true), (MESSAGES, false), (MESSAGES, true)] {
        for merged in [false, true] {
            let script = if merged { Script::Merged(says("x")) } else { Script::Events(says("x")) };
            let answer = check(&app(Scripted::once(script)), "POST", path, ask(json!({"stream": stream})), 200).await;
            let noted = answer.headers.get("x-modelworks-merged-system").map(|value| value.to_str().unwrap());
            assert_eq!(noted, merged.then_some("true"), "{path} {stream}");
        }
    }
}
