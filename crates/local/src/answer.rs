//! All choices of one request as one stream of events, with exactly one terminal event.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use inference::{Event, EventStream, Usage};

use crate::choice::{Choice, Next};

/// Tokens of one request, counted by its choices as they come.
#[derive(Debug)]
pub(crate) struct Counts {
    prompt: u64,
    cached: AtomicU64,
    completion: AtomicU64,
    reasoning: AtomicU64,
}

impl Counts {
    /// Nothing but the prompt's tokens.
    pub fn new(prompt: u64) -> Self {
        let (cached, completion, reasoning) = Default::default();
        Self { prompt, cached, completion, reasoning }
    }

    /// So many of the prompt's tokens came from the prefix cache. Said by the first choice alone: the others find what
    /// the first one computed, and the prompt counts once.
    pub fn set_cached(&self, tokens: usize) {
        self.cached.store(tokens as u64, Ordering::Relaxed);
    }

    /// The engine committed one more token, of whichever choice.
    pub fn add_completion(&self) {
        self.completion.fetch_add(1, Ordering::Relaxed);
    }

    /// So many of the tokens that were committed turned out to be reasoning.
    pub fn add_reasoning(&self, tokens: u64) {
        self.reasoning.fetch_add(tokens, Ordering::Relaxed);
    }

    fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt,
            cached_tokens: self.cached.load(Ordering::Relaxed),
            completion_tokens: self.completion.load(Ordering::Relaxed),
            reasoning_tokens: self.reasoning.load(Ordering::Relaxed),
        }
    }
}

/// Merges `choices`, which share `counts`, as their tokens come. Dropping the stream drops every choice, which cancels its
/// sequence.
pub(crate) fn events(choices: Vec<Choice>, counts: Arc<Counts>) -> EventStream {
    let running: FuturesUnordered<_> = choices.into_iter().map(next_of).collect();
    stream::unfold(Some(running), move |state| {
        let counts = Arc::clone(&counts);
        async move {
            let mut running = state?;
            loop {
                match running.next().await {
                    Some((choice, Next::Event(event))) => {
                        running.push(next_of(choice));
                        return Some((event, Some(running)));
                    }
                    Some((_, Next::End)) => {}
                    Some((_, Next::Failed(error))) => {
                        return Some((Event::Failed { error, usage: counts.usage() }, None));
                    }
                    None => return Some((Event::Done(counts.usage()), None)),
                }
            }
        }
    })
    .boxed()
}

async fn next_of(mut choice: Choice) -> (Choice, Next) {
    let next = choice.next().await;
    (choice, next)
}
