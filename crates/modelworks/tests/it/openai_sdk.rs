//! The official OpenAI package for Python, as users install it.

use crate::{
    python,
    server::{KEY, MODEL, Server},
};

/// What the test installs. Pinned, so that a test fails for a change of ours alone.
pub const PACKAGE: &str = "openai==3.57.0";

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_works_unchanged() {
    let server = Server::start(&[]).await;
    let variables = vec![
        ("OPENAI_BASE_URL", format!("{}/v1", server.base)),
        ("OPENAI_API_KEY", KEY.to_owned()),
        ("MODEL", MODEL.to_owned()),
    ];
    python::drive(PACKAGE, "openai_sdk.py", variables).await;
    server.wait_until_idle().await;
}
