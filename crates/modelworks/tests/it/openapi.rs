//! The OpenAPI document is one that tools for it take, and what it says is what the server does.

use crate::{
    python,
    server::{KEY, MODEL, Server},
};

/// What the test installs. Pinned, so that a test fails for a change of ours alone.
const PACKAGES: &str = "schemathesis==4.32.5 openapi-spec-validator==0.9.0";

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_valid_and_no_answer_contradicts_it() {
    let server = Server::start(&[]).await;
    let variables = vec![("BASE", server.base.clone()), ("KEY", KEY.to_owned()), ("MODEL", MODEL.to_owned())];
    python::drive(PACKAGES, "openapi.py", variables).await;
    server.wait_until_idle().await;
}
