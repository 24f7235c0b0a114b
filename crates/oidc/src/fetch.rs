//! Answers of a provider: bounded in bytes and time, JSON.

use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Error, Limits};

/// What a token endpoint may say no with (RFC 6749, section 5.2).
const CODES: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// A client that follows no redirect: where a provider is asked is what its description says.
pub(crate) fn client(tls: rustls::ClientConfig, is_local: bool, limits: &Limits) -> Result<Client, Error> {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(limits.answer)
        // People come seldom: a connection that the provider has closed meanwhile would fail, and a code is sent once.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("modelworks/", env!("CARGO_PKG_VERSION")));
    // No proxy reaches what this machine serves to itself.
    let builder = if is_local { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| Error::Client { reason: deepest(&error.without_url()) })
}

/// Asks for `what` and reads the answer.
pub(crate) async fn json<T: DeserializeOwned>(
    what: &'static str,
    request: RequestBuilder,
    limits: &Limits,
) -> Result<T, Error> {
    let whole = tokio::time::timeout(limits.answer, read(what, request, limits.bytes)).await;
    let (status, bytes) = whole.map_err(|_| Error::TooSlow { what, within: limits.answer })??;
    if status != StatusCode::OK {
        return Err(Error::Refused { what, status: status.as_u16(), code: code(&bytes) });
    }
    // What stands there may be a secret, so the text of the error, which may quote it, is left out.
    serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
        what,
        line: error.line(),
        column: error.column(),
    })
}

async fn read(what: &'static str, request: RequestBuilder, most: usize) -> Result<(StatusCode, Vec<u8>), Error> {
    let unreachable = |error: reqwest::Error| Error::Unreachable { what, reason: deepest(&error.without_url()) };
    let mut answer = request.header("accept", "application/json").send().await.map_err(unreachable)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > most {
            return Err(Error::TooLarge { what, most });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((answer.status(), bytes))
}

/// The code of a refusal, if it is a known one: the rest of what a stranger says is not for our log.
fn code(bytes: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let refusal: Refusal = serde_json::from_slice(bytes).ok()?;
    CODES.into_iter().find(|code| *code == refusal.error)
}

/// The outermost texts only say that something failed; the last says what.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
