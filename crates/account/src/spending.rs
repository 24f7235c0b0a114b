//! Money by period: what was spent and what running requests hold.

use std::collections::BTreeMap;

use crate::{LimitKind, Limits, Nano, Owner, Period, Resets, Standing, Timestamp, Zone};

/// The periods that a request belongs to: those of its admission, whenever it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// The calendar day.
    pub day: Period,
    /// The calendar month.
    pub month: Period,
}

impl Periods {
    /// Those that hold `moment` in a time zone.
    pub fn of(moment: Timestamp, zone: &Zone) -> Self {
        Self { day: zone.day(moment), month: zone.month(moment) }
    }

    /// Each budget with its period.
    pub fn budgets(&self) -> [(LimitKind, Period); 3] {
        [(LimitKind::BudgetDay, self.day), (LimitKind::BudgetMonth, self.month), (LimitKind::BudgetEver, Period::EVER)]
    }
}

/// Spent and held in one period. 128 bits, so that no sum of amounts overflows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    spent: i128,
    held: i128,
    /// Requests that belong here and have not ended.
    open: u64,
}

/// What one owner spent and holds, by budget and period. Past periods are kept as long as a request of theirs runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spending(BTreeMap<(LimitKind, Period), Sums>);

impl Spending {
    /// Sets what was spent in a period, as rows tell it.
    pub(crate) fn restore(&mut self, budget: LimitKind, period: Period, spent: Nano) {
        self.0.entry((budget, period)).or_default().spent = spent.get().into();
    }

    /// A request that belongs to these periods begins. Periods that are over and have none left are forgotten.
    pub(crate) fn begin(&mut self, periods: &Periods, now: Timestamp) {
        self.0.retain(|(_, period), sums| sums.open > 0 || period.end.is_none_or(|end| now < end));
        for key in periods.budgets() {
            self.0.entry(key).or_default().open += 1;
        }
    }

    /// It has ended.
    pub(crate) fn end(&mut self, periods: &Periods) {
        for key in periods.budgets() {
            self.0.entry(key).or_default().open -= 1;
        }
    }

    /// Takes or gives back money of running requests.
    pub(crate) fn hold(&mut self, periods: &Periods, amount: i128) {
        for key in periods.budgets() {
            self.0.entry(key).or_default().held += amount;
        }
    }

    /// Adds to what was spent.
    pub(crate) fn spend(&mut self, periods: &Periods, amount: Nano) {
        for key in periods.budgets() {
            self.0.entry(key).or_default().spent += i128::from(amount.get());
        }
    }

    /// How the budgets that are set stand.
    pub(crate) fn standings<'a>(
        &'a self,
        limits: &'a Limits,
        owner: Owner,
        periods: &Periods,
    ) -> impl Iterator<Item = Standing> + 'a {
        periods.budgets().into_iter().filter_map(move |(limit, period)| {
            let allowed = limits.get(limit)?;
            let Sums { spent, held, .. } = self.0.get(&(limit, period)).copied().unwrap_or_default();
            let resets = period.end.map_or(Resets::Never, Resets::At);
            Some(Standing { limit, owner, allowed, used: spent, held, resets })
        })
    }
}
