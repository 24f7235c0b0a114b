//! Clients that leave.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::{KEY, MODEL, Server};

/// Requests altogether; every second one hangs up.
const REQUESTS: usize = 1000;

/// What memory may grow by between the first and the last part of the load.
const MOST_GROWTH: u64 = 48 << 20;

/// A small deterministic generator: the moments differ, the test does not.
fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// One request over its own connection; every second one leaves after a random time, whatever was answered by then.
async fn one(server: &Server, number: usize) {
    let random = mix(number as u64);
    let stream = random & 2 == 0;
    let body = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": format!("Say {number} in words. {}", "And again. ".repeat((random >> 8) as usize % 20))}],
        "stream": stream,
        "max_tokens": 1 + (random >> 16) % 24,
        "ignore_eos": true,
    })
    .to_string();
    let address = server.base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.expect("the server accepts");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.expect("the server reads");
    connection.write_all(body.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    if number.is_multiple_of(2) {
        connection.read_to_end(&mut answer).await.expect("the server answers");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(!stream || text.contains("[DONE]"), "{text}");
    } else {
        let patience = Duration::from_millis((random >> 32) % 300);
        let _left_early = tokio::time::timeout(patience, connection.read_to_end(&mut answer)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_of_which_half_hang_up_leave_nothing_behind() {
    // A cache that the first part fills: what it keeps for later prompts is then no growth of the others.
    let server = Server::start(&["--max-queue", "1024", "--context", "2048", "--kv-memory", "128M"]).await;
    let mut resident = Vec::new();
    for part in 0..4 {
        let numbers = (part * REQUESTS / 4)..((part + 1) * REQUESTS / 4);
        stream::iter(numbers).for_each_concurrent(24, |number| one(&server, number)).await;
        server.wait_until_idle().await;
        resident.push(server.resident_bytes());
    }
    server
        .wait_for("requests and connections to end", async || {
            let metrics = server.metrics().await;
            // The request for the metrics is itself under way.
            metrics.get("modelworks_requests_in_flight").is_some_and(|requests| *requests <= 1.0)
        })
        .await;
    let growth = resident[3].saturating_sub(resident[0]);
    assert!(growth < MOST_GROWTH, "resident memory grew from part to part: {resident:?}");
}
