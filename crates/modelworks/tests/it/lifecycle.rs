//! Starting, stopping, and what is refused.

use futures::StreamExt;
use rustix::process::Signal;
use serde_json::json;

use crate::server::{MODEL, Server, data_with_model, link};

fn long_story() -> serde_json::Value {
    json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "stream": true,
        "ignore_eos": true,
        "max_tokens": 200,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn at_sigterm_running_streams_finish_and_new_requests_are_refused() {
    let mut server = Server::start(&[]).await;
    let answer = server.post("/v1/chat/completions", &long_story()).await;
    let mut body = answer.bytes_stream();
    body.next().await.expect("the stream has begun").expect("bytes");
    server.signal(Signal::TERM);
    let mut rest = Vec::new();
    while let Some(bytes) = body.next().await {
        rest.extend_from_slice(&bytes.expect("the stream is not cut"));
    }
    assert!(String::from_utf8_lossy(&rest).contains("[DONE]"));
    assert!(server.wait_until_gone().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let mut server = Server::start(&["--grace", "3600"]).await;
    let story = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "stream": true,
        "ignore_eos": true,
    });
    let answer = server.post("/v1/chat/completions", &story).await;
    let mut body = answer.bytes_stream();
    body.next().await.expect("the stream has begun").expect("bytes");
    server.signal(Signal::TERM);
    server
        .wait_for("readiness to end", async || {
            let ready = reqwest::get(format!("{}/readyz", server.base)).await;
            !ready.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    server.signal(Signal::TERM);
    server.wait_until_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_without_a_certificate_is_noted_and_ends_nothing() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    std::fs::create_dir(&data).expect("a folder");
    link(data_with_model(), &data);
    let file = std::fs::File::create(&log).expect("a file");
    // As soon as it says where it answers: whoever reloads services does not wait for a model.
    let mut server = Server::spawn_with(&data, &[], |command| {
        command.env("RUST_LOG", "info").stderr(std::process::Stdio::from(file));
    })
    .await;
    server.signal(Signal::HUP);
    let is_noted = async || std::fs::read_to_string(&log).expect("a file").contains("SIGHUP");
    server.wait_for("a line in the log", is_noted).await;
    server.wait_until_ready().await;
    server.signal(Signal::TERM);
    assert!(server.wait_until_gone().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_only_health_answers() {
    let server = Server::start(&[]).await;
    let stranger = reqwest::Client::new();
    for path in ["/v1/models", "/metrics", "/openapi.json", "/no/such/route", "/v1/chat/completions"] {
        for key in [None, Some("Bearer wrong"), Some("Basic abc"), Some("Bearer ")] {
            let mut request = stranger.get(format!("{}{path}", server.base));
            if let Some(key) = key {
                request = request.header("authorization", key);
            }
            let answer = request.send().await.expect("the server answers");
            assert_eq!(answer.status(), 401, "{path} with {key:?}");
        }
    }
    for path in ["/healthz", "/readyz"] {
        let answer = stranger.get(format!("{}{path}", server.base)).send().await.expect("the server answers");
        assert_eq!(answer.status(), 200, "{path}");
    }
}
