//! Responses that are made without their client: bounded in number, cancelled by their id, ended with the server.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use account::ResponseId;
use futures::StreamExt;
use inference::{Error, Event};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};

use super::{
    draft::Draft,
    kept::{self, Keeper},
    recording::{Recording, Recordings, Step},
};
use crate::{Service, error::ApiError, generation::Generation};

/// Between two attempts to write how a response ended.
const PAUSE: Duration = Duration::from_secs(1);

/// The responses that are being made in the background.
pub(crate) struct Background {
    most: u32,
    room: Arc<Semaphore>,
    /// Held for a look-up alone.
    running: Mutex<HashMap<ResponseId, Running>>,
    /// Of those whose events were asked for, and some that have ended. Held for a look-up alone.
    recordings: Mutex<Recordings>,
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
        let (running, recordings) = Default::default();
        Self { most, room, running, recordings, stopping: watch::Sender::new(false) }
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

    /// What comes or came of one, where that was wanted in events and is there yet.
    pub(super) fn recording(&self, id: ResponseId) -> Option<Arc<Recording>> {
        self.recordings().get(id)
    }

    /// Keeps nothing of one that was deleted.
    pub(super) fn forget(&self, id: ResponseId) {
        self.recordings().remove(id);
    }

    fn recordings(&self) -> MutexGuard<'_, Recordings> {
        self.recordings.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Starts a response that is kept as one that runs. Where it is `recorded`, whoever wants its events can have them.
pub(super) fn start(job: Job, recorded: bool) -> Option<Arc<Recording>> {
    let (ending, ended) = watch::channel(());
    let running = Running { cancel: Arc::default(), ended };
    let background = job.service.background();
    background.running().insert(job.id, running.clone());
    let recording = recorded.then(|| Recording::new(job.draft.response().clone(), job.draft.logprobs()));
    if let Some(recording) = &recording {
        background.recordings().insert(job.id, Arc::clone(recording));
    }
    tokio::spawn(make(job, recording.clone(), running.cancel, ending));
    recording
}

async fn make(job: Job, recording: Option<Arc<Recording>>, cancel: Arc<Notify>, ending: watch::Sender<()>) {
    let Job { service, id, mut generation, mut draft, keeper, room } = job;
    let mut stopping = service.background().stopping.subscribe();
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
        let Some(event) = event else {
            let usage = generation.usage();
            record(&recording, || Step::Cancelled(usage));
            draft.cancel(usage, None);
            break;
        };
        if !std::mem::replace(&mut started, true) {
            record(&recording, || Step::Started);
            draft.start(None);
            // Only how far it is: what comes of it is written at the end, again if it must be.
            let _ = keeper.change(draft.response(), true).await;
        }
        let over = event.is_terminal();
        record(&recording, || Step::Event(event.clone()));
        draft.push(event, None);
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
    record(&recording, || Step::Ended(Box::new(draft.response().clone())));
    service.background().recordings().end(id);
    service.background().running().remove(&id);
    drop((ending, room));
}

/// Adds a step where there is a recording.
fn record(recording: &Option<Arc<Recording>>, step: impl FnOnce() -> Step) {
    if let Some(recording) = recording {
        recording.add(step());
    }
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
