//! The one gate before every model, and the guard that it gives.

use account::{Cause, Labels, Payer};
use futures::future::BoxFuture;
use inference::{Error, Event, FinishReason, Usage};
use tokio::time::Instant;

use crate::{
    Service,
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
    metering::{Grant, Metered, cause_of},
    metrics::Outcome,
    tenancy::now,
};

/// Lets a request through to a model, or refuses it. Every route that reaches a model calls this, once.
///
/// The caller's key and scope and the body's size are checked by then (their types say so). Here it is whether the key may
/// name the model, whether there is a price for it, and whether requests a minute and concurrency have room; nothing is
/// tokenised before.
pub(crate) fn admit(service: &Service, caller: &Caller, exchange: Exchange, model: &str) -> Result<Admitted, ApiError> {
    if service.is_shutting_down() {
        return Err(Error::ShuttingDown.into());
    }
    if !caller.may_use(model) {
        return Err(ApiError::ModelNotAllowed { model: model.to_owned() });
    }
    let tenancy = service.tenancy();
    let price = tenancy.price(model, now()).ok();
    if price.is_none() && service.catalog().model(model).is_some() {
        return Err(ApiError::NotPriced { model: model.to_owned() });
    }
    let metered = Metered::enter(tenancy, caller, &exchange, model, price)?;
    service.metrics().enter();
    let (usage, last_token) = (Usage::default(), Vec::new());
    Ok(Admitted { service: service.clone(), exchange, usage, outcome: None, cause: None, metered, last_token })
}

/// What `work` comes to, unless the key is revoked before: then the work is dropped, hence cancelled.
pub(crate) async fn unless_revoked<T>(
    revocation: BoxFuture<'static, ()>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = revocation => Err(Error::Revoked),
        done = work => done,
    }
}

/// One admitted request. It moves from the handler into the body of the answer, and its drop, which cannot fail,
/// records the one terminal outcome.
pub(crate) struct Admitted {
    service: Service,
    exchange: Exchange,
    usage: Usage,
    outcome: Option<Outcome>,
    /// Why it ends, as far as that is known.
    cause: Option<Cause>,
    metered: Metered,
    /// When each choice last had a token.
    last_token: Vec<Option<Instant>>,
}

impl Admitted {
    /// The same request with what its caller says of it.
    pub(crate) fn labelled(mut self, labels: Labels) -> Self {
        self.metered.label(labels);
        self
    }

    /// The request's id, for the log.
    pub(crate) fn request_id(&self) -> &str {
        self.exchange.id()
    }

    /// What ran, as far as it is known.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Completes when the caller's key is revoked.
    pub(crate) fn revocation(&self) -> BoxFuture<'static, ()> {
        self.metered.revocation()
    }

    /// Notes what ran so far: all that there is to settle if the client leaves now.
    pub(crate) fn ran(&mut self, usage: Usage) {
        self.usage = usage;
    }

    /// Sets aside what the request needs to begin.
    pub(crate) fn lease(&mut self, prompt_tokens: u64, output_tokens: u64, exact: bool) -> Result<(), Error> {
        self.metered.lease(prompt_tokens, output_tokens, exact)
    }

    /// Notes that the request's turn has come.
    pub(crate) fn started(&mut self) {
        self.metered.started();
    }

    /// Counts output against what is set aside; `output_tokens` is the sum since the request began.
    pub(crate) fn produced(&mut self, output_tokens: u64) -> Grant {
        self.metered.produced(output_tokens)
    }

    /// Hands the settlement over, once the terminal event was observed. Where the caller pays, the last of the answer is
    /// held until this says that the settlement is durable.
    pub(crate) fn settle(&mut self) -> Option<BoxFuture<'static, bool>> {
        let cause = self.cause.unwrap_or(Cause::FailedHere);
        self.metered.settle(cause, self.usage).filter(|_| cause.payer() == Payer::Caller)
    }

    /// Notes an event of the answer: latencies, and with the terminal one outcome and usage.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            // A prompt that is repeated is no token, and a token may have no text yet.
            Event::Text { choice, tokens: 1.., .. } => self.observe_token(*choice as usize),
            Event::Started { .. }
            | Event::Text { .. }
            | Event::Reasoning { .. }
            | Event::ToolCall { .. }
            | Event::Arguments { .. } => {}
            Event::Finished { reason, stop, .. } => {
                self.cause = Some(match (reason, stop) {
                    (FinishReason::Budget, _) => Cause::Budget,
                    (FinishReason::Length, _) => Cause::Length,
                    (FinishReason::Stop, Some(_)) => Cause::StopString,
                    (FinishReason::Stop, None) | (FinishReason::ToolCalls, _) => Cause::Finished,
                });
            }
            Event::Done(usage) => {
                self.cause.get_or_insert(Cause::Finished);
                self.end(Outcome::Finished, *usage);
            }
            Event::Failed { error, usage } => {
                self.cause = Some(cause_of(error));
                self.end(Outcome::of(error), *usage);
            }
        }
    }

    /// Notes that a request without events (tokens of a text, say) was answered or not.
    pub(crate) fn answer<T>(&mut self, result: &Result<T, Error>) {
        let outcome = result.as_ref().map_or_else(Outcome::of, |_| Outcome::Finished);
        self.cause = Some(result.as_ref().map_or_else(cause_of, |_| Cause::Finished));
        self.end(outcome, Usage::default());
    }

    fn observe_token(&mut self, choice: usize) {
        let now = Instant::now();
        let metrics = self.service.metrics();
        if self.last_token.is_empty() {
            metrics.first_token(now - self.exchange.started());
        }
        // Choices are bounded by the configuration; an engine that invents others is not followed.
        if choice >= self.service.config().max_choices as usize {
            return;
        }
        if choice >= self.last_token.len() {
            self.last_token.resize(choice + 1, None);
        }
        if let Some(last) = self.last_token[choice].replace(now) {
            metrics.next_token(now - last);
        }
    }

    fn end(&mut self, outcome: Outcome, usage: Usage) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.usage = usage;
            self.service.metrics().tokens(usage);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // Nobody said how it ended: the client has gone, unless it is a panic that unwinds through here.
        let unsaid = if std::thread::panicking() { Outcome::Failed } else { Outcome::Cancelled };
        let ended = self.outcome.is_some();
        self.end(unsaid, self.usage);
        let outcome = self.outcome.unwrap_or(unsaid);
        // What was settled before is not settled again.
        let unsaid = match std::thread::panicking() {
            true => Cause::FailedHere,
            false if self.service.is_shutting_down() => Cause::ShutDown,
            false => Cause::CancelledByClient,
        };
        let cause = if ended { self.cause.unwrap_or(unsaid) } else { unsaid };
        drop(self.metered.settle(cause, self.usage));
        self.exchange.settle(outcome, self.usage);
        self.service.metrics().leave(outcome);
    }
}
