//! One request's way through the meter: admitted, leased, renewed, settled once.

use std::time::Duration;

use account::{
    Ask, Cause, Counts, Labels, LeaseError, Output, PriceVersion, Refusal, RequestId, Resets, Service, Tenant, Ticket,
    Timestamp,
};
use futures::future::BoxFuture;
use inference::{Error, Usage};
use store::{OpenRequest, UsageRow};

use crate::{
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
    journal::Place,
    tenancy::{Tenancy, now},
};

/// A lease is renewed when so many of its tokens are left, so that the answer does not wait for it.
const AHEAD: u64 = 64;

/// What one request holds of its tenant's limits. Whoever drops it unsettled has it settled as a client that left.
pub(crate) struct Metered {
    tenancy: Tenancy,
    caller: Caller,
    tenant: Tenant,
    request: RequestId,
    model: Box<str>,
    /// None for a model that is not known: it never gets a lease.
    price: Option<PriceVersion>,
    admitted: Timestamp,
    /// Both are there until it is settled.
    open: Option<(Ticket, Box<dyn Place>)>,
    /// Output tokens that the lease covers, and all that may be asked for.
    granted: u64,
    wanted: u64,
    route: Box<str>,
    queued: Option<Duration>,
    first_output: Option<Duration>,
    labels: Labels,
}

/// Whether an answer may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// More may come.
    More,
    /// These tokens are the last.
    Last,
    /// These tokens are beyond the lease: they are nobody's.
    Beyond,
}

impl Metered {
    /// Checks what needs no knowledge of the prompt, and takes a place for the settlement.
    pub(crate) fn enter(
        tenancy: &Tenancy,
        caller: &Caller,
        exchange: &Exchange,
        model: &str,
        price: Option<PriceVersion>,
    ) -> Result<Self, ApiError> {
        // Ids are made by this process.
        let request = RequestId::parse(exchange.id()).map_err(|_| Error::Internal)?;
        let place = tenancy.journal().reserve().ok_or(ApiError::NotDurable)?;
        let (tenant, admitted) = (caller.tenant(), now());
        let ticket = tenancy.meter().enter(tenant, admitted).map_err(|refusal| limit_reached(&refusal))?;
        Ok(Self {
            tenancy: tenancy.clone(),
            caller: caller.clone(),
            tenant,
            request,
            model: model.into(),
            price,
            admitted,
            open: Some((ticket, place)),
            granted: 0,
            wanted: 0,
            route: exchange.route().into(),
            queued: None,
            first_output: None,
            labels: Labels::default(),
        })
    }

    /// Notes what the caller says of the request.
    pub(crate) fn label(&mut self, labels: Labels) {
        self.labels = labels;
    }

    /// Completes when the key that asked is revoked, or the session that asked is ended.
    pub(crate) fn revocation(&self) -> BoxFuture<'static, ()> {
        self.caller.revocation(&self.tenancy)
    }

    /// Sets aside what the prompt costs and the first output tokens. With `exact` all of the output will be generated, and
    /// is leased whole.
    pub(crate) fn lease(&mut self, prompt_tokens: u64, output_tokens: u64, exact: bool) -> Result<(), Error> {
        let Some(price) = &self.price else { return Err(Error::ModelNotFound { model: self.model.to_string() }) };
        let Some((ticket, place)) = &mut self.open else { return Err(Error::Internal) };
        let output = if exact { Output::Exactly(output_tokens) } else { Output::AtMost(output_tokens) };
        let fixed = Counts::tokens(prompt_tokens, 0, 0);
        let ask = Ask { price: price.price, service: Service::Standard, fixed, output };
        self.wanted = output_tokens;
        self.granted = self.tenancy.meter().lease(ticket, ask, now()).map_err(|error| match error {
            LeaseError::OverLimit(refusal) => limit_reached(&refusal),
            LeaseError::Overflow(_) => Error::invalid("max_tokens", error.to_string()),
        })?;
        let (request, tenant, model, admitted) = (self.request, self.tenant, self.model.clone(), self.admitted);
        place.open(OpenRequest { request, tenant, model, admitted });
        Ok(())
    }

    /// Notes that the request's turn has come.
    pub(crate) fn started(&mut self) {
        self.queued.get_or_insert_with(|| now().since(self.admitted));
    }

    /// Counts output, and leases more of it ahead of its use. `output_tokens` is the sum since the request began.
    pub(crate) fn produced(&mut self, output_tokens: u64) -> Grant {
        let Some((ticket, _)) = &self.open else { return Grant::Beyond };
        let now = now();
        self.first_output.get_or_insert_with(|| now.since(self.admitted));
        if self.granted < self.wanted && output_tokens + AHEAD >= self.granted {
            let mut meter = self.tenancy.meter();
            while let Ok(granted) = meter.renew(ticket, output_tokens, now) {
                self.granted = granted;
                if granted >= self.wanted || output_tokens <= granted {
                    break;
                }
            }
        }
        if output_tokens > self.granted {
            Grant::Beyond
        } else if output_tokens == self.granted && self.granted < self.wanted {
            Grant::Last
        } else {
            Grant::More
        }
    }

    /// Ends the request: what it held is given back, what ran is charged where the caller pays for this cause, and the
    /// settlement is handed over. The answer says whether it is durable. Only the first call does anything.
    pub(crate) fn settle(&mut self, cause: Cause, usage: Usage) -> Option<BoxFuture<'static, bool>> {
        let (ticket, place) = self.open.take()?;
        let counts = Counts::tokens(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens);
        let ended = now();
        let settlement = self.tenancy.meter().settle(ticket, cause, &counts, ended)?;
        Some(place.settle(UsageRow {
            request: self.request,
            tenant: self.tenant,
            model: self.model.clone(),
            service: Service::Standard,
            price: self.price.as_ref().map(|version| (version.id, version.price)),
            settlement,
            ended,
            route: Some(self.route.clone()),
            queued: self.queued,
            first_output: self.first_output,
            labels: std::mem::take(&mut self.labels),
        }))
    }
}

/// A refusal in the words of every API.
fn limit_reached(refusal: &Refusal) -> Error {
    let spent = refusal.is_spent() && refusal.standing.limit.is_money();
    let retry_after = match refusal.standing.resets {
        Resets::At(moment) => Some(moment.since(now())),
        // What runs may end at any time.
        Resets::WhenRunningEnd => Some(Duration::from_secs(1)),
        Resets::Never => None,
    };
    Error::LimitReached { message: refusal.to_string(), spent, retry_after }
}

/// How a request ended that failed so.
pub(crate) fn cause_of(error: &Error) -> Cause {
    match error {
        Error::Invalid { .. } | Error::ContextLengthExceeded { .. } | Error::ModelNotFound { .. } => Cause::Refused,
        Error::InputTooLong { .. } | Error::Overloaded { .. } | Error::LimitReached { .. } => Cause::Refused,
        Error::SlowReader => Cause::SlowReader,
        Error::Revoked => Cause::KeyRevoked,
        Error::ShuttingDown => Cause::ShutDown,
        Error::Unavailable { .. } | Error::Internal => Cause::FailedHere,
    }
}
