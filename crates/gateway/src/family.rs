//! Whose API a request speaks, where the answer depends on it.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::Response,
};

use crate::error::ApiError;

/// Anthropic's clients always send it. Any value will do: there is one version.
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The request's id under the name that Anthropic's SDKs read.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Whose shapes an answer has. Failures have one for each family, addresses that do not exist included; beside them only
/// the list of models does, because two families have it at one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Anthropic,
    Ollama,
}

impl Family {
    /// The family of a request.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        let messages = path.strip_prefix("/v1/messages").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if path.starts_with("/api/") {
            Self::Ollama
        } else if messages || headers.contains_key(ANTHROPIC_VERSION) {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// Writes what an answer needs beside what its handler made of it: the body of a failure, and the request's id.
    pub(crate) fn complete(self, response: &mut Response, request_id: &str) {
        if let Some(error) = response.extensions_mut().remove::<ApiError>() {
            let body = match self {
                Self::OpenAi => serde_json::to_vec(&error.openai()),
                Self::Anthropic => serde_json::to_vec(&error.anthropic(request_id)),
                Self::Ollama => serde_json::to_vec(&error.ollama()),
            };
            // Our own types serialise.
            *response.body_mut() = Body::from(body.unwrap_or_default());
            let headers = response.headers_mut();
            // axum has announced the empty body by now.
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let (Self::Anthropic, Ok(id)) = (self, HeaderValue::from_str(request_id)) {
            response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id);
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Family {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.path(), &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_known_by_its_address_or_its_header() {
        let none = HeaderMap::new();
        for path in ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches"] {
            assert_eq!(Family::of(path, &none), Family::Anthropic, "{path}");
        }
        for path in ["/v1/messagesx", "/v1/models", "/", "/v1/chat/completions"] {
            assert_eq!(Family::of(path, &none), Family::OpenAi, "{path}");
        }
        assert_eq!(Family::of("/api/chat", &none), Family::Ollama);
        assert_eq!(Family::of("/apix", &none), Family::OpenAi);
        let headers = HeaderMap::from_iter([(ANTHROPIC_VERSION, HeaderValue::from_static("any"))]);
        assert_eq!(Family::of("/v1/models", &headers), Family::Anthropic);
    }
}
