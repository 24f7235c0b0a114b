//! Usage, limits and the ledger of the real binary.

use std::path::Path;

use account::OrgId;
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};
use store::Store;

use crate::server::{MODEL, Server, data_with_model, link};

async fn get(server: &Server, path: &str) -> Value {
    let answer = server.client.get(format!("{}{path}", server.base)).send().await.expect("the server answers");
    assert_eq!(answer.status(), 200, "{path}");
    serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
}

async fn ledger(data: &Path) -> Vec<String> {
    let store = Store::open(data, store::Config::default()).await.expect("the rows open");
    let org: OrgId = store.organisations().await.expect("rows")[0].id;
    let lines = store.lines(org, 1, u32::MAX).await.expect("rows");
    account::ledger::verify(org, lines.iter().map(String::as_str)).expect("the chain verifies");
    store.close().await;
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_usage_and_in_the_ledger_after_a_kill() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    link(data_with_model(), data.path());
    let server = Server::start_in(data.path(), &[]).await;
    let body =
        json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "ignore_eos": true});
    let answer = server.ask("/v1/chat/completions", &body).await;
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 5);
    server.signal(Signal::KILL);
    drop(server);

    let server = Server::start_in(data.path(), &[]).await;
    let report = get(&server, "/v1/usage").await;
    let sums = report["data"].as_array().expect("a list");
    assert_eq!(sums.len(), 1, "{report}");
    assert_eq!(sums[0]["output_tokens"], 5);
    assert_eq!((&sums[0]["requests"], &sums[0]["cost_nano"], &sums[0]["model"]), (&json!(1), &json!(0), &json!(MODEL)));
    let input = sums[0]["input_tokens"].as_u64().expect("a number")
        + sums[0]["cached_input_tokens"].as_u64().expect("a number");
    assert_eq!(Some(input), usage["prompt_tokens"].as_u64());
    assert_eq!(get(&server, "/v1/limits").await["data"], json!([]));
    drop(server);
    let lines = ledger(data.path()).await;
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("output=5x0") && lines[0].contains("cause=length"), "{}", lines[0]);
}

/// What `/metrics` says of a class of tokens.
async fn counter(server: &Server, class: &str) -> u64 {
    let answer = server.client.get(format!("{}/metrics", server.base)).send().await.expect("the server answers");
    let text = answer.text().await.expect("a body");
    let series = format!("modelworks_tokens_total{{class=\"{class}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(series.as_str()));
    line.expect("the series is there").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_equal_the_sum_of_usage() {
    let server = Server::start(&[]).await;
    let prompt = json!([{"role": "user", "content": "Count from one to ten, and then back again, slowly."}]);
    let body = |extra: Value| {
        let mut body = json!({"model": MODEL, "messages": prompt, "max_tokens": 12, "ignore_eos": true});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        body
    };
    for extra in [json!({}), json!({"n": 3}), json!({"stream": true}), json!({"stop": ["e"], "ignore_eos": false})] {
        let answer = server.post("/v1/chat/completions", &body(extra)).await;
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("a whole body");
    }
    // One that leaves after the first piece, and two that are refused.
    let long = body(json!({"stream": true, "max_tokens": 4000}));
    let mut left = server.post("/v1/chat/completions", &long).await.bytes_stream();
    left.next().await.expect("the stream has begun").expect("bytes");
    drop(left);
    for extra in [json!({"model": "nobody"}), json!({"max_tokens": 1_000_000})] {
        assert!(server.post("/v1/chat/completions", &body(extra)).await.status().is_client_error());
    }
    server.wait_until_idle().await;
    // Seven requests of ours have ended when seven rows are there.
    let mut sums = Vec::new();
    server
        .wait_for("every settlement", async || {
            sums = get(&server, "/v1/usage").await["data"].as_array().expect("a list").clone();
            sums.iter().map(|sum| sum["requests"].as_u64().expect("a number")).sum::<u64>() == 7
        })
        .await;
    for (class, field) in
        [("prompt", "input_tokens"), ("cached", "cached_input_tokens"), ("completion", "output_tokens")]
    {
        let sum: u64 = sums.iter().map(|sum| sum[field].as_u64().expect("a number")).sum();
        assert_eq!(counter(&server, class).await, sum, "{class}");
    }
}
