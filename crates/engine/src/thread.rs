//! The engine's thread: sleeps when nothing can run, steps otherwise, and survives whatever a step does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use models::Runner;

use crate::{
    Config, Finish,
    inbox::Inbox,
    step::{Next, Steps},
};

/// Starts the thread; the inbox is closed when it ends, or when it cannot be started.
pub(crate) fn spawn(runner: Box<dyn Runner>, config: Config, token_limit: usize, inbox: Arc<Inbox>) {
    let theirs = EndOnDrop(Arc::clone(&inbox));
    let spawned = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        let inbox = &theirs.0;
        run(Steps::new(runner, config, token_limit, Arc::clone(inbox)), inbox);
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "the engine's thread could not be started; the engine refuses everything");
    }
}

/// Closes the inbox however the thread ends.
struct EndOnDrop(Arc<Inbox>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Runs until the engine is told to stop and nothing is left to do.
fn run(mut steps: Steps, inbox: &Inbox) {
    loop {
        let arrivals = inbox.take();
        for sequence in arrivals.sequences {
            steps.add(sequence);
        }
        let deadline = arrivals.stop.and_then(|stop| stop.deadline);
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            steps.end_all(Finish::ShutDown);
        }
        if arrivals.stop.is_some() && steps.is_empty() {
            return; // nothing can arrive any more
        }
        // Panics in a request's own work and in the forward pass are caught inside; this one would be a mistake of the
        // engine itself. What it left half done is thrown away with every sequence, and the engine goes on empty.
        let next = catch_unwind(AssertUnwindSafe(|| steps.step(Instant::now()))).unwrap_or_else(|_| {
            tracing::error!("a panic in the engine's own work; all its sequences fail");
            steps.reset();
            Next::Again
        });
        if let Next::Sleep(until) = next {
            inbox.sleep(until.into_iter().chain(deadline).min());
        }
    }
}
