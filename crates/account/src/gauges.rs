//! What one owner of limits has used, and whether there is room.

use crate::{
    LimitKind, Limits, Owner, Refusal, Resets, Standing, Timestamp, Window,
    spending::{Periods, Spending},
};

/// What somebody asks of every limit above them at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    pub(crate) requests: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
    /// Billionths of the currency.
    pub(crate) money: i128,
}

impl Demand {
    fn of(&self, limit: LimitKind) -> i128 {
        match limit {
            LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests => self.requests.into(),
            LimitKind::InputTokensPerMinute => self.input.into(),
            LimitKind::OutputTokensPerMinute => self.output.into(),
            LimitKind::TokensPerMinute => i128::from(self.input) + i128::from(self.output),
            LimitKind::BudgetDay | LimitKind::BudgetMonth | LimitKind::BudgetEver | LimitKind::Balance => self.money,
        }
    }
}

/// One owner's limits and counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges {
    pub(crate) limits: Limits,
    pub(crate) spending: Spending,
    requests: Window,
    input: Window,
    output: Window,
    tokens: Window,
    /// Tokens that running requests may still produce.
    held_input: i128,
    held_output: i128,
    running: u64,
}

impl Gauges {
    /// A request begins.
    pub(crate) fn enter(&mut self, periods: &Periods, now: Timestamp) {
        self.requests.add(1, now);
        self.running += 1;
        self.spending.begin(periods, now);
    }

    /// It has ended.
    pub(crate) fn leave(&mut self, periods: &Periods) {
        self.running -= 1;
        self.spending.end(periods);
    }

    /// Sets tokens aside, or, negative, gives back what was.
    pub(crate) fn hold_tokens(&mut self, input: i128, output: i128) {
        self.held_input += input;
        self.held_output += output;
    }

    /// Counts tokens when they are produced.
    pub(crate) fn produce(&mut self, input: u64, output: u64, now: Timestamp) {
        self.input.add(input, now);
        self.output.add(output, now);
        self.tokens.add(input.saturating_add(output), now);
    }

    /// How every limit that is set stands.
    pub(crate) fn standings(&mut self, owner: Owner, periods: &Periods, now: Timestamp) -> Vec<Standing> {
        let mut standings = Vec::new();
        for limit in LimitKind::SETTABLE {
            let Some(allowed) = self.limits.get(limit) else { continue };
            let held = self.held(limit);
            let standing = match self.window(limit) {
                Some(window) => {
                    let resets = Resets::At(window.falls_to(0, now));
                    Standing { limit, owner, allowed, used: window.sum(now).into(), held, resets }
                }
                None if limit == LimitKind::ConcurrentRequests => {
                    Standing { limit, owner, allowed, used: 0, held, resets: Resets::WhenRunningEnd }
                }
                None => continue,
            };
            standings.push(standing);
        }
        standings.extend(self.spending.standings(&self.limits, owner, periods));
        standings
    }

    /// The most lasting reason why there is no room, if there is one.
    pub(crate) fn refuse(
        &mut self,
        owner: Owner,
        periods: &Periods,
        demand: &Demand,
        now: Timestamp,
    ) -> Option<Refusal> {
        if self.limits == Limits::default() {
            return None;
        }
        let standings = self.standings(owner, periods, now);
        let refused = standings.into_iter().filter_map(|standing| {
            let mut refusal = refuse(standing, demand.of(standing.limit))?;
            if let (Resets::At(_), Some(window)) = (refusal.standing.resets, self.window(standing.limit)) {
                let most = standing.allowed - standing.held - refusal.needed;
                refusal.standing.resets = Resets::At(window.falls_to(u64::try_from(most).unwrap_or(0), now));
            }
            Some(refusal)
        });
        refused.max_by_key(|refusal| refusal.standing.resets)
    }

    fn held(&self, limit: LimitKind) -> i128 {
        match limit {
            LimitKind::InputTokensPerMinute => self.held_input,
            LimitKind::OutputTokensPerMinute => self.held_output,
            LimitKind::TokensPerMinute => self.held_input + self.held_output,
            LimitKind::ConcurrentRequests => self.running.into(),
            _ => 0,
        }
    }

    fn window(&mut self, limit: LimitKind) -> Option<&mut Window> {
        match limit {
            LimitKind::RequestsPerMinute => Some(&mut self.requests),
            LimitKind::InputTokensPerMinute => Some(&mut self.input),
            LimitKind::OutputTokensPerMinute => Some(&mut self.output),
            LimitKind::TokensPerMinute => Some(&mut self.tokens),
            _ => None,
        }
    }
}

/// Whether a limit as it stands has no room for `needed` more. What needs nothing is never refused.
pub(crate) fn refuse(standing: Standing, needed: i128) -> Option<Refusal> {
    let Standing { allowed, used, held, .. } = standing;
    if needed == 0 || used + held + needed <= allowed {
        return None;
    }
    // A window empties by itself; what is held has to end. A budget is the other way round.
    let waits_for_others = if standing.limit.is_window() { held + needed > allowed } else { used + needed <= allowed };
    let resets = if needed > allowed {
        Resets::Never
    } else if waits_for_others {
        Resets::WhenRunningEnd
    } else {
        standing.resets
    };
    Some(Refusal { standing: Standing { resets, ..standing }, needed })
}
