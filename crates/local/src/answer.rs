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

/// Merges `choices` as their tokens come. Dropping the stream drops every choice, which cancels its sequence.
///
/// `completion_tokens` is the counter that the choices share.
pub(crate) fn events(choices: Vec<Choice>, prompt_tokens: u64, completion_tokens: Arc<AtomicU64>) -> EventStream {
    let running: FuturesUnordered<_> = choices.into_iter().map(next_of).collect();
    stream::unfold(Some(running), move |state| {
        let completion_tokens = Arc::clone(&completion_tokens);
        async move {
            let mut running = state?;
            let usage = || Usage {
                prompt_tokens,
                cached_tokens: 0,
                completion_tokens: completion_tokens.load(Ordering::Relaxed),
            };
            loop {
                match running.next().await {
                    Some((choice, Next::Event(event))) => {
                        running.push(next_of(choice));
                        return Some((event, Some(running)));
                    }
                    Some((_, Next::End)) => {}
                    Some((_, Next::Failed(error))) => return Some((Event::Failed { error, usage: usage() }, None)),
                    None => return Some((Event::Done(usage()), None)),
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
