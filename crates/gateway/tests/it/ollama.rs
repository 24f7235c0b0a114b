//! Ollama's API over a scripted model.

use std::sync::Arc;

use account::Cause;
use axum::{Router, body::Body};
use gateway::{Config, router};
use inference::{Error, Event, FinishReason, Form, Input, Role};
use serde_json::{Value, json};

use crate::stage::*;

async fn ask(app: &Router, path: &str, body: Value, expect: u16) -> Answer {
    let answer = send(app, request("POST", path, Body::from(body.to_string()))).await;
    assert_eq!(answer.status, expect, "{path}: {}", answer.text());
    if expect >= 400 {
        assert!(answer.json()["error"].is_string() && answer.json()["code"].is_string(), "{}", answer.text());
    }
    answer
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    assert!(answer.text().ends_with('\n'));
    answer.text().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn chat(extra: Value) -> Value {
    let mut body = json!({"model": "m:latest", "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn call(choice: u32, name: &str, arguments: &[&str]) -> Vec<Event> {
    let begin = Event::ToolCall { choice, id: format!("call_{name}"), name: name.into() };
    let pieces = arguments.iter().map(|text| Event::Arguments { choice, text: (*text).into() });
    std::iter::once(begin).chain(pieces).collect()
}

/// Thinking, text, a call, both again, another call, and how it ended.
fn everything() -> Vec<Event> {
    let think = |text: &str| Event::Reasoning { choice: 0, text: text.into() };
    let end = Event::Finished { choice: 0, reason: FinishReason::ToolCalls, stop: None };
    [
        vec![think("hm"), think("m"), text(0, "Let"), text(0, ""), text(0, " me")],
        call(0, "one", &["{\"a\":", "1}"]),
        vec![think("or"), text(0, "and"), text(0, " you")],
        call(0, "two", &["{\"b\": \"x"]),
        vec![end, done(7, 9)],
    ]
    .concat()
}

#[tokio::test]
async fn a_stream_and_a_whole_answer_say_the_same() {
    let app = app(Scripted::new(|_| Script::Events(everything())));
    let whole = ask(&app, "/api/chat", chat(json!({"stream": false})), 200).await.json();
    let message = json!({
        "role": "assistant", "content": "Let me\nand you", "thinking": "hmm\nor",
        "tool_calls": [
            {"id": "call_one", "function": {"name": "one", "arguments": {"a": 1}}},
            // What broke off is closed.
            {"id": "call_two", "function": {"name": "two", "arguments": {"b": "x"}}},
        ],
    });
    assert_eq!(whole["message"], message);
    assert_eq!(
        (&whole["model"], &whole["done"], &whole["done_reason"]),
        (&json!("m:latest"), &json!(true), &json!("stop"))
    );
    assert_eq!((&whole["prompt_eval_count"], &whole["eval_count"]), (&json!(7), &json!(9)));
    let duration = |name: &str| whole[name].as_u64().unwrap();
    let parts = ["load_duration", "prompt_eval_duration", "eval_duration"].map(duration);
    assert_eq!(duration("total_duration"), parts.iter().sum::<u64>());
    assert!(parts[0] > 0, "looking the model up takes time, too");
    assert!(whole["created_at"].as_str().unwrap().ends_with('Z'));

    // A stream unless it is said otherwise.
    let streamed = lines(&ask(&app, "/api/chat", chat(json!({})), 200).await);
    let (last, before) = streamed.split_last().unwrap();
    let joined = |field: &str| before.iter().filter_map(|line| line["message"][field].as_str()).collect::<String>();
    assert_eq!((joined("content"), joined("thinking")), ("Let me\nand you".into(), "hmm\nor".into()));
    let calls: Vec<Value> =
        before.iter().filter_map(|line| line["message"]["tool_calls"].as_array()).flatten().cloned().collect();
    assert_eq!(json!(calls), message["tool_calls"]);
    assert!(before.iter().all(|line| line["done"] == false && line.get("total_duration").is_none()));
    assert_eq!(
        (&last["done"], &last["done_reason"], &last["message"]["content"]),
        (&json!(true), &json!("stop"), &json!(""))
    );
    assert_eq!((&last["prompt_eval_count"], &last["eval_count"]), (&json!(7), &json!(9)));
}

#[tokio::test]
async fn a_prompt_is_a_turn_or_raw_text() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    let body = json!({"model": "m", "prompt": "p", "system": "s", "stream": false});
    let answer = ask(&app, "/api/generate", body, 200).await.json();
    assert_eq!((&answer["response"], &answer["done"]), (&json!("x"), &json!(true)));
    let Input::Chat(chat) = backend.asked.lock().unwrap().pop().unwrap().input else { panic!("no conversation") };
    let turns: Vec<_> = chat.messages.iter().map(|turn| (turn.role, turn.content.as_str())).collect();
    assert_eq!(turns, [(Role::System, "s"), (Role::User, "p")]);
    ask(&app, "/api/generate", json!({"model": "m", "prompt": "p", "raw": true}), 200).await;
    assert_eq!(backend.asked.lock().unwrap().pop().unwrap().input, Input::Text("p".into()));
}

#[tokio::test]
async fn a_gap_is_filled_whoever_asks() {
    let backend = Scripted::new(|request| Script::Events((0..request.choices).flat_map(|_| says("x")).collect()));
    let app = app(backend.clone());
    let gap = |prefix: &str| Input::Gap { prefix: prefix.into(), suffix: "b".into() };
    let asked = || std::mem::take(&mut *backend.asked.lock().unwrap());
    for (prompt, system) in [("a", Value::Null), ("", json!("s"))] {
        let body = json!({"model": "m", "prompt": prompt, "suffix": "b", "system": system, "stream": false});
        ask(&app, "/api/generate", body, 200).await;
        assert_eq!(asked().pop().unwrap().input, gap(prompt));
    }
    let body = json!({"model": "m", "prompt": ["a", "c"], "suffix": "b"});
    check(&app, "POST", "/v1/completions", body, 200).await;
    let inputs: Vec<Input> = asked().into_iter().map(|request| request.input).collect();
    assert_eq!(inputs, [gap("a"), gap("c")]);
    let body = json!({"model": "m", "prompt": "a", "suffix": ""});
    check(&app, "POST", "/v1/completions", body, 200).await;
    assert_eq!(asked().pop().unwrap().input, Input::Text("a".into()));
}

#[tokio::test]
async fn options_reach_the_backend() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let options = json!({
        "temperature": 0.5, "top_k": 9, "top_p": 0.25, "min_p": 0.125, "repeat_penalty": 1.5, "presence_penalty": 1,
        "frequency_penalty": -1, "seed": 3, "num_predict": 12, "stop": ["END"], "num_ctx": 4096, "num_gpu": 1, "unknown": {},
    });
    let body = chat(json!({"options": options, "think": "low", "keep_alive": "5m", "tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
    ]}));
    ask(&app(backend.clone()), "/api/chat", body, 200).await;
    let asked = backend.asked.lock().unwrap().pop().unwrap();
    let sampling = asked.sampling;
    assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p), (Some(0.5), Some(9), Some(0.25)));
    assert_eq!((sampling.min_p, sampling.repetition_penalty), (Some(0.125), Some(1.5)));
    assert_eq!(
        (sampling.presence_penalty, sampling.frequency_penalty, sampling.seed),
        (Some(1.0), Some(-1.0), Some(3))
    );
    assert_eq!((asked.max_tokens, asked.stop), (Some(12), vec!["END".to_owned()]));
    let Input::Chat(chat) = asked.input else { panic!("no conversation") };
    let thinking = (chat.thinking, chat.reasoning_effort.as_deref(), chat.thinking_budget);
    assert_eq!((thinking, chat.tools.len()), ((Some(true), Some("low"), Some(1024)), 1));
}

#[tokio::test]
async fn without_anything_to_answer_a_model_is_only_loaded() {
    let app = app(Scripted::new(|_| Script::Panic));
    for (path, body) in [
        ("/api/chat", json!({"model": "m", "messages": []})),
        ("/api/chat", json!({"model": "m", "keep_alive": 0})),
        ("/api/generate", json!({"model": "m", "prompt": ""})),
    ] {
        let answer = ask(&app, path, body, 200).await.json();
        assert_eq!((&answer["done"], &answer["done_reason"]), (&json!(true), &json!("load")));
    }
    ask(&app, "/api/chat", json!({"model": "nobody"}), 404).await;
}

#[tokio::test]
async fn a_format_is_what_the_answer_is_held_to() {
    let backend = Scripted::new(|_| Script::Events(says("{}")));
    let app = app(backend.clone());
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    for (format, expect) in [
        (json!("json"), Some(Form::JsonObject)),
        (schema.clone(), Some(Form::JsonSchema(schema.to_string()))),
        (json!(""), None),
        (json!({}), None),
    ] {
        let generate = json!({"model": "m", "prompt": "p", "format": format});
        for (path, body) in [("/api/chat", chat(json!({"format": format}))), ("/api/generate", generate)] {
            ask(&app, path, body, 200).await;
            let constraint = backend.asked.lock().unwrap().pop().unwrap().constraint;
            assert!(constraint.iter().all(|constraint| constraint.parameter == "format"));
            assert_eq!(constraint.map(|constraint| constraint.form), expect, "{path} {format}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name_in_ollamas_shape() {
    let app = app(Scripted::new(|_| Script::Panic));
    let generate = |key: &str, value: Value| ("/api/generate", json!({"model": "m", "prompt": "p", key: value}));
    for ((path, body), param) in [
        (("/api/chat", chat(json!({"format": "xml"}))), "format"),
        (("/api/generate", json!({"model": "m", "prompt": "p", "format": [1]})), "format"),
        (("/api/chat", chat(json!({"think": "much"}))), "think"),
        (("/api/chat", chat(json!({"think": 3}))), "think"),
        (("/api/chat", chat(json!({"options": {"temperature": 3}}))), "options.temperature"),
        (("/api/chat", chat(json!({"options": {"mirostat": 1}}))), "options.mirostat"),
        (("/api/chat", json!({"messages": []})), "model"),
        (generate("template", json!("{{ .Prompt }}")), "template"),
        (generate("context", json!([1])), "context"),
        (generate("images", json!(["aGk="])), "images"),
        (("/api/pull", json!({"name": "/etc/passwd"})), "model"),
    ] {
        let error = ask(&app, path, body, 400).await.json();
        assert_eq!(error["param"], param, "{error}");
    }
    assert_eq!(ask(&app, "/api/chat", json!([]), 400).await.json()["code"], "invalid_value");
    let unknown = send(&app, request("GET", "/api/nothing", Body::empty())).await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["code"]), (404, &json!("not_found")));
    // What asks for nothing is tolerated.
    let quiet = crate::stage::app(Scripted::new(|_| Script::Events(says("x"))));
    ask(&quiet, "/api/chat", chat(json!({"format": "", "tools": null, "options": null})), 200).await;
}

#[tokio::test]
async fn a_failure_has_a_status_or_a_line_of_its_own() {
    let refused = app(Scripted::new(|_| Script::RefuseToRun(Error::ShuttingDown)));
    ask(&refused, "/api/chat", chat(json!({})), 503).await;
    let fails = vec![text(0, "a"), Event::Failed { error: Error::Internal, usage: Default::default() }];
    let late = app(Scripted::new(move |_| Script::Events(fails.clone())));
    let streamed = lines(&ask(&late, "/api/chat", chat(json!({})), 200).await);
    assert_eq!(streamed.len(), 2);
    assert!(streamed[1]["error"].is_string() && streamed[1].get("done").is_none());
    ask(&late, "/api/chat", chat(json!({"stream": false})), 500).await;
}

#[tokio::test]
async fn an_answer_is_settled_and_says_what_ended_it() {
    let kept = Arc::new(Kept::default());
    let tenancy = tenancy(kept.clone());
    let backend = Scripted::new(|_| {
        let end = Event::Finished { choice: 0, reason: FinishReason::Budget, stop: None };
        Script::Events(vec![text(0, "a"), end, done(7, 1)])
    });
    let app = router(metered(Config::default(), backend, tenancy.clone()));
    let answer = ask(&app, "/api/chat", chat(json!({"stream": false})), 200).await;
    assert_eq!((&answer.json()["done_reason"], &answer.json()["stopped_by"]), (&json!("length"), &json!("budget")));
    assert_eq!((kept.rows().len(), kept.rows()[0].settlement.cause), (1, Cause::Budget));
    assert_eq!(tenancy.meter().open_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_sends_no_line_and_does_not_spin() {
    let (events, script) = tokio::sync::mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(script));
    let app = app(backend.clone());
    let asked = request("POST", "/api/chat", Body::from(chat(json!({})).to_string()));
    let script = async {
        backend.until_live(1).await;
        // Many times as long as between two signs of life.
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        for event in says("x") {
            events.send(event).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(send(&app, asked), script);
    assert_eq!(lines(&answer).len(), 2);
}

#[tokio::test]
async fn models_are_listed_and_shown() {
    let app = app(Scripted::new(|_| Script::Panic));
    let get = async |path: &str| {
        let answer = send(&app, request("GET", path, Body::empty())).await;
        assert_eq!(answer.status, 200);
        answer
    };
    let names = |list: Value| -> Vec<String> {
        list["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(get("/api/tags").await.json()), ["m", "org/m"]);
    let running = get("/api/ps").await.json();
    assert_eq!(running["models"][0]["context_length"], 100);
    assert_eq!(names(running), ["m", "org/m"]);
    let shown = ask(&app, "/api/show", json!({"name": "m:latest"}), 200).await.json();
    assert_eq!(shown["capabilities"], json!(["completion", "tools", "thinking", "insert"]));
    assert_eq!(shown["model_info"]["model.context_length"], 100);
    ask(&app, "/api/show", json!({"model": "nobody"}), 404).await;
    assert!(get("/api/version").await.json()["version"].as_str().unwrap().starts_with("0."));
    assert_eq!(get("/").await.text(), "Ollama is running");
    let head = axum::http::Request::builder().method("HEAD").uri("/").body(Body::empty()).unwrap();
    assert_eq!(send(&app, head).await.status, 200);
}
