//! Responses that are made without their client: bounded in number, cancelled by their id, ended with the server.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use account::ResponseId;
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use inference::{Error, Event};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    draft::Draft,
    kept::{self, Keeper},
};
use crate::{Service, error::ApiError, generation::Generation, sse::Frames};

/// Events that wait for a client who listens. One who falls further behind loses the stream, not the response.
const EVENTS: usize = 4096;

/// Between two attempts to write how a response ended.
const PAUSE: Duration = Duration::from_secs(1);

/// The responses that are being made in the background.
pub(crate) struct Background {
    most: u32,
    room: Arc<Semaphore>,
    /// Held for a look-up alone.
    running: Mutex<HashMap<ResponseId, Running>>,
    /// Whether all of them have to end.
    stopping: watch::Sender<bool>,
}

/// One of them, from outside.
#[derive(Clone)]
struct Running {
    cancel: Arc<Notify>,
    /// Closed when it has ended and that is written.
    ended: watch::Receiver<()>,
}

impl Background {
    /// None yet, and at most `most` at a time.
    pub(crate) fn new(most: u32) -> Self {
        let room = Arc::new(Semaphore::new(most as usize));
        Self { most, room, running: Mutex::default(), stopping: watch::Sender::new(false) }
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let full =
            |_| Error::Overloaded { what: "the room for background responses", retry_after: Duration::from_secs(5) };
        Ok(Arc::clone(&self.room).try_acquire_owned().map_err(full)?)
    }

    /// Cancels one, if it runs, and waits until that is written.
    pub(super) async fn cancel(&self, id: ResponseId) {
        let Some(mut running) = self.running().get(&id).cloned() else { return };
        running.cancel.notify_one();
        // Nothing is ever sent: this waits for the end.
        let _ = running.ended.changed().await;
    }

    /// Waits until none runs.
    pub(crate) async fn idle(&self) {
        let _ = self.room.acquire_many(self.most).await;
    }

    /// Ends all that run, with a failure, and waits until that is written.
    pub(crate) async fn stop(&self) {
        self.stopping.send_replace(true);
        self.idle().await;
    }

    fn running(&self) -> MutexGuard<'_, HashMap<ResponseId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for one, where there is one and a model to ask: whoever is not there later is told now.
pub(super) fn enter(service: &Service, model: &str) -> Result<OwnedSemaphorePermit, ApiError> {
    if service.catalog().model(model).is_none() {
        return Err(Error::ModelNotFound { model: model.to_owned() }.into());
    }
    service.background().enter()
}

/// What makes one response.
pub(super) struct Job {
    pub(super) service: Service,
    pub(super) id: ResponseId,
    pub(super) generation: Generation,
    pub(super) draft: Draft,
    pub(super) keeper: Keeper,
    pub(super) room: OwnedSemaphorePermit,
}

/// Starts a response that is kept as one that runs. Whoever wants its events gets them.
pub(super) fn start(job: Job, listens: bool) -> Option<mpsc::Receiver<Bytes>> {
    let (sender, receiver) = mpsc::channel(EVENTS);
    let (ending, ended) = watch::channel(());
    let running = Running { cancel: Arc::default(), ended };
    job.service.background().running().insert(job.id, running.clone());
    tokio::spawn(make(job, Listener(listens.then_some(sender)), running.cancel, ending));
    listens.then_some(receiver)
}

/// The client, as long as it listens.
struct Listener(Option<mpsc::Sender<Bytes>>);

impl Listener {
    fn frames(&self) -> Option<Frames> {
        self.0.as_ref().map(|_| Frames::default())
    }

    /// Hands over what there is, and never waits.
    fn hear(&mut self, frames: Option<Frames>) {
        let bytes = frames.map(|mut frames| frames.take()).filter(|bytes| !bytes.is_empty());
        if let (Some(bytes), Some(sender)) = (bytes, &self.0)
            && sender.try_send(bytes).is_err()
        {
            self.0 = None;
        }
    }
}

async fn make(job: Job, mut listener: Listener, cancel: Arc<Notify>, ending: watch::Sender<()>) {
    let Job { service, id, mut generation, mut draft, keeper, room } = job;
    let mut stopping = service.background().stopping.subscribe();
    let mut frames = listener.frames();
    if let Some(frames) = &mut frames {
        draft.begin(frames);
    }
    listener.hear(frames);
    let mut started = false;
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.notified() => None,
            _ = stopping.wait_for(|stopping| *stopping) => {
                Some(Event::Failed { error: Error::ShuttingDown, usage: generation.usage() })
            }
            event = generation.next() => event,
        };
        let mut frames = listener.frames();
        let Some(event) = event else {
            draft.cancel(generation.usage(), frames.as_mut());
            listener.hear(frames);
            break;
        };
        if !std::mem::replace(&mut started, true) {
            draft.start(frames.as_mut());
            // Only how far it is: what comes of it is written at the end, again if it must be.
            let _ = keeper.change(draft.response(), true).await;
        }
        let over = event.is_terminal();
        draft.push(event, frames.as_mut());
        listener.hear(frames);
        if over {
            break;
        }
    }
    tracing::info!(
        request_id = generation.request_id(),
        response_id = %id,
        status = ?draft.response().status,
        "a background response has ended"
    );
    // What still runs is cancelled, and what ran is settled.
    drop(generation);
    kept::end(draft.response_mut());
    write_end(&service, &mut draft, &keeper).await;
    let mut frames = listener.frames();
    if let Some(frames) = &mut frames {
        draft.last(frames);
    }
    listener.hear(frames);
    service.background().running().remove(&id);
    drop((ending, room));
}

/// Writes how it ended, as often as it takes. Where the server ends before, the next start says that it failed.
async fn write_end(service: &Service, draft: &mut Draft, keeper: &Keeper) {
    loop {
        match keeper.change(draft.response(), false).await {
            Ok(()) => return,
            Err(store::Error::TooLarge { .. }) if !draft.response().output.is_empty() => {
                draft.response_mut().output.clear();
                draft.fail(&Error::Internal.into(), None);
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the end of a background response is not written"
                );
                if *service.background().stopping.borrow() {
                    return;
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// The events of a response, with a sign of life where there are none for a while.
pub(super) fn events(receiver: mpsc::Receiver<Bytes>, ping_interval: Duration) -> Response {
    let next = move |mut receiver: mpsc::Receiver<Bytes>| async move {
        let piece = match timeout(ping_interval, receiver.recv()).await {
            Ok(piece) => piece?,
            Err(_) => Bytes::from_static(b": ping\n\n"),
        };
        Some((Ok::<_, std::convert::Infallible>(piece), receiver))
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(stream::unfold(receiver, next))).into_response()
}
