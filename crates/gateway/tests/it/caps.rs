//! The bounds of requests are those that docs/api.md tells.

use axum::{Router, body::Body};
use gateway::Config;
use inference::Input;
use serde_json::{Value, json};

use crate::stage::*;

/// The figure of the line that begins so.
#[track_caller]
fn most(line: &str) -> usize {
    let table = include_str!("../../../../docs/api.md");
    let row =
        table.lines().find(|row| row.starts_with(&format!("| {line}"))).unwrap_or_else(|| panic!("no line {line}"));
    row.split('|').nth(2).unwrap().trim().parse().unwrap()
}

fn chat(extra: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// Answers every choice of every prompt.
fn answers() -> Router {
    app(Scripted::new(|request| {
        let choices = request.choices;
        Script::Events((0..choices).map(finished).chain([done(7, u64::from(choices))]).collect())
    }))
}

/// What is at the bound is taken; what is beyond it is refused by name.
async fn check_cap(path: &str, body: impl Fn(usize) -> Value, most: usize, param: &str) {
    let app = answers();
    check(&app, "POST", path, body(most), 200).await;
    let refused = check(&app, "POST", path, body(most + 1), 400).await.json();
    assert_eq!(refused["error"]["param"], param, "{refused}");
}

#[tokio::test]
async fn bytes_of_a_body() {
    let most = most("bytes of a body");
    assert_eq!(most, Config::default().max_body_bytes);
    let app = answers();
    let padded = |bytes: usize| {
        let body = chat(json!({})).to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    assert_eq!(send(&app, request("POST", "/v1/chat/completions", padded(most))).await.status, 200);
    let refused = send(&app, request("POST", "/v1/chat/completions", padded(most + 1))).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (413, &json!("request_too_large")));
}

#[tokio::test]
async fn levels_of_json() {
    let most = most("levels of JSON");
    let app = answers();
    // Around what is nested are the body, the list of tools, the tool and its function.
    let body = |levels: usize| {
        let nested = format!("{}{}", "{\"a\":".repeat(levels - 5), "{}") + &"}".repeat(levels - 5);
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{nested}}}}}]}}"#
        )
    };
    assert_eq!(send(&app, request("POST", "/v1/chat/completions", body(most))).await.status, 200);
    let refused = send(&app, request("POST", "/v1/chat/completions", body(most + 1))).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (400, &json!("invalid_json")));
    let skipped = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"nobody":{}1{}}}"#,
        "[".repeat(9999),
        "]".repeat(9999)
    );
    assert_eq!(send(&app, request("POST", "/v1/chat/completions", Body::from(skipped))).await.status, 200);
}

#[tokio::test]
async fn choices() {
    let most = most("`n`");
    check_cap("/v1/chat/completions", |n| chat(json!({"n": n})), most, "n").await;
    let prompts = |count: usize| json!({"model": "m", "prompt": vec!["p"; count]});
    check_cap("/v1/completions", prompts, most, "prompt").await;
}

#[tokio::test]
async fn likely_tokens() {
    let most = most("`top_logprobs`");
    check_cap("/v1/chat/completions", |top| chat(json!({"logprobs": true, "top_logprobs": top})), most, "top_logprobs")
        .await;
    check_cap("/v1/completions", |top| json!({"model": "m", "prompt": "p", "logprobs": top}), most, "logprobs").await;
    let include = ["message.output_text.logprobs"];
    let response = |top: usize| json!({"model": "m", "input": "x", "include": include, "top_logprobs": top});
    check_cap("/v1/responses", response, most, "top_logprobs").await;
}

#[tokio::test]
async fn stop_strings() {
    let most = most("strings of `stop`");
    check_cap("/v1/chat/completions", |count| chat(json!({"stop": vec!["x"; count]})), most, "stop").await;
    check_cap("/v1/completions", |count| json!({"model": "m", "prompt": "p", "stop": vec!["x"; count]}), most, "stop")
        .await;
    let app = answers();
    let messages = |count: usize| chat(json!({"max_tokens": 9, "stop_sequences": vec!["x"; count]}));
    check(&app, "POST", "/v1/messages", messages(most), 200).await;
    let refused = check(&app, "POST", "/v1/messages", messages(most + 1), 400).await;
    assert!(refused.text().contains("stop_sequences"), "{}", refused.text());
    let ollama = |count: usize| chat(json!({"stream": false, "options": {"stop": vec!["x"; count]}})).to_string();
    assert_eq!(send(&app, request("POST", "/api/chat", ollama(most))).await.status, 200);
    let refused = send(&app, request("POST", "/api/chat", ollama(most + 1))).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["param"]), (400, &json!("options.stop")));
}

#[tokio::test]
async fn tokens() {
    let most = most("`max_tokens`");
    check_cap("/v1/chat/completions", |tokens| chat(json!({"max_tokens": tokens})), most, "max_tokens").await;
    let newer = |tokens| chat(json!({"max_completion_tokens": tokens}));
    check_cap("/v1/chat/completions", newer, most, "max_completion_tokens").await;
    check_cap(
        "/v1/completions",
        |tokens| json!({"model": "m", "prompt": "p", "max_tokens": tokens}),
        most,
        "max_tokens",
    )
    .await;
    let response = |tokens| json!({"model": "m", "input": "x", "max_output_tokens": tokens});
    check_cap("/v1/responses", response, most, "max_output_tokens").await;
}

#[tokio::test]
async fn tools() {
    let function = |name: String| json!({"type": "function", "function": {"name": name}});
    let tools = |count: usize| {
        chat(json!({"tools": (0..count).map(|number| function(format!("f{number}"))).collect::<Vec<_>>()}))
    };
    check_cap("/v1/chat/completions", tools, most("`tools`"), "tools").await;
    let named = |length: usize| chat(json!({"tools": [function("f".repeat(length))]}));
    check_cap("/v1/chat/completions", named, most("characters of a tool's name"), "tools[0].function.name").await;
}

#[tokio::test]
async fn texts_and_documents() {
    // No model here makes vectors; what is within the bound is refused for that, and not by the name of the texts.
    let app = answers();
    for (line, path, body, param) in
        [("texts of", "/v1/embeddings", "input", "input"), ("`documents`", "/v1/rerank", "documents", "documents")]
    {
        let texts = |count: usize| json!({"model": "m", "query": "q", body: vec!["x"; count]});
        let within = check(&app, "POST", path, texts(most(line)), 400).await.json();
        assert_ne!(within["error"]["param"], param, "{within}");
        let beyond = check(&app, "POST", path, texts(most(line) + 1), 400).await.json();
        assert_eq!(beyond["error"]["param"], param, "{beyond}");
    }
    let ollama = |count: usize| json!({"model": "m", "input": vec!["x"; count]}).to_string();
    let within = send(&app, request("POST", "/api/embed", ollama(most("texts of")))).await.json();
    let beyond = send(&app, request("POST", "/api/embed", ollama(most("texts of") + 1))).await.json();
    assert_eq!((within["param"] == "input", beyond["param"] == "input"), (false, true), "{within} {beyond}");
}

#[tokio::test]
async fn images() {
    assert_eq!(most("images"), 0);
    let app = answers();
    let address = "http://127.0.0.1:9/never.png";
    let part = json!([{"type": "image_url", "image_url": {"url": address}}]);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": part}]});
    let refused = check(&app, "POST", "/v1/chat/completions", body, 400).await.json();
    assert_eq!(refused["error"]["param"], "messages[0].content[0].type");
    let part = json!([{"type": "input_image", "image_url": address}]);
    let body = json!({"model": "m", "input": [{"role": "user", "content": part}]});
    let refused = check(&app, "POST", "/v1/responses", body, 400).await.json();
    assert_eq!(refused["error"]["param"], "input[0].content[0].type");
    let part = json!([{"type": "image", "source": {"type": "url", "url": address}}]);
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": part}]});
    check(&app, "POST", "/v1/messages", body, 400).await;
}

#[tokio::test]
async fn metadata() {
    let pairs = |count: usize| {
        let pairs: serde_json::Map<String, Value> = (0..count).map(|number| (number.to_string(), json!("x"))).collect();
        json!({"model": "m", "input": "x", "metadata": pairs})
    };
    check_cap("/v1/responses", pairs, most("pairs of `metadata`"), "metadata").await;
}

#[tokio::test]
async fn pages_of_items() {
    let most = most("items of a page");
    let app = answers();
    let response = check(&app, "POST", "/v1/responses", json!({"model": "m", "input": "x"}), 200).await.json();
    let path = |limit: usize| format!("/v1/responses/{}/input_items?limit={limit}", response["id"].as_str().unwrap());
    check(&app, "GET", &path(most), Value::Null, 200).await;
    check(&app, "GET", &path(most + 1), Value::Null, 400).await;
}

#[test]
fn responses_in_the_background() {
    assert_eq!(most("responses in the background"), Config::default().max_background as usize);
}

/// Of `seed` the edge promises that it arrives, whatever its sign.
#[tokio::test]
async fn any_number_of_64_bits_is_a_seed() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    for (seed, expect) in [(json!(0), 0), (json!(-1), u64::MAX), (json!(i64::MAX), i64::MAX as u64)] {
        check(&app, "POST", "/v1/chat/completions", chat(json!({"seed": seed})), 200).await;
        let asked = backend.asked.lock().unwrap().pop().unwrap();
        assert!(matches!(asked.input, Input::Chat(_)));
        assert_eq!(asked.sampling.seed, Some(expect));
    }
}
