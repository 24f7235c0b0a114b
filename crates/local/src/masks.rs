//! Computes the masks of constrained answers beside the forward passes, on threads of their own.
//!
//! A matcher is in one place at a time: with its sequence, which the engine's thread has, or with a thread here that takes the
//! last token and computes the next mask. So a grammar that is slow to compute delays its own answer and nobody else's.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    task::{Context, Poll, Waker},
    thread,
};

use chat::{Matcher, Refusal};
use inference::Error;

/// Stack of a thread: what computes a mask recurses as deep as a grammar nests. Only what is used is ever touched.
const STACK: usize = 64 << 20;

/// The threads. They end when the last handle is gone.
#[derive(Clone)]
pub(crate) struct Masks {
    jobs: mpsc::Sender<Job>,
}

/// A matcher on its way to the threads. There is one at most for each sequence, so the queue is as long as the engine's.
struct Job {
    matcher: Matcher,
    work: Work,
    place: Arc<Place>,
}

enum Work {
    /// The first mask.
    Begin,
    /// Take a token, then the mask behind it.
    Accept(u32),
    /// Take back so many tokens, then the mask as it was.
    Rollback(usize),
}

/// Where a matcher comes back to.
#[derive(Default)]
struct Place {
    outcome: Mutex<Outcome>,
    back: Condvar,
}

#[derive(Default)]
struct Outcome {
    done: Option<(Matcher, Result<Vec<u32>, Refusal>)>,
    waker: Option<Waker>,
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, Outcome> {
        // Nothing that can panic runs under the lock.
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, matcher: Matcher, mask: Result<Vec<u32>, Refusal>) {
        let waker = {
            let mut outcome = self.lock();
            outcome.done = Some((matcher, mask));
            outcome.waker.take()
        };
        self.back.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Masks {
    /// Starts `threads` threads.
    pub fn start(threads: usize) -> Self {
        let (sender, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads.max(1) {
            let jobs = Arc::clone(&jobs);
            let builder = thread::Builder::new().name("masks".to_owned()).stack_size(STACK);
            if let Err(error) = builder.spawn(move || run(&jobs)) {
                tracing::error!(%error, "a thread for masks could not be started");
            }
        }
        Self { jobs: sender }
    }

    /// The constraint of one sequence, whose first mask is computed at once. What makes it fail is said there and to whoever
    /// holds `failure`, under the parameter's name.
    pub fn constraint(&self, matcher: Matcher, parameter: String, failure: Arc<OnceLock<Error>>) -> Constraint {
        let place = Arc::default();
        let mut constraint = Constraint { masks: self.clone(), place, here: None, parameter, failure };
        constraint.send(matcher, Work::Begin);
        constraint
    }
}

fn run(jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { mut matcher, work, place }) = job else { return };
        let mask = catch_unwind(AssertUnwindSafe(|| {
            match work {
                Work::Begin => {}
                Work::Accept(token) => matcher.accept(token)?,
                Work::Rollback(tokens) => matcher.rollback(tokens)?,
            }
            matcher.mask()
        }));
        let mask = mask.unwrap_or_else(|_| {
            tracing::error!("a panic while a mask was computed; its sequence fails");
            Err(Refusal::Internal)
        });
        place.put(matcher, mask);
    }
}

/// Holds one sequence to its form.
pub(crate) struct Constraint {
    masks: Masks,
    place: Arc<Place>,
    /// The matcher with the mask that it gave, once both are back.
    here: Option<(Matcher, Result<Vec<u32>, Refusal>)>,
    parameter: String,
    failure: Arc<OnceLock<Error>>,
}

impl Constraint {
    fn send(&mut self, matcher: Matcher, work: Work) {
        let job = Job { matcher, work, place: Arc::clone(&self.place) };
        if let Err(mpsc::SendError(job)) = self.masks.jobs.send(job) {
            tracing::error!("no thread computes masks; the sequence fails");
            self.place.put(job.matcher, Err(Refusal::Internal));
        }
    }

    /// The matcher and its mask. Waits for them if need be.
    fn take(&mut self) -> (Matcher, Result<Vec<u32>, Refusal>) {
        if let Some(here) = self.here.take() {
            return here;
        }
        let mut outcome = self.place.lock();
        loop {
            match outcome.done.take() {
                Some(done) => return done,
                None => outcome = self.place.back.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn fail(&self, refusal: &Refusal) {
        let error = match refusal {
            Refusal::Internal => Error::Internal,
            _ => Error::invalid(
                &*self.parameter,
                format!("the answer could not be held to {}: {refusal}", self.parameter),
            ),
        };
        // The first failure is the cause of what follows.
        let _ = self.failure.set(error);
    }
}

impl engine::Constraint for Constraint {
    fn poll_mask(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.here.is_some() {
            return Poll::Ready(());
        }
        let mut outcome = self.place.lock();
        match outcome.done.take() {
            Some(done) => {
                drop(outcome);
                self.here = Some(done);
                Poll::Ready(())
            }
            None => {
                outcome.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn mask(&mut self, allowed: &mut [u64]) {
        let (matcher, mask) = self.take();
        match &mask {
            Ok(mask) => {
                for (word, halves) in allowed.iter_mut().zip(mask.chunks(2)) {
                    *word = u64::from(halves[0]) | u64::from(halves.get(1).copied().unwrap_or(0)) << 32;
                }
            }
            // Nothing is allowed, which ends the sequence.
            Err(refusal) => self.fail(refusal),
        }
        self.here = Some((matcher, mask));
    }

    fn accept(&mut self, token: u32) {
        let (matcher, _) = self.take();
        self.send(matcher, Work::Accept(token));
    }

    fn rollback(&mut self, tokens: usize) {
        let (matcher, _) = self.take();
        self.send(matcher, Work::Rollback(tokens));
    }
}
