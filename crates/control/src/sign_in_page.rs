//! What a browser shows when a sign-in with a provider does not work: one page without scripts or anything from elsewhere.

use axum::{
    http::{HeaderValue, StatusCode, header, response::Builder},
    response::{Html, IntoResponse, Response},
};

use crate::{error::ApiError, html::escape};

const STYLE: &str =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}code{color:#555}";

/// Nothing is loaded or run, and nothing frames it.
const POLICY: (&str, &str) = (
    "content-security-policy",
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
);

/// The address, which may hold a code, is told to nobody, and the answer is kept by nobody.
const PRIVATE: [(&str, &str); 2] = [("referrer-policy", "no-referrer"), ("cache-control", "no-store")];

/// The page of a refusal. It offers to begin `again` at this path, if that may help. The text is ours: nothing that the
/// provider or the browser said is in it.
pub(crate) fn refused(error: ApiError, again: Option<&str>) -> Response {
    let (status, code) = error.parts();
    let link = again.map(|path| format!("<p><a href=\"{}\">Try again</a></p>\n", escape(path))).unwrap_or_default();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Not signed in</title><style>{STYLE}</style></head>\n\
         <body><h1>You are not signed in</h1>\n<p>{}.</p>\n{link}<p><code>{code}</code></p>\n</body></html>\n",
        escape(&capitalised(&error.to_string())),
    );
    let retry_after = error.retry_after();
    let mut response = (status, Html(page)).into_response();
    for (name, value) in PRIVATE.into_iter().chain([POLICY]) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The beginning of an answer that sends the browser on.
pub(crate) fn onwards(address: &str) -> Builder {
    let answer = Response::builder().status(StatusCode::SEE_OTHER).header(header::LOCATION, address);
    PRIVATE.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
