//! The slow obvious twin: a list of all that ever happened, and sums over it.

use std::collections::HashMap;

use super::{Ask, Billing, LEASE_TOKENS, Output};
use crate::{Cause, Class, Counts, LimitKind, Limits, Nano, OrgId, Owner, Payer, Period, Tenant, Timestamp, Zone};

/// One request, from its admission on.
#[derive(Debug, Clone)]
struct Record {
    tenant: Tenant,
    admitted: Timestamp,
    open: bool,
    ask: Option<Ask>,
    granted: u64,
    charge: i128,
    /// Prompt and output tokens, when they were computed.
    tokens: Vec<(Timestamp, u64, u64)>,
}

/// Remembers everything and computes nothing ahead.
#[derive(Debug, Default)]
pub(super) struct Twin {
    pub(super) limits: HashMap<Owner, Limits>,
    pub(super) orgs: HashMap<OrgId, (Zone, Billing)>,
    pub(super) credits: HashMap<OrgId, i128>,
    log: Vec<Record>,
}

impl Record {
    fn computed(&self) -> (u64, u64) {
        self.tokens.iter().fold((0, 0), |sum, (_, input, output)| (sum.0 + input, sum.1 + output))
    }

    /// What the request holds if it may make `granted` output tokens.
    fn held(&self, granted: u64) -> (i128, i128, i128) {
        let Some(ask) = self.ask.filter(|_| self.open) else { return (0, 0, 0) };
        let (input, output) = self.computed();
        let prompt = ask.fixed.prompt_tokens();
        let money = ask.price.bound(&ask.fixed, granted, ask.service).unwrap();
        ((prompt - input).into(), (granted - output).into(), money.get().into())
    }
}

impl Twin {
    /// Whether every limit above the tenant holds if request `at` may make `granted` output tokens.
    fn holds(&self, at: usize, granted: u64, now: Timestamp, kinds: &[LimitKind]) -> bool {
        let mine = &self.log[at];
        let held = |place: usize, record: &Record| record.held(if place == at { granted } else { record.granted });
        let recent = |then: Timestamp| now.as_millis().div_euclid(1000) - then.as_millis().div_euclid(1000) <= 60;
        let zone = self.orgs.get(&mine.tenant.org).map_or(Zone::UTC, |(zone, _)| zone.clone());
        let holds = |owner: Owner, limits: &Limits, kind: LimitKind| {
            let Some(allowed) = limits.get(kind) else { return true };
            let below = || self.log.iter().enumerate().filter(|(_, record)| record.tenant.owners().contains(&owner));
            let window = |count: fn(u64, u64) -> u64, held_of: fn((i128, i128, i128)) -> i128| {
                let recent = |(_, record): (usize, &Record)| -> i128 {
                    let tokens = record.tokens.iter().filter(|(then, ..)| recent(*then));
                    tokens.map(|(_, input, output)| i128::from(count(*input, *output))).sum()
                };
                below().map(recent).sum::<i128>()
                    + below().map(|(place, record)| held_of(held(place, record))).sum::<i128>()
            };
            let money = |period: Period| -> i128 {
                let inside = below().filter(|(_, record)| period.contains(record.admitted));
                inside.map(|(place, record)| record.charge + held(place, record).2).sum()
            };
            let total = match kind {
                LimitKind::RequestsPerMinute => below().filter(|(_, record)| recent(record.admitted)).count() as i128,
                LimitKind::ConcurrentRequests => below().filter(|(_, record)| record.open).count() as i128,
                LimitKind::InputTokensPerMinute => window(|input, _| input, |held| held.0),
                LimitKind::OutputTokensPerMinute => window(|_, output| output, |held| held.1),
                LimitKind::TokensPerMinute => window(|input, output| input + output, |held| held.0 + held.1),
                LimitKind::BudgetDay => money(zone.day(mine.admitted)),
                LimitKind::BudgetMonth => money(zone.month(mine.admitted)),
                LimitKind::BudgetEver => money(Period::EVER),
                LimitKind::Balance => unreachable!("a balance is not set"),
            };
            total <= allowed
        };
        let prepaid = self.orgs.get(&mine.tenant.org).is_some_and(|(_, billing)| *billing == Billing::Prepaid);
        let limits = mine.tenant.owners().into_iter().filter_map(|owner| Some((owner, self.limits.get(&owner)?)));
        limits.into_iter().all(|(owner, limits)| kinds.iter().all(|kind| holds(owner, limits, *kind)))
            && (!prepaid
                || !kinds.contains(&LimitKind::BudgetEver)
                || self.available(mine.tenant.org, at, granted) >= 0)
    }

    /// Credits less charges less what is held, if request `at` may make `granted` tokens.
    fn available(&self, org: OrgId, at: usize, granted: u64) -> i128 {
        let mine = self.log.iter().enumerate().filter(|(_, record)| record.tenant.org == org);
        let used = mine
            .map(|(place, record)| record.charge + record.held(if place == at { granted } else { record.granted }).2);
        self.credits.get(&org).copied().unwrap_or_default() - used.sum::<i128>()
    }

    pub(super) fn balance(&self, org: OrgId) -> (i128, i128) {
        let mine = || self.log.iter().filter(|record| record.tenant.org == org);
        let charges: i128 = mine().map(|record| record.charge).sum();
        let held = mine().map(|record| record.held(record.granted).2).sum();
        (self.credits.get(&org).copied().unwrap_or_default() - charges, held)
    }

    pub(super) fn enter(&mut self, tenant: Tenant, now: Timestamp) -> Option<usize> {
        let tokens = Vec::new();
        self.log.push(Record { tenant, admitted: now, open: true, ask: None, granted: 0, charge: 0, tokens });
        let at = self.log.len() - 1;
        if self.holds(at, 0, now, &[LimitKind::RequestsPerMinute, LimitKind::ConcurrentRequests]) {
            Some(at)
        } else {
            self.log.pop();
            None
        }
    }

    pub(super) fn lease(&mut self, at: usize, ask: Ask, now: Timestamp) -> Option<u64> {
        self.log[at].ask = Some(ask);
        let granted = match ask.output {
            Output::Exactly(all) => self.grant(at, all, all, now),
            Output::AtMost(most) => self.grant(at, most.min(1), most.min(LEASE_TOKENS), now),
        };
        if granted.is_none() {
            self.log[at].ask = None;
        }
        granted
    }

    pub(super) fn renew(&mut self, at: usize, produced: u64, now: Timestamp) -> Option<u64> {
        let Some(ask) = self.log[at].ask else { return Some(0) };
        self.produce(at, u64::MAX, produced, now);
        let granted = self.log[at].granted;
        let (Output::AtMost(all) | Output::Exactly(all)) = ask.output;
        let most = (granted + LEASE_TOKENS).min(all);
        if most <= granted { Some(granted) } else { self.grant(at, granted + 1, most, now) }
    }

    /// The most between `least` and `most` with which everything still holds: tried one by one.
    ///
    /// What asks for nothing is never refused, so kinds of which this request would hold no more are left out.
    fn grant(&mut self, at: usize, least: u64, most: u64, now: Timestamp) -> Option<u64> {
        let record = &self.log[at];
        let before = if record.granted == 0 { (0, 0, 0) } else { record.held(record.granted) };
        let granted = (least..=most).rev().find(|granted| {
            let after = record.held(*granted);
            let mut kinds = Vec::new();
            if after.0 > before.0 {
                kinds.push(LimitKind::InputTokensPerMinute);
            }
            if after.1 > before.1 {
                kinds.push(LimitKind::OutputTokensPerMinute);
            }
            if after.0 + after.1 > before.0 + before.1 {
                kinds.push(LimitKind::TokensPerMinute);
            }
            if after.2 > before.2 {
                kinds.extend([LimitKind::BudgetDay, LimitKind::BudgetMonth, LimitKind::BudgetEver]);
            }
            self.holds(at, *granted, now, &kinds)
        })?;
        self.log[at].granted = granted;
        Some(granted)
    }

    pub(super) fn produce(&mut self, at: usize, prompt: u64, output: u64, now: Timestamp) {
        let record = &mut self.log[at];
        let Some(ask) = record.ask else { return };
        let (input_so_far, output_so_far) = record.computed();
        let input = prompt.min(ask.fixed.prompt_tokens()).saturating_sub(input_so_far);
        record.tokens.push((now, input, output.min(record.granted).saturating_sub(output_so_far)));
    }

    pub(super) fn settle(&mut self, at: usize, cause: Cause, counts: &Counts, now: Timestamp) -> Nano {
        self.produce(at, counts.prompt_tokens(), counts.of(Class::Output), now);
        let record = &mut self.log[at];
        record.open = false;
        let (Some(ask), Payer::Caller) = (record.ask, cause.payer()) else { return Nano::ZERO };
        let prompt = ask.fixed.prompt_tokens();
        let cached = counts.of(Class::CachedInput).min(prompt);
        let input = counts.of(Class::Input).min(prompt - cached);
        let output = counts.of(Class::Output).min(record.granted);
        let charge = ask.price.cost(&Counts::tokens(input + cached, cached, output), ask.service).unwrap();
        record.charge = charge.get().into();
        charge
    }
}
