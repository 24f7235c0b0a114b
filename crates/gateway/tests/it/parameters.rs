//! Impossible values are a 400 that names the parameter; nothing reaches the backend.

use axum::Router;
use serde_json::{Value, json};

use crate::stage::{Script, Scripted, app, check, says};

async fn refused(app: &Router, path: &str, body: Value, param: &str, code: &str) {
    let answer = check(app, "POST", path, body.clone(), 400).await.json();
    let error = &answer["error"];
    assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{body}: {error}");
    assert_eq!(error["type"], "invalid_request_error");
}

fn with(mut body: Value, name: &str, value: &Value) -> Value {
    body[name] = value.clone();
    body
}

#[tokio::test]
async fn numbers_out_of_range_are_named() {
    let app = app(Scripted::new(|_| Script::Panic));
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    let completion = json!({"model": "m", "prompt": "x"});
    let both = [
        ("temperature", json!([-0.1, 2.1, "hot", true])),
        ("top_p", json!([-0.1, 1.1])),
        ("n", json!([0, -1, 129, 1.5, "2"])),
        ("max_tokens", json!([-1, 4294967296_i64, "many"])),
        ("presence_penalty", json!([-2.1, 2.1])),
        ("frequency_penalty", json!([-2.1, 2.1])),
        ("top_k", json!([-2])),
        ("min_p", json!([-0.1, 1.1])),
        ("repetition_penalty", json!([0, -1, 101])),
        ("min_tokens", json!([-1])),
        ("seed", json!([1.5, "s"])),
        ("stop", json!(["", ["a", ""], vec!["x"; 17], 5])),
        ("logit_bias", json!([{"x": 1}, {"1": 101}, {"-1": 0}, {"1000": 1}, []])),
        ("model", json!(["", 5, null])),
        ("stream_options", json!([{"include_usage": true}])),
        ("stream", json!(["yes"])),
        ("ignore_eos", json!([1])),
    ];
    for (path, body) in [("/v1/chat/completions", &chat), ("/v1/completions", &completion)] {
        for (name, values) in &both {
            for value in values.as_array().unwrap() {
                refused(&app, path, with(body.clone(), name, value), name, "invalid_value").await;
            }
        }
        let body = with(with(body.clone(), "min_tokens", &json!(5)), "max_tokens", &json!(4));
        refused(&app, path, body, "min_tokens", "invalid_value").await;
    }
    for value in [json!(-1), json!(21), json!(true)] {
        refused(&app, "/v1/completions", with(completion.clone(), "logprobs", &value), "logprobs", "invalid_value")
            .await;
    }
    for (name, value) in [("top_logprobs", json!(21)), ("top_logprobs", json!(3)), ("max_tokens", json!(0))] {
        refused(&app, "/v1/chat/completions", with(chat.clone(), name, &value), name, "invalid_value").await;
    }
    let body = with(with(chat, "max_completion_tokens", &json!(5)), "max_tokens", &json!(4));
    refused(&app, "/v1/chat/completions", body, "max_tokens", "invalid_value").await;
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_and_not_ignored() {
    let app = app(Scripted::new(|_| Script::Panic));
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    let completion = json!({"model": "m", "prompt": "x"});
    for (name, value) in [("functions", json!([{"name": "f"}])), ("modalities", json!(["text", "audio"]))] {
        refused(&app, "/v1/chat/completions", with(chat.clone(), name, &value), name, "unsupported_value").await;
    }
    let function = |function: Value| json!({"type": "function", "function": function});
    for (name, tools, code) in [
        ("tools[0].type", json!([{"type": "web_search"}]), "unsupported_value"),
        ("tools[0].function", json!([{"type": "function"}]), "invalid_value"),
        ("tools[0].function.name", json!([function(json!({"name": ""}))]), "invalid_value"),
        ("tools[0].function.name", json!([function(json!({"name": "a b"}))]), "invalid_value"),
        ("tools[0].function.name", json!([function(json!({"name": "x".repeat(129)}))]), "invalid_value"),
        (
            "tools[1].function.name",
            json!([function(json!({"name": "f"})), function(json!({"name": "f"}))]),
            "invalid_value",
        ),
        ("tools[0].function.parameters", json!([function(json!({"name": "f", "parameters": 5}))]), "invalid_value"),
    ] {
        refused(&app, "/v1/chat/completions", with(chat.clone(), "tools", &tools), name, code).await;
    }
    let many: Vec<Value> = (0..129).map(|index| function(json!({"name": format!("f{index}")}))).collect();
    refused(&app, "/v1/chat/completions", with(chat.clone(), "tools", &many.into()), "tools", "invalid_value").await;
    let one = with(chat.clone(), "tools", &json!([function(json!({"name": "f"}))]));
    for choice in
        [json!("some"), json!(5), json!({"type": "function"}), json!({"type": "function", "function": {"name": "g"}})]
    {
        let body = with(one.clone(), "tool_choice", &choice);
        refused(&app, "/v1/chat/completions", body, "tool_choice", "invalid_value").await;
    }
    let without = with(chat.clone(), "tool_choice", &json!("required"));
    refused(&app, "/v1/chat/completions", without, "tool_choice", "invalid_value").await;
    let other = with(one, "tool_choice", &json!({"type": "allowed_tools", "mode": "auto"}));
    refused(&app, "/v1/chat/completions", other, "tool_choice", "unsupported_value").await;
    let effort = with(chat.clone(), "reasoning_effort", &json!("much"));
    refused(&app, "/v1/chat/completions", effort, "reasoning_effort", "invalid_value").await;
    let best_of = with(completion.clone(), "best_of", &json!(2));
    refused(&app, "/v1/completions", best_of, "best_of", "unsupported_value").await;
    let gap = with(completion.clone(), "suffix", &json!("s"));
    refused(&app, "/v1/completions", with(gap.clone(), "echo", &json!(true)), "echo", "invalid_value").await;
    refused(&app, "/v1/completions", with(gap, "prompt", &json!([1, 2])), "suffix", "invalid_value").await;
}

#[tokio::test]
async fn a_turn_that_cannot_be_is_named_with_its_place() {
    let app = app(Scripted::new(|_| Script::Panic));
    let check = async |turn: Value, param: &str, code: &str| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "fine"}, turn]});
        refused(&app, "/v1/chat/completions", body, param, code).await;
    };
    check(json!({"role": "function", "name": "f", "content": "x"}), "messages[1].role", "unsupported_value").await;
    check(json!({"role": "tool", "content": "x"}), "messages[1].tool_call_id", "invalid_value").await;
    check(json!({"role": "tool", "tool_call_id": "a"}), "messages[1].content", "invalid_value").await;
    check(json!({"role": "king", "content": "x"}), "messages[1].role", "invalid_value").await;
    check(json!({"content": "x"}), "messages[1].role", "invalid_value").await;
    check(json!({"role": "user"}), "messages[1].content", "invalid_value").await;
    check(json!({"role": "user", "content": 5}), "messages[1].content", "invalid_value").await;
    check(json!({"role": "assistant", "tool_calls": [{}]}), "messages[1].tool_calls[0].id", "invalid_value").await;
    let call = |kind: &str| json!([{"id": "a", "type": kind, "function": {"name": "f", "arguments": "{}"}}]);
    check(
        json!({"role": "user", "content": "x", "tool_calls": call("function")}),
        "messages[1].tool_calls",
        "invalid_value",
    )
    .await;
    check(
        json!({"role": "assistant", "tool_calls": call("custom")}),
        "messages[1].tool_calls[0].type",
        "unsupported_value",
    )
    .await;
    check(
        json!({"role": "assistant", "function_call": {"name": "f"}}),
        "messages[1].function_call",
        "unsupported_value",
    )
    .await;
    let image = json!([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "u"}}]);
    check(json!({"role": "user", "content": image}), "messages[1].content[1].type", "unsupported_value").await;
    check(json!({"role": "user", "content": [{"type": "text"}]}), "messages[1].content[0].text", "invalid_value").await;
    refused(&app, "/v1/chat/completions", json!({"model": "m", "messages": []}), "messages", "invalid_value").await;
}

#[tokio::test]
async fn a_prompt_that_cannot_be_is_named_with_its_place() {
    let app = app(Scripted::new(|_| Script::Panic));
    for (prompt, param) in [
        (json!([]), "prompt"),
        (json!({}), "prompt"),
        (json!(null), "prompt"),
        (json!([1, "a"]), "prompt[1]"),
        (json!(["a", 1]), "prompt[1]"),
        (json!([[1], []]), "prompt[1]"),
        (json!([[1], [-5]]), "prompt[1][0]"),
        (json!([1, -5]), "prompt[1]"),
        (json!([1.5]), "prompt[0]"),
        (json!([1000]), "prompt"),
        (json!(vec!["a"; 129]), "prompt"),
    ] {
        refused(&app, "/v1/completions", json!({"model": "m", "prompt": prompt}), param, "invalid_value").await;
    }
    let body = json!({"model": "m", "prompt": vec!["a"; 2], "n": 65});
    refused(&app, "/v1/completions", body, "prompt", "invalid_value").await;
}

#[tokio::test]
async fn a_form_reaches_the_backend_under_its_parameters_name() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    let completion = json!({"model": "m", "prompt": "x"});
    for (name, value) in [
        ("response_format", json!({"type": "json_object"})),
        ("guided_json", json!({"type": "object"})),
        ("guided_regex", json!("a+")),
        ("guided_choice", json!(["a"])),
        ("guided_grammar", json!("root ::= \"a\"")),
        ("structured_outputs", json!({"json": {"type": "object"}})),
        ("grammar", json!("root ::= \"a\"")),
        ("json_schema", json!({"type": "object"})),
    ] {
        for (path, body) in [("/v1/chat/completions", &chat), ("/v1/completions", &completion)] {
            check(&app, "POST", path, with(body.clone(), name, &value), 200).await;
            let asked = backend.asked.lock().unwrap().pop().unwrap();
            let parameter = asked.constraint.unwrap().parameter;
            assert!(parameter.starts_with(name), "{parameter}");
        }
    }
}
