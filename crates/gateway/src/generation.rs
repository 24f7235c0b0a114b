//! An admitted request for generated text, from the model's name to the terminal event, as one stream.

mod answers;
mod whole;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, ready};
use inference::{Capabilities, Error, Event, Input, Prepared, Request, Usage};

use crate::{Service, admission::Admitted};
use answers::Answers;

pub(crate) use whole::{Choice, Part, Whole};

/// What is asked of which model: one request for each prompt, all with the same number of choices.
pub(crate) struct Ask {
    /// The model, by the name that the caller gave.
    pub(crate) model: String,
    /// At least one.
    pub(crate) requests: Vec<Request>,
}

/// The events of an admitted request, but for [`Event::Started`], which is noted and not passed on. It always ends with
/// exactly one terminal event, whatever the backend does, and refusals are terminal events too. Dropping it cancels what
/// runs; what ran until then is noted.
pub(crate) struct Generation {
    state: State,
    merged_system: bool,
    // Behind `state`, so that what runs is dropped before the request counts as ended.
    admitted: Admitted,
}

enum State {
    Opening(BoxFuture<'static, Result<Opened, Error>>),
    Running(Answers),
    Over,
}

struct Opened {
    answers: Answers,
    merged_system: bool,
}

impl Generation {
    /// Asks. Nothing happens before the first poll.
    pub(crate) fn new(service: &Service, admitted: Admitted, ask: Ask) -> Self {
        Self { state: State::Opening(open(service.clone(), ask).boxed()), merged_system: false, admitted }
    }

    /// What ran so far. With the first event that is no failure it is known what the prompt holds and what was cached.
    pub(crate) fn usage(&self) -> Usage {
        self.admitted.usage()
    }

    /// Whether instructions of the system were moved, because the model's chat template cannot place them where they
    /// stood. Known with the first event that is no failure.
    pub(crate) fn merged_system(&self) -> bool {
        self.merged_system
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match &mut self.state {
                State::Opening(opening) => match ready!(opening.poll_unpin(cx)) {
                    Ok(opened) => {
                        self.admitted.ran(opened.answers.usage());
                        self.merged_system = opened.merged_system;
                        self.state = State::Running(opened.answers);
                    }
                    Err(error) => return Poll::Ready(Event::Failed { error, usage: Usage::default() }),
                },
                State::Running(answers) => {
                    let event = ready!(answers.poll_event(cx));
                    self.admitted.ran(answers.usage());
                    if !matches!(event, Event::Started { .. }) {
                        return Poll::Ready(event);
                    }
                }
                State::Over => unreachable!("a generation that is over is not polled"),
            }
        }
    }
}

impl Stream for Generation {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        if matches!(this.state, State::Over) {
            return Poll::Ready(None);
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
        if event.is_terminal() {
            this.state = State::Over;
        }
        Poll::Ready(Some(event))
    }
}

async fn open(service: Service, ask: Ask) -> Result<Opened, Error> {
    let choices = ask.requests.first().map_or(1, |request| request.choices);
    let prepared = prepare(&service, ask).await?;
    let merged_system = prepared.iter().any(|prepared| prepared.merged_system());
    let run = |prepared: Box<dyn Prepared>| Ok((prepared.prompt_tokens(), prepared.run()?));
    let streams = prepared.into_iter().map(run).collect::<Result<Vec<_>, Error>>()?;
    Ok(Opened { answers: Answers::new(streams, choices), merged_system })
}

/// Loads the model where that is needed and checks every prompt, so that none starts before all can.
async fn prepare(service: &Service, ask: Ask) -> Result<Vec<Box<dyn Prepared>>, Error> {
    let backend = service.catalog().backend(&ask.model).await?;
    let mut prepared = Vec::with_capacity(ask.requests.len());
    for request in ask.requests {
        check(backend.capabilities(), &request)?;
        prepared.push(backend.prepare(request).await?);
    }
    Ok(prepared)
}

/// Refuses what the model cannot do at all.
fn check(model: &Capabilities, request: &Request) -> Result<(), Error> {
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
                Err(Error::invalid("prompt", message))
            }
            None => Ok(()),
        },
        Input::Chat(_) | Input::Text(_) => Ok(()),
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

/// Counts the tokens of the prompts without running them.
pub(crate) async fn count_tokens(service: &Service, mut admitted: Admitted, ask: Ask) -> Result<u64, Error> {
    let prompt_tokens = |prepared: Vec<Box<dyn Prepared>>| prepared.iter().map(|prompt| prompt.prompt_tokens()).sum();
    let result = prepare(service, ask).await.map(prompt_tokens);
    admitted.answer(&result);
    result
}
