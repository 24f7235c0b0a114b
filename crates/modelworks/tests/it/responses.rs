//! The Responses API: with the official package for Python, and over a restart.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    openai_sdk::PACKAGE,
    python,
    server::{KEY, MODEL, Server, data_with_model, link},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_works_unchanged_with_responses() {
    let server = Server::start(&[]).await;
    let variables = vec![
        ("OPENAI_BASE_URL", format!("{}/v1", server.base)),
        ("OPENAI_API_KEY", KEY.to_owned()),
        ("MODEL", MODEL.to_owned()),
    ];
    python::drive(PACKAGE, "responses_sdk.py", variables).await;
    server.wait_until_idle().await;
}

async fn retrieve(server: &Server, id: &Value) -> Value {
    let path = format!("{}/v1/responses/{}", server.base, id.as_str().expect("an id"));
    let answer = server.client.get(path).send().await.expect("the server answers");
    serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_outlives_the_process_and_what_ran_has_failed() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    link(data_with_model(), data.path());
    for signal in [Signal::KILL, Signal::TERM] {
        let mut server = Server::start_in(data.path(), &["--grace", "0"]).await;
        let kept = json!({"model": MODEL, "input": "Hi", "max_output_tokens": 4});
        let kept = server.ask("/v1/responses", &kept).await;
        // Longer than a signal takes: the form has no end before.
        let format = json!({"type": "json_schema", "name": "n", "schema": {"type": "string", "minLength": 3000}});
        let long = json!({"model": MODEL, "input": "Tell me a story.", "background": true, "text": {"format": format}});
        let running = server.ask("/v1/responses", &long).await;
        server.signal(signal);
        server.wait_until_gone().await;
        drop(server);
        let server = Server::start_in(data.path(), &[]).await;
        assert_eq!(retrieve(&server, &kept["id"]).await, kept);
        let failed = retrieve(&server, &running["id"]).await;
        assert_eq!(failed["status"], "failed", "{failed}");
        assert_eq!(failed["error"]["code"], "server_error");
        let message = failed["error"]["message"].as_str().expect("a message");
        let expect = if signal == Signal::KILL { "restarted" } else { "shutting down" };
        assert!(message.contains(expect), "{message}");
        drop(server);
    }
}
