//! The bounded queue from the engine's thread to the reader of one sequence.
//!
//! Not one of the usual channels, for three needs: the engine asks for room *before* it runs a row, the end must fit even
//! when the queue is full, and a reader that makes room again must wake the engine. The lock guards a short queue and is
//! held for a push or a pop only.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use crate::{Finish, Output, inbox::Inbox};

/// Outputs that may lie unread before a sequence waits for its reader.
pub(crate) const CAPACITY: usize = 128;

/// The engine's end and the reader's end. `inbox` is told when the reader leaves, or makes room that the engine waits for.
pub(crate) fn channel(inbox: Arc<Inbox>) -> (Sender, Tokens) {
    let shared = Arc::new(Mutex::new(Queue::default()));
    (Sender { queue: Arc::clone(&shared) }, Tokens { queue: shared, inbox })
}

#[derive(Debug, Default)]
struct Queue {
    outputs: VecDeque<Output>,
    /// Tokens of the prompt that were found in the cache; known once the sequence begins to run.
    cached_tokens: Option<usize>,
    /// Outputs taken so far: tells a slow reader from one that is gone to sleep.
    taken: u64,
    /// The end was pushed.
    finished: bool,
    /// The reader was dropped.
    closed: bool,
    /// The engine found too little room and waits to be told of more.
    awaited: bool,
    waker: Option<Waker>,
}

impl Queue {
    /// The reader is to be woken by the next change.
    fn wait(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            empty => *empty = Some(context.waker().clone()),
        }
    }
}

/// A panic elsewhere cannot leave the queue half changed, so a poisoned lock is used as it is.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the engine finds when it looks for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Outputs that fit, not counting the end, which always does.
    pub free: usize,
    /// Outputs that the reader has taken so far.
    pub taken: u64,
}

/// The engine's end. Dropped without [`Sender::finish`], it reports [`Finish::Failed`]: a reader never waits for ever.
#[derive(Debug)]
pub(crate) struct Sender {
    queue: Arc<Mutex<Queue>>,
}

impl Sender {
    /// Whether the reader is gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.queue).closed
    }

    /// The room there is. When it is less than `needed`, the engine is woken by the next read.
    pub fn room(&self, needed: usize) -> Room {
        let mut queue = lock(&self.queue);
        let free = CAPACITY.saturating_sub(queue.outputs.len());
        queue.awaited = free < needed;
        Room { free, taken: queue.taken }
    }

    /// The sequence begins to run: says how many tokens of its prompt were found in the cache. Takes no room.
    pub fn set_cached_tokens(&self, tokens: usize) {
        let waker = {
            let mut queue = lock(&self.queue);
            queue.cached_tokens = Some(tokens);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Queues an output, for which there must be room.
    pub fn send(&self, output: Output) {
        self.push(output, false);
    }

    /// Queues the end.
    pub fn finish(self, finish: Finish) {
        self.push(Output::Finished(finish), true);
    }

    fn push(&self, output: Output, last: bool) {
        let waker = {
            let mut queue = lock(&self.queue);
            if queue.closed || queue.finished {
                return;
            }
            debug_assert!(last || queue.outputs.len() < CAPACITY, "sent without asking for room");
            queue.outputs.push_back(output);
            queue.finished = last;
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.push(Output::Finished(Finish::Failed), true);
    }
}

/// The tokens of one sequence as they are committed, up to and including [`Output::Finished`]. Dropping it cancels the
/// sequence before the engine's next step.
///
/// It is a [`futures::Stream`] too. A reader that leaves the queue full is waited for (the sequence is not scheduled) and
/// after [`Config::reader_timeout`](crate::Config::reader_timeout) cut off with [`Finish::SlowReader`].
#[derive(Debug)]
pub struct Tokens {
    queue: Arc<Mutex<Queue>>,
    inbox: Arc<Inbox>,
}

impl Tokens {
    /// The next output; `None` after [`Output::Finished`].
    pub async fn next(&mut self) -> Option<Output> {
        std::future::poll_fn(|context| self.poll_output(context)).await
    }

    /// Waits until the sequence begins to run. Then it gives the tokens of the prompt that are not computed, because their KV
    /// blocks were kept from other sequences or are shared with them; what is found again after a preemption does not
    /// count. 0 when the sequence ended before it ran.
    pub async fn started(&mut self) -> usize {
        std::future::poll_fn(|context| {
            let mut queue = lock(&self.queue);
            match queue.cached_tokens {
                Some(tokens) => Poll::Ready(tokens),
                None if queue.finished => Poll::Ready(0),
                None => {
                    queue.wait(context);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The next output, waited for on this thread; `None` after [`Output::Finished`].
    pub fn blocking_next(&mut self) -> Option<Output> {
        wait(self.next())
    }

    fn poll_output(&self, context: &mut Context<'_>) -> Poll<Option<Output>> {
        let (output, awaited) = {
            let mut queue = lock(&self.queue);
            match queue.outputs.pop_front() {
                Some(output) => {
                    queue.taken += 1;
                    (output, std::mem::take(&mut queue.awaited))
                }
                None if queue.finished => return Poll::Ready(None),
                None => {
                    queue.wait(context);
                    return Poll::Pending;
                }
            }
        };
        if awaited {
            self.inbox.wake();
        }
        Poll::Ready(Some(output))
    }
}

impl futures::Stream for Tokens {
    type Item = Output;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Output>> {
        self.poll_output(context)
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        let running = {
            let mut queue = lock(&self.queue);
            queue.closed = true;
            queue.outputs.clear();
            !queue.finished
        };
        if running {
            self.inbox.wake();
        }
    }
}

/// Waits for the future on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Wakes the thread that [`wait`]s.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    fn token(id: u32) -> Output {
        Output::Token(Token { id, logprob: None, top: Vec::new() })
    }

    #[test]
    fn outputs_come_in_order_and_end_once() {
        let (sender, mut tokens) = channel(Arc::default());
        sender.send(token(1));
        sender.send(token(2));
        sender.finish(Finish::MaxTokens);
        let all: Vec<Output> = std::iter::from_fn(|| tokens.blocking_next()).collect();
        assert_eq!(all, [token(1), token(2), Output::Finished(Finish::MaxTokens)]);
        assert_eq!(tokens.blocking_next(), None);
    }

    #[test]
    fn the_end_fits_into_a_full_queue() {
        let (sender, mut tokens) = channel(Arc::default());
        (0..CAPACITY as u32).for_each(|id| sender.send(token(id)));
        assert_eq!(sender.room(1).free, 0);
        sender.finish(Finish::SlowReader);
        let last = std::iter::from_fn(|| tokens.blocking_next()).last();
        assert_eq!(last, Some(Output::Finished(Finish::SlowReader)));
    }

    #[test]
    fn a_lost_sender_is_a_failure() {
        let (sender, mut tokens) = channel(Arc::default());
        drop(sender);
        assert_eq!(tokens.blocking_next(), Some(Output::Finished(Finish::Failed)));
        assert_eq!(tokens.blocking_next(), None);
    }

    #[test]
    fn a_read_that_is_awaited_wakes_the_engine() {
        let inbox = Arc::<Inbox>::default();
        let (sender, mut tokens) = channel(Arc::clone(&inbox));
        (0..CAPACITY as u32).for_each(|id| sender.send(token(id)));
        tokens.blocking_next();
        assert!(!inbox.is_signalled(), "nobody waits for this read");
        sender.send(token(0));
        sender.room(1);
        tokens.blocking_next();
        assert!(inbox.is_signalled());
    }

    #[test]
    fn a_reader_that_waits_for_the_start_is_woken_by_it_or_by_the_end() {
        let (sender, mut tokens) = channel(Arc::default());
        let reader = thread::spawn(move || (wait(tokens.started()), tokens.blocking_next()));
        sender.set_cached_tokens(32);
        sender.send(token(7));
        assert_eq!(reader.join().expect("the reader does not panic"), (32, Some(token(7))));

        let (sender, mut tokens) = channel(Arc::default());
        let reader = thread::spawn(move || wait(tokens.started()));
        drop(sender);
        assert_eq!(reader.join().expect("the reader does not panic"), 0);
    }

    #[test]
    fn hanging_up_wakes_the_engine_and_swallows_the_rest() {
        let inbox = Arc::<Inbox>::default();
        let (sender, tokens) = channel(Arc::clone(&inbox));
        drop(tokens);
        assert!(inbox.is_signalled() && sender.is_closed());
        sender.send(token(1));
        assert_eq!(sender.room(1).free, CAPACITY);
    }

    #[test]
    fn a_waiting_reader_is_woken() {
        let (sender, mut tokens) = channel(Arc::default());
        let reader = thread::spawn(move || tokens.blocking_next());
        sender.send(token(7));
        assert_eq!(reader.join().expect("the reader does not panic"), Some(token(7)));
    }
}
