//! Usage, limits and the ledger of the real binary.

use std::path::Path;

use account::OrgId;
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
