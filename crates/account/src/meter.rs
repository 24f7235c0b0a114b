//! Admission and metering: who has room, what is held, what was spent.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use std::collections::HashMap;

use thiserror::Error;

use crate::{
    AmountOverflow, Cause, Class, Counts, LimitKind, Limits, Nano, OrgId, Owner, Payer, Period, Price, Refusal, Resets,
    Service, Standing, Tenant, Timestamp, Zone,
    gauges::{Demand, Gauges, refuse},
    spending::Periods,
};

/// Most output tokens that a lease takes at a time, unless all that the request will generate is known.
pub const LEASE_TOKENS: u64 = 256;

/// How an organisation pays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Billing {
    /// From credit that is there: at zero it stops.
    Prepaid,
    /// By a monthly statement: only budgets stop it.
    #[default]
    Postpaid,
}

/// All limits and balances of an installation and all requests that run: plain arithmetic, in memory.
///
/// A request takes four steps. [`Meter::enter`] checks what needs no knowledge of the request (requests a minute,
/// concurrency). [`Meter::lease`] sets aside, at once on the key, the project and the organisation or on none, what the
/// prompt costs at most and the first output tokens. [`Meter::renew`] takes more as tokens come. [`Meter::settle`] ends
/// it: what was held is given back, what ran is charged, and that is never more than was held. Since every step looks at
/// used *and* held, no interleaving of requests passes a limit:
///
/// ```text
/// spent + held ≤ budget        credits − charges − held ≥ 0        used + held ≤ tokens a minute
/// ```
///
/// A request belongs to the day, the month and the price version of its admission, however long it runs.
#[derive(Debug, Default)]
pub struct Meter {
    owners: HashMap<Owner, Gauges>,
    orgs: HashMap<OrgId, Organisation>,
    open: HashMap<u64, Open>,
    last: u64,
}

#[derive(Debug, Clone)]
struct Organisation {
    zone: Zone,
    billing: Billing,
    /// Credits less charges, in billionths.
    balance: i128,
    held: i128,
}

/// A request that has entered and not ended. It is not copied: to settle is to give it away, so that nothing is settled
/// twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request that is never settled holds its place for ever"]
pub struct Ticket(u64);

#[derive(Debug, Clone)]
struct Open {
    tenant: Tenant,
    admitted: Timestamp,
    periods: Periods,
    lease: Option<Lease>,
}

#[derive(Debug, Clone)]
struct Lease {
    ask: Ask,
    /// Output tokens that may be produced.
    granted: u64,
    /// Output tokens that were.
    produced: u64,
    /// Tokens of the prompt that were computed.
    computed: u64,
    /// Money that is set aside.
    held: Nano,
}

/// What a request will need, as far as it is known before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The terms that held at its admission.
    pub price: Price,
    /// The class of service.
    pub service: Service,
    /// All but the output: the prompt as [`Class::Input`].
    pub fixed: Counts,
    /// The output, over all choices.
    pub output: Output,
}

/// How much a request will generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// So much at most. It is not refused for what it might cost: it is leased piece by piece.
    AtMost(u64),
    /// So much, which is leased whole or not at all.
    Exactly(u64),
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LeaseError {
    /// A limit has no room.
    #[error(transparent)]
    OverLimit(#[from] Refusal),
    /// No amount could hold the price.
    #[error("the request could cost more than any amount can hold")]
    Overflow(#[from] AmountOverflow),
}

/// How a request ended, in numbers that can be billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Why it ended.
    pub cause: Cause,
    /// When it was admitted.
    pub admitted: Timestamp,
    /// What ran, but never more than was leased.
    pub counts: Counts,
    /// What is charged for it.
    pub charge: Nano,
}

impl Meter {
    /// Makes an organisation known, or changes its terms. A change of the zone changes its periods: what was spent in
    /// them has to be restored.
    pub fn set_organisation(&mut self, org: OrgId, zone: Zone, billing: Billing) {
        let known = self.orgs.entry(org).or_insert_with(Organisation::unknown);
        (known.zone, known.billing) = (zone, billing);
    }

    /// Sets the limits of an owner. What runs goes on; its next renewal meets them.
    pub fn set_limits(&mut self, owner: Owner, limits: Limits) {
        self.owners.entry(owner).or_default().limits = limits;
    }

    /// Adds a credit, or, negative, a correction that takes some back.
    pub fn credit(&mut self, org: OrgId, amount: Nano) {
        self.orgs.entry(org).or_insert_with(Organisation::unknown).balance += i128::from(amount.get());
    }

    /// Takes over what an owner spent in a period before this meter was.
    pub fn restore(&mut self, owner: Owner, budget: LimitKind, period: Period, spent: Nano) {
        self.owners.entry(owner).or_default().spending.restore(budget, period, spent);
    }

    /// The time zone of an organisation.
    pub fn zone(&self, org: OrgId) -> Zone {
        self.orgs.get(&org).map_or(Zone::UTC, |org| org.zone.clone())
    }

    /// The periods of an organisation that hold a moment.
    pub fn periods(&self, org: OrgId, moment: Timestamp) -> Periods {
        Periods::of(moment, self.orgs.get(&org).map_or(&Zone::UTC, |org| &org.zone))
    }

    /// Lets a request in if requests a minute and concurrency have room on every level; else it counts nowhere.
    pub fn enter(&mut self, tenant: Tenant, now: Timestamp) -> Result<Ticket, Refusal> {
        let periods = self.periods(tenant.org, now);
        self.check(&tenant, &periods, &Demand { requests: 1, ..Demand::default() }, now)?;
        for owner in tenant.owners() {
            self.owners.entry(owner).or_default().enter(&periods, now);
        }
        self.last += 1;
        self.open.insert(self.last, Open { tenant, admitted: now, periods, lease: None });
        Ok(Ticket(self.last))
    }

    /// When the request was let in.
    pub fn admitted(&self, ticket: &Ticket) -> Option<Timestamp> {
        self.open.get(&ticket.0).map(|open| open.admitted)
    }

    /// Sets aside what `ask` needs to begin and returns how many output tokens may be produced: all of an exact output,
    /// else as many of the first [`LEASE_TOKENS`] as there is room for, at least one. A second lease of a request
    /// replaces the first.
    pub fn lease(&mut self, ticket: &Ticket, ask: Ask, now: Timestamp) -> Result<u64, LeaseError> {
        self.unlease(ticket);
        let (least, most) = match ask.output {
            Output::Exactly(all) => (all, all),
            Output::AtMost(most) => (most.min(1), most.min(LEASE_TOKENS)),
        };
        let ask = Ask { fixed: ask.fixed.with(Class::Output, 0), ..ask };
        let lease = Lease { ask, granted: 0, produced: 0, computed: 0, held: Nano::ZERO };
        self.grow(ticket, lease, ask.fixed.prompt_tokens(), least, most, now)
    }

    /// Notes that `produced` output tokens were made since the request began, and leases up to [`LEASE_TOKENS`] more.
    /// Returns how many may be made in all. Where not one more can be leased, what was granted before stays granted.
    pub fn renew(&mut self, ticket: &Ticket, produced: u64, now: Timestamp) -> Result<u64, LeaseError> {
        self.produce(ticket, u64::MAX, produced, now);
        let Some(lease) = self.open.get(&ticket.0).and_then(|open| open.lease.clone()) else { return Ok(0) };
        let (Output::AtMost(all) | Output::Exactly(all)) = lease.ask.output;
        let more = all.saturating_sub(lease.granted).min(LEASE_TOKENS);
        if more == 0 {
            return Ok(lease.granted);
        }
        self.grow(ticket, lease, 0, 1, more, now)
    }

    /// Notes that so much of the prompt and of the output was computed since the request began: it counts in this minute,
    /// whatever becomes of the request. Tokens beyond the lease do not exist for anybody.
    pub fn produce(&mut self, ticket: &Ticket, prompt: u64, output: u64, now: Timestamp) {
        let Some(open) = self.open.get_mut(&ticket.0) else { return };
        let Some(lease) = &mut open.lease else { return };
        let input = prompt.min(lease.ask.fixed.prompt_tokens()).saturating_sub(lease.computed);
        let output = output.min(lease.granted).saturating_sub(lease.produced);
        lease.computed += input;
        lease.produced += output;
        for owner in open.tenant.owners() {
            let gauges = self.owners.entry(owner).or_default();
            gauges.hold_tokens(-i128::from(input), -i128::from(output));
            gauges.produce(input, output, now);
        }
    }

    /// Ends a request: gives back what it held and charges what ran, if its cause is one for which the caller pays. Counts
    /// beyond the lease are cut to it. `None` when this meter does not know the ticket.
    pub fn settle(&mut self, ticket: Ticket, cause: Cause, counts: &Counts, now: Timestamp) -> Option<Settlement> {
        let ran = self.open.get(&ticket.0)?.lease.as_ref().map(|lease| lease.within(counts));
        if let Some(counts) = ran {
            self.produce(&ticket, counts.prompt_tokens(), counts.of(Class::Output), now);
        }
        let lease = self.unlease(&ticket);
        let Open { tenant, admitted, periods, .. } = self.open.remove(&ticket.0)?;
        let counts = ran.unwrap_or_default();
        let charge = match lease {
            // A lease's bound was an amount, and what is within the lease costs no more.
            Some(lease) if cause.payer() == Payer::Caller => {
                lease.ask.price.cost(&counts, lease.ask.service).unwrap_or(lease.held).min(lease.held)
            }
            _ => Nano::ZERO,
        };
        for owner in tenant.owners() {
            let gauges = self.owners.entry(owner).or_default();
            gauges.spending.spend(&periods, charge);
            gauges.leave(&periods);
        }
        self.orgs.entry(tenant.org).or_insert_with(Organisation::unknown).balance -= i128::from(charge.get());
        Some(Settlement { cause, admitted, counts, charge })
    }

    /// How every limit above a tenant stands, the nearest owner first; of a prepaid organisation the balance too.
    pub fn standings(&mut self, tenant: &Tenant, now: Timestamp) -> Vec<Standing> {
        let periods = self.periods(tenant.org, now);
        let mut standings = Vec::new();
        for owner in tenant.owners() {
            if let Some(gauges) = self.owners.get_mut(&owner) {
                standings.extend(gauges.standings(owner, &periods, now));
            }
        }
        standings.extend(self.balance_standing(tenant.org));
        standings
    }

    /// Credits less charges of an organisation, and how much of that running requests hold.
    pub fn balance(&self, org: OrgId) -> (Nano, Nano) {
        let amount = |sum: i128| Nano::new(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }));
        self.orgs.get(&org).map_or((Nano::ZERO, Nano::ZERO), |org| (amount(org.balance), amount(org.held)))
    }

    /// Requests that have entered and not ended.
    pub fn open_requests(&self) -> usize {
        self.open.len()
    }

    /// Extends a lease by the prompt and as much output between `least` and `most` as there is room for, everywhere or
    /// nowhere.
    fn grow(
        &mut self,
        ticket: &Ticket,
        lease: Lease,
        prompt: u64,
        least: u64,
        most: u64,
        now: Timestamp,
    ) -> Result<u64, LeaseError> {
        let Some(Open { tenant, periods, .. }) = self.open.get(&ticket.0).cloned() else { return Ok(0) };
        let bound = |more: u64| lease.ask.price.bound(&lease.ask.fixed, lease.granted + more, lease.ask.service);
        let mut fits = |more: u64| -> Result<Nano, LeaseError> {
            let bound = bound(more)?;
            let money = i128::from(bound.get()) - i128::from(lease.held.get());
            let demand = Demand { requests: 0, input: prompt, output: more, money };
            self.check(&tenant, &periods, &demand, now)?;
            Ok(bound)
        };
        let (more, bound) = match fits(most) {
            Ok(bound) => (most, bound),
            Err(refused) if least == most => return Err(refused),
            // What has room with more output has room with less, so the most that fits is found by halving.
            Err(_) => {
                let (mut best, mut beyond) = ((least, fits(least)?), most);
                while beyond - best.0 > 1 {
                    let middle = best.0 + (beyond - best.0) / 2;
                    match fits(middle) {
                        Ok(bound) => best = (middle, bound),
                        Err(_) => beyond = middle,
                    }
                }
                best
            }
        };
        let money = i128::from(bound.get()) - i128::from(lease.held.get());
        for owner in tenant.owners() {
            let gauges = self.owners.entry(owner).or_default();
            gauges.hold_tokens(prompt.into(), more.into());
            gauges.spending.hold(&periods, money);
        }
        self.orgs.entry(tenant.org).or_insert_with(Organisation::unknown).held += money;
        let granted = lease.granted + more;
        if let Some(open) = self.open.get_mut(&ticket.0) {
            open.lease = Some(Lease { granted, held: bound, ..lease });
        }
        Ok(granted)
    }

    /// Gives back all that a request holds.
    fn unlease(&mut self, ticket: &Ticket) -> Option<Lease> {
        let open = self.open.get_mut(&ticket.0)?;
        let lease = open.lease.take()?;
        let money = i128::from(lease.held.get());
        let (prompt, output) = (lease.ask.fixed.prompt_tokens() - lease.computed, lease.granted - lease.produced);
        for owner in open.tenant.owners() {
            let gauges = self.owners.entry(owner).or_default();
            gauges.hold_tokens(-i128::from(prompt), -i128::from(output));
            gauges.spending.hold(&open.periods, -money);
        }
        self.orgs.entry(open.tenant.org).or_insert_with(Organisation::unknown).held -= money;
        Some(lease)
    }

    /// The most lasting refusal of any level; of equally lasting ones the nearest.
    fn check(&mut self, tenant: &Tenant, periods: &Periods, demand: &Demand, now: Timestamp) -> Result<(), Refusal> {
        let mut worst: Option<Refusal> = None;
        let mut note = |refusal: Refusal| {
            if worst.is_none_or(|worst| worst.standing.resets < refusal.standing.resets) {
                worst = Some(refusal);
            }
        };
        for owner in tenant.owners() {
            let gauges = self.owners.get_mut(&owner);
            if let Some(refusal) = gauges.and_then(|gauges| gauges.refuse(owner, periods, demand, now)) {
                note(refusal);
            }
        }
        if let Some(refusal) = self.balance_standing(tenant.org).and_then(|standing| refuse(standing, demand.money)) {
            note(refusal);
        }
        worst.map_or(Ok(()), Err)
    }

    fn balance_standing(&self, org: OrgId) -> Option<Standing> {
        let known = self.orgs.get(&org).filter(|known| known.billing == Billing::Prepaid)?;
        Some(Standing {
            limit: LimitKind::Balance,
            owner: Owner::Organisation(org),
            allowed: known.balance,
            used: 0,
            held: known.held,
            resets: Resets::Never,
        })
    }
}

impl Organisation {
    fn unknown() -> Self {
        Self { zone: Zone::UTC, billing: Billing::default(), balance: 0, held: 0 }
    }
}

impl Lease {
    /// Counts, cut to what was leased. Of a prompt that is too long the cached part is kept first.
    fn within(&self, counts: &Counts) -> Counts {
        let mut within = *counts;
        for (class, leased) in self.ask.fixed.iter() {
            within = within.with(class, counts.of(class).min(leased));
        }
        let prompt = self.ask.fixed.prompt_tokens();
        let cached = counts.of(Class::CachedInput).min(prompt);
        let input = counts.of(Class::Input).min(prompt - cached);
        within
            .with(Class::CachedInput, cached)
            .with(Class::Input, input)
            .with(Class::Output, counts.of(Class::Output).min(self.granted))
    }
}
