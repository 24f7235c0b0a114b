//! Server-sent events as they come. Time stands still and jumps, so nothing here waits.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::Response,
};
use futures::StreamExt;
use gateway::{Config, router};
use inference::{Error, Event, Usage};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tower::ServiceExt;

use crate::stage::{Script, Scripted, app, check, done, finished, request, says, service, text};

fn chat() -> String {
    json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true}).to_string()
}

async fn open(app: &Router) -> Response<Body> {
    app.clone().oneshot(request("POST", "/v1/chat/completions", chat())).await.unwrap()
}

async fn piece(body: &mut BodyDataStream) -> String {
    String::from_utf8(body.next().await.expect("the stream goes on").unwrap().to_vec()).unwrap()
}

fn scripted_by_hand() -> (mpsc::Sender<Event>, Arc<Scripted>) {
    let (events, script) = mpsc::channel(8);
    (events, Scripted::once(Script::Channel(script)))
}

async fn outcomes(app: &Router) -> String {
    let metrics = check(app, "GET", "/metrics", Value::Null, 200).await;
    let lines = metrics.text().lines().filter(|line| line.starts_with("modelworks_generations_total"));
    let value = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    lines.map(value).collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn each_token_goes_out_at_once() {
    let (events, backend) = scripted_by_hand();
    let app = app(backend.clone());
    let begun = Instant::now();
    events.send(text(0, "He")).await.unwrap();
    let response = open(&app).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let first = piece(&mut body).await;
    assert!(first.contains(r#""role":"assistant""#) && first.contains(r#""content":"He""#), "{first}");
    events.send(text(0, "llo")).await.unwrap();
    assert!(piece(&mut body).await.contains(r#""content":"llo""#));
    events.send(finished(0)).await.unwrap();
    assert!(piece(&mut body).await.contains(r#""finish_reason":"stop""#));
    events.send(done(1, 2)).await.unwrap();
    assert_eq!(piece(&mut body).await, "data: [DONE]\n\n");
    assert!(body.next().await.is_none());
    assert_eq!(begun.elapsed().as_millis(), 0, "nothing waited for anything");
    backend.until_live(0).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_waits_two_seconds_and_pings_come_every_two_silent_ones() {
    let (events, backend) = scripted_by_hand();
    let app = app(backend);
    let begun = Instant::now();
    let response = open(&app).await;
    assert_eq!((response.status().as_u16(), begun.elapsed().as_secs()), (200, 2));
    let mut body = response.into_body().into_data_stream();
    for seconds in [2, 4, 6] {
        assert_eq!(piece(&mut body).await, ": ping\n\n");
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    // Something that is sent puts the next ping off.
    tokio::time::advance(Duration::from_secs(1)).await;
    events.send(text(0, "a")).await.unwrap();
    assert!(piece(&mut body).await.contains("\"a\""));
    assert_eq!(piece(&mut body).await, ": ping\n\n");
    assert_eq!(begun.elapsed().as_secs(), 9);
}

/// What a family's stream says in six seconds in which the model says nothing but one token.
async fn silence(path: &str, mut body: Value) -> Vec<(u64, String)> {
    let (events, backend) = scripted_by_hand();
    body["stream"] = json!(true);
    let begun = Instant::now();
    events.send(text(0, "a")).await.unwrap();
    let response = app(backend).oneshot(request("POST", path, body.to_string())).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    let mut said = Vec::new();
    while let Ok(piece) = timeout_at(begun + Duration::from_secs(7), piece(&mut stream)).await {
        said.push((begun.elapsed().as_secs(), piece));
    }
    said
}

#[tokio::test(start_paused = true)]
async fn every_family_with_a_form_for_it_pings_in_the_middle_of_an_answer() {
    let comment = ": ping\n\n";
    let messages = json!([{"role": "user", "content": "x"}]);
    let (chat, prompt) = (json!({"model": "m", "messages": messages}), json!({"model": "m", "prompt": "x"}));
    for (path, body, ping) in [
        ("/v1/chat/completions", chat.clone(), Some(comment)),
        ("/v1/completions", prompt.clone(), Some(comment)),
        ("/v1/responses", json!({"model": "m", "input": "x"}), Some(comment)),
        ("/v1/responses", json!({"model": "m", "input": "x", "background": true}), Some(comment)),
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 9, "messages": messages}),
            Some("event: ping\ndata: {\"type\":\"ping\"}\n\n"),
        ),
        // A line that says nothing is more than Ollama's clients expect.
        ("/api/chat", chat.clone(), None),
        ("/api/generate", prompt.clone(), None),
    ] {
        let said = silence(path, body).await;
        let later: Vec<(u64, &str)> =
            said.iter().map(|(at, piece)| (*at, &**piece)).filter(|(at, _)| *at > 0).collect();
        let expect: Vec<(u64, &str)> = ping.iter().flat_map(|ping| [2, 4, 6].map(|at| (at, *ping))).collect();
        assert_eq!(later, expect, "{path}");
        assert!(said.iter().any(|(at, piece)| *at == 0 && piece.contains("\"a\"")), "{path}: {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_behind_the_status_is_an_event() {
    let (events, backend) = scripted_by_hand();
    let app = app(backend.clone());
    let mut body = open(&app).await.into_body().into_data_stream();
    assert_eq!(piece(&mut body).await, ": ping\n\n");
    events.send(Event::Failed { error: Error::Internal, usage: Usage::default() }).await.unwrap();
    let last = piece(&mut body).await;
    let error: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "internal_error");
    assert!(body.next().await.is_none(), "no [DONE] behind a failure");
    drop(body);
    backend.until_live(0).await;
    assert_eq!(outcomes(&app).await, "0 0 1 0");
}

#[tokio::test(start_paused = true)]
async fn every_way_to_end_is_counted_once() {
    let app_of = |script| app(Scripted::once(script));
    let drain = async |response: Response<Body>| {
        let mut body = response.into_body().into_data_stream();
        while body.next().await.is_some() {}
    };
    let app = app_of(Script::Events(says("x")));
    drain(open(&app).await).await;
    assert_eq!(outcomes(&app).await, "1 0 0 0");

    let app = app_of(Script::RefuseToRun(Error::ShuttingDown));
    drain(open(&app).await).await;
    assert_eq!(outcomes(&app).await, "0 1 0 0");

    let app = app_of(Script::Panic);
    drain(open(&app).await).await;
    assert_eq!(outcomes(&app).await, "0 0 1 0");

    let app = app_of(Script::Endless);
    let mut body = open(&app).await.into_body().into_data_stream();
    piece(&mut body).await;
    drop(body);
    assert_eq!(outcomes(&app).await, "0 0 0 1");
}

#[tokio::test(start_paused = true)]
async fn a_handler_or_body_that_is_dropped_cancels_at_once() {
    let (_events, backend) = scripted_by_hand();
    let service = service(Config::default(), backend.clone());
    let app = router(service.clone());
    let mut opening = Box::pin(open(&app));
    // Polled once, the handler is inside of its wait for the first event.
    assert!(futures::poll!(&mut opening).is_pending());
    assert_eq!((*backend.live.borrow(), service.requests_in_flight()), (1, 1));
    drop(opening);
    assert_eq!((*backend.live.borrow(), service.requests_in_flight()), (0, 0));

    let (_events, backend) = scripted_by_hand();
    let app = router(crate::stage::service(Config::default(), backend.clone()));
    let response = open(&app).await;
    assert_eq!(*backend.live.borrow(), 1);
    drop(response);
    assert_eq!(*backend.live.borrow(), 0);
}

/// The tokens of each class that `/metrics` shows: prompt, cached, completion.
async fn tokens(app: &Router) -> String {
    let metrics = check(app, "GET", "/metrics", Value::Null, 200).await;
    let lines = metrics.text().lines().filter(|line| line.starts_with("modelworks_tokens_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_counted_with_what_ran_until_then() {
    let silent = || Event::Text { choice: 0, text: String::new(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] };
    let script = || [Event::Started { cached_tokens: 3 }, text(0, "a"), silent(), text(0, "b")];

    let (events, backend) = scripted_by_hand();
    let app_of_stream = app(backend);
    for event in script() {
        events.send(event).await.unwrap();
    }
    let mut body = open(&app_of_stream).await.into_body().into_data_stream();
    assert!(piece(&mut body).await.contains("\"a\""));
    assert_eq!(tokens(&app_of_stream).await, "0 0 0", "nothing is settled yet");
    assert!(piece(&mut body).await.contains("\"b\""));
    drop(body);
    assert_eq!((tokens(&app_of_stream).await.as_str(), outcomes(&app_of_stream).await.as_str()), ("4 3 3", "0 0 0 1"));

    // The same for an answer in one piece, in which nothing has been sent.
    let (events, backend) = scripted_by_hand();
    let app_of_whole = app(backend);
    for event in script() {
        events.send(event).await.unwrap();
    }
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}).to_string();
    let mut answering = Box::pin(app_of_whole.clone().oneshot(request("POST", "/v1/chat/completions", body)));
    assert!(futures::poll!(&mut answering).is_pending());
    drop(answering);
    assert_eq!((tokens(&app_of_whole).await.as_str(), outcomes(&app_of_whole).await.as_str()), ("4 3 3", "0 0 0 1"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_during_prefill_is_counted_with_its_prompt() {
    for (event, expect) in [(None, "7 0 0"), (Some(Event::Started { cached_tokens: 3 }), "4 3 0")] {
        let (events, backend) = scripted_by_hand();
        let app = app(backend);
        if let Some(event) = event {
            events.send(event).await.unwrap();
        }
        let mut opening = Box::pin(open(&app));
        assert!(futures::poll!(&mut opening).is_pending(), "that its turn has come is no reason to answer");
        drop(opening);
        assert_eq!(tokens(&app).await, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_breaks_off_is_counted_with_what_it_gave() {
    let (events, backend) = scripted_by_hand();
    let app = app(backend);
    events.send(text(0, "a")).await.unwrap();
    let mut body = open(&app).await.into_body().into_data_stream();
    piece(&mut body).await;
    drop(events);
    assert!(piece(&mut body).await.contains("internal_error"));
    drop(body);
    assert_eq!((tokens(&app).await.as_str(), outcomes(&app).await.as_str()), ("7 0 1", "0 0 1 0"));
}
