//! `POST /api/pull`: for whoever may manage models.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json as JsonAnswer,
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use catalog::{Progress, Pull, Reference, Stage};
use futures::{Stream, StreamExt, stream};
use wire::ollama::{OllamaError, OllamaPullProgress, OllamaPullRequest};

use super::untagged;
use crate::{Service, body::Json, caller::Caller, error::ApiError, tenancy::now};

/// How often, and how many times, it is looked whether a model that came has a price.
const PRICE_LOOK: Duration = Duration::from_millis(100);
const PRICE_LOOKS: u32 = 20;

/// Brings a model into the data folder. It goes on for as long as somebody waits for it.
#[utoipa::path(
    post, path = "/api/pull", tag = "ollama", request_body = OllamaPullRequest,
    responses(
        (status = 200, description = "The progress in lines, or its end", body = OllamaPullProgress),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
        (status = "5XX", description = "Failed here: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn pull(
    State(service): State<Service>,
    _: Caller,
    Json(body): Json<OllamaPullRequest>,
) -> Result<Response, ApiError> {
    let reference = reference(&body.model)?;
    let pull = service.catalog().pull(reference, None).map_err(|error| failed(&error))?;
    if !body.stream.unwrap_or(true) {
        let name = pull.await.map_err(|error| failed(&error))?;
        until_priced(&service, name.as_str()).await;
        return Ok(JsonAnswer(status("success")).into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, Body::from_stream(lines(service, pull).map(Ok::<_, Infallible>))).into_response())
}

/// What is to be pulled. Paths of this machine are the operator's command line's alone.
fn reference(model: &str) -> Result<Reference, ApiError> {
    let model = untagged(model);
    // As Ollama writes the hub.
    let hub = ["hf.co/", "huggingface.co/"].iter().find_map(|host| model.strip_prefix(host));
    let text = hub.map_or_else(|| model.to_owned(), |repository| format!("hf:{repository}"));
    match text.parse() {
        Ok(Reference::Path(_)) => {
            let message = "a path of the server's machine cannot be pulled from here; use `modelworks pull` there";
            Err(ApiError::invalid("model", message))
        }
        Ok(reference) => Ok(reference),
        Err(problem) => Err(ApiError::invalid("model", problem.to_string())),
    }
}

fn failed(error: &catalog::Error) -> ApiError {
    use catalog::Error as E;
    match error {
        E::Name(_) | E::Reference(_) | E::Unknown { .. } | E::NameTaken { .. } | E::Busy { .. } | E::Pull { .. } => {
            ApiError::invalid("model", error.to_string())
        }
        error => {
            tracing::error!(%error, "a pull failed");
            inference::Error::Internal.into()
        }
    }
}

/// Whoever runs the installation has its models priced, which comes a moment after they do. Clients ask at once.
async fn until_priced(service: &Service, model: &str) {
    for _ in 0..PRICE_LOOKS {
        if service.tenancy().price(model, now()).is_ok() {
            return;
        }
        tokio::time::sleep(PRICE_LOOK).await;
    }
}

/// A line for every change that says something new, and a last one.
fn lines(service: Service, pull: Pull) -> impl Stream<Item = Bytes> {
    let progress = pull.progress();
    stream::unfold(Some((service, pull, progress, status("pulling manifest"), true)), |state| async move {
        let (service, mut pull, mut progress, last, first) = state?;
        if first {
            return Some((line(&last), Some((service, pull, progress, last, false))));
        }
        loop {
            let ended = tokio::select! {
                ended = &mut pull => Some(ended),
                _ = progress.changed() => None,
            };
            match ended {
                Some(Ok(name)) => {
                    until_priced(&service, name.as_str()).await;
                    return Some((line(&status("success")), None));
                }
                Some(Err(error)) => return Some((line(&failed(&error).ollama()), None)),
                None => {}
            }
            let told = told(&progress.borrow_and_update());
            if told != last {
                return Some((line(&told), Some((service, pull, progress, told, false))));
            }
        }
    })
}

fn told(progress: &Progress) -> OllamaPullProgress {
    match progress.stage {
        Stage::Starting | Stage::Asking => status("pulling manifest"),
        Stage::Waiting => status("waiting for another pull of the same model"),
        Stage::Downloading => OllamaPullProgress {
            status: format!("pulling from {}", progress.source),
            // Clients tell downloads apart by it.
            digest: Some(progress.source.clone()),
            total: progress.total,
            completed: Some(progress.done),
        },
        Stage::Checking | Stage::Finished => status("verifying sha256 digest"),
    }
}

fn status(status: &str) -> OllamaPullProgress {
    OllamaPullProgress { status: status.to_owned(), ..OllamaPullProgress::default() }
}

fn line(value: &impl serde::Serialize) -> Bytes {
    // Our own types serialise.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_pulled_from_afar_is_no_path_of_this_machine() {
        for (text, expect) in [
            ("smollm2-135m:latest", "smollm2-135m"),
            ("hf.co/owner/repo", "hf:owner/repo"),
            ("hf:owner/repo:a.gguf", "hf:owner/repo:a.gguf"),
            ("https://example.org/m.gguf", "https://example.org/m.gguf"),
        ] {
            assert_eq!(reference(text).unwrap().to_string(), expect);
        }
        for text in
            ["/etc/passwd", "./model.gguf", "a/b", "../x", "http://example.org/m.gguf", "", "https://10.0.0.1/m.gguf"]
        {
            let error = reference(text).expect_err(text).openai().error;
            assert_eq!((error.param.as_deref(), error.code), (Some("model"), "invalid_value"), "{text}");
        }
    }
}
