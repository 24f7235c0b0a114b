//! The thread pool: tasks of one job at a time, spread over threads that spin briefly and then sleep.
//!
//! A step of a model is some hundred jobs of a few microseconds each, so handing one out must cost well under a
//! microsecond: no lock, no allocation, no queue. A job is a borrowed closure and a count of tasks. Threads claim tasks
//! by taking one from the count, so that a thread which wakes late finds nothing left and waits on; nobody waits for it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use crate::Level;

/// How long a thread looks for the next job before it sleeps: longer than the gaps inside a step, and short enough that
/// an idle service uses no CPU.
const SPIN: Duration = Duration::from_micros(60);

/// Threads, and the level that every kernel called through them uses.
///
/// The calling thread works too, so a pool of one has no thread of its own.
pub struct Pool {
    level: Level,
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

impl Pool {
    /// A pool that computes on `threads` threads (the caller's among them; 0 counts as 1), with kernels of `level`.
    ///
    /// # Panics
    /// When this CPU does not have `level`, or the operating system gives no thread.
    pub fn new(level: Level, threads: usize) -> Self {
        let best = Level::detect();
        assert!(level <= best, "a pool of level {level:?} was asked for, but this CPU has {best:?} at best");
        let shared = Arc::new(Shared::default());
        let workers = (1..threads).map(|number| Worker::spawn(number, &shared)).collect();
        Self { level, shared, workers }
    }

    /// The level that kernels use; this CPU has it.
    #[inline]
    pub fn level(&self) -> Level {
        self.level
    }

    /// How many threads compute, the caller's among them.
    #[inline]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(task)` once for every task in `0..tasks`, on all threads, and returns when all are done.
    ///
    /// While one job runs, another one (from a task of the first, or from another thread) runs on its caller alone.
    ///
    /// # Panics
    /// A panic in a task is re-raised here, after all other tasks have run.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        let alone = tasks <= 1 || self.workers.is_empty();
        let claim = if alone { None } else { self.shared.busy.try_claim() };
        let panicked = match claim {
            Some(_claim) => self.run_on_all(tasks, work),
            None => run_here(tasks, work),
        };
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }

    /// The caller holds the claim on `busy`.
    fn run_on_all(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) -> Option<Panic> {
        let shared = &*self.shared;
        let job = Job { work, tasks };
        shared.job.store((&raw const job).cast_mut().cast(), Ordering::Relaxed);
        shared.unfinished.0.store(tasks, Ordering::Relaxed);
        // Publishes the two stores above to whoever claims a task. Sequentially consistent because of `asleep`: either
        // a worker that goes to sleep sees this store, or we see that it sleeps.
        shared.unclaimed.0.store(tasks, Ordering::SeqCst);
        for worker in self.workers.iter().take(tasks - 1) {
            worker.wake();
        }
        shared.work();
        let mut spins = 0u32;
        while shared.unfinished.0.load(Ordering::Acquire) > 0 {
            spins += 1;
            // The other tasks run at this moment and are short, unless their thread lost its core; then yield ours.
            if spins < 20_000 { std::hint::spin_loop() } else { thread::yield_now() }
        }
        if shared.has_panicked.swap(false, Ordering::Relaxed) {
            return shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        None
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for worker in &mut self.workers {
            worker.wake();
            if let Some(handle) = worker.handle.take() {
                // A worker catches the panics of its tasks and has nothing else that can panic.
                let _ = handle.join();
            }
        }
    }
}

/// What a panic carries.
type Panic = Box<dyn Any + Send>;

/// A job lives on the stack of the thread that runs it, until all of its tasks have finished.
struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    tasks: usize,
}

/// Keeps what several threads write on a cache line (pair) of its own.
#[derive(Default)]
#[repr(align(128))]
struct Alone<T>(T);

#[derive(Default)]
struct Shared {
    /// Tasks of the current job that nobody has claimed.
    unclaimed: Alone<AtomicUsize>,
    /// Tasks of the current job that have not finished.
    unfinished: Alone<AtomicUsize>,
    /// The current job. Valid as long as a claimed task of it has not finished, and not looked at otherwise.
    job: AtomicPtr<Job<'static>>,
    busy: Busy,
    closing: AtomicBool,
    /// Whether `panic` holds something; saves taking the lock.
    has_panicked: AtomicBool,
    panic: Mutex<Option<Panic>>,
}

impl Shared {
    /// Runs tasks of the current job until none is unclaimed.
    fn work(&self) {
        while self.claim_and_run() {}
    }

    /// Runs one task of the current job, if there is one to claim.
    fn claim_and_run(&self) -> bool {
        let mut unclaimed = self.unclaimed.0.load(Ordering::Relaxed);
        loop {
            if unclaimed == 0 {
                return false;
            }
            let claim =
                self.unclaimed.0.compare_exchange_weak(unclaimed, unclaimed - 1, Ordering::Acquire, Ordering::Relaxed);
            match claim {
                Ok(_) => break,
                Err(now) => unclaimed = now,
            }
        }
        // SAFETY: we hold a claim on a task that has not finished. The thread that published the job returns only when
        // all of its tasks have, so the pointer is to a live `Job`; the acquiring exchange above saw the pointer's store
        // (all changes of `unclaimed` since the publishing store are exchanges, which continue its release sequence).
        let job = unsafe { &*self.job.load(Ordering::Relaxed) };
        if let Err(panic) = call(job.work, job.tasks - unclaimed) {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            self.has_panicked.store(true, Ordering::Relaxed);
        }
        // From here on the job may be gone.
        self.unfinished.0.fetch_sub(1, Ordering::Release);
        true
    }
}

/// Runs all tasks on this thread; the first panic, if any.
fn run_here(tasks: usize, work: &(dyn Fn(usize) + Sync)) -> Option<Panic> {
    let mut first = None;
    for task in 0..tasks {
        if let Err(panic) = call(work, task) {
            first.get_or_insert(panic);
        }
    }
    first
}

fn call(work: &(dyn Fn(usize) + Sync), task: usize) -> Result<(), Panic> {
    // What a task leaves half-done is the business of who sees the panic, which is re-raised in the caller.
    catch_unwind(AssertUnwindSafe(|| work(task)))
}

/// Whether a job runs. Not a mutex: nobody waits for it, and a panic does not poison it.
#[derive(Default)]
struct Busy(AtomicBool);

struct Claim<'a>(&'a AtomicBool);

impl Busy {
    fn try_claim(&self) -> Option<Claim<'_>> {
        let claimed = self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        claimed.ok().map(|_| Claim(&self.0))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

struct Worker {
    thread: Thread,
    asleep: Arc<AtomicBool>,
    /// `None` only while the pool is dropped.
    handle: Option<JoinHandle<()>>,
}

impl Worker {
    fn spawn(number: usize, shared: &Arc<Shared>) -> Self {
        let asleep = Arc::new(AtomicBool::new(false));
        let (shared, sleeps) = (Arc::clone(shared), Arc::clone(&asleep));
        let handle = thread::Builder::new()
            .name(format!("kernels-{number}"))
            .spawn(move || serve(&shared, &sleeps))
            .unwrap_or_else(|error| panic!("no thread number {number} for the compute pool: {error}"));
        Self { thread: handle.thread().clone(), asleep, handle: Some(handle) }
    }

    /// Wakes the worker if it sleeps.
    #[inline]
    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

/// The life of a worker.
fn serve(shared: &Shared, asleep: &AtomicBool) {
    loop {
        shared.work();
        if shared.closing.load(Ordering::Relaxed) {
            return;
        }
        if !spin(shared) {
            sleep(shared, asleep);
        }
    }
}

/// Waits a moment for a task; whether there is one.
fn spin(shared: &Shared) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..64 {
            if shared.unclaimed.0.load(Ordering::Relaxed) > 0 {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SPIN {
            return false;
        }
    }
}

/// Sleeps until somebody calls `Worker::wake`, unless there is something to do.
fn sleep(shared: &Shared, asleep: &AtomicBool) {
    // Who publishes a job stores `unclaimed` and then reads `asleep`; we store `asleep` and then read `unclaimed`. In
    // the one order of sequentially consistent operations one of the two sees the other's store.
    asleep.store(true, Ordering::SeqCst);
    if shared.unclaimed.0.load(Ordering::SeqCst) == 0 && !shared.closing.load(Ordering::SeqCst) {
        while asleep.load(Ordering::Acquire) {
            thread::park();
        }
    }
    asleep.store(false, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn pools() -> impl Iterator<Item = Pool> {
        (0..5).map(|threads| Pool::new(Level::Scalar, threads))
    }

    /// How many runs a stress test makes; an interpreter of the memory model is some thousand times slower.
    const RUNS: usize = if cfg!(miri) { 20 } else { 20_000 };

    #[test]
    fn every_task_runs_exactly_once() {
        for pool in pools() {
            for tasks in [0, 1, 2, 3, 7, 100] {
                let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task| {
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{tasks} tasks");
            }
        }
    }

    #[test]
    fn a_pool_of_none_is_a_pool_of_one() {
        assert_eq!(pools().map(|pool| pool.threads()).collect::<Vec<_>>(), [1, 1, 2, 3, 4]);
    }

    #[test]
    fn many_runs_see_each_others_writes() {
        for pool in pools() {
            let mut cells = vec![0u64; 5];
            for run in 0..RUNS as u64 {
                let parts = crate::disjoint::Disjoint::new(&mut cells);
                // SAFETY: tasks differ, so the elements do.
                pool.run(5, &|task| unsafe {
                    let cell = &mut parts.slice(task..task + 1)[0];
                    assert_eq!(*cell, run);
                    *cell += 1;
                });
            }
        }
    }

    #[test]
    fn workers_that_sleep_are_woken() {
        let pool = Pool::new(Level::Scalar, 3);
        for _ in 0..3 {
            while !pool.workers.iter().all(|worker| worker.asleep.load(Ordering::Relaxed)) {
                thread::yield_now();
            }
            // Three tasks that wait for each other can only end when three threads run them.
            let barrier = std::sync::Barrier::new(3);
            pool.run(3, &|_| {
                barrier.wait();
            });
        }
    }

    #[test]
    fn a_panic_is_raised_after_all_tasks_have_run() {
        for pool in pools() {
            let ran = AtomicUsize::new(0);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                pool.run(50, &|task| {
                    ran.fetch_add(1, Ordering::Relaxed);
                    if task % 10 == 3 {
                        // Not `panic!`: the hook would print.
                        resume_unwind(Box::new("broken"));
                    }
                });
            }))
            .expect_err("the panic arrives");
            assert_eq!(panic.downcast_ref(), Some(&"broken"));
            assert_eq!(ran.load(Ordering::Relaxed), 50);
            // The pool still works, and has forgotten the panic.
            pool.run(8, &|_| {
                ran.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(ran.load(Ordering::Relaxed), 58);
        }
    }

    #[test]
    fn jobs_may_be_nested() {
        for pool in pools() {
            let sum = AtomicU64::new(0);
            pool.run(6, &|outer| {
                pool.run(7, &|inner| {
                    sum.fetch_add((outer * 7 + inner) as u64, Ordering::Relaxed);
                });
            });
            assert_eq!(sum.load(Ordering::Relaxed), (0..42).sum());
        }
    }

    #[test]
    fn several_threads_may_use_one_pool() {
        let pool = Pool::new(Level::Scalar, 3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..RUNS / 10 {
                        let sum = AtomicU64::new(0);
                        pool.run(9, &|task| {
                            sum.fetch_add(task as u64, Ordering::Relaxed);
                        });
                        assert_eq!(sum.load(Ordering::Relaxed), 36);
                    }
                });
            }
        });
    }

    #[test]
    fn a_level_above_the_cpu_is_refused() {
        let best = Level::detect();
        for level in Level::ALL {
            assert_eq!(catch_unwind(|| Pool::new(level, 1)).is_ok(), level <= best);
        }
    }
}
