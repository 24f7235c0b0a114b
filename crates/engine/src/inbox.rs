//! What reaches the engine's thread from outside, and the figures that it shows.
//!
//! One small lock, taken once a step by the engine and once a call by everybody else; nothing is computed under it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use crate::{SubmitError, sequence::Sequence};

/// The engine at the end of its last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Sequences that hold KV blocks.
    pub running: usize,
    /// Sequences that wait for a place or for blocks, preempted ones included.
    pub waiting: usize,
    /// KV blocks that sequences hold; one that several share counts once.
    pub kv_blocks_used: usize,
    /// KV blocks that no sequence holds and that are kept for those who begin with the same tokens. They are as good as free.
    pub kv_blocks_cached: usize,
    /// KV blocks in all.
    pub kv_blocks_total: usize,
    /// Steps run since the start.
    pub steps: u64,
    /// Times that a sequence lost its blocks and was computed again.
    pub preemptions: u64,
    /// Rows of the last step: the batch size.
    pub step_rows: usize,
    /// Rows of all steps.
    pub rows_total: u64,
    /// Tokens that speculation proposed, and that were run to be checked.
    pub tokens_drafted: u64,
    /// Those of them that were right.
    pub tokens_accepted: u64,
    /// Time that all forward passes took.
    pub forward_time: Duration,
}

impl Snapshot {
    /// Whether there is no sequence and no KV block is held.
    pub fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting == 0 && self.kv_blocks_used == 0
    }
}

/// What the engine takes out of its inbox.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Submitted since the last time, in order.
    pub sequences: Vec<Sequence>,
    /// The engine is to stop.
    pub stop: Option<Stop>,
}

/// How the engine is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// What still runs then is ended; `None`: it may take as long as it takes.
    pub deadline: Option<Instant>,
}

/// Shared by the engine's thread, its handles and its readers.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Signals the engine's thread.
    signal: Condvar,
    /// Signals those who wait for the engine to be idle.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    arrivals: Vec<Sequence>,
    /// Something happened that the engine must look at.
    signalled: bool,
    stop: Option<Stop>,
    /// The thread has ended.
    ended: bool,
    /// Sequences that were accepted and have not ended.
    live: usize,
    /// As the engine published it; `waiting` is filled in when it is read.
    snapshot: Snapshot,
}

impl State {
    fn snapshot(&self) -> Snapshot {
        Snapshot { waiting: self.live.saturating_sub(self.snapshot.running), ..self.snapshot }
    }
}

/// A waker's part.
struct Signal(Arc<Inbox>);

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a sequence in, unless `limit` are live already or the engine stops.
    pub fn submit(&self, sequence: Sequence, limit: usize) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if state.stop.is_some() || state.ended {
            return Err(SubmitError::Stopped);
        }
        if state.live >= limit {
            return Err(SubmitError::QueueFull);
        }
        state.live += 1;
        state.arrivals.push(sequence);
        state.signalled = true;
        self.signal.notify_one();
        Ok(())
    }

    /// Makes the engine look at its sequences again.
    pub fn wake(&self) {
        self.lock().signalled = true;
        self.signal.notify_one();
    }

    /// Does the same as a waker.
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::new(Signal(Arc::clone(self))))
    }

    /// Refuses new sequences from now on; of several deadlines the earliest holds.
    pub fn stop(&self, stop: Stop) {
        let mut state = self.lock();
        state.stop = match (state.stop, stop.deadline) {
            (Some(Stop { deadline: Some(earlier) }), Some(later)) => Some(Stop { deadline: Some(earlier.min(later)) }),
            (Some(earlier @ Stop { deadline: Some(_) }), None) => Some(earlier),
            _ => Some(stop),
        };
        state.signalled = true;
        self.signal.notify_one();
    }

    /// Sleeps until something happens, at the latest until `deadline`.
    pub fn sleep(&self, deadline: Option<Instant>) {
        let mut state = self.lock();
        while !state.signalled {
            state = match deadline {
                None => self.signal.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.signal.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes what arrived.
    pub fn take(&self) -> Arrivals {
        let mut state = self.lock();
        state.signalled = false;
        Arrivals { sequences: std::mem::take(&mut state.arrivals), stop: state.stop }
    }

    /// Shows the figures, `ended` sequences fewer.
    pub fn publish(&self, snapshot: Snapshot, ended: usize) {
        let mut state = self.lock();
        state.snapshot = snapshot;
        state.live = state.live.saturating_sub(ended);
        if state.snapshot().is_idle() {
            self.idle.notify_all();
        }
    }

    /// The thread ends (or never began): whatever is left in the inbox is dropped, which fails it.
    pub fn end(&self) {
        let left = {
            let mut state = self.lock();
            state.ended = true;
            state.live = 0;
            state.snapshot = Snapshot { running: 0, kv_blocks_used: 0, kv_blocks_cached: 0, ..state.snapshot };
            std::mem::take(&mut state.arrivals)
        };
        self.idle.notify_all();
        drop(left);
    }

    /// The figures now.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot()
    }

    /// Waits, at most for `timeout`, until the engine is idle; says whether it is.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        let state = self.lock();
        let busy = |state: &mut State| !state.snapshot().is_idle();
        let waited = self.idle.wait_timeout_while(state, timeout, busy).unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    /// Whether the engine has something to look at.
    #[cfg(test)]
    pub fn is_signalled(&self) -> bool {
        self.lock().signalled
    }
}
