//! Ollama's package for Python, as users install it.

use crate::{
    embeddings::{EMBEDDER, folder, start},
    python,
    server::{KEY, MODEL},
};

/// What the test installs. Pinned, so that a test fails for a change of ours alone.
const PACKAGE: &str = "ollama==0.6.3";

#[tokio::test(flavor = "multi_thread")]
async fn ollamas_python_package_works_unchanged() {
    let data = folder();
    let server = start(data.path()).await;
    let variables = vec![
        ("OLLAMA_HOST", server.base.clone()),
        ("OLLAMA_API_KEY", KEY.to_owned()),
        ("MODEL", MODEL.to_owned()),
        ("EMBEDDER", EMBEDDER.to_owned()),
    ];
    python::drive(PACKAGE, "ollama_sdk.py", variables).await;
    server.wait_until_idle().await;
}
