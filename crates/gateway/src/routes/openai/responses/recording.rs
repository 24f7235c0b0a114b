//! What comes of a response in the background, kept for whoever listens: from the beginning, from the middle, or again.
//!
//! One writer adds steps, and never waits. Every listener has a place of its own in them and makes the events of the stream
//! anew, so a slow one costs nothing, and an event has the same number whoever reads it.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use account::ResponseId;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use inference::{Event, TokenLogprob, Usage};
use tokio::{sync::watch, time::timeout};
use wire::openai::ResponseObject;

use super::draft::Draft;
use crate::sse::Frames;

/// Most bytes of one response's steps, about as much as a response may have that is kept. Whoever comes to the end of a
/// longer one loses the stream, not the response.
const MOST_BYTES: usize = 16 << 20;

/// Most bytes of the steps of responses that have ended. Beyond it the oldest are given up.
const MOST_ENDED_BYTES: usize = 64 << 20;

/// Steps that a listener takes at a time, so that it does not hold the lock for long.
const TURN: usize = 256;

/// What is counted for a step beside its text.
const STEP_BYTES: usize = 96;

/// What happened to a response.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Its turn came.
    Started,
    /// The model did something.
    Event(Event),
    /// Whoever asked wants no more of it; this is what ran.
    Cancelled(Usage),
    /// It ended so, and that is written.
    Ended(Box<ResponseObject>),
}

impl Step {
    /// Whether it has an event of the stream: tokens without a text have none.
    fn is_told(&self) -> bool {
        match self {
            Self::Event(Event::Started { .. }) => false,
            Self::Event(Event::Text { text, logprobs, .. }) => !text.is_empty() || !logprobs.is_empty(),
            _ => true,
        }
    }

    /// How much memory it takes, about.
    fn bytes(&self) -> usize {
        let of_token = |token: &TokenLogprob| (1 + token.top.len()) * STEP_BYTES;
        STEP_BYTES
            + match self {
                Self::Event(Event::Text { text, logprobs, .. }) => {
                    text.len() + logprobs.iter().map(of_token).sum::<usize>()
                }
                Self::Event(Event::Reasoning { text, .. } | Event::Arguments { text, .. }) => text.len(),
                // Once more all that was said.
                Self::Ended(response) => serde_json::to_vec(response).map_or(0, |json| json.len()),
                _ => 0,
            }
    }
}

/// One response, as far as it has come.
pub(super) struct Recording {
    /// The response before anything happened.
    beginning: ResponseObject,
    /// As [`Draft::new`] takes it.
    logprobs: Option<u32>,
    steps: Mutex<Steps>,
    /// Changes with every step, and is closed at the end.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Steps {
    all: Vec<Step>,
    bytes: usize,
    /// There will be no more: it has ended, or is too long.
    complete: bool,
}

impl Recording {
    /// Of a response to which nothing happened yet.
    pub(super) fn new(beginning: ResponseObject, logprobs: Option<u32>) -> Arc<Self> {
        Arc::new(Self { beginning, logprobs, steps: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// Adds what happened.
    pub(super) fn add(&self, step: Step) {
        let mut steps = self.steps();
        if steps.complete || !step.is_told() {
            return;
        }
        let bytes = steps.bytes + step.bytes();
        if bytes > MOST_BYTES {
            steps.complete = true;
        } else {
            steps.complete = matches!(step, Step::Ended(_));
            steps.bytes = bytes;
            steps.all.push(step);
        }
        drop(steps);
        self.changed.send_replace(());
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of its events behind the one of the number `after`, or from the first, with a sign of life where there
    /// are none for a while.
    pub(super) fn listen(self: &Arc<Self>, after: Option<u64>, ping_interval: Duration) -> Response {
        let draft = Draft::new(self.beginning.clone(), self.logprobs).telling_behind(after);
        let changed = self.changed.subscribe();
        let listener = Listener { recording: Arc::clone(self), changed, draft, begun: false, place: 0 };
        let next = move |mut listener: Listener| async move {
            let piece = match timeout(ping_interval, listener.next()).await {
                Ok(piece) => piece?,
                Err(_) => Bytes::from_static(b": ping\n\n"),
            };
            Some((Ok::<_, Infallible>(piece), listener))
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        (headers, Body::from_stream(stream::unfold(listener, next))).into_response()
    }
}

/// Somebody who listens.
struct Listener {
    recording: Arc<Recording>,
    changed: watch::Receiver<()>,
    draft: Draft,
    begun: bool,
    /// Steps that were told.
    place: usize,
}

impl Listener {
    /// The next frames; none when there will be no more. To drop it loses nothing.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // What is added from here on is seen as a change.
            self.changed.mark_unchanged();
            let (steps, complete) = {
                let steps = self.recording.steps();
                let end = steps.all.len().min(self.place + TURN);
                (steps.all[self.place..end].to_vec(), steps.complete && end == steps.all.len())
            };
            let mut frames = Frames::default();
            if !std::mem::replace(&mut self.begun, true) {
                self.draft.begin(&mut frames);
            }
            self.place += steps.len();
            steps.into_iter().for_each(|step| self.tell(step, &mut frames));
            if !frames.is_empty() {
                return Some(frames.take());
            }
            if complete {
                return None;
            }
            // The sender is in the recording, which is held.
            let _ = self.changed.changed().await;
        }
    }

    fn tell(&mut self, step: Step, frames: &mut Frames) {
        match step {
            Step::Started => self.draft.start(Some(frames)),
            Step::Event(event) => self.draft.push(event, Some(frames)),
            Step::Cancelled(usage) => self.draft.cancel(usage, Some(frames)),
            Step::Ended(response) => {
                *self.draft.response_mut() = *response;
                self.draft.last(frames);
            }
        }
    }
}

/// The recordings of the responses that run, and of those that ended last.
#[derive(Default)]
pub(super) struct Recordings {
    all: HashMap<ResponseId, Arc<Recording>>,
    /// Those that have ended, the first of them first, with their bytes.
    ended: VecDeque<(ResponseId, usize)>,
}

impl Recordings {
    /// Adds the one of a response that begins.
    pub(super) fn insert(&mut self, id: ResponseId, recording: Arc<Recording>) {
        self.all.insert(id, recording);
    }

    /// The one of a response, if it is there yet.
    pub(super) fn get(&self, id: ResponseId) -> Option<Arc<Recording>> {
        self.all.get(&id).cloned()
    }

    /// Notes that a response has ended, and gives up those for which there is no more room.
    pub(super) fn end(&mut self, id: ResponseId) {
        let Some(recording) = self.all.get(&id) else { return };
        let bytes = recording.steps().bytes;
        self.ended.push_back((id, bytes));
        let mut sum: usize = self.ended.iter().map(|(_, bytes)| bytes).sum();
        while sum > MOST_ENDED_BYTES
            && let Some((oldest, bytes)) = self.ended.pop_front()
        {
            self.all.remove(&oldest);
            sum -= bytes;
        }
    }

    /// Gives one up.
    pub(super) fn remove(&mut self, id: ResponseId) {
        self.all.remove(&id);
        self.ended.retain(|(ended, _)| *ended != id);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::{super::draft::blank, *};

    fn text(bytes: usize) -> Step {
        Step::Event(Event::Text {
            choice: 0,
            text: "x".repeat(bytes),
            tokens: 1,
            reasoning_tokens: 0,
            logprobs: vec![],
        })
    }

    fn recording() -> Arc<Recording> {
        Recording::new(blank(), None)
    }

    /// All that a listener is told, who must not have to wait.
    fn told(recording: &Arc<Recording>) -> String {
        let body = recording.listen(None, Duration::from_secs(1)).into_body();
        let bytes = axum::body::to_bytes(body, usize::MAX).now_or_never().expect("it has ended").unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_recording_is_bounded_and_a_stream_that_is_longer_breaks_off() {
        let recording = recording();
        for _ in 0..3 {
            recording.add(text(MOST_BYTES / 2 - STEP_BYTES));
        }
        recording.add(Step::Ended(Box::new(blank())));
        assert!(recording.steps().bytes <= MOST_BYTES);
        let told = told(&recording);
        assert_eq!(told.matches("event: response.output_text.delta").count(), 2);
        assert!(!told.contains("event: response.incomplete") && !told.contains("event: response.completed"));
    }

    #[test]
    fn tokens_without_a_text_take_no_room() {
        let recording = recording();
        (0..1000).for_each(|_| recording.add(text(0)));
        recording.add(Step::Event(Event::Started { cached_tokens: 3 }));
        let steps = recording.steps();
        assert_eq!((steps.all.len(), steps.bytes), (0, 0));
    }

    #[test]
    fn of_those_that_have_ended_the_last_are_kept_as_far_as_there_is_room() {
        let mut recordings = Recordings::default();
        let ids: Vec<ResponseId> = (0..9).map(|_| ResponseId::generate().unwrap()).collect();
        for id in &ids {
            let recording = recording();
            recording.add(text(MOST_ENDED_BYTES / 5));
            recordings.insert(*id, recording);
        }
        assert!(ids.iter().all(|id| recordings.get(*id).is_some()), "what runs is there");
        ids[..8].iter().for_each(|id| recordings.end(*id));
        let there: Vec<bool> = ids.iter().map(|id| recordings.get(*id).is_some()).collect();
        assert_eq!(there, [false, false, false, false, true, true, true, true, true]);
        recordings.remove(ids[5]);
        recordings.end(ids[8]);
        let there = ids.iter().filter(|id| recordings.get(**id).is_some()).count();
        assert_eq!(there, 4, "the room of one that was deleted is free");
    }
}
