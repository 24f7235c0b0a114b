//! An admitted request for generated text, from the model's name to the terminal event, as one stream.

mod answers;
mod whole;

use std::{
    collections::{BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, ready};
use inference::{Capabilities, Error, Event, FinishReason, Input, Prepared, Request, Usage};
use tokio::time::Instant;

use crate::{
    Service,
    admission::{Admitted, unless_revoked},
    metering::Grant,
};
use answers::Answers;

pub(crate) use whole::{Choice, Part, Whole};

/// What is asked of which model: one request for each prompt, all with the same number of choices.
pub(crate) struct Ask {
    /// The model, by the name that the caller gave.
    pub(crate) model: String,
    /// At least one.
    pub(crate) requests: Vec<Request>,
}

impl Ask {
    /// Choices that each prompt has.
    fn choices(&self) -> u32 {
        self.requests.first().map_or(1, |request| request.choices)
    }

    /// Whether all that may be generated will be: nothing ends it before.
    fn is_exact(&self) -> bool {
        let exact = |request: &Request| request.ignore_eos && request.max_tokens.is_some() && request.stop.is_empty();
        self.requests.iter().all(exact)
    }
}

/// What a request will need, counted before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Tokens of all prompts.
    pub(crate) prompt_tokens: u64,
    /// Most tokens that are generated, over all choices.
    pub(crate) output_tokens: u64,
    /// Whether all of them will be.
    pub(crate) exact: bool,
}

impl Extent {
    fn of(prepared: &[Box<dyn Prepared>], choices: u32, exact: bool) -> Self {
        let output = prepared.iter().map(|prepared| prepared.max_tokens().saturating_mul(choices.into()));
        Self {
            prompt_tokens: prepared.iter().map(|prepared| prepared.prompt_tokens()).sum(),
            output_tokens: output.fold(0, u64::saturating_add),
            exact,
        }
    }
}

/// The events of an admitted request, but for [`Event::Started`], which is noted and not passed on. It always ends with
/// exactly one terminal event, whatever the backend does, and refusals are terminal events too. Dropping it cancels what
/// runs; what ran until then is noted.
///
/// An answer that reaches a budget ends there: its choices finish with [`FinishReason::Budget`], and what the backend made
/// beyond it is not passed on. The terminal event of an answer that is paid for comes when its settlement is durable.
pub(crate) struct Generation {
    state: State,
    /// Choices that each prompt has.
    choices: u32,
    /// Whether all that may be generated will be: nothing ends it before.
    exact: bool,
    merged_system: bool,
    /// How long the model's loading took.
    loading: Duration,
    /// Completes when the caller's key is revoked.
    revoked: BoxFuture<'static, ()>,
    // Behind `state`, so that what runs is dropped before the request counts as ended.
    admitted: Admitted,
}

enum State {
    Opening(BoxFuture<'static, Result<Opened, Error>>),
    /// With the choices that have not finished.
    Running(Answers, BTreeSet<u32>),
    /// What is left to be said when a limit ends the answer.
    Ending(VecDeque<Event>),
    /// The last event waits for its settlement.
    Settling(Option<Event>, BoxFuture<'static, bool>),
    Over,
}

/// A model that is in memory, and the prompts that it checked.
struct Opened {
    prepared: Vec<Box<dyn Prepared>>,
    /// How long the loading took; next to nothing where it was in memory.
    loading: Duration,
}

/// What is known of an answer when it begins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beginning {
    /// What the prompt holds, and how much of that was cached.
    pub(crate) counts: Usage,
    /// How long the model's loading took.
    pub(crate) loading: Duration,
}

impl Generation {
    /// Asks. Nothing happens before the first poll.
    pub(crate) fn new(service: &Service, admitted: Admitted, ask: Ask) -> Self {
        let (choices, exact) = (ask.choices(), ask.is_exact());
        let service = service.clone();
        let revoked = admitted.revocation();
        let opening = async move { prepare(&service, ask).await }.boxed();
        let (merged_system, loading) = (false, Duration::ZERO);
        Self { state: State::Opening(opening), choices, exact, merged_system, loading, revoked, admitted }
    }

    /// The request's id, for the log.
    pub(crate) fn request_id(&self) -> &str {
        self.admitted.request_id()
    }

    /// What ran so far. With the first event that is no failure it is known what the prompt holds and what was cached.
    pub(crate) fn usage(&self) -> Usage {
        self.admitted.usage()
    }

    /// What ran so far, and how long the model's loading took. Known with the first event that is no failure.
    pub(crate) fn beginning(&self) -> Beginning {
        Beginning { counts: self.usage(), loading: self.loading }
    }

    /// Whether instructions of the system were moved, because the model's chat template cannot place them where they
    /// stood. Known with the first event that is no failure.
    pub(crate) fn merged_system(&self) -> bool {
        self.merged_system
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.revoked.poll_unpin(cx).is_ready() {
            return Poll::Ready(Event::Failed { error: Error::Revoked, usage: self.usage() });
        }
        loop {
            match &mut self.state {
                State::Opening(opening) => match ready!(opening.poll_unpin(cx)).and_then(|opened| self.run(opened)) {
                    Ok(running) => self.state = running,
                    Err(error) => return Poll::Ready(Event::Failed { error, usage: Usage::default() }),
                },
                State::Running(answers, unfinished) => {
                    let event = ready!(answers.poll_event(cx));
                    let usage = answers.usage();
                    match &event {
                        Event::Started { .. } => self.admitted.started(),
                        Event::Finished { choice, .. } => drop(unfinished.remove(choice)),
                        _ => {}
                    }
                    let grant = match event {
                        Event::Text { tokens: 1.., .. } => self.admitted.produced(usage.completion_tokens),
                        _ => Grant::More,
                    };
                    if grant != Grant::Beyond {
                        self.admitted.ran(usage);
                    }
                    if grant != Grant::More {
                        // The answers are dropped with this, hence cancelled.
                        self.state = State::Ending(last_words(std::mem::take(unfinished), self.admitted.usage()));
                    }
                    if grant != Grant::Beyond && !matches!(event, Event::Started { .. }) {
                        return Poll::Ready(event);
                    }
                }
                State::Ending(left) => {
                    let last = || Event::Failed { error: Error::Internal, usage: self.admitted.usage() };
                    return Poll::Ready(left.pop_front().unwrap_or_else(last));
                }
                State::Settling(..) | State::Over => unreachable!("a generation that is over has no events"),
            }
        }
    }

    /// Leases what the prompts and the first tokens cost, and starts them.
    fn run(&mut self, Opened { prepared, loading }: Opened) -> Result<State, Error> {
        self.loading = loading;
        let choices = self.choices;
        self.merged_system = prepared.iter().any(|prepared| prepared.merged_system());
        let Extent { prompt_tokens, output_tokens, exact } = Extent::of(&prepared, choices, self.exact);
        self.admitted.lease(prompt_tokens, output_tokens, exact)?;
        let unfinished = (0..choices.saturating_mul(u32::try_from(prepared.len()).unwrap_or(u32::MAX))).collect();
        let run = |prepared: Box<dyn Prepared>| Ok((prepared.prompt_tokens(), prepared.run()?));
        let streams = prepared.into_iter().map(run).collect::<Result<Vec<_>, Error>>()?;
        let answers = Answers::new(streams, choices);
        self.admitted.ran(answers.usage());
        Ok(State::Running(answers, unfinished))
    }
}

/// How an answer ends that a limit ends.
fn last_words(unfinished: BTreeSet<u32>, usage: Usage) -> VecDeque<Event> {
    let finished = |choice| Event::Finished { choice, reason: FinishReason::Budget, stop: None };
    unfinished.into_iter().map(finished).chain([Event::Done(usage)]).collect()
}

impl Stream for Generation {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        match &mut this.state {
            State::Over => return Poll::Ready(None),
            State::Settling(event, durable) => {
                let durable = ready!(durable.poll_unpin(cx));
                let event = event.take();
                this.state = State::Over;
                let failed = Event::Failed { error: Error::Internal, usage: this.usage() };
                return Poll::Ready(if durable { event } else { Some(failed) });
            }
            _ => {}
        }
        // A panic in a backend fails its own request and no more; unwinding further would cut the connection.
        let polled = catch_unwind(AssertUnwindSafe(|| this.poll_event(cx)));
        let event = match polled {
            Ok(poll) => ready!(poll),
            Err(_) => {
                tracing::error!(request_id = this.admitted.request_id(), "a backend panicked");
                Event::Failed { error: Error::Internal, usage: this.usage() }
            }
        };
        this.admitted.observe(&event);
        if !event.is_terminal() {
            return Poll::Ready(Some(event));
        }
        // Whatever still runs is dropped with the state.
        match this.admitted.settle() {
            Some(durable) => {
                this.state = State::Settling(Some(event), durable);
                self.poll_next(cx)
            }
            None => {
                this.state = State::Over;
                Poll::Ready(Some(event))
            }
        }
    }
}

/// Loads the model where that is needed and checks every prompt, so that none starts before all can.
async fn prepare(service: &Service, ask: Ask) -> Result<Opened, Error> {
    let began = Instant::now();
    let backend = service.catalog().backend(&ask.model).await?;
    let loading = began.elapsed();
    let mut prepared = Vec::with_capacity(ask.requests.len());
    for request in ask.requests {
        check(backend.capabilities(), &request)?;
        prepared.push(backend.prepare(request).await?);
    }
    Ok(Opened { prepared, loading })
}

/// Refuses what the model cannot do at all.
fn check(model: &Capabilities, request: &Request) -> Result<(), Error> {
    model.task.check_generates()?;
    let known = |id: &u32| *id < model.vocabulary;
    if let Some((id, _)) = request.sampling.logit_bias.iter().find(|(id, _)| !known(id)) {
        let message = format!("logit_bias names the token {id}, but the model's ids are below {}", model.vocabulary);
        return Err(Error::invalid("logit_bias", message));
    }
    match &request.input {
        Input::Chat(_) if !model.chat => {
            Err(Error::invalid("model", "this model has no chat template; use /v1/completions with it"))
        }
        Input::Tokens(ids) => match ids.iter().find(|id| !known(id)) {
            Some(id) => {
                let message =
                    format!("the prompt holds the token {id}, but the model's ids are below {}", model.vocabulary);
                Err(Error::invalid(request.parameter, message))
            }
            None => Ok(()),
        },
        Input::Chat(_) | Input::Text(_) | Input::Gap { .. } => Ok(()),
    }
}

/// Collects a generation of `choices` choices that is answered in one piece.
pub(crate) async fn collect(mut generation: Generation, choices: u32) -> Result<Whole, Error> {
    let mut whole = Whole::new(choices);
    while let Some(event) = generation.next().await {
        match event {
            Event::Failed { error, .. } => return Err(error),
            event => whole.push(event),
        }
    }
    whole.merged_system = generation.merged_system();
    Ok(whole)
}

/// Counts what the prompts hold and what they may generate, without running them.
pub(crate) async fn measure(service: &Service, mut admitted: Admitted, ask: Ask) -> Result<Extent, Error> {
    let (choices, exact) = (ask.choices(), ask.is_exact());
    let prepared = unless_revoked(admitted.revocation(), prepare(service, ask)).await;
    let result = prepared.map(|opened| Extent::of(&opened.prepared, choices, exact));
    admitted.answer(&result);
    result
}
