//! What the routes answer.

use std::time::Duration;

use axum::{body::Body, http::Request};
use gateway::{Config, endpoints, openapi_document, router};
use inference::{Error, Event, FinishReason, Input, Load, Role, TokenLogprob, Usage};
use serde_json::{Value, json};

use crate::stage::{KEY, Script, Scripted, app, check, done, finished, request, says, send, service, text};

fn chat(extra: Value) -> Value {
    merge(json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}), extra)
}

fn merge(mut body: Value, extra: Value) -> Value {
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_chat_is_answered_as_the_sdk_expects() {
    let backend = Scripted::new(|_| {
        let counts = Usage { prompt_tokens: 5, cached_tokens: 3, completion_tokens: 4, reasoning_tokens: 1 };
        Script::Events(vec![
            text(1, "Good"),
            text(0, "Hi"),
            Event::Finished { choice: 1, reason: FinishReason::Length, stop: None },
            text(0, "!"),
            finished(0),
            Event::Done(counts),
        ])
    });
    let answer = check(&app(backend), "POST", "/v1/chat/completions", chat(json!({"n": 2})), 200).await.json();
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(answer["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "m");
    assert!(answer["system_fingerprint"].is_string());
    let choice = |index: u32, content: &str, reason: &str| {
        json!({"index": index, "message": {"role": "assistant", "content": content, "refusal": null}, "logprobs": null,
            "finish_reason": reason})
    };
    assert_eq!(answer["choices"], json!([choice(0, "Hi!", "stop"), choice(1, "Good", "length")]));
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 1}});
    assert_eq!(answer["usage"], usage);
}

#[tokio::test]
async fn every_option_of_a_chat_reaches_the_backend() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let body = json!({
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be brief", "name": "dev"},
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": null},
        ],
        "max_completion_tokens": 9, "temperature": 0, "top_p": 0.5, "n": 1, "stop": "END", "logprobs": true,
        "top_logprobs": 4, "seed": -1, "presence_penalty": 1, "frequency_penalty": -1, "logit_bias": {"5": -100},
        "top_k": -1, "min_p": 0.25, "repetition_penalty": 1.5, "min_tokens": 2, "ignore_eos": true,
        "response_format": {"type": "text"}, "tools": [], "user": "u", "metadata": {"a": "b"}, "store": false,
    });
    check(&app(backend.clone()), "POST", "/v1/chat/completions", body, 200).await;
    let asked = backend.asked.lock().unwrap().pop().unwrap();
    let Input::Chat(chat) = &asked.input else { panic!("{asked:?}") };
    let turns: Vec<_> =
        chat.messages.iter().map(|turn| (turn.role, turn.content.as_str(), turn.name.as_deref())).collect();
    let expect = [(Role::System, "Be brief", Some("dev")), (Role::User, "one\ntwo", None), (Role::Assistant, "", None)];
    assert_eq!(turns, expect);
    assert_eq!((asked.max_tokens, asked.min_tokens, asked.choices, asked.logprobs), (Some(9), 2, 1, Some(4)));
    assert!(asked.ignore_eos && !asked.echo);
    assert_eq!(asked.stop, ["END"]);
    let sampling = asked.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (Some(0.0), Some(0.5), Some(0)));
    assert_eq!((sampling.min_p, sampling.repetition_penalty), (Some(0.25), Some(1.5)));
    assert_eq!((sampling.presence_penalty, sampling.frequency_penalty), (Some(1.0), Some(-1.0)));
    assert_eq!((sampling.logit_bias, sampling.seed), (vec![(5, -100.0)], Some(u64::MAX)));
}

#[tokio::test]
async fn what_is_not_said_is_left_to_the_model() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    check(&app, "POST", "/v1/chat/completions", chat(json!({"temperature": null})), 200).await;
    check(&app, "POST", "/v1/completions", json!({"model": "m", "prompt": "p"}), 200).await;
    let asked = backend.asked.lock().unwrap();
    assert!(asked.iter().all(|request| request.sampling == inference::Sampling::default()));
    assert_eq!((asked[0].max_tokens, asked[1].max_tokens), (None, Some(16)), "16 is OpenAI's default for completions");
}

#[tokio::test]
async fn several_prompts_are_answered_in_their_order() {
    let backend = Scripted::new(|request| {
        let Input::Tokens(ids) = &request.input else { panic!("{request:?}") };
        let say = |choice| text(choice, &format!("{}/{choice}", ids[0]));
        Script::Events(vec![say(1), say(0), finished(0), finished(1), done(ids.len() as u64, 2)])
    });
    let body = json!({"model": "m", "prompt": [[1, 2], [3]], "n": 2, "best_of": 2});
    let answer = check(&app(backend), "POST", "/v1/completions", body, 200).await.json();
    let texts: Vec<_> = answer["choices"].as_array().unwrap().iter().map(|choice| choice["text"].clone()).collect();
    assert_eq!(texts, ["1/0", "1/1", "3/0", "3/1"]);
    assert_eq!(answer["usage"]["total_tokens"], 7);
    assert_eq!(answer["object"], "text_completion");
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
}

#[tokio::test]
async fn a_prompt_has_four_shapes() {
    let backend = Scripted::new(|_| Script::Events(says("x")));
    let app = app(backend.clone());
    for prompt in [json!("a"), json!(["a", "b"]), json!([1, 2]), json!([[1], [2, 3]])] {
        check(&app, "POST", "/v1/completions", json!({"model": "m", "prompt": prompt}), 200).await;
    }
    let asked = backend.asked.lock().unwrap();
    let inputs: Vec<_> = asked.iter().map(|request| request.input.clone()).collect();
    let text = |text: &str| Input::Text(text.into());
    let expect =
        [text("a"), text("a"), text("b"), Input::Tokens(vec![1, 2]), Input::Tokens(vec![1]), Input::Tokens(vec![2, 3])];
    assert_eq!(inputs, expect);
}

#[tokio::test]
async fn log_probabilities_have_the_shape_of_their_family() {
    let token = |bytes: &[u8], logprob, top| TokenLogprob { token: 1, bytes: bytes.to_vec(), logprob, top };
    let backend = Scripted::new(move |_| {
        let top = vec![token(b"b", Some(-0.25), vec![]), token(b"a", Some(-1.5), vec![])];
        let logprobs = vec![token(b"a", Some(-1.5), top)];
        Script::Events(vec![
            Event::Text { choice: 0, text: "a".into(), tokens: 1, reasoning_tokens: 0, logprobs },
            finished(0),
            done(1, 1),
        ])
    });
    let app = app(backend.clone());
    let body = chat(json!({"logprobs": true, "top_logprobs": 2}));
    let answer = check(&app, "POST", "/v1/chat/completions", body, 200).await.json();
    let plain = |text: &str, logprob: f32| json!({"token": text, "logprob": logprob, "bytes": text.as_bytes()});
    let top = json!([plain("b", -0.25), plain("a", -1.5)]);
    let expect = json!({"content": [merge(plain("a", -1.5), json!({"top_logprobs": top}))], "refusal": null});
    assert_eq!(answer["choices"][0]["logprobs"], expect);

    let body = json!({"model": "m", "prompt": "p", "logprobs": 2, "echo": true, "max_tokens": 0});
    let answer = check(&app, "POST", "/v1/completions", body, 200).await.json();
    let expect = json!({"tokens": ["a"], "token_logprobs": [-1.5], "top_logprobs": [{"b": -0.25, "a": -1.5}], "text_offset": [0]});
    assert_eq!(answer["choices"][0]["logprobs"], expect);
    let asked = backend.asked.lock().unwrap().pop().unwrap();
    assert!(asked.echo && asked.max_tokens == Some(0) && asked.logprobs == Some(2));
}

#[tokio::test]
async fn models_are_listed_and_found_by_name() {
    let app = app(Scripted::new(|_| Script::Panic));
    let list = check(&app, "GET", "/v1/models", Value::Null, 200).await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(ids, ["m", "org/m"]);
    for path in ["/v1/models/org/m", "/v1/models/org%2Fm"] {
        let model = check(&app, "GET", path, Value::Null, 200).await.json();
        assert_eq!((&model["id"], &model["object"]), (&json!("org/m"), &json!("model")));
    }
    let error = check(&app, "GET", "/v1/models/other", Value::Null, 404).await.json();
    assert_eq!(error["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn tokens_of_a_text_and_back() {
    let app = app(Scripted::new(|_| Script::Panic));
    let check_tokens = async |body: Value, expect: Value| {
        assert_eq!(check(&app, "POST", "/tokenize", body, 200).await.json(), json!({"tokens": expect}));
    };
    check_tokens(json!({"model": "m", "content": "ab"}), json!([97, 98, 901])).await;
    let body = json!({"model": "m", "content": "ab", "add_special": true, "parse_special": false});
    check_tokens(body, json!([900, 97, 98])).await;
    let answer = check(&app, "POST", "/detokenize", json!({"model": "m", "tokens": [97, 98]}), 200).await;
    assert_eq!(answer.json(), json!({"content": "ab"}));
    let answer = check(&app, "POST", "/detokenize", json!({"model": "m", "tokens": [97, -1]}), 400).await.json();
    assert_eq!(answer["error"]["param"], "tokens[1]");
    check(&app, "POST", "/detokenize", json!({"model": "m", "tokens": [999]}), 400).await;
    let answer = check(&app, "POST", "/tokenize", json!({"model": "x", "content": ""}), 404).await.json();
    assert_eq!(answer["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn refusals_and_failures_of_the_backend_keep_their_meaning_wherever_they_come_from() {
    let overloaded = Error::Overloaded { what: "the queue", retry_after: Duration::from_secs(3) };
    let table = [
        (Error::invalid("stop", "no"), 400, "invalid_value", None),
        (
            Error::ContextLengthExceeded { parameter: "messages", limit: 8, requested: 12, prompt: 10, output: 2 },
            400,
            "context_length_exceeded",
            None,
        ),
        (overloaded, 429, "overloaded", Some("3")),
        (Error::Unavailable { model: "m".into(), reason: "too large".into() }, 503, "model_unavailable", Some("5")),
        (Error::ShuttingDown, 503, "shutting_down", Some("5")),
        (Error::Internal, 500, "internal_error", None),
    ];
    let failed = |error| Script::Events(vec![Event::Failed { error, usage: Usage::default() }]);
    for (error, status, code, retry) in table {
        for script in
            [Script::RefuseToPrepare(error.clone()), Script::RefuseToRun(error.clone()), failed(error.clone())]
        {
            // The first event decides about a stream's status too.
            for stream in [false, true] {
                let script = match &script {
                    Script::RefuseToPrepare(error) => Script::RefuseToPrepare(error.clone()),
                    Script::RefuseToRun(error) => Script::RefuseToRun(error.clone()),
                    _ => failed(error.clone()),
                };
                let app = app(Scripted::once(script));
                let answer = check(&app, "POST", "/v1/chat/completions", chat(json!({"stream": stream})), status).await;
                assert_eq!(answer.json()["error"]["code"], code);
                assert_eq!(answer.json()["error"]["message"], error.to_string());
                assert_eq!(answer.headers.get("retry-after").map(|value| value.to_str().unwrap()), retry);
            }
        }
    }
}

#[tokio::test]
async fn a_backend_that_panics_or_breaks_off_fails_its_own_request() {
    for script in [Script::Panic, Script::Events(vec![]), Script::Events(vec![text(0, "half"), finished(0)])] {
        let app = app(Scripted::once(script));
        let answer = check(&app, "POST", "/v1/chat/completions", chat(json!({})), 500).await;
        assert_eq!(answer.json()["error"]["code"], "internal_error");
        assert!(!answer.text().contains("scripted"), "nothing internal goes out");
        let metrics = check(&app, "GET", "/metrics", Value::Null, 200).await;
        assert!(metrics.text().contains("modelworks_generations_total{outcome=\"failed\"} 1\n"));
    }
}

#[tokio::test]
async fn addresses_methods_and_bodies_that_cannot_be_are_told_in_the_same_shape() {
    let app = app(Scripted::new(|_| Script::Panic));
    let code = async |method: &str, path: &str, body: Value, status| {
        check(&app, method, path, body, status).await.json()["error"]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code("GET", "/v1/nothing", Value::Null, 404).await, "not_found");
    assert_eq!(code("GET", "/nothing", Value::Null, 404).await, "not_found");
    assert_eq!(code("GET", "/v1/chat/completions", Value::Null, 405).await, "method_not_allowed");
    assert_eq!(code("DELETE", "/v1/models/m", Value::Null, 405).await, "method_not_allowed");
    assert_eq!(code("POST", "/v1/chat/completions", Value::Null, 400).await, "invalid_json");
    let answer = check(&app, "PUT", "/v1/completions", Value::Null, 405).await;
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn a_body_is_bounded_and_its_content_type_does_not_matter() {
    let config = Config { max_body_bytes: 200, ..Config::default() };
    let app = router(service(config, Scripted::new(|_| Script::Events(says("x")))));
    let body = |size: usize| {
        let body = json!({"model": "m", "prompt": ""}).to_string();
        body.replace("\"\"", &format!("\"{}\"", "p".repeat(size - body.len())))
    };
    for kind in ["application/x-www-form-urlencoded", "application/json", "text/plain"] {
        let mut request = request("POST", "/v1/completions", body(200));
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        assert_eq!(send(&app, request).await.status, 200);
    }
    let answer = send(&app, request("POST", "/v1/completions", body(201))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (413, &json!("request_too_large")));
    let announced = Request::post("/v1/completions").header("authorization", format!("Bearer {KEY}"));
    let announced = announced.header("content-length", "100000").header("expect", "100-continue");
    assert_eq!(send(&app, announced.body(Body::empty()).unwrap()).await.status, 413);
}

#[tokio::test]
async fn every_answer_has_an_id_of_ours() {
    let app = app(Scripted::new(|_| Script::Events(says("x"))));
    for path in ["/healthz", "/v1/models", "/nothing"] {
        let mut request = request("GET", path, Body::empty());
        request.headers_mut().insert("x-request-id", "forged".parse().unwrap());
        let answer = send(&app, request).await;
        assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"), "{path}");
    }
}

#[tokio::test]
async fn a_service_is_ready_once_its_first_models_are_loaded() {
    let service = service(Config::default(), Scripted::new(|_| Script::Panic));
    let app = router(service.clone());
    service.set_loading(true);
    assert_eq!(check(&app, "GET", "/readyz", Value::Null, 503).await.json(), json!({"status": "loading"}));
    check(&app, "GET", "/healthz", Value::Null, 200).await;
    service.set_loading(false);
    check(&app, "GET", "/readyz", Value::Null, 200).await;
}

#[tokio::test]
async fn a_shutdown_refuses_what_is_new_and_says_so() {
    let service = service(Config::default(), Scripted::new(|_| Script::Panic));
    let app = router(service.clone());
    assert_eq!(check(&app, "GET", "/readyz", Value::Null, 200).await.json(), json!({"status": "ok"}));
    service.begin_shutdown();
    check(&app, "GET", "/readyz", Value::Null, 503).await;
    check(&app, "GET", "/healthz", Value::Null, 200).await;
    check(&app, "GET", "/v1/models", Value::Null, 200).await;
    for (path, body) in [
        ("/v1/chat/completions", chat(json!({}))),
        ("/v1/completions", json!({"model": "m", "prompt": "p"})),
        ("/v1/messages", chat(json!({"max_tokens": 1}))),
        ("/v1/messages/count_tokens", chat(json!({}))),
        ("/tokenize", json!({"model": "m", "content": "c"})),
        ("/detokenize", json!({"model": "m", "tokens": []})),
    ] {
        let answer = check(&app, "POST", path, body, 503).await;
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains("shutting down"), "{path}: {message}");
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let backend = Scripted::new(|request| match request.max_tokens {
        Some(1) => Script::RefuseToPrepare(Error::invalid("max_tokens", "no")),
        _ => Script::Events(vec![text(0, "a"), text(0, "b"), text(0, "c"), finished(0), done(7, 3)]),
    });
    *backend.load.lock().unwrap() = Load {
        sequences_running: 1,
        sequences_waiting: 2,
        kv_blocks_used: 3,
        kv_blocks_cached: 7,
        kv_blocks_total: 4,
        steps: 5,
        step_rows: 6,
        tokens_drafted: 8,
        tokens_accepted: 9,
    };
    let app = app(backend);
    for _ in 0..2 {
        check(&app, "POST", "/v1/chat/completions", chat(json!({})), 200).await;
    }
    check(&app, "POST", "/v1/chat/completions", chat(json!({"max_tokens": 1})), 400).await;
    check(&app, "GET", "/surprise/1", Value::Null, 404).await;
    check(&app, "GET", "/surprise/2", Value::Null, 404).await;
    let answer = check(&app, "GET", "/metrics", Value::Null, 200).await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    // The model is registered under two names, so its load counts twice.
    for line in [
        "modelworks_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 2",
        "modelworks_requests_total{route=\"/v1/chat/completions\",status=\"400\"} 1",
        "modelworks_requests_total{route=\"unmatched\",status=\"404\"} 2",
        "modelworks_generations_total{outcome=\"finished\"} 2",
        "modelworks_generations_total{outcome=\"refused\"} 1",
        "modelworks_generations_total{outcome=\"cancelled\"} 0",
        "modelworks_tokens_total{class=\"prompt\"} 14",
        "modelworks_tokens_total{class=\"completion\"} 6",
        "modelworks_time_to_first_token_seconds_count 2",
        "modelworks_inter_token_latency_seconds_count 4",
        "modelworks_requests_in_flight 0",
        "modelworks_sequences_running 2",
        "modelworks_sequences_waiting 4",
        "modelworks_kv_blocks_used 6",
        "modelworks_kv_blocks_cached 14",
        "modelworks_kv_blocks_total 8",
        "modelworks_engine_steps_total 10",
        "modelworks_engine_step_rows_total 12",
        "modelworks_speculation_drafted_total 16",
        "modelworks_speculation_accepted_total 18",
    ] {
        assert!(answer.text().lines().any(|found| found == line), "{line} is not in\n{}", answer.text());
    }
}

#[tokio::test]
async fn the_document_lists_every_route_and_no_other() {
    let app = app(Scripted::new(|_| Script::Panic));
    let served = check(&app, "GET", "/openapi.json", Value::Null, 200).await.json();
    let document: Value = serde_json::from_str(&openapi_document()).unwrap();
    assert_eq!(served, document);
    let mut documented: Vec<(String, String, bool)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let public = operation["security"] == json!([{}]);
            documented.push((path.clone(), method.to_uppercase(), public));
            let refuses = ["4XX", "401"].iter().any(|status| !operation["responses"][status].is_null());
            assert!(public || refuses, "{method} {path} does not say that it needs a key");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].is_string(), "{method} {path} {status} lacks what OpenAPI requires");
            }
        }
    }
    let mut there: Vec<_> =
        endpoints().into_iter().map(|endpoint| (endpoint.path, endpoint.method.to_string(), endpoint.public)).collect();
    documented.sort();
    there.sort();
    assert_eq!(documented, there);
    assert_eq!(document["security"], json!([{"key": []}, {"x-api-key": []}, {"session": []}]));
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    let header = &document["components"]["securitySchemes"]["x-api-key"];
    assert_eq!((&header["in"], &header["name"]), (&json!("header"), &json!("x-api-key")));
}

#[tokio::test]
async fn running_counts_tell_what_was_thought_and_agree_with_the_last() {
    let thought = |text: &str| {
        let token = Event::Text { choice: 0, text: String::new(), tokens: 1, reasoning_tokens: 1, logprobs: vec![] };
        [token, Event::Reasoning { choice: 0, text: text.into() }]
    };
    let usage = Usage { prompt_tokens: 7, cached_tokens: 3, completion_tokens: 3, reasoning_tokens: 2 };
    let started = [Event::Started { cached_tokens: 3 }];
    let said = [text(0, "c"), finished(0), Event::Done(usage)];
    let events = started.into_iter().chain(thought("a")).chain(thought("b")).chain(said).collect();
    let app = app(Scripted::once(Script::Events(events)));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true,
        "stream_options": {"continuous_usage_stats": true}});
    let answer = check(&app, "POST", "/v1/chat/completions", body, 200).await;
    let data = answer.text().lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let counts = |data| {
        let usage = serde_json::from_str::<Value>(data).unwrap()["usage"].take();
        let cached = usage["prompt_tokens_details"]["cached_tokens"].clone();
        json!([cached, usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]])
    };
    let found: Vec<Value> = data.map(counts).collect();
    // Who speaks, two thoughts, a word, the end of the choice, and the end of all.
    assert_eq!(json!(found), json!([[3, 1, 1], [3, 1, 1], [3, 2, 2], [3, 3, 2], [3, 3, 2], [3, 3, 2]]));
}
