//! The answers to one or several prompts as one sequence of events.

use std::task::{Context, Poll};

use futures::{StreamExt, ready, stream};
use inference::{Error, Event, EventStream, Usage};

/// Streams of several prompts, merged: the choices of prompt `p` are numbered from `p` times the choices of each, the
/// usage is the sum, and the first failure ends all.
pub(super) struct Answers {
    /// Events with the prompt that they belong to; `None` where its stream has ended.
    events: stream::SelectAll<stream::BoxStream<'static, (usize, Option<Event>)>>,
    /// Which prompts are answered whole.
    done: Vec<bool>,
    choices: u32,
    usage: Usage,
}

impl Answers {
    /// `choices` is the number of choices that each stream has.
    pub(super) fn new(streams: Vec<EventStream>, choices: u32) -> Self {
        let done = vec![false; streams.len()];
        let tagged = streams.into_iter().enumerate().map(|(prompt, events)| {
            let end = stream::once(async move { (prompt, None) });
            events.map(move |event| (prompt, Some(event))).chain(end).boxed()
        });
        Self { events: stream::select_all(tagged), done, choices, usage: Usage::default() }
    }

    /// The next event. Not to be called again after a terminal one.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let (prompt, event) = match ready!(self.events.poll_next_unpin(cx)) {
                Some(next) => next,
                None => return Poll::Ready(self.failed(Error::Internal, Usage::default())),
            };
            let first = u32::try_from(prompt).unwrap_or(u32::MAX).saturating_mul(self.choices);
            match event {
                Some(Event::Text { choice, text, logprobs }) => {
                    return Poll::Ready(Event::Text { choice: first.saturating_add(choice), text, logprobs });
                }
                Some(Event::Finished { choice, reason, stop }) => {
                    return Poll::Ready(Event::Finished { choice: first.saturating_add(choice), reason, stop });
                }
                Some(Event::Failed { error, usage }) => return Poll::Ready(self.failed(error, usage)),
                Some(Event::Done(usage)) => {
                    self.usage = sum(self.usage, usage);
                    self.done[prompt] = true;
                    if self.done.iter().all(|done| *done) {
                        return Poll::Ready(Event::Done(self.usage));
                    }
                }
                None if self.done[prompt] => {}
                None => {
                    tracing::error!("a backend's stream ended without a terminal event");
                    return Poll::Ready(self.failed(Error::Internal, Usage::default()));
                }
            }
        }
    }

    fn failed(&mut self, error: Error, usage: Usage) -> Event {
        // What the other prompts still run is dropped with this, hence cancelled.
        self.events.clear();
        Event::Failed { error, usage: sum(self.usage, usage) }
    }
}

fn sum(one: Usage, other: Usage) -> Usage {
    Usage {
        prompt_tokens: one.prompt_tokens + other.prompt_tokens,
        cached_tokens: one.cached_tokens + other.cached_tokens,
        completion_tokens: one.completion_tokens + other.completion_tokens,
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::poll_fn};
    use inference::FinishReason;

    use super::*;

    fn check(streams: Vec<Vec<Event>>, choices: u32, expect_last: Event) -> Vec<Event> {
        let streams = streams.into_iter().map(|events| stream::iter(events).boxed()).collect();
        let mut answers = Answers::new(streams, choices);
        let mut events = Vec::new();
        while !events.last().is_some_and(Event::is_terminal) {
            let event = poll_fn(|cx| answers.poll_event(cx)).now_or_never();
            events.push(event.expect("scripted events are there at once"));
        }
        assert_eq!(events.last(), Some(&expect_last));
        events
    }

    fn finished(choice: u32) -> Event {
        Event::Finished { choice, reason: FinishReason::Stop, stop: None }
    }

    fn usage(prompt_tokens: u64, cached_tokens: u64, completion_tokens: u64) -> Usage {
        Usage { prompt_tokens, cached_tokens, completion_tokens }
    }

    #[test]
    fn choices_are_numbered_over_all_prompts_and_usage_is_summed() {
        let answer = |count| vec![finished(1), finished(0), Event::Done(count)];
        let streams = vec![answer(usage(1, 1, 2)), answer(usage(10, 0, 20)), answer(usage(100, 3, 200))];
        let mut events = check(streams, 2, Event::Done(usage(111, 4, 222)));
        events.pop();
        let mut choices: Vec<u32> = events
            .iter()
            .map(|event| match event {
                Event::Finished { choice, .. } => *choice,
                other => panic!("{other:?}"),
            })
            .collect();
        choices.sort();
        assert_eq!(choices, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn one_failure_ends_all() {
        let failure = Event::Failed { error: Error::ShuttingDown, usage: usage(1, 0, 1) };
        let streams = vec![vec![failure.clone()], vec![]];
        check(streams, 1, failure);
    }

    #[test]
    fn a_stream_that_breaks_off_is_a_failure_of_ours() {
        check(vec![vec![finished(0)]], 1, Event::Failed { error: Error::Internal, usage: usage(0, 0, 0) });
        let streams = vec![vec![Event::Done(usage(5, 0, 5))], vec![finished(0)]];
        check(streams, 1, Event::Failed { error: Error::Internal, usage: usage(5, 0, 5) });
    }
}
