//! The answers to one or several prompts as one sequence of events.

use std::task::{Context, Poll};

use futures::{StreamExt, ready, stream};
use inference::{Error, Event, EventStream, Usage};

/// Streams of several prompts, merged: the choices of prompt `p` are numbered from `p` times the choices of each, the
/// usage is the sum, and the first failure ends all.
pub(super) struct Answers {
    /// Events with the prompt that they belong to; `None` where its stream has ended.
    events: stream::SelectAll<stream::BoxStream<'static, (usize, Option<Event>)>>,
    prompts: Vec<Prompt>,
    choices: u32,
}

/// How far one prompt is answered.
#[derive(Default)]
struct Prompt {
    /// What ran so far: counted from the events, and in the end what the backend says.
    usage: Usage,
    /// It is answered whole.
    done: bool,
}

impl Answers {
    /// Each stream comes with the tokens of its prompt; `choices` is the number of choices that each has.
    pub(super) fn new(streams: Vec<(u64, EventStream)>, choices: u32) -> Self {
        let mut prompts = Vec::with_capacity(streams.len());
        let tagged = streams.into_iter().enumerate().map(|(prompt, (prompt_tokens, events))| {
            prompts.push(Prompt { usage: Usage { prompt_tokens, ..Usage::default() }, done: false });
            let end = stream::once(async move { (prompt, None) });
            events.map(move |event| (prompt, Some(event))).chain(end).boxed()
        });
        Self { events: stream::select_all(tagged), prompts, choices }
    }

    /// What ran so far, for all prompts.
    pub(super) fn usage(&self) -> Usage {
        self.prompts.iter().fold(Usage::default(), |sum, prompt| add(sum, prompt.usage))
    }

    /// The next event. Not to be called again after a terminal one.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let Some((number, event)) = ready!(self.events.poll_next_unpin(cx)) else {
                return Poll::Ready(self.failed(Error::Internal));
            };
            let first = u32::try_from(number).unwrap_or(u32::MAX).saturating_mul(self.choices);
            let prompt = &mut self.prompts[number];
            if let Some(event) = &event {
                prompt.usage.count(event);
            }
            match event {
                Some(Event::Failed { error, .. }) => return Poll::Ready(self.failed(error)),
                Some(Event::Done(_)) => {
                    prompt.done = true;
                    if self.prompts.iter().all(|prompt| prompt.done) {
                        return Poll::Ready(Event::Done(self.usage()));
                    }
                }
                Some(mut event) => {
                    if let Some(choice) = event.choice_mut() {
                        *choice = first.saturating_add(*choice);
                    }
                    return Poll::Ready(event);
                }
                None if prompt.done => {}
                None => {
                    tracing::error!("a backend's stream ended without a terminal event");
                    return Poll::Ready(self.failed(Error::Internal));
                }
            }
        }
    }

    fn failed(&mut self, error: Error) -> Event {
        // What the other prompts still run is dropped with this, hence cancelled.
        self.events.clear();
        Event::Failed { error, usage: self.usage() }
    }
}

fn add(one: Usage, other: Usage) -> Usage {
    Usage {
        prompt_tokens: one.prompt_tokens + other.prompt_tokens,
        cached_tokens: one.cached_tokens + other.cached_tokens,
        completion_tokens: one.completion_tokens + other.completion_tokens,
        reasoning_tokens: one.reasoning_tokens + other.reasoning_tokens,
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::poll_fn};
    use inference::FinishReason;

    use super::*;

    /// Each prompt has one token.
    fn run(streams: Vec<Vec<Event>>, choices: u32) -> Vec<Event> {
        let streams = streams.into_iter().map(|events| (1, stream::iter(events).boxed())).collect();
        let mut answers = Answers::new(streams, choices);
        let mut events = Vec::new();
        while !events.last().is_some_and(Event::is_terminal) {
            let event = poll_fn(|cx| answers.poll_event(cx)).now_or_never();
            events.push(event.expect("scripted events are there at once"));
        }
        events
    }

    fn check(streams: Vec<Vec<Event>>, choices: u32, expect_last: Event) -> Vec<Event> {
        let events = run(streams, choices);
        assert_eq!(events.last(), Some(&expect_last));
        events
    }

    fn finished(choice: u32) -> Event {
        Event::Finished { choice, reason: FinishReason::Stop, stop: None }
    }

    /// Half of what is generated is reasoning.
    fn usage(prompt_tokens: u64, cached_tokens: u64, completion_tokens: u64) -> Usage {
        Usage { prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens: completion_tokens / 2 }
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
    fn one_failure_ends_all_and_counts_what_the_others_ran() {
        let failure = Event::Failed { error: Error::ShuttingDown, usage: usage(1, 0, 2) };
        let text = |choice| Event::Text { choice, text: "a".into(), tokens: 2, reasoning_tokens: 1, logprobs: vec![] };
        let running = vec![Event::Started { cached_tokens: 1 }, text(0), text(0), text(0), finished(0)];
        let events = run(vec![running, vec![text(0), text(0), failure]], 1);
        // How many pieces of the first prompt were faster is the merge's affair.
        let pieces = events.iter().filter(|event| matches!(event, Event::Text { choice: 0, .. })).count();
        assert!(pieces > 0, "{events:?}");
        let count = usage(2, 1, 2 + 2 * pieces as u64);
        assert_eq!(events.last(), Some(&Event::Failed { error: Error::ShuttingDown, usage: count }));
    }

    #[test]
    fn a_stream_that_breaks_off_is_a_failure_of_ours() {
        check(vec![vec![finished(0)]], 1, Event::Failed { error: Error::Internal, usage: usage(1, 0, 0) });
        let streams = vec![vec![Event::Done(usage(5, 0, 5))], vec![finished(0)]];
        check(streams, 1, Event::Failed { error: Error::Internal, usage: usage(6, 0, 5) });
    }
}
