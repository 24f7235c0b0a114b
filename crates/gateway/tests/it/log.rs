//! One line for each request, with what an operator asks for and nothing that a caller said.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex, Once},
};

use axum::body::Body;
use inference::Event;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::stage::{KEY, Script, Scripted, app, check, request, says, send, text};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// Where what this thread logs goes.
    static HERE: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Writes for whichever thread logs.
struct Here;

impl io::Write for Here {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HERE.with_borrow_mut(|lines| lines.as_mut().map_or(Ok(bytes.len()), |lines| lines.write(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Collects until it is dropped.
struct Collecting;

impl Drop for Collecting {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

impl Lines {
    /// Collects what this thread logs, until the guard is dropped. The test's runtime has one thread, so that is everything.
    ///
    /// One subscriber serves all threads: whether a line is wanted at all is remembered for the process, and with a subscriber of one
    /// thread it could be another thread, which has none, that is asked.
    fn collect(&self) -> Collecting {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt().json().with_writer(|| Here);
            subscriber.with_max_level(tracing_subscriber::filter::LevelFilter::TRACE).init();
        });
        HERE.set(Some(self.clone()));
        Collecting
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The fields of each request's line.
    fn requests(&self) -> Vec<Value> {
        let lines = self.text();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].take());
        lines.filter(|fields| fields["message"] == "request").collect()
    }
}

#[tokio::test]
async fn a_request_is_one_line_without_content_or_key() {
    let lines = Lines::default();
    let guard = lines.collect();
    let app = app(Scripted::new(|_| Script::Events(says("the secret answer"))));
    for stream in [false, true] {
        let message = json!({"role": "user", "content": "the secret question"});
        let body = json!({"model": "m", "messages": [message], "stream": stream});
        check(&app, "POST", "/v1/chat/completions", body, 200).await;
    }
    let answer = send(&app, request("GET", "/the-secret-path?the=secret-query", Body::empty())).await;
    let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    drop(guard);
    let text = lines.text();
    assert!(!text.contains("secret") && !text.contains(KEY), "{text}");
    let fields = lines.requests();
    assert_eq!(fields.len(), 3, "{text}");
    for line in &fields[..2] {
        assert_eq!(line["route"], "/v1/chat/completions");
        assert_eq!((&line["status"], &line["outcome"]), (&json!(200), &json!("finished")));
        assert_eq!((&line["prompt_tokens"], &line["completion_tokens"]), (&json!(7), &json!(2)));
        assert!(line["duration_ms"].is_u64());
    }
    assert_eq!((&fields[2]["request_id"], &fields[2]["route"]), (&json!(id), &json!("unmatched")));
}

#[tokio::test]
async fn the_line_of_a_client_that_left_says_what_ran() {
    let lines = Lines::default();
    let guard = lines.collect();
    let (events, script) = mpsc::channel(8);
    let app = app(Scripted::once(Script::Channel(script)));
    for event in [Event::Started { cached_tokens: 3 }, text(0, "a"), text(0, "b")] {
        events.send(event).await.unwrap();
    }
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}).to_string();
    let mut answering = Box::pin(app.oneshot(request("POST", "/v1/chat/completions", body)));
    assert!(futures::poll!(&mut answering).is_pending());
    drop(answering);
    drop(guard);
    let [line] = &lines.requests()[..] else { panic!("{}", lines.text()) };
    assert_eq!((&line["status"], &line["outcome"]), (&json!(499), &json!("cancelled")));
    let counts = ["prompt_tokens", "cached_tokens", "completion_tokens"].map(|name| line[name].as_u64());
    assert_eq!(counts, [Some(7), Some(3), Some(2)]);
}
