//! The official OpenAI package for Python, as users install it.

use std::{path::Path, process::Command};

use crate::{
    python,
    server::{KEY, MODEL, Server},
};

/// What the test installs. Pinned, so that a test fails for a change of ours alone.
const PACKAGE: &str = "openai==3.57.0";

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_works_unchanged() {
    let server = Server::start(&[]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/openai_sdk.py");
    let base = format!("{}/v1", server.base);
    tokio::task::spawn_blocking(move || {
        python::run(
            Command::new(python::with(PACKAGE))
                .arg(script)
                .env("OPENAI_BASE_URL", base)
                .env("OPENAI_API_KEY", KEY)
                .env("MODEL", MODEL),
        );
    })
    .await
    .expect("the SDK's checks pass");
    server.wait_until_idle().await;
}
