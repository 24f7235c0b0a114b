//! One line for each request, with what an operator asks for and nothing that a caller said.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use serde_json::json;

use crate::stage::{KEY, Script, Scripted, app, check, request, says, send};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_is_one_line_without_content_or_key() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // The test's runtime has one thread, so the thread's subscriber sees everything.
    let guard = tracing::subscriber::set_default(subscriber);
    let app = app(Scripted::new(|_| Script::Events(says("the secret answer"))));
    for stream in [false, true] {
        let message = json!({"role": "user", "content": "the secret question"});
        let body = json!({"model": "m", "messages": [message], "stream": stream});
        check(&app, "POST", "/v1/chat/completions", body, 200).await;
    }
    let answer = send(&app, request("GET", "/the-secret-path?the=secret-query", Body::empty())).await;
    let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("secret") && !text.contains(KEY), "{text}");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fields: Vec<_> =
        lines.iter().filter(|line| line["fields"]["message"] == "request").map(|line| &line["fields"]).collect();
    assert_eq!(fields.len(), 3, "{text}");
    for line in &fields[..2] {
        assert_eq!(line["route"], "/v1/chat/completions");
        assert_eq!((&line["status"], &line["outcome"]), (&json!(200), &json!("finished")));
        assert_eq!((&line["prompt_tokens"], &line["completion_tokens"]), (&json!(7), &json!(2)));
        assert!(line["duration_ms"].is_u64());
    }
    assert_eq!((&fields[2]["request_id"], &fields[2]["route"]), (&json!(id), &json!("unmatched")));
}
