//! Sends any bytes as a body, and checks what may come of them. The fuzz target runs the same.

use std::sync::Arc;

use axum::{Router, http::StatusCode};
use gateway::{Config, router};
use inference::{Event, Usage};
use tokio::runtime::Runtime;

use crate::stage::{Kept, Script, Scripted, finished, metered, request, send, tenancy, text};

/// The routes that ask a model for text.
pub const PATHS: [&str; 8] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/api/chat",
    "/api/generate",
    "/v1/quote",
];

/// Answers every choice.
pub fn talkative() -> Arc<Scripted> {
    Scripted::new(|request| {
        let choices = request.choices;
        let mut events: Vec<Event> = (0..choices).map(|choice| text(choice, "{\"a\":1}")).collect();
        events.extend((0..choices).map(finished));
        let completion_tokens = u64::from(choices);
        events.push(Event::Done(Usage { prompt_tokens: 7, cached_tokens: 0, completion_tokens, reasoning_tokens: 0 }));
        Script::Events(events)
    })
}

/// Sends a body and checks what may come of it.
pub async fn ask(app: &Router, path: &str, body: Vec<u8>) -> StatusCode {
    let answer = send(app, request("POST", path, body)).await;
    let status = answer.status;
    assert!(!status.is_server_error(), "{path}: {status}, {:?}", answer.bytes);
    if status.is_client_error() {
        let error = &answer.json()["error"];
        let told = if path.starts_with("/api/") { error } else { &error["message"] };
        assert!(told.as_str().is_some_and(|told| !told.is_empty()), "{path}: {:?}", answer.bytes);
        // What is said of a body is no copy of it.
        assert!(answer.bytes.len() < 8_000, "{path}: {:?}", answer.bytes);
    } else {
        let error = answer.text().contains("server_error") || answer.text().contains("api_error");
        assert!(!error, "{path}: {:?}", answer.bytes);
    }
    status
}

/// A service that is asked again and again.
pub struct Exercise {
    runtime: Runtime,
    app: Router,
    backend: Arc<Scripted>,
    kept: Arc<Kept>,
}

impl Default for Exercise {
    fn default() -> Self {
        let (backend, kept) = (talkative(), Arc::<Kept>::default());
        let app = router(metered(Config::default(), backend.clone(), tenancy(kept.clone())));
        Self { runtime: Runtime::new().expect("a runtime"), app, backend, kept }
    }
}

impl Exercise {
    /// A fuzzer's input: a byte chooses the route, and the rest is the body.
    pub fn body(&self, bytes: &[u8]) -> Option<(&'static str, StatusCode)> {
        let (route, body) = bytes.split_first()?;
        let path = PATHS[usize::from(*route) % PATHS.len()];
        let status = self.runtime.block_on(ask(&self.app, path, body.to_vec()));
        // What a test looks at would fill the memory of a fuzzer.
        self.backend.asked.lock().expect("no panic").clear();
        self.kept.forget();
        Some((path, status))
    }
}
