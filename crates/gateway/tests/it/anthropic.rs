//! What Anthropic's routes answer.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use gateway::Service;
use inference::{Error, Event, FinishReason, Input, Role, Usage};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};
use tower::ServiceExt;

use crate::stage::{KEY, Script, Scripted, app, check, done, finished, request, says, send, service, text};

const PATH: &str = "/v1/messages";

fn ask(extra: Value) -> Value {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

async fn refused(body: Value, parameter: &str) {
    for path in [PATH, "/v1/messages/count_tokens"] {
        if path != PATH && body["count"] == false {
            continue;
        }
        let app = app(Scripted::new(|_| Script::Panic));
        let answer = check(&app, "POST", path, body.clone(), 400).await;
        let error = answer.json();
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(parameter), "{parameter} is not named: {message}");
    }
}

#[tokio::test]
async fn a_message_is_answered_as_the_sdk_expects() {
    let backend = Scripted::new(|_| {
        let counts = Usage { prompt_tokens: 5, cached_tokens: 3, completion_tokens: 4, reasoning_tokens: 1 };
        Script::Events(vec![
            text(0, "Hi"),
            text(0, "!"),
            Event::Finished { choice: 0, reason: FinishReason::Stop, stop: Some("END".into()) },
            Event::Done(counts),
        ])
    });
    let answer = check(&app(backend), "POST", PATH, ask(json!({"stop_sequences": ["END"]})), 200).await;
    assert_eq!(answer.headers["request-id"], answer.headers["x-request-id"]);
    let mut answer = answer.json();
    assert!(answer["id"].take().as_str().unwrap().starts_with("msg_"));
    let usage = json!({"input_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0,
        "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 1}});
    let expect = json!({"id": null, "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hi!"}], "stop_reason": "stop_sequence", "stop_sequence": "END",
        "usage": usage});
    assert_eq!(answer, expect);
}

#[tokio::test]
async fn why_a_message_ended_is_said() {
    for (reason, stop, expect) in [
        (FinishReason::Stop, None, json!(["end_turn", null])),
        (FinishReason::Length, None, json!(["max_tokens", null])),
        (FinishReason::Stop, Some("x".to_owned()), json!(["stop_sequence", "x"])),
    ] {
        let events = vec![Event::Finished { choice: 0, reason, stop }, done(1, 1)];
        let answer = check(&app(Scripted::once(Script::Events(events))), "POST", PATH, ask(json!({})), 200).await;
        let answer = answer.json();
        assert_eq!(json!([answer["stop_reason"], answer["stop_sequence"]]), expect);
        assert_eq!(answer["content"], json!([{"type": "text", "text": ""}]));
    }
}

#[tokio::test]
async fn every_option_of_a_message_reaches_the_backend() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let block = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let body = json!({
        "model": "m",
        "max_tokens": 7,
        "system": [block("Be brief"), block("Be kind")],
        "messages": [
            {"role": "user", "content": [block("one"), block("two")]},
            {"role": "user", "content": "three"},
            {"role": "assistant", "content": [{"type": "text", "text": "four", "citations": null}]},
            {"role": "system", "content": "Be quick"},
            {"role": "user", "content": "five"},
        ],
        "stop_sequences": ["END", "\n"], "temperature": 1, "top_p": 0.5, "top_k": 3,
        "metadata": {"user_id": "u"}, "service_tier": "auto", "tools": [], "tool_choice": {"type": "auto"},
        "thinking": {"type": "disabled"}, "output_config": {}, "cache_control": {"type": "ephemeral"},
        "speed": "standard", "inference_geo": "global", "container": null, "mcp_servers": [],
        "diagnostics": {"previous_message_id": null},
    });
    check(&app(backend.clone()), "POST", PATH, body, 200).await;
    let asked = backend.asked.lock().unwrap().pop().unwrap();
    let Input::Chat(chat) = &asked.input else { panic!("{asked:?}") };
    let turns: Vec<_> = chat.messages.iter().map(|turn| (turn.role, turn.content.as_str())).collect();
    let expect = [
        (Role::System, "Be brief\nBe kind"),
        (Role::User, "one\ntwo\nthree"),
        (Role::Assistant, "four"),
        (Role::System, "Be quick"),
        (Role::User, "five"),
    ];
    assert_eq!(turns, expect);
    assert_eq!((asked.max_tokens, asked.choices, asked.logprobs), (Some(7), 1, None));
    assert_eq!(asked.stop, ["END", "\n"]);
    let sampling = asked.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (Some(1.0), Some(0.5), Some(3)));
}

#[tokio::test]
async fn what_is_not_said_is_left_to_the_model() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    check(&app(backend.clone()), "POST", PATH, ask(json!({"temperature": null})), 200).await;
    assert_eq!(backend.asked.lock().unwrap()[0].sampling, inference::Sampling::default());
}

#[tokio::test]
async fn impossible_values_are_named() {
    let app = app(Scripted::new(|_| Script::Panic));
    for (name, values) in [
        ("max_tokens", json!([-1, 4294967296_i64, "many", null])),
        ("temperature", json!([-0.1, 1.1, "hot"])),
        ("top_p", json!([-0.1, 1.1])),
        ("top_k", json!([-1, 1.5])),
        ("stop_sequences", json!(["", [""], vec!["x"; 17], [5]])),
        ("stream", json!(["yes"])),
        ("model", json!(["", 5])),
        ("messages", json!([[], "text"])),
    ] {
        for value in values.as_array().unwrap() {
            let answer = check(&app, "POST", PATH, ask(json!({ name: value })), 400).await.json();
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(name), "{name} is not named: {message}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_and_not_ignored() {
    for (name, value) in [
        ("tools[0].type", json!([{"type": "web_search_20250305", "name": "web_search"}])),
        ("tools[0].input_schema", json!([{"name": "f"}])),
        ("tools[0].input_schema", json!([{"name": "f", "input_schema": []}])),
        ("tools[0].name", json!([{"name": "a b", "input_schema": {}}])),
        ("tools[1].name", json!([{"name": "f", "input_schema": {}}, {"name": "f", "input_schema": {}}])),
        ("tool_choice", json!({"type": "any"})),
        ("tool_choice", json!({"type": "tool", "name": "f"})),
        ("tool_choice.name", json!({"type": "tool"})),
        ("tool_choice.type", json!({"type": "some"})),
        ("thinking.budget_tokens", json!({"type": "enabled"})),
        ("thinking.budget_tokens", json!({"type": "enabled", "budget_tokens": 1023})),
        ("thinking.budget_tokens", json!({"type": "enabled", "budget_tokens": 1 << 20})),
        ("thinking.type", json!({"type": "sometimes"})),
        ("thinking", json!("on")),
        ("output_config", json!({"format": {"type": "xml"}})),
        ("output_config.effort", json!({"effort": "none"})),
        ("output_config.effort", json!({"effort": 5})),
        ("output_config.task_budget", json!({"task_budget": {"type": "tokens", "total": 5}})),
        ("thinking.type", json!({"type": "between_tools"})),
        ("tools[0].allowed_callers", json!([{"name": "f", "input_schema": {}, "allowed_callers": ["code_execution"]}])),
        ("service_tier", json!("priority")),
        ("speed", json!("fast")),
        ("inference_geo", json!("us")),
        ("compaction", json!({"type": "summarize"})),
        ("fallbacks", json!("default")),
        ("thread", json!({"id": "t"})),
        ("output_config", json!([1])),
        ("output_format", json!({"type": "json_schema"})),
        ("mcp_servers", json!([{"type": "url"}])),
        ("context_management", json!({"edits": [{}]})),
    ] {
        let parameter = name.split(['[', '.']).next().unwrap();
        refused(ask(json!({ parameter: value })), name).await;
    }
    for only_where_it_runs in ["container", "billing_policy"] {
        let body = ask(json!({only_where_it_runs: "c", "count": false}));
        refused(body, only_where_it_runs).await;
    }
    let short = json!({"type": "adaptive", "display": "short"});
    refused(ask(json!({"thinking": short, "count": false})), "thinking.display").await;
    let image = json!([{"type": "text", "text": "x"}, {"type": "image", "source": {"type": "url", "url": "u"}}]);
    let turn = |turn: Value| ask(json!({"messages": [{"role": "user", "content": "x"}, turn]}));
    refused(turn(json!({"role": "user", "content": image})), "messages[1].content[1].type").await;
    refused(turn(json!({"role": "user", "content": [{"type": "text"}]})), "messages[1].content[0].text").await;
    refused(turn(json!({"role": "user"})), "content").await;
    let block = |role: &str, block: Value| turn(json!({"role": role, "content": [block]}));
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    refused(block("user", call), "messages[1].content[0].type").await;
    refused(block("assistant", json!({"type": "tool_use", "id": "a", "name": "f"})), "messages[1].content[0].input")
        .await;
    refused(block("assistant", json!({"type": "tool_result", "tool_use_id": "a"})), "messages[1].content[0].type")
        .await;
    refused(block("user", json!({"type": "tool_result"})), "messages[1].content[0].tool_use_id").await;
    let image = json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]});
    refused(block("user", image), "messages[1].content[0].content[0].type").await;
    refused(turn(json!({"role": "king", "content": "x"})), "messages[1].role").await;
    refused(turn(json!({"role": "assistant", "content": "The answer is ("})), "prefill").await;
    refused(ask(json!({"system": [{"type": "image"}]})), "system[0].type").await;
    refused(ask(json!({"system": 5})), "system").await;
}

#[tokio::test]
async fn a_budget_of_thinking_reaches_the_backend() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    let enabled = json!({"type": "enabled", "budget_tokens": 1024, "display": "omitted"});
    for (thinking, expect) in [
        (enabled.clone(), (Some(true), Some(1024))),
        (json!({"type": "adaptive"}), (Some(true), None)),
        (json!({"type": "disabled", "budget_tokens": 5}), (Some(false), None)),
        (json!(null), (None, None)),
    ] {
        check(&app, "POST", PATH, ask(json!({"max_tokens": 1025, "thinking": thinking})), 200).await;
        let Input::Chat(chat) = backend.asked.lock().unwrap().pop().unwrap().input else { panic!("a conversation") };
        assert_eq!((chat.thinking, chat.thinking_budget), expect, "{thinking}");
    }
    // Where tokens are counted nothing is generated, so there is nothing for the budget to be less than.
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "thinking": enabled});
    check(&app, "POST", "/v1/messages/count_tokens", body, 200).await;
    let most = refused(ask(json!({"max_tokens": 1024, "thinking": enabled})), "thinking.budget_tokens");
    most.await;
}

#[tokio::test]
async fn an_effort_bounds_the_thinking_as_openais_words_do_and_does_not_ask_for_it() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    let enabled = json!({"type": "enabled", "budget_tokens": 2000});
    for (effort, thinking, expect) in [
        ("low", json!(null), (None, Some("low"), Some(1024))),
        ("medium", json!({"type": "adaptive"}), (Some(true), Some("medium"), Some(8192))),
        ("high", json!({"type": "adaptive"}), (Some(true), Some("high"), Some(24576))),
        ("xhigh", json!({"type": "adaptive"}), (Some(true), Some("xhigh"), None)),
        ("max", json!({"type": "adaptive"}), (Some(true), Some("max"), None)),
        ("low", enabled.clone(), (Some(true), Some("low"), Some(2000))),
        ("low", json!({"type": "disabled"}), (Some(false), Some("low"), None)),
    ] {
        let body = json!({"max_tokens": 3000, "thinking": thinking, "output_config": {"effort": effort}});
        check(&app, "POST", PATH, ask(body), 200).await;
        let Input::Chat(chat) = backend.asked.lock().unwrap().pop().unwrap().input else { panic!("a conversation") };
        assert_eq!((chat.thinking, chat.reasoning_effort.as_deref(), chat.thinking_budget), expect, "{effort}");
    }
}

#[tokio::test]
async fn thinking_that_is_not_to_be_shown_is_an_empty_block_and_may_come_back() {
    let thought = || vec![Event::Reasoning { choice: 0, text: "secret".into() }];
    let backend = Scripted::new(move |_| Script::Events([thought(), says("x")].concat()));
    let app = app(backend.clone());
    let thinking = json!({"type": "adaptive", "display": "omitted"});
    let answer = check(&app, "POST", PATH, ask(json!({"thinking": thinking})), 200).await.json();
    let block = json!({"type": "thinking", "thinking": "", "signature": "unsigned"});
    assert_eq!(answer["content"], json!([block, {"type": "text", "text": "x"}]));
    let stream = check(&app, "POST", PATH, ask(json!({"thinking": thinking, "stream": true})), 200).await;
    assert!(stream.text().contains("signature_delta") && !stream.text().contains("secret"), "{}", stream.text());
    let turns = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": "b"}]);
    check(&app, "POST", PATH, ask(json!({"messages": turns})), 200).await;
    let Input::Chat(chat) = backend.asked.lock().unwrap().pop().unwrap().input else { panic!("a conversation") };
    assert_eq!((chat.messages[1].content.as_str(), &chat.messages[1].reasoning), ("x", &None));
}

#[tokio::test]
async fn thinking_comes_back_with_any_signature_and_reaches_the_model_as_it_was_sent() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    for signature in [json!("unsigned"), json!("EqQBCgIYAhIM1gbcDa9GJwZA2b3h=="), json!(""), Value::Null] {
        for thought in ["Hm.", " altered,\n\"ä\" \u{2028}🌧 "] {
            let block = json!({"type": "thinking", "thinking": thought, "signature": signature});
            let turns = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": [block]},
                {"role": "user", "content": "b"}]);
            check(&app, "POST", PATH, ask(json!({"messages": turns})), 200).await;
            let Input::Chat(chat) = backend.asked.lock().unwrap().pop().unwrap().input else { panic!("a chat") };
            assert_eq!(chat.messages[1].reasoning.as_deref(), Some(thought), "{signature}");
        }
    }
}

#[tokio::test]
async fn tokens_are_counted_without_running_anything() {
    let backend = Scripted::new(|_| Script::Panic);
    let app = app(backend.clone());
    let body = json!({"model": "m", "system": "s", "messages": [{"role": "user", "content": "x"}]});
    let answer = check(&app, "POST", "/v1/messages/count_tokens", body, 200).await.json();
    assert_eq!(answer, json!({"input_tokens": 7}));
    let asked = backend.asked.lock().unwrap().pop().unwrap();
    assert!(matches!(&asked.input, Input::Chat(chat) if chat.messages.len() == 2));
    assert_eq!(*backend.live.borrow(), 0);
    let refused = Scripted::once(Script::RefuseToPrepare(Error::invalid("messages", "no")));
    check(&crate::stage::app(refused), "POST", "/v1/messages/count_tokens", ask(json!({})), 400).await;
}

#[tokio::test]
async fn failures_have_anthropics_shape_and_keep_their_status() {
    let overloaded = Error::Overloaded { what: "the queue", retry_after: Duration::from_secs(3) };
    for (error, status, kind, retry) in [
        (Error::invalid("messages", "no"), 400, "invalid_request_error", None),
        (Error::ModelNotFound { model: "m".into() }, 404, "not_found_error", None),
        (overloaded, 429, "rate_limit_error", Some("3")),
        (Error::ShuttingDown, 503, "overloaded_error", Some("5")),
        (Error::Internal, 500, "api_error", None),
    ] {
        for stream in [false, true] {
            let app = app(Scripted::once(Script::RefuseToRun(error.clone())));
            let answer = check(&app, "POST", PATH, ask(json!({"stream": stream})), status).await;
            let body = answer.json();
            assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
            assert_eq!(body["request_id"], answer.headers["request-id"].to_str().unwrap());
            assert_eq!(answer.headers["content-type"], "application/json");
            assert_eq!(answer.headers.get("retry-after").map(|value| value.to_str().unwrap()), retry);
        }
    }
}

#[tokio::test]
async fn failures_before_a_handler_have_the_familys_shape_too() {
    let app = app(Scripted::new(|_| Script::Panic));
    let kind = async |method: &str, path: &str, key: &str, version: bool, status: u16| {
        let mut request = request(method, path, "{");
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        if version {
            request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
        }
        let answer = send(&app, request).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let body = answer.json();
        assert_eq!(body.get("type").is_some(), body.get("request_id").is_some());
        (body["type"] == "error", body["error"]["type"].as_str().unwrap().to_owned())
    };
    let anthropic = |kind: &str| (true, kind.to_owned());
    let openai = |kind: &str| (false, kind.to_owned());
    assert_eq!(kind("POST", PATH, "wrong", false, 401).await, anthropic("authentication_error"));
    assert_eq!(kind("POST", PATH, KEY, false, 400).await, anthropic("invalid_request_error"));
    assert_eq!(kind("GET", PATH, KEY, false, 405).await, anthropic("invalid_request_error"));
    assert_eq!(kind("POST", "/v1/messages/batches", KEY, false, 404).await, anthropic("not_found_error"));
    assert_eq!(kind("GET", "/v1/models", "wrong", true, 401).await, anthropic("authentication_error"));
    assert_eq!(kind("GET", "/v1/models/x", KEY, true, 404).await, anthropic("not_found_error"));
    assert_eq!(kind("GET", "/v1/models/x", KEY, false, 404).await, openai("invalid_request_error"));
    assert_eq!(kind("GET", "/v1/models", "wrong", false, 401).await, openai("invalid_request_error"));
}

#[tokio::test]
async fn models_are_listed_page_by_page() {
    let app = app(Scripted::new(|_| Script::Panic));
    let get = async |path: &str, status: u16| {
        let mut request = request("GET", path, Body::empty());
        request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
        let answer = send(&app, request).await;
        assert_eq!(answer.status, status, "{path}");
        answer.json()
    };
    let ids = |list: &Value| {
        let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
        json!([ids, list["has_more"], list["first_id"], list["last_id"]])
    };
    assert_eq!(ids(&get("/v1/models", 200).await), json!([["m", "org/m"], false, "m", "org/m"]));
    assert_eq!(ids(&get("/v1/models?limit=1", 200).await), json!([["m"], true, "m", "m"]));
    let rest = get("/v1/models?limit=1&after_id=m", 200).await;
    assert_eq!(ids(&rest), json!([["org/m"], false, "org/m", "org/m"]));
    assert_eq!(ids(&get("/v1/models?before_id=org/m", 200).await), json!([["m"], false, "m", "m"]));
    assert_eq!(ids(&get("/v1/models?after_id=org/m", 200).await), json!([[], false, null, null]));
    for wrong in ["limit=0", "limit=1001", "limit=x", "after_id=x", "before_id=x", "after_id=m&before_id=m"] {
        get(&format!("/v1/models?{wrong}"), 400).await;
    }
    let model = get("/v1/models/org/m", 200).await;
    assert_eq!(
        (&model["type"], &model["id"], &model["display_name"]),
        (&json!("model"), &json!("org/m"), &json!("org/m"))
    );
    let created = model["created_at"].as_str().unwrap();
    assert!(created.len() == 20 && created.starts_with("20") && created.ends_with('Z'), "{created}");
}

fn streaming() -> (mpsc::Sender<Event>, axum::Router, std::sync::Arc<Scripted>, Service) {
    let (events, script) = mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(script));
    let service = service(gateway::Config::default(), backend.clone());
    (events, gateway::router(service.clone()), backend, service)
}

async fn open(app: &axum::Router) -> axum::response::Response {
    let response = app.clone().oneshot(request("POST", PATH, ask(json!({"stream": true})).to_string())).await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

async fn piece(body: &mut axum::body::BodyDataStream) -> String {
    String::from_utf8(body.next().await.expect("the stream goes on").unwrap().to_vec()).unwrap()
}

/// The names of the events in a piece.
fn names(piece: &str) -> Vec<&str> {
    piece.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test(start_paused = true)]
async fn each_token_goes_out_at_once_in_anthropics_order() {
    let (events, app, backend, _) = streaming();
    let begun = Instant::now();
    events.send(text(0, "He")).await.unwrap();
    let response = open(&app).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let first = piece(&mut body).await;
    assert_eq!(names(&first), ["message_start", "ping", "content_block_start", "content_block_delta"]);
    assert!(first.contains(r#""input_tokens":7"#), "the prompt's count is there at the start: {first}");
    events.send(text(0, "llo")).await.unwrap();
    let second = piece(&mut body).await;
    assert_eq!(names(&second), ["content_block_delta"]);
    assert!(second.contains(r#""text":"llo""#), "{second}");
    events.send(finished(0)).await.unwrap();
    assert_eq!(names(&piece(&mut body).await), ["content_block_stop"]);
    events.send(done(7, 2)).await.unwrap();
    let last = piece(&mut body).await;
    assert_eq!(names(&last), ["message_delta", "message_stop"]);
    assert!(last.contains(r#""stop_reason":"end_turn""#) && last.contains(r#""output_tokens":2"#), "{last}");
    assert!(body.next().await.is_none());
    assert_eq!(begun.elapsed().as_millis(), 0, "nothing waited for anything");
    backend.until_live(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_pings_and_its_failure_is_an_event() {
    let (events, app, backend, _) = streaming();
    let begun = Instant::now();
    let mut body = open(&app).await.into_body().into_data_stream();
    for seconds in [2, 4] {
        assert_eq!(piece(&mut body).await, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    events.send(Event::Failed { error: Error::ShuttingDown, usage: Usage::default() }).await.unwrap();
    let last = piece(&mut body).await;
    assert_eq!(names(&last), ["error"]);
    assert!(last.contains(r#""type":"overloaded_error""#) && last.contains(r#""request_id":"req_"#), "{last}");
    assert!(body.next().await.is_none());
    backend.until_live(0).await;
}

#[tokio::test(start_paused = true)]
async fn hanging_up_cancels() {
    let (_events, app, backend, service) = streaming();
    let response = open(&app).await;
    assert_eq!((*backend.live.borrow(), service.requests_in_flight()), (1, 1));
    drop(response);
    assert_eq!((*backend.live.borrow(), service.requests_in_flight()), (0, 0));

    let (_events, app, backend, service) = streaming();
    let mut whole = Box::pin(app.oneshot(request("POST", PATH, ask(json!({})).to_string())));
    assert!(futures::poll!(&mut whole).is_pending());
    assert_eq!((*backend.live.borrow(), service.requests_in_flight()), (1, 1));
    drop(whole);
    assert_eq!((*backend.live.borrow(), service.requests_in_flight()), (0, 0));
}
