//! How far a pull is.

use tokio::sync::watch;

/// A snapshot of one pull. Whoever shows it computes rate and time left from two snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// The source in use, as in [`Attempt::source`]; empty before the first.
    pub source: String,
    /// Bytes of the model that are here, with those of an earlier pull that was cut off.
    pub done: u64,
    /// Bytes of the model, when the source has said so.
    pub total: Option<u64>,
    /// Sources that have failed so far, in order.
    pub failed: Vec<Attempt>,
}

/// What a pull is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing yet.
    #[default]
    Starting,
    /// Another process is pulling the same model.
    Waiting,
    /// A source is asked what it has.
    Asking,
    /// Bytes are coming.
    Downloading,
    /// All bytes are here; the last of them are checked and put in place.
    Checking,
    /// The model is there, or the pull has failed.
    Finished,
}

/// A source that was tried and failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which one, such as `huggingface.co owner/repo`.
    pub source: String,
    /// Why it failed: public text.
    pub reason: String,
}

/// The side that makes the snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(watch::Sender<Progress>);

impl Reporter {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Progress::default()))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    pub(crate) fn stage(&self, stage: Stage) {
        self.0.send_modify(|progress| progress.stage = stage);
    }

    pub(crate) fn source(&self, source: &str) {
        self.0.send_modify(|progress| {
            progress.stage = Stage::Asking;
            source.clone_into(&mut progress.source);
            progress.done = 0;
            progress.total = None;
        });
    }

    pub(crate) fn total(&self, total: Option<u64>) {
        self.0.send_modify(|progress| progress.total = total);
    }

    pub(crate) fn done(&self, done: u64) {
        self.0.send_modify(|progress| {
            progress.stage = Stage::Downloading;
            progress.done = done;
        });
    }

    pub(crate) fn failed(&self, attempt: Attempt) {
        self.0.send_modify(|progress| progress.failed.push(attempt));
    }
}
