//! The Responses API from outside.

use std::time::Duration;

use account::{ApiKey, KeyId, OrgId, ProjectId};
use axum::{Router, body::Body, http::Request};
use gateway::{Config, router};
use http_body_util::BodyExt;
use inference::{ChatInput, Error, Event, FinishReason, Form, Input, Message, Role, ToolCall, ToolChoice};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::stage::*;

const PATH: &str = "/v1/responses";

fn ask(extra: Value) -> Value {
    let mut body = json!({"model": "m", "input": "Hello"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn of(id: &Value) -> String {
    format!("{PATH}/{}", id.as_str().unwrap())
}

/// What the model was asked last.
#[track_caller]
fn asked(backend: &Scripted) -> (inference::Request, ChatInput) {
    let asked = backend.asked.lock().unwrap().pop().unwrap();
    let Input::Chat(chat) = asked.input.clone() else { panic!("{asked:?}") };
    (asked, chat)
}

fn talks() -> Arc<Scripted> {
    Scripted::new(|_| Script::Events(says("Good day")))
}

/// The data of the events of a stream.
fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn a_response_is_answered_as_the_sdk_expects_and_kept() {
    let app = app(talks());
    let body = ask(json!({"instructions": "Be brief", "metadata": {"a": "b"}, "user": "u", "temperature": 0.5}));
    let answer = check(&app, "POST", PATH, body, 200).await.json();
    let id = answer["id"].as_str().unwrap();
    assert!(id.starts_with("resp_") && id.len() == 37, "{id}");
    let hex = &id[5..];
    let expect = json!({
        "id": id, "object": "response", "created_at": answer["created_at"], "status": "completed",
        "completed_at": answer["completed_at"], "background": false, "error": null, "incomplete_details": null,
        "instructions": "Be brief", "max_output_tokens": null, "model": "m",
        "output": [{"type": "message", "id": format!("msg_{hex}_0"), "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "Good day", "annotations": [], "logprobs": []}]}],
        "parallel_tool_calls": true, "previous_response_id": null, "reasoning": {"effort": null, "summary": null},
        "store": true, "temperature": 0.5, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_logprobs": 0, "top_p": null, "truncation": "disabled",
        "usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 9},
        "user": "u", "metadata": {"a": "b"},
    });
    assert_eq!(answer, expect);
    assert!(answer["completed_at"].as_u64() >= answer["created_at"].as_u64());
    let path = of(&answer["id"]);
    assert_eq!(check(&app, "GET", &path, Value::Null, 200).await.json(), answer);
    let deleted = check(&app, "DELETE", &path, Value::Null, 200).await.json();
    assert_eq!(deleted, json!({"id": id, "object": "response", "deleted": true}));
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/input_items")),
        ("POST", format!("{path}/cancel")),
    ] {
        let gone = check(&app, method, &path, Value::Null, 404).await.json();
        assert_eq!(gone["error"]["code"], "response_not_found", "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_not() {
    let kept = Arc::<Kept>::default();
    let app = router(metered(Config::default(), talks(), tenancy(kept.clone())));
    for stream in [false, true] {
        let answer = check(&app, "POST", PATH, ask(json!({"store": false, "stream": stream})), 200).await;
        let response = if stream { events(answer.text()).pop().unwrap()["response"].clone() } else { answer.json() };
        assert_eq!((&response["status"], &response["store"]), (&json!("completed"), &json!(false)));
        check(&app, "GET", &of(&response["id"]), Value::Null, 404).await;
        let continued = ask(json!({"previous_response_id": response["id"]}));
        let refused = check(&app, "POST", PATH, continued, 404).await.json();
        assert_eq!(
            (&refused["error"]["code"], &refused["error"]["param"]),
            (&json!("response_not_found"), &json!("previous_response_id"))
        );
    }
    assert_eq!(kept.rows().len(), 2, "what continues nothing that is there is not even admitted");
}

#[tokio::test]
async fn an_installation_may_keep_nothing_and_says_so() {
    let config = Config { response_retention: Duration::ZERO, ..Config::default() };
    let app = router(service(config, talks()));
    let response = check(&app, "POST", PATH, ask(json!({"store": true})), 200).await.json();
    assert_eq!((&response["status"], &response["store"]), (&json!("completed"), &json!(false)));
    check(&app, "GET", &of(&response["id"]), Value::Null, 404).await;
    let refused = check(&app, "POST", PATH, ask(json!({"background": true})), 400).await.json();
    assert_eq!(refused["error"]["param"], "background");
}

#[tokio::test]
async fn every_option_of_a_response_reaches_the_backend() {
    let backend = talks();
    let schema = json!({"type": "object"});
    let tool = json!({"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": true});
    let format = json!({"type": "json_schema", "name": "n", "strict": true, "schema": schema});
    let body = json!({
        "model": "m", "instructions": "Be brief", "input": [{"role": "user", "content": "Hi"}], "max_output_tokens": 9,
        "temperature": 0, "top_p": 0.5, "top_logprobs": 4, "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "text": {"format": format, "verbosity": "medium"}, "tools": [tool], "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": false, "reasoning": {"effort": "low", "summary": "auto"}, "truncation": "disabled",
        "service_tier": "auto", "prompt_cache_key": "k", "stream_options": {"include_obfuscation": false},
    });
    let answer = check(&app(backend.clone()), "POST", PATH, body, 200).await.json();
    let (request, chat) = asked(&backend);
    assert_eq!(chat.messages, [Message::new(Role::System, "Be brief"), Message::new(Role::User, "Hi")]);
    assert_eq!((request.max_tokens, request.logprobs, request.choices), (Some(9), Some(4), 1));
    assert_eq!((request.sampling.temperature, request.sampling.top_p), (Some(0.0), Some(0.5)));
    let constraint = request.constraint.unwrap();
    assert_eq!(constraint.form, Form::JsonSchema(schema.to_string()));
    assert_eq!(constraint.parameter, "text.format.schema");
    let found = &chat.tools[0];
    assert_eq!((found.name.as_str(), found.description.as_deref(), found.strict), ("f", Some("d"), true));
    assert_eq!(found.parameters.as_deref(), Some("{\"type\":\"object\"}"));
    assert_eq!((chat.tool_choice, chat.one_call), (ToolChoice::Named("f".into()), true));
    let thinking = (chat.thinking, chat.reasoning_effort.as_deref(), chat.thinking_budget);
    assert_eq!(thinking, (Some(true), Some("low"), Some(1024)));
    assert_eq!((&answer["tools"], &answer["text"]["format"]), (&json!([tool]), &format));
    assert_eq!(answer["tool_choice"], json!({"type": "function", "name": "f"}));
    for (mode, expect) in [("auto", ToolChoice::Auto), ("none", ToolChoice::None), ("required", ToolChoice::Required)] {
        let body = ask(json!({"tools": [tool], "tool_choice": mode, "text": {"format": {"type": "json_object"}}}));
        check(&app(backend.clone()), "POST", PATH, body, 200).await;
        let (request, chat) = asked(&backend);
        assert_eq!((chat.tool_choice, request.constraint.unwrap().form), (expect, Form::JsonObject));
    }
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_by_name() {
    let app = app(Scripted::new(|_| Script::Panic));
    let many: serde_json::Map<String, Value> = (0..17).map(|number| (number.to_string(), json!("x"))).collect();
    let image =
        json!([{"role": "user", "content": [{"type": "input_image", "image_url": "http://127.0.0.1:9/x.png"}]}]);
    for (extra, param, code) in [
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type", "unsupported_value"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name", "invalid_value"),
        (json!({"tools": [{"type": "function", "name": "a b"}]}), "tools[0].name", "invalid_value"),
        (json!({"tool_choice": "required"}), "tool_choice", "invalid_value"),
        (json!({"tool_choice": {"type": "web_search_preview"}}), "tool_choice.type", "unsupported_value"),
        (json!({"tool_choice": {"type": "function"}}), "tool_choice.name", "invalid_value"),
        (json!({"tool_choice": "perhaps"}), "tool_choice", "invalid_value"),
        (json!({"input": image}), "input[0].content[0].type", "unsupported_value"),
        (json!({"input": null}), "input", "invalid_value"),
        (json!({"model": ""}), "model", "invalid_value"),
        (json!({"truncation": "auto"}), "truncation", "unsupported_value"),
        (json!({"service_tier": "flex"}), "service_tier", "unsupported_value"),
        (json!({"include": ["file_search_call.results"]}), "include[0]", "unsupported_value"),
        (json!({"include": ["message.output_text.logprobs", "surprise"]}), "include[1]", "invalid_value"),
        (json!({"top_logprobs": 3}), "top_logprobs", "invalid_value"),
        (json!({"top_logprobs": 21}), "top_logprobs", "invalid_value"),
        (json!({"text": {"format": {"type": "grammar"}}}), "text.format.type", "unsupported_value"),
        (json!({"text": {"format": {"type": "json_schema"}}}), "text.format.schema", "invalid_value"),
        (json!({"text": {"verbosity": "low"}}), "text.verbosity", "unsupported_value"),
        (json!({"reasoning": {"effort": "immense"}}), "reasoning.effort", "invalid_value"),
        (json!({"reasoning": {"summary": "detailed"}}), "reasoning.summary", "unsupported_value"),
        (json!({"max_output_tokens": 0}), "max_output_tokens", "invalid_value"),
        (json!({"temperature": 3}), "temperature", "invalid_value"),
        (json!({"metadata": many}), "metadata", "invalid_value"),
        (json!({"metadata": {"x".repeat(65): "x"}}), "metadata", "invalid_value"),
        (json!({"metadata": {"x": "x".repeat(513)}}), "metadata", "invalid_value"),
        (json!({"background": true, "store": false}), "background", "invalid_value"),
        (json!({"conversation": "conv_1"}), "conversation", "unsupported_value"),
        (json!({"prompt": {"id": "p"}}), "prompt", "unsupported_value"),
    ] {
        let error = check(&app, "POST", PATH, ask(extra.clone()), 400).await.json()["error"].clone();
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{extra}: {error}");
    }
    let missing = check(&app, "POST", PATH, ask(json!({"previous_response_id": "resp_x"})), 404).await.json();
    assert_eq!(missing["error"]["param"], "previous_response_id");
}

fn calls() -> Vec<Event> {
    vec![
        Event::Reasoning { choice: 0, text: "hm".into() },
        text(0, "I look."),
        Event::ToolCall { choice: 0, id: "call_1".into(), name: "f".into() },
        Event::Arguments { choice: 0, text: "{}".into() },
        Event::Finished { choice: 0, reason: FinishReason::ToolCalls, stop: None },
        done(7, 5),
    ]
}

/// The turn of the model that [`calls`] is.
fn turn() -> Message {
    let call = ToolCall { id: "call_1".into(), name: "f".into(), arguments: "{}".into() };
    Message { reasoning: Some("hm".into()), tool_calls: vec![call], ..Message::new(Role::Assistant, "I look.") }
}

#[tokio::test]
async fn a_response_is_continued_by_its_id_or_by_its_items() {
    let backend = Scripted::new(|request| {
        let Input::Chat(chat) = &request.input else { panic!("{request:?}") };
        Script::Events(if chat.messages.len() < 3 { calls() } else { says("Rain") })
    });
    let app = app(backend.clone());
    let tools = json!([{"type": "function", "name": "f"}]);
    let result = json!({"type": "function_call_output", "call_id": "call_1", "output": "rain"});
    let first = check(&app, "POST", PATH, ask(json!({"tools": tools, "instructions": "first"})), 200).await.json();
    let body = json!({"model": "m", "previous_response_id": first["id"], "input": [result], "instructions": "second"});
    let second = check(&app, "POST", PATH, body, 200).await.json();
    let (_, chat) = asked(&backend);
    let answered = Message { tool_call_id: Some("call_1".into()), ..Message::new(Role::Tool, "rain") };
    let user = Message::new(Role::User, "Hello");
    let instructions = Message::new(Role::System, "second");
    assert_eq!(
        chat.messages,
        [instructions, user.clone(), turn(), answered.clone()],
        "instructions are not taken over"
    );
    assert_eq!(second["previous_response_id"], first["id"]);
    let third = json!({"model": "m", "previous_response_id": second["id"], "input": "And now?"});
    let third = check(&app, "POST", PATH, third, 200).await.json();
    let (_, chat) = asked(&backend);
    let rest = [Message::new(Role::Assistant, "Rain"), Message::new(Role::User, "And now?")];
    assert_eq!(chat.messages, [&[user.clone(), turn(), answered.clone()][..], &rest].concat());
    // The same without anything kept: what came out goes in again.
    let mut input = vec![json!({"role": "user", "content": "Hello"})];
    input.extend(first["output"].as_array().unwrap().iter().cloned());
    input.push(result);
    check(&app, "POST", PATH, json!({"model": "m", "input": input, "store": false}), 200).await;
    let (_, chat) = asked(&backend);
    assert_eq!(chat.messages, [user, turn(), answered]);
    // All that the third answers, a page at a time.
    let items = format!("{}/input_items", of(&third["id"]));
    let page = check(&app, "GET", &format!("{items}?order=asc"), Value::Null, 200).await.json();
    let kinds: Vec<&str> = page["data"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    let expect = ["message", "reasoning", "message", "function_call", "function_call_output", "message", "message"];
    assert_eq!((kinds.as_slice(), &page["has_more"]), (&expect[..], &json!(false)));
    assert_eq!(page["data"][6]["content"], json!([{"type": "input_text", "text": "And now?"}]));
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = check(&app, "GET", &format!("{items}?limit=3{after}"), Value::Null, 200).await.json();
        paged.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["has_more"] == json!(false) {
            break;
        }
        assert_eq!(page["last_id"], page["data"][2]["id"]);
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    paged.reverse();
    assert_eq!(json!(paged), page["data"], "the latest come first, unless they are asked for otherwise");
    for (query, param) in [("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order"), ("after=x", "after")] {
        let error = check(&app, "GET", &format!("{items}?{query}"), Value::Null, 400).await.json();
        assert_eq!(error["error"]["param"], param);
    }
    // What lost its beginning is not continued as if it had none.
    check(&app, "DELETE", &of(&first["id"]), Value::Null, 200).await;
    let body = json!({"model": "m", "previous_response_id": third["id"], "input": "x"});
    let error = check(&app, "POST", PATH, body, 400).await.json();
    assert_eq!(error["error"]["param"], "previous_response_id");
    let orphan = json!({"model": "m", "input": [{"type": "function_call_output", "call_id": "no", "output": "x"}]});
    assert_eq!(check(&app, "POST", PATH, orphan, 400).await.json()["error"]["param"], "input[0].call_id");
}

#[tokio::test]
async fn another_project_finds_nothing() {
    let tenancy = tenancy(Arc::default());
    let mut stranger = key(&pepper());
    let secret = "another-key-for-tests-0123456789abc";
    stranger.id = KeyId::from_bytes([33; 16]);
    stranger.secret = pepper().hash(&ApiKey::parse(secret).unwrap().hash());
    let app = router(metered(Config::default(), talks(), tenancy.clone()));
    let response = check(&app, "POST", PATH, ask(json!({})), 200).await.json();
    let path = of(&response["id"]);
    for (org, project) in [(ORG, ProjectId::from_bytes([22; 16])), (OrgId::from_bytes([11; 16]), PROJECT)] {
        (stranger.org, stranger.project) = (org, project);
        tenancy.set_key(stranger.clone());
        for (method, path, body) in [
            ("GET", path.clone(), Value::Null),
            ("DELETE", path.clone(), Value::Null),
            ("POST", format!("{path}/cancel"), Value::Null),
            ("GET", format!("{path}/input_items"), Value::Null),
            ("POST", PATH.to_owned(), ask(json!({"previous_response_id": response["id"]}))),
        ] {
            let missing = path.replace(response["id"].as_str().unwrap(), "resp_00000000000000000000000000000000");
            let mut told = Vec::new();
            for path in [path, missing] {
                let mut request = Request::builder().method(method).uri(&path);
                request = request.header("authorization", format!("Bearer {secret}"));
                let answer = send(&app, request.body(body.to_string().into()).unwrap()).await;
                assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
                told.push((answer.json()["error"]["code"].clone(), answer.json()["error"]["param"].clone()));
            }
            assert_eq!(told[0], told[1], "what is foreign looks like what is not there");
        }
    }
    check(&app, "GET", &path, Value::Null, 200).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_response_that_is_kept() {
    let app = app(Scripted::new(|_| Script::Events(calls())));
    let answer = check(&app, "POST", PATH, ask(json!({"stream": true})), 200).await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let events = events(answer.text());
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("response.created"), &json!("response.in_progress")));
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    let kept = check(&app, "GET", &of(&last["response"]["id"]), Value::Null, 200).await.json();
    assert_eq!(kept, last["response"]);
    assert!(!answer.text().contains("[DONE]"));
    let stream = check(&app, "GET", &format!("{}?stream=true", of(&kept["id"])), Value::Null, 400).await.json();
    assert_eq!(stream["error"]["param"], "stream");
}

#[tokio::test]
async fn a_failure_has_a_status_or_an_event() {
    let backend = Scripted::new(|request| match request.max_tokens {
        Some(1) => Script::RefuseToPrepare(Error::invalid("max_tokens", "no")),
        Some(2) => {
            Script::Events(vec![text(0, "a"), Event::Failed { error: Error::Internal, usage: Default::default() }])
        }
        _ => Script::Panic,
    });
    let app = app(backend);
    for stream in [false, true] {
        let refused = ask(json!({"stream": stream, "max_output_tokens": 1}));
        check(&app, "POST", PATH, refused, 400).await;
        check(&app, "POST", PATH, ask(json!({"stream": stream})), 500).await;
    }
    check(&app, "POST", PATH, ask(json!({"max_output_tokens": 2})), 500).await;
    let broken = check(&app, "POST", PATH, ask(json!({"stream": true, "max_output_tokens": 2})), 200).await;
    let last = events(broken.text()).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["error"]["code"]),
        (&json!("response.failed"), &json!("server_error"))
    );
    let kept = check(&app, "GET", &of(&last["response"]["id"]), Value::Null, 200).await.json();
    assert_eq!(kept, last["response"]);
    let continued = ask(json!({"previous_response_id": kept["id"]}));
    let refused = check(&app, "POST", PATH, continued, 400).await.json();
    assert_eq!(refused["error"]["param"], "previous_response_id");
}

#[tokio::test]
async fn an_answer_that_could_not_be_kept_says_so() {
    let kept = Arc::<Kept>::default();
    let (sender, receiver) = mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(receiver));
    let app = router(metered(Config::default(), backend, tenancy(kept.clone())));
    let body = ask(json!({"stream": true}));
    let script = async {
        for event in [text(0, "a"), finished(0), done(7, 1)] {
            sender.send(event).await.unwrap();
        }
        kept.refuse_responses();
    };
    let (answer, ()) = tokio::join!(
        async {
            let response = app.clone().oneshot(request("POST", PATH, body.to_string())).await.unwrap();
            response.into_body()
        },
        script
    );
    let bytes = answer.collect().await.unwrap().to_bytes();
    let last = events(std::str::from_utf8(&bytes).unwrap()).pop().unwrap();
    assert_eq!((&last["type"], &last["response"]["store"]), (&json!("response.completed"), &json!(false)));
    check(&app, "GET", &of(&last["response"]["id"]), Value::Null, 404).await;
}

/// Asks until the response is as it must become.
async fn until(app: &Router, path: &str, status: &str) -> Value {
    loop {
        let response = check(app, "GET", path, Value::Null, 200).await.json();
        if response["status"] == status {
            return response;
        }
        assert!(matches!(response["status"].as_str(), Some("queued" | "in_progress")), "{response}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_response_in_the_background_goes_on_without_its_client() {
    let kept = Arc::<Kept>::default();
    let (sender, receiver) = mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(receiver));
    let app = router(metered(Config::default(), backend, tenancy(kept.clone())));
    let queued = check(&app, "POST", PATH, ask(json!({"background": true})), 200).await.json();
    assert_eq!(
        (&queued["status"], &queued["background"], &queued["output"]),
        (&json!("queued"), &json!(true), &json!([]))
    );
    let path = of(&queued["id"]);
    sender.send(text(0, "Hi")).await.unwrap();
    until(&app, &path, "in_progress").await;
    for event in [finished(0), done(7, 1)] {
        sender.send(event).await.unwrap();
    }
    let completed = until(&app, &path, "completed").await;
    assert_eq!(completed["output"][0]["content"][0]["text"], "Hi");
    assert_eq!(completed["id"], queued["id"]);
    assert_eq!(kept.rows().len(), 1, "it is settled like any other");
    let same = check(&app, "POST", &format!("{path}/cancel"), Value::Null, 200).await.json();
    assert_eq!(same, completed, "what has ended stays as it is");
}

#[tokio::test]
async fn a_response_in_the_background_is_cancelled_by_its_id() {
    let kept = Arc::<Kept>::default();
    let backend = Scripted::new(|_| {
        let (sender, receiver) = mpsc::channel(8);
        sender.try_send(text(0, "Hi")).unwrap();
        // It is never over by itself.
        std::mem::forget(sender);
        Script::Channel(receiver)
    });
    let app = router(metered(Config::default(), backend.clone(), tenancy(kept.clone())));
    for way in ["cancel", "delete"] {
        let queued = check(&app, "POST", PATH, ask(json!({"background": true})), 200).await.json();
        let path = of(&queued["id"]);
        until(&app, &path, "in_progress").await;
        if way == "cancel" {
            let cancelled = check(&app, "POST", &format!("{path}/cancel"), Value::Null, 200).await.json();
            assert_eq!((&cancelled["status"], &cancelled["usage"]["output_tokens"]), (&json!("cancelled"), &json!(1)));
            assert_eq!(cancelled["output"][0]["status"], "incomplete");
            assert_eq!(check(&app, "GET", &path, Value::Null, 200).await.json(), cancelled);
        } else {
            check(&app, "DELETE", &path, Value::Null, 200).await;
            check(&app, "GET", &path, Value::Null, 404).await;
        }
        backend.until_live(0).await;
    }
    let causes: Vec<_> = kept.rows().iter().map(|row| row.settlement.cause).collect();
    assert_eq!(causes, [account::Cause::CancelledByClient; 2]);
    check(&app, "POST", PATH, ask(json!({"background": true, "model": "nobody"})), 404).await;
}

#[tokio::test]
async fn a_failure_in_the_background_is_told_by_the_response() {
    let app = app(Scripted::new(|_| Script::RefuseToPrepare(Error::invalid("max_output_tokens", "no"))));
    let queued = check(&app, "POST", PATH, ask(json!({"background": true})), 200).await.json();
    let failed = until(&app, &of(&queued["id"]), "failed").await;
    assert_eq!(failed["error"], json!({"code": "invalid_prompt", "message": "no"}));
}

#[tokio::test]
async fn only_what_is_in_the_background_is_cancelled() {
    let app = app(talks());
    let response = check(&app, "POST", PATH, ask(json!({})), 200).await.json();
    check(&app, "POST", &format!("{}/cancel", of(&response["id"])), Value::Null, 400).await;
}

#[tokio::test]
async fn there_is_room_for_so_many_in_the_background() {
    let (sender, receiver) = mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(receiver));
    let config = Config { max_background: 1, ..Config::default() };
    let app = router(service(config, backend));
    let first = check(&app, "POST", PATH, ask(json!({"background": true})), 200).await.json();
    let full = check(&app, "POST", PATH, ask(json!({"background": true})), 429).await;
    assert_eq!(full.json()["error"]["code"], "overloaded");
    assert!(full.headers.contains_key("retry-after"));
    for event in [finished(0), done(7, 1)] {
        sender.send(event).await.unwrap();
    }
    until(&app, &of(&first["id"]), "completed").await;
}

#[tokio::test]
async fn who_listens_to_the_background_may_leave() {
    let (sender, receiver) = mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(receiver));
    let app = app(backend);
    let body = ask(json!({"background": true, "stream": true})).to_string();
    let mut answer = app.clone().oneshot(request("POST", PATH, body)).await.unwrap().into_body();
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    let told = events(std::str::from_utf8(&first).unwrap());
    let names: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["response.created", "response.queued"]);
    sender.send(text(0, "Hi")).await.unwrap();
    let second = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(second.starts_with(b"event: response.in_progress\n"), "{second:?}");
    drop(answer);
    for event in [text(0, "!"), finished(0), done(7, 2)] {
        sender.send(event).await.unwrap();
    }
    let completed = until(&app, &of(&told[0]["response"]["id"]), "completed").await;
    assert_eq!(completed["output"][0]["content"][0]["text"], "Hi!");
}

/// The events of a response's stream behind the one of a number.
async fn behind(app: &Router, path: &str, number: usize) -> Vec<Value> {
    let query = format!("{path}?stream=true&starting_after={number}");
    let answer = check(app, "GET", &query, Value::Null, 200).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    events(answer.text())
}

#[tokio::test]
async fn a_stream_of_the_background_is_told_again_behind_any_of_its_events() {
    let app = app(Scripted::new(|_| Script::Events(calls())));
    let body = ask(json!({"background": true, "stream": true}));
    let told = events(check(&app, "POST", PATH, body, 200).await.text());
    assert_eq!(told.last().unwrap()["type"], "response.completed");
    let path = of(&told[0]["response"]["id"]);
    let again = check(&app, "GET", &format!("{path}?stream=true"), Value::Null, 200).await;
    assert_eq!(events(again.text()), told);
    for number in 0..told.len() {
        assert_eq!(behind(&app, &path, number).await, told[number + 1..], "behind {number}");
    }
    assert!(behind(&app, &path, usize::MAX).await.is_empty());
    check(&app, "GET", &format!("{path}?stream=true&starting_after=-1"), Value::Null, 400).await;
    let whole = check(&app, "GET", &path, Value::Null, 200).await.json();
    assert_eq!(told.last().unwrap()["response"], whole);
    check(&app, "DELETE", &path, Value::Null, 200).await;
    check(&app, "GET", &format!("{path}?stream=true"), Value::Null, 404).await;
}

#[tokio::test]
async fn events_are_kept_only_of_what_was_asked_for_in_the_background_and_in_events() {
    let app = app(Scripted::new(|_| Script::Events(calls())));
    for extra in [json!({"background": true}), json!({"stream": false})] {
        let response = check(&app, "POST", PATH, ask(extra), 200).await.json();
        let path = of(&response["id"]);
        until(&app, &path, "completed").await;
        let refused = check(&app, "GET", &format!("{path}?stream=true"), Value::Null, 400).await.json();
        assert_eq!(refused["error"]["param"], "stream");
    }
}

#[tokio::test]
async fn whoever_comes_later_or_reads_slowly_is_told_the_same_and_holds_nobody_up() {
    let (sender, receiver) = mpsc::channel(8);
    let app = app(Scripted::once(Script::Channel(receiver)));
    let body = ask(json!({"background": true, "stream": true})).to_string();
    let first = app.clone().oneshot(request("POST", PATH, body)).await.unwrap();
    let mut slow = first.into_body();
    let beginning = slow.frame().await.unwrap().unwrap().into_data().unwrap();
    let told = events(std::str::from_utf8(&beginning).unwrap());
    let path = of(&told[0]["response"]["id"]);
    sender.send(text(0, "Hi")).await.unwrap();
    until(&app, &path, "in_progress").await;
    // It joins in the middle, and reads as it comes.
    let later = app.clone().oneshot(request("GET", &format!("{path}?stream=true&starting_after=1"), ""));
    let mut later = later.await.unwrap().into_body();
    let piece = later.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(events(std::str::from_utf8(&piece).unwrap())[0]["type"], "response.in_progress");
    // More than any channel between them holds, and nobody reads it.
    for number in 0..5_000 {
        sender.send(text(0, &number.to_string())).await.unwrap();
    }
    for event in [finished(0), done(7, 5_001)] {
        sender.send(event).await.unwrap();
    }
    until(&app, &path, "completed").await;
    let rest =
        |body: Body| async move { events(std::str::from_utf8(&body.collect().await.unwrap().to_bytes()).unwrap()) };
    let slow = [told, rest(slow).await].concat();
    let later = [events(std::str::from_utf8(&piece).unwrap()), rest(later).await].concat();
    assert_eq!(later, slow[2..]);
    let deltas = slow.iter().filter(|event| event["type"] == "response.output_text.delta").count();
    assert_eq!((deltas, &slow.last().unwrap()["type"]), (5_001, &json!("response.completed")));
    for (number, event) in slow.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
}

#[tokio::test]
async fn how_a_stream_of_the_background_was_cancelled_is_told_again() {
    let (sender, receiver) = mpsc::channel(8);
    let app = app(Scripted::once(Script::Channel(receiver)));
    sender.send(text(0, "Hi")).await.unwrap();
    let body = ask(json!({"background": true, "stream": true})).to_string();
    let mut answer = app.clone().oneshot(request("POST", PATH, body)).await.unwrap().into_body();
    let beginning = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    let path = of(&events(std::str::from_utf8(&beginning).unwrap())[0]["response"]["id"]);
    until(&app, &path, "in_progress").await;
    let cancelled = check(&app, "POST", &format!("{path}/cancel"), Value::Null, 200).await.json();
    let told = behind(&app, &path, 1).await;
    let last = told.last().unwrap();
    assert_eq!((&last["type"], &last["response"]), (&json!("response.incomplete"), &cancelled));
    assert_eq!(cancelled["status"], "cancelled");
}

#[tokio::test]
async fn a_shutdown_ends_the_background_and_nobody_pays() {
    let kept = Arc::<Kept>::default();
    let backend = Scripted::new(|_| Script::Channel(forgotten()));
    let config = Config { grace: Duration::ZERO, ..Config::default() };
    let service = metered(config, backend.clone(), tenancy(kept.clone()));
    let app = router(service.clone());
    let queued = check(&app, "POST", PATH, ask(json!({"background": true})), 200).await.json();
    backend.until_live(1).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    gateway::serve(listener, service, async {}).await;
    let failed = check(&app, "GET", &of(&queued["id"]), Value::Null, 200).await.json();
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
    assert_eq!(kept.rows()[0].settlement.cause, account::Cause::ShutDown);
}

/// Events that never come, and do not end.
fn forgotten() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(1);
    std::mem::forget(sender);
    receiver
}

#[tokio::test]
async fn what_a_process_left_behind_has_failed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::Store::open(folder.path(), store::Config::default()).await.unwrap();
    let name = account::Name::default_name();
    let organisation = store::Organisation {
        id: ORG,
        name: name.clone(),
        zone: account::Zone::UTC,
        billing: account::Billing::Postpaid,
    };
    let project = store::Project { id: PROJECT, org: ORG, name };
    for change in [store::Change::AddOrganisation(organisation), store::Change::AddProject(project)] {
        let act = store::Act { actor: "test".into(), at: store::now(), before: None, after: None, address: None };
        store.apply(change, act, None).await.unwrap();
    }
    let tenancy = gateway::Tenancy::new(pepper(), Arc::new(store.clone()));
    tenancy.set_key(key(&pepper()));
    set_price(&tenancy, account::Price::FREE);
    let app = router(metered(Config::default(), Scripted::new(|_| Script::Channel(forgotten())), tenancy));
    let queued = check(&app, "POST", PATH, ask(json!({"background": true})), 200).await.json();
    assert_eq!(gateway::fail_interrupted_responses(&store).await.unwrap(), 1);
    assert_eq!(gateway::fail_interrupted_responses(&store).await.unwrap(), 0);
    let failed = check(&app, "GET", &of(&queued["id"]), Value::Null, 200).await.json();
    assert_eq!(failed["status"], "failed");
    assert!(failed["error"]["message"].as_str().unwrap().contains("restarted"), "{failed}");
}
