//! Notices that budgets and balances pass what webhooks want to be told of, in the transaction of what makes them pass it.
//!
//! It costs whoever has no webhook one look for one. What budgets have spent is kept in memory, since every charge comes by here.

use std::collections::{BTreeMap, HashMap};

use account::{
    Billing, BudgetState, Class, Counts, Event, EventKind, LimitKind, Limits, Nano, OrgId, Owner, Period, Periods,
    Timestamp, falls_below, passed,
};
use sqlx::{Row, SqliteConnection};

use crate::{Error, UsageRow, Webhook, columns::count, deliveries, limits, sums::zone_of, tenants, webhooks};

/// What a budget is of.
type Of = (OrgId, Owner, LimitKind, Period);

/// What was spent in the periods that were asked for, by organisations that have a webhook. It is never stale: each charge of
/// such an organisation is added, and whoever has no webhook is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Spent(HashMap<Of, i128>);

/// Balances of an organisation before and after a group of settlements.
pub(crate) type Balances = BTreeMap<OrgId, (Nano, Nano)>;

/// What a group of settlements charges to one budget.
#[derive(Debug, Clone, Copy, Default)]
struct Charges {
    sum: i128,
    /// What one more token would have cost, of the dearest of them.
    step: Nano,
}

impl Spent {
    /// Forgets everything: what was added may not have become durable.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn forget(&mut self, gone: impl Fn(&Of) -> bool) {
        self.0.retain(|of, _| !gone(of));
    }

    /// What was spent in a period once `charge`, which is written already, is added.
    async fn add(
        &mut self,
        connection: &mut SqliteConnection,
        of: Of,
        charge: i128,
        now: Timestamp,
    ) -> Result<i128, Error> {
        if let Some(spent) = self.0.get_mut(&of) {
            *spent += charge;
            return Ok(*spent);
        }
        // Periods that are over are asked for no more, or seldom.
        self.forget(|(_, _, _, period)| period.end.is_some_and(|end| end <= now));
        let (org, owner, _, period) = of;
        let spent = spent_in(connection, org, &owner, period).await?;
        self.0.insert(of, spent);
        Ok(spent)
    }
}

/// Notices what settlements that were written make pass. A fault in here holds up no settlement.
pub(crate) async fn settled(
    connection: &mut SqliteConnection,
    written: &[&UsageRow],
    balances: &Balances,
    spent: &mut Spent,
) -> Result<(), Error> {
    let mut orgs: BTreeMap<OrgId, Vec<&UsageRow>> = BTreeMap::new();
    for row in written.iter().filter(|row| row.settlement.charge > Nano::ZERO) {
        orgs.entry(row.tenant.org).or_default().push(row);
    }
    for (org, rows) in orgs {
        if !webhooks::listens(&mut *connection, org).await? {
            spent.forget(|(of, ..)| *of == org);
            continue;
        }
        sqlx::raw_sql("SAVEPOINT notices").execute(&mut *connection).await?;
        match notice(&mut *connection, org, &rows, balances, spent).await {
            Ok(()) => {}
            Err(error) if error.is_refusal() => {
                tracing::error!(error = &error as &dyn std::error::Error, %org, "webhooks are not told of charges");
                spent.clear();
                sqlx::raw_sql("ROLLBACK TO notices").execute(&mut *connection).await?;
            }
            Err(error) => return Err(error),
        }
        sqlx::raw_sql("RELEASE notices").execute(&mut *connection).await?;
    }
    Ok(())
}

async fn notice(
    connection: &mut SqliteConnection,
    org: OrgId,
    rows: &[&UsageRow],
    balances: &Balances,
    spent: &mut Spent,
) -> Result<(), Error> {
    let listeners = webhooks::enabled(&mut *connection, org).await?;
    let now = rows.iter().map(|row| row.ended).max().unwrap_or(Timestamp::from_millis(0));
    let zone = zone_of(&mut *connection, org).await?;
    let mut charges: BTreeMap<(Owner, LimitKind, Period), Charges> = BTreeMap::new();
    for row in rows {
        let budgets = Periods::of(row.settlement.admitted, &zone).budgets();
        for owner in row.tenant.owners() {
            for (limit, period) in budgets {
                let charges = charges.entry((owner, limit, period)).or_default();
                charges.sum += i128::from(row.settlement.charge.get());
                charges.step = token(row).max(charges.step);
            }
        }
    }
    let mut limits: Option<(Owner, Limits)> = None;
    for (budget, charges) in charges {
        let (owner, limit, period) = budget;
        let of = (org, owner, limit, period);
        let limits = match limits {
            Some((of, limits)) if of == owner => limits,
            _ => limits.insert((owner, limits::read(&mut *connection, org, &owner).await?)).1,
        };
        let Some(allowed) = limits.get(limit) else {
            spent.0.remove(&of);
            continue;
        };
        let after = BudgetState { spent: spent.add(&mut *connection, of, charges.sum, now).await?, allowed };
        let before = BudgetState { spent: after.spent - charges.sum, allowed };
        tell_budget(&mut *connection, &listeners, budget, Some(before), after, charges.step, now).await?;
    }
    let Some((before, after)) = balances.get(&org) else { return Ok(()) };
    let step = rows.iter().map(|row| token(row)).max().unwrap_or(Nano::ZERO);
    tell_balance(connection, org, &listeners, *before, *after, step, now).await
}

/// Notices what another limit makes pass.
pub(crate) async fn limits_changed(
    connection: &mut SqliteConnection,
    org: OrgId,
    owner: Owner,
    before: &Limits,
    after: &Limits,
    now: Timestamp,
) -> Result<(), Error> {
    let listeners = webhooks::enabled(&mut *connection, org).await?;
    if listeners.is_empty() {
        return Ok(());
    }
    let zone = zone_of(&mut *connection, org).await?;
    for (limit, period) in Periods::of(now, &zone).budgets() {
        let Some(allowed) = after.get(limit).filter(|allowed| before.get(limit) != Some(*allowed)) else { continue };
        let spent = spent_in(&mut *connection, org, &owner, period).await?;
        let before = before.get(limit).map(|allowed| BudgetState { spent, allowed });
        let (of, after) = ((owner, limit, period), BudgetState { spent, allowed });
        tell_budget(&mut *connection, &listeners, of, before, after, Nano::ZERO, now).await?;
    }
    Ok(())
}

/// Notices what a correction in the ledger makes pass.
pub(crate) async fn corrected(
    connection: &mut SqliteConnection,
    org: OrgId,
    before: Nano,
    after: Nano,
    now: Timestamp,
) -> Result<(), Error> {
    let listeners = webhooks::enabled(&mut *connection, org).await?;
    tell_balance(connection, org, &listeners, before, after, Nano::ZERO, now).await
}

async fn tell_budget(
    connection: &mut SqliteConnection,
    listeners: &[Webhook],
    (owner, limit, period): (Owner, LimitKind, Period),
    before: Option<BudgetState>,
    after: BudgetState,
    step: Nano,
    now: Timestamp,
) -> Result<(), Error> {
    for webhook in listeners.iter().filter(|webhook| webhook.events.contains(&EventKind::BudgetThreshold)) {
        for percent in passed(webhook.thresholds.iter().copied(), before, after, step) {
            let (allowed, spent) = (amount(after.allowed), amount(after.spent));
            let event = Event::BudgetThreshold { owner, limit, period, percent, allowed, spent };
            deliveries::add(&mut *connection, webhook, &event, now).await?;
        }
    }
    Ok(())
}

async fn tell_balance(
    connection: &mut SqliteConnection,
    org: OrgId,
    listeners: &[Webhook],
    before: Nano,
    balance: Nano,
    step: Nano,
    now: Timestamp,
) -> Result<(), Error> {
    let is_spent = falls_below(step.max(Nano::new(1)), before, balance);
    let is_low = |webhook: &Webhook| webhook.credit_low.filter(|threshold| falls_below(*threshold, before, balance));
    if !is_spent && listeners.iter().all(|webhook| is_low(webhook).is_none())
        || tenants::billing(&mut *connection, org).await? != Some(Billing::Prepaid)
    {
        return Ok(());
    }
    let query = sqlx::query("SELECT COALESCE(MAX(number), 0) AS number FROM credits WHERE org = ?");
    let credit = count(&query.bind(&org.as_bytes()[..]).fetch_one(&mut *connection).await?, "number")?;
    for webhook in listeners {
        let low = is_low(webhook).map(|threshold| Event::CreditLow { threshold, balance, credit });
        let spent = is_spent.then_some(Event::CreditSpent { balance, credit });
        for event in [low, spent].into_iter().flatten().filter(|event| webhook.events.contains(&event.kind())) {
            deliveries::add(&mut *connection, webhook, &event, now).await?;
        }
    }
    Ok(())
}

/// What one more token of the answer would have cost.
fn token(row: &UsageRow) -> Nano {
    let one = Counts::default().with(Class::Output, 1);
    row.price.as_ref().map_or(Nano::ZERO, |(_, price)| price.cost(&one, row.service).unwrap_or(Nano::ZERO))
}

/// A sum, which stops at the end of what an amount can hold.
fn amount(sum: i128) -> Nano {
    Nano::new(i64::try_from(sum).unwrap_or(i64::MAX))
}

/// What an owner spent in a period of whole days, as rows say.
async fn spent_in(connection: &mut SqliteConnection, org: OrgId, owner: &Owner, period: Period) -> Result<i128, Error> {
    let (project, key) = match owner {
        Owner::Organisation(_) => (None, None),
        Owner::Project(id) => (Some(id.as_bytes().to_vec()), None),
        Owner::Key(id) => (None, Some(id.as_bytes().to_vec())),
    };
    let query = sqlx::query(
        "SELECT COALESCE(SUM(charge), 0) AS spent FROM days WHERE org = ?1 AND day >= ?2 AND day < ?3
             AND (?4 IS NULL OR project = ?4) AND (?5 IS NULL OR key = ?5)",
    );
    let end = period.end.map_or(i64::MAX, Timestamp::as_millis);
    let query = query.bind(&org.as_bytes()[..]).bind(period.start.as_millis()).bind(end).bind(project).bind(key);
    Ok(i128::from(query.fetch_one(connection).await?.try_get::<i64, _>("spent")?))
}
