//! The default embedding model, from `pull` to vectors.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    python,
    server::{KEY, MODEL, Server, data_with_model, link, modelworks},
};

/// The embedding model's name.
pub const EMBEDDER: &str = "all-minilm-l6-v2";

/// What the test installs; as in the test of chats.
const PACKAGE: &str = "openai==3.57.0";

/// A server with the default chat model and the default embedding model.
pub async fn start(data: &Path) -> Server {
    link(data_with_model(), data);
    let pulled = modelworks()
        .args(["pull", "--name", EMBEDDER, "--data-dir"])
        .arg(data)
        .arg(testkit::minilm())
        .output()
        .expect("the binary starts");
    assert!(pulled.status.success(), "pull failed: {}", String::from_utf8_lossy(&pulled.stderr));
    Server::start_in(data, &["--model", MODEL, "--model", EMBEDDER]).await
}

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_gets_the_vectors_of_the_reference() {
    let data = folder();
    let server = start(data.path()).await;
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/minilm");
    let variables = vec![
        ("OPENAI_BASE_URL", format!("{}/v1", server.base)),
        ("OPENAI_API_KEY", KEY.to_owned()),
        ("MODEL", MODEL.to_owned()),
        ("EMBEDDER", EMBEDDER.to_owned()),
        ("FIXTURE", fixture.display().to_string()),
    ];
    python::drive(PACKAGE, "embeddings_sdk.py", variables).await;
    server.wait_until_idle().await;
    let usage: Value = {
        let answer = server.client.get(format!("{}/v1/usage", server.base)).send().await.expect("the server answers");
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    };
    let mut sums = usage["data"].as_array().expect("sums").iter().filter(|sum| sum["model"] == EMBEDDER);
    assert!(sums.any(|sum| sum["input_tokens"].as_u64() > Some(10_000) && sum["output_tokens"] == 0), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_not_computed_for_any_more() {
    let data = folder();
    let server = start(data.path()).await;
    // Minutes of work, if anybody went through with it.
    let texts: Vec<String> = (0..2048).map(|number| format!("{number} {}", "word ".repeat(250))).collect();
    let body = json!({"model": EMBEDDER, "input": texts}).to_string();
    let asked = server.client.post(format!("{}/v1/embeddings", server.base)).body(body).send();
    let leaving = async {
        server.wait_for("the first pass", async || server.metrics().await["modelworks_engine_steps_total"] > 0.0).await;
    };
    tokio::select! {
        _ = asked => panic!("it cannot be answered so soon"),
        () = leaving => {}
    }
    server.wait_until_idle().await;
    let rows = server.metrics().await["modelworks_engine_step_rows_total"];
    assert!(rows < 262_144.0, "half of the tokens were computed for nobody: {rows}");
    server.ask("/v1/embeddings", &json!({"model": EMBEDDER, "input": "x"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedding_model_is_shown_and_listed() {
    let data = folder();
    let server = start(data.path()).await;
    let show =
        modelworks().args(["show", EMBEDDER, "--data-dir"]).arg(data.path()).output().expect("the binary starts");
    let text = String::from_utf8_lossy(&show.stdout);
    assert!(show.status.success() && text.contains("vectors of 384 numbers") && text.contains("BertModel"), "{text}");
    let list = server.client.get(format!("{}/v1/models", server.base)).send().await.expect("the server answers");
    assert!(list.text().await.expect("a body").contains(EMBEDDER));
}
