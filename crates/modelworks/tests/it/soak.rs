//! Requests of every kind, one after the other and at once.

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::server::{MODEL, Server, sse};

/// Requests of one part, unless `MODELWORKS_SOAK_REQUESTS` says how many there are to be in all four.
const REQUESTS: usize = 50;

/// What memory may grow by between the end of the first part and that of the last.
const MOST_GROWTH: u64 = 48 << 20;

/// A request: one of five long beginnings that many share, and an end of its own.
fn body(number: usize) -> Value {
    let system = "You answer in one short sentence. ".repeat(4 + number % 5 * 12);
    let mut body = json!({
        "model": MODEL,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": format!("Repeat: {number} {number} {number} {number}")},
        ],
        "max_tokens": 1 + number * 7 % 40,
        "temperature": if number.is_multiple_of(2) { 0.0 } else { 0.8 },
        "seed": number,
        "stream": !number.is_multiple_of(3),
    });
    if number.is_multiple_of(11) {
        body["n"] = json!(3);
    }
    if number.is_multiple_of(7) {
        body["stop"] = json!([".", "\n"]);
    }
    if number.is_multiple_of(5) {
        body["logprobs"] = json!(true);
    }
    body
}

/// Reads the answer to its end, or leaves it after a piece, or reads nothing for as long as another request takes.
async fn one(server: &Server, number: usize) {
    let body = body(number);
    let answer = server.post("/v1/chat/completions", &body).await;
    assert_eq!(answer.status(), 200);
    match number % 4 {
        1 => drop(answer.bytes_stream().next().await),
        2 => {
            server.ask("/tokenize", &json!({"model": MODEL, "content": "meanwhile"})).await;
            finish(answer, &body).await;
        }
        _ => finish(answer, &body).await,
    }
}

async fn finish(answer: reqwest::Response, body: &Value) {
    let text = answer.text().await.expect("a body");
    if body["stream"] == json!(true) {
        assert!(sse(&text).1, "{text}");
    } else {
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert!(answer["usage"]["completion_tokens"].as_u64() > Some(0), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_load_leaves_no_block_in_use_and_memory_flat() {
    // A small cache, so that prefixes are evicted and sequences preempted.
    let server = Server::start(&["--context", "1024", "--kv-memory", "48M", "--speculation", "on"]).await;
    let all = std::env::var("MODELWORKS_SOAK_REQUESTS").map(|all| all.parse::<usize>().expect("a number of requests"));
    let requests = all.map_or(REQUESTS, |all| all / 4);
    let mut resident = Vec::new();
    for (part, at_once) in [16, 3, 24, 8].into_iter().enumerate() {
        let numbers = part * requests..(part + 1) * requests;
        stream::iter(numbers).for_each_concurrent(at_once, |number| one(&server, number)).await;
        server.wait_until_idle().await;
        resident.push(server.resident_bytes());
    }
    let metrics = server.metrics().await;
    let of = |name: &str| metrics.get(name).copied().unwrap_or_else(|| panic!("{name} is not in {metrics:?}"));
    assert_eq!(of("modelworks_kv_blocks_used"), 0.0);
    let (cached, total) = (of("modelworks_kv_blocks_cached"), of("modelworks_kv_blocks_total"));
    assert!(cached > 0.0 && cached <= total, "{cached} of {total}");
    let growth = resident[3].saturating_sub(resident[0]);
    assert!(growth < MOST_GROWTH, "resident memory grew from part to part: {resident:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn speculation_changes_no_answer() {
    let body = |seed: u32| {
        json!({
            "model": MODEL,
            "messages": [{"role": "user", "content": "Repeat: one two three four one two three four one two three four"}],
            "max_tokens": 60,
            "temperature": if seed == 0 { 0.0 } else { 0.3 },
            "seed": seed,
            "logprobs": true,
            "ignore_eos": true,
        })
    };
    let mut answers = Vec::new();
    for speculation in ["off", "on"] {
        let server = Server::start(&["--speculation", speculation]).await;
        let mut texts = Vec::new();
        for seed in 0..3 {
            texts.push(server.ask("/v1/chat/completions", &body(seed)).await["choices"].take());
        }
        let drafted = server.metrics().await["modelworks_speculation_drafted_total"];
        assert_eq!(drafted > 0.0, speculation == "on");
        answers.push(texts);
    }
    assert_eq!(answers[0], answers[1]);
}
