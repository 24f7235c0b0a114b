//! The thread that owns an encoder, and which inputs it takes together.
//!
//! A pass is filled with inputs of all requests that are there, one of each in turn: a request with one text beside one
//! with a thousand waits for a pass or two. Nothing is padded. A request whose reader has gone is dropped before the
//! next pass.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use inference::Embedded;
use models::{Encoder, Input};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Requests that passes are filled from at a time; the others wait in the queue.
const MOST_RUNNING: usize = 32;

/// An input as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub tokens: Vec<u32>,
    /// From where on they belong to the second text of a pair.
    pub second: usize,
}

impl Sequence {
    fn input(&self) -> Input<'_> {
        Input { tokens: &self.tokens, second: self.second }
    }
}

/// A request's inputs and where the answers go. Its reader is dropped with it, which tells that no more will come.
pub(crate) struct Job {
    sequences: Vec<Sequence>,
    next: usize,
    reply: mpsc::Sender<Embedded>,
}

impl Job {
    /// `reply` has room for all answers.
    pub fn new(sequences: Vec<Sequence>, reply: mpsc::Sender<Embedded>) -> Self {
        Self { sequences, next: 0, reply }
    }

    fn left(&self) -> u64 {
        (self.sequences.len() - self.next) as u64
    }
}

/// Why a request cannot wait for a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue has no room.
    Full,
    /// There is no thread any more.
    Ended,
}

/// What happens in passes, counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Inputs of the pass that is computed now.
    pub running: AtomicU64,
    /// Inputs that wait.
    pub waiting: AtomicU64,
    /// Passes so far.
    pub passes: AtomicU64,
    /// Tokens in them.
    pub rows: AtomicU64,
}

/// A handle to the thread. The thread ends with the last one.
pub(crate) struct Passes {
    inbox: mpsc::Sender<Job>,
    counters: Arc<Counters>,
}

impl Passes {
    /// Starts a thread for `encoder`; at most `most_queued` requests wait.
    ///
    /// # Panics
    /// When the operating system gives no thread.
    pub fn start(mut encoder: Encoder, most_queued: usize) -> Self {
        let (inbox, jobs) = mpsc::channel(most_queued.max(1));
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let work = move || run(&mut encoder, jobs, &counted);
        thread::Builder::new().name("encoder".into()).spawn(work).expect("the operating system gives a thread");
        Self { inbox, counters }
    }

    /// Hands a request over.
    pub fn submit(&self, job: Job) -> Result<(), Refused> {
        let inputs = job.left();
        self.counters.waiting.fetch_add(inputs, Ordering::Relaxed);
        self.inbox.try_send(job).map_err(|refused| {
            self.counters.waiting.fetch_sub(inputs, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => Refused::Full,
                TrySendError::Closed(_) => Refused::Ended,
            }
        })
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Runs until all handles are gone and everything is answered.
fn run(encoder: &mut Encoder, mut inbox: mpsc::Receiver<Job>, counters: &Counters) {
    let mut running = Running::default();
    loop {
        if running.jobs.is_empty() {
            match inbox.blocking_recv() {
                Some(job) => running.jobs.push_back(job),
                None => return,
            }
        }
        while running.jobs.len() < MOST_RUNNING
            && let Ok(job) = inbox.try_recv()
        {
            running.jobs.push_back(job);
        }
        counters.waiting.fetch_sub(running.drop_abandoned(), Ordering::Relaxed);
        let pass = running.next_pass(encoder.pass_blocks());
        if pass.is_empty() {
            continue;
        }
        let inputs: Vec<Input<'_>> = pass.iter().map(|taken| running.sequence(taken).input()).collect();
        let rows: usize = inputs.iter().map(|input| input.tokens.len()).sum();
        counters.waiting.fetch_sub(pass.len() as u64, Ordering::Relaxed);
        counters.running.store(pass.len() as u64, Ordering::Relaxed);
        // A panic ends the requests of this pass and no more.
        let computed = catch_unwind(AssertUnwindSafe(|| encoder.run(&inputs)));
        counters.running.store(0, Ordering::Relaxed);
        counters.passes.fetch_add(1, Ordering::Relaxed);
        counters.rows.fetch_add(rows as u64, Ordering::Relaxed);
        match computed {
            Ok(vectors) => running.answer(&pass, vectors.chunks_exact(encoder.width())),
            Err(_) => {
                tracing::error!("an encoder panicked");
                counters.waiting.fetch_sub(running.fail(&pass), Ordering::Relaxed);
            }
        }
    }
}

/// Requests that are being answered.
#[derive(Default)]
struct Running {
    /// In the order of their turns.
    jobs: VecDeque<Job>,
}

/// An input of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    job: usize,
    sequence: usize,
}

impl Running {
    /// Drops requests that nobody waits for; how many inputs they still had.
    fn drop_abandoned(&mut self) -> u64 {
        let mut dropped = 0;
        self.jobs.retain(|job| {
            let abandoned = job.reply.is_closed();
            dropped += if abandoned { job.left() } else { 0 };
            !abandoned
        });
        dropped
    }

    /// The inputs of the next pass: one of each request in turn, as long as the next one fits in what is left of `blocks`. The
    /// turn of whoever did not fit comes first the next time.
    fn next_pass(&mut self, mut blocks: usize) -> Vec<Taken> {
        let mut pass = Vec::new();
        let (mut job, mut idle) = (0, 0);
        while idle < self.jobs.len() {
            let Job { sequences, next, .. } = &mut self.jobs[job];
            match sequences.get(*next) {
                None => idle += 1,
                Some(sequence) => match blocks.checked_sub(sequence.input().blocks()) {
                    Some(rest) => {
                        pass.push(Taken { job, sequence: *next });
                        (blocks, idle) = (rest, 0);
                        *next += 1;
                    }
                    None => {
                        // Places in the pass refer to jobs by number, so turns change by turning it all.
                        let count = self.jobs.len();
                        self.jobs.rotate_left(job);
                        pass.iter_mut().for_each(|taken| taken.job = (taken.job + count - job) % count);
                        return pass;
                    }
                },
            }
            job = (job + 1) % self.jobs.len();
        }
        pass
    }

    fn sequence(&self, taken: &Taken) -> &Sequence {
        &self.jobs[taken.job].sequences[taken.sequence]
    }

    /// Sends the vectors of a pass, and lets go of requests that have all theirs.
    fn answer<'a>(&mut self, pass: &[Taken], vectors: impl Iterator<Item = &'a [f32]>) {
        for (taken, vector) in pass.iter().zip(vectors) {
            let job = &self.jobs[taken.job];
            let tokens = self.sequence(taken).tokens.len() as u64;
            let embedded = Embedded { index: taken.sequence, tokens, vector: vector.to_vec() };
            // There is room for all; it fails only when the reader has gone.
            let _gone = job.reply.try_send(embedded);
        }
        self.jobs.retain(|job| job.left() > 0);
    }

    /// Lets go of the requests of a pass that failed; how many inputs they still had.
    fn fail(&mut self, pass: &[Taken]) -> u64 {
        let mut failed: Vec<usize> = pass.iter().map(|taken| taken.job).collect();
        failed.sort_unstable();
        failed.dedup();
        let left = |job: &usize| self.jobs.remove(*job).map_or(0, |job| job.left());
        failed.iter().rev().map(left).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job of inputs of these lengths.
    fn job(lengths: &[usize]) -> (Job, mpsc::Receiver<Embedded>) {
        let (reply, answers) = mpsc::channel(lengths.len().max(1));
        let sequence = |length: &usize| Sequence { tokens: vec![1; *length], second: *length };
        (Job::new(lengths.iter().map(sequence).collect(), reply), answers)
    }

    fn taken(running: &mut Running, blocks: usize) -> Vec<(usize, usize)> {
        running.next_pass(blocks).iter().map(|taken| (taken.job, taken.sequence)).collect()
    }

    #[test]
    fn requests_take_turns_and_a_pass_holds_no_more_than_it_may() {
        let (many, _one) = job(&[16; 10]);
        let (few, _other) = job(&[17, 1]);
        let mut running = Running { jobs: [many, few].into() };
        // 1 + 2 + 1 + 1 blocks; the many's third does not fit, so its turn is first again.
        assert_eq!(taken(&mut running, 5), [(0, 0), (1, 0), (0, 1), (1, 1)]);
        assert_eq!(taken(&mut running, 3), [(0, 2), (0, 3), (0, 4)]);
        assert_eq!(taken(&mut running, 100), [(0, 5), (0, 6), (0, 7), (0, 8), (0, 9)]);
        assert_eq!(taken(&mut running, 100), []);
    }

    #[test]
    fn who_did_not_fit_comes_first_the_next_time() {
        let (short, _one) = job(&[1; 4]);
        let (long, _other) = job(&[160]);
        let mut running = Running { jobs: [short, long].into() };
        let first = running.next_pass(10);
        assert_eq!(first, [Taken { job: 1, sequence: 0 }]);
        assert_eq!(running.sequence(&first[0]).tokens.len(), 1);
        let second = running.next_pass(10);
        assert_eq!((second.len(), running.sequence(&second[0]).tokens.len()), (1, 160));
        // Now it is the other's turn again.
        assert_eq!((running.jobs[0].sequences.len(), running.jobs[0].next), (4, 1));
    }

    #[test]
    fn answers_go_where_they_belong_and_nothing_is_kept() {
        let (one, mut ones) = job(&[3, 4]);
        let (other, mut others) = job(&[5]);
        let mut running = Running { jobs: [one, other].into() };
        let pass = running.next_pass(100);
        let vectors: Vec<f32> = (0..pass.len()).map(|i| i as f32).collect();
        running.answer(&pass, vectors.chunks_exact(1));
        assert!(running.jobs.is_empty());
        assert_eq!(ones.try_recv().unwrap(), Embedded { index: 0, tokens: 3, vector: vec![0.0] });
        assert_eq!(others.try_recv().unwrap(), Embedded { index: 0, tokens: 5, vector: vec![1.0] });
        assert_eq!(ones.try_recv().unwrap(), Embedded { index: 1, tokens: 4, vector: vec![2.0] });
        // The end is told by dropping the sender.
        assert!(ones.blocking_recv().is_none() && others.blocking_recv().is_none());
    }

    #[test]
    fn who_has_gone_or_failed_is_dropped() {
        let (gone, answers) = job(&[3, 4]);
        let (stays, _answers) = job(&[5]);
        let (fails, _failed) = job(&[5, 6]);
        let mut running = Running { jobs: [gone, stays, fails].into() };
        drop(answers);
        assert_eq!(running.drop_abandoned(), 2);
        assert_eq!(running.jobs.len(), 2);
        assert_eq!(running.next_pass(1), [Taken { job: 1, sequence: 0 }]);
        assert_eq!(running.fail(&[Taken { job: 1, sequence: 0 }]), 0);
        assert_eq!(running.fail(&[Taken { job: 0, sequence: 0 }]), 2);
        assert!(running.jobs.is_empty());
    }
}
