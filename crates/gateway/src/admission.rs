//! The one gate before every model, and the guard that it gives.

use inference::{Event, Usage};
use tokio::time::Instant;

use crate::{Service, caller::Caller, error::ApiError, exchange::Exchange, metrics::Outcome};

/// Lets a request through to a model, or refuses it. Every route that reaches a model calls this, once.
///
/// The caller's key and the body's size are checked by then (their types say so); the limits of tenants will be here.
pub(crate) fn admit(service: &Service, _caller: &Caller, exchange: Exchange) -> Result<Admitted, ApiError> {
    if service.is_shutting_down() {
        return Err(inference::Error::ShuttingDown.into());
    }
    service.metrics().enter();
    Ok(Admitted { service: service.clone(), exchange, usage: Usage::default(), outcome: None, last_token: Vec::new() })
}

/// One admitted request. It moves from the handler into the body of the answer, and its drop, which cannot fail,
/// records the one terminal outcome.
pub(crate) struct Admitted {
    service: Service,
    exchange: Exchange,
    usage: Usage,
    outcome: Option<Outcome>,
    /// When each choice last had a token.
    last_token: Vec<Option<Instant>>,
}

impl Admitted {
    /// The request's id, for the log.
    pub(crate) fn request_id(&self) -> &str {
        self.exchange.id()
    }

    /// What ran, as far as it is known.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Notes what ran so far: all that there is to settle if the client leaves now.
    pub(crate) fn ran(&mut self, usage: Usage) {
        self.usage = usage;
    }

    /// Notes an event of the answer: latencies, and with the terminal one outcome and usage.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            // A prompt that is repeated is no token, and a token may have no text yet.
            Event::Text { choice, tokens: 1.., .. } => self.observe_token(*choice as usize),
            Event::Done(usage) => self.end(Outcome::Finished, *usage),
            Event::Failed { error, usage } => self.end(Outcome::of(error), *usage),
            Event::Started { .. }
            | Event::Text { .. }
            | Event::Reasoning { .. }
            | Event::ToolCall { .. }
            | Event::Arguments { .. }
            | Event::Finished { .. } => {}
        }
    }

    /// Notes that a request without events (tokens of a text, say) was answered or not.
    pub(crate) fn answer<T>(&mut self, result: &Result<T, inference::Error>) {
        let outcome = result.as_ref().map_or_else(Outcome::of, |_| Outcome::Finished);
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
        self.end(unsaid, self.usage);
        let outcome = self.outcome.unwrap_or(unsaid);
        self.exchange.settle(outcome, self.usage);
        self.service.metrics().leave(outcome);
    }
}
