//! What the end of a request writes: its usage row, its sums, its line in the ledger, all in one transaction.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::Duration,
};

use account::{
    Class, Counts, Labels, OrgId, Payer, Price, PriceId, RequestId, Service, Settlement, Tenant, Timestamp,
    ledger::{Charge, Head, Line, Terms},
};
use sqlx::SqliteConnection;

use crate::{
    Error,
    columns::stored,
    labels, ledger,
    notices::{self, Balances, Spent},
    sums::Sums,
};

/// A request that has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// Which.
    pub request: RequestId,
    /// Whose.
    pub tenant: Tenant,
    /// The model's name.
    pub model: Box<str>,
    /// When it was let in.
    pub admitted: Timestamp,
}

/// A request that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Which. There is one row for each, however often it is handed over.
    pub request: RequestId,
    /// Whose.
    pub tenant: Tenant,
    /// The model's name.
    pub model: Box<str>,
    /// The class of service.
    pub service: Service,
    /// The price that held; none when it ended before one was known.
    pub price: Option<(PriceId, Price)>,
    /// How it ended, what ran, what is charged.
    pub settlement: Settlement,
    /// When it ended.
    pub ended: Timestamp,
    /// To which route it was sent; none where the process ended before it.
    pub route: Option<Box<str>>,
    /// From its admission until its turn came.
    pub queued: Option<Duration>,
    /// From its admission to its first output.
    pub first_output: Option<Duration>,
    /// Whom the caller asked for, and what else it says of the request.
    pub labels: Labels,
}

/// What became of a settlement that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was written now, with this line in the ledger where there was something to pay.
    Written {
        /// The line's number.
        line: Option<u64>,
    },
    /// It was there.
    Already,
}

impl UsageRow {
    /// What its line in the ledger says; there is none where nobody pays, or nothing was used.
    fn charge(&self) -> Option<Charge> {
        let (price, terms) = self.price.as_ref()?;
        let Settlement { cause, counts, .. } = self.settlement;
        if cause.payer() == Payer::Nobody || counts == Counts::default() {
            return None;
        }
        Some(Charge {
            request: self.request,
            project: self.tenant.project,
            key: self.tenant.key,
            model: self.model.clone(),
            cause,
            service: self.service,
            terms: Terms::of(*price, terms, self.service, counts),
        })
    }
}

/// Notes that a request began.
pub(crate) async fn open(connection: &mut SqliteConnection, request: &OpenRequest) -> Result<(), Error> {
    let OpenRequest { request, tenant, model, admitted } = request;
    // It cannot be there, but a second note of the same beginning would be no reason to fail.
    sqlx::query(
        "INSERT INTO open_requests (request, org, project, key, model, admitted) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(&request.as_bytes()[..])
    .bind(&tenant.org.as_bytes()[..])
    .bind(&tenant.project.as_bytes()[..])
    .bind(&tenant.key.as_bytes()[..])
    .bind(&**model)
    .bind(admitted.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the ends of requests. The beginnings of those in `unnoted` were not written. `spent` is what budgets have spent; it is
/// to be cleared if what is written here does not become durable.
pub(crate) async fn settle(
    connection: &mut SqliteConnection,
    rows: &[&UsageRow],
    unnoted: &HashSet<RequestId>,
    spent: &mut Spent,
) -> Result<Vec<Result<Settled, Error>>, Error> {
    let mut heads: HashMap<OrgId, Head> = HashMap::new();
    let mut sums = Sums::default();
    let (mut written, mut balances) = (Vec::with_capacity(rows.len()), Balances::new());
    let mut settled = Vec::with_capacity(rows.len());
    for row in rows {
        let org = row.tenant.org;
        let head = match heads.entry(org) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(ledger::head(&mut *connection, org).await?),
        };
        // A line that no ledger can take is the fault of this settlement alone: it is refused, and the others go on.
        let line = match row.charge().map(|charge| head.charge(org, row.ended, charge)).transpose() {
            Ok(line) => line,
            Err(error) => {
                tracing::error!(request_id = %row.request, %error, "a settlement cannot be written");
                settled.push(Err(error.into()));
                continue;
            }
        };
        if !insert(&mut *connection, row, line.as_ref()).await? {
            settled.push(Ok(Settled::Already));
            continue;
        }
        if !unnoted.contains(&row.request) {
            let ended = sqlx::query("DELETE FROM open_requests WHERE request = ? AND org = ?");
            ended.bind(&row.request.as_bytes()[..]).bind(&org.as_bytes()[..]).execute(&mut *connection).await?;
        }
        if let Some(line) = &line {
            ledger::append(&mut *connection, line).await?;
            heads.insert(org, line.head());
            balances.entry(org).or_insert((head.balance, head.balance)).1 = line.balance;
        }
        written.push(*row);
        sums.add(&mut *connection, row).await?;
        settled.push(Ok(Settled::Written { line: line.map(|line| line.number) }));
    }
    sums.write(&mut *connection).await?;
    notices::settled(connection, &written, &balances, spent).await?;
    Ok(settled)
}

/// Adds the row; `false` when the request has one.
async fn insert(connection: &mut SqliteConnection, row: &UsageRow, line: Option<&Line>) -> Result<bool, Error> {
    let Settlement { cause, admitted, counts, charge } = row.settlement;
    let count = |class| stored(counts.of(class));
    let done = sqlx::query(
        "INSERT INTO usage (request, org, project, key, model, admitted, ended, first_output_ms, cause, service, price,
                            input, cached_input, output, seconds, images, requests, charge, line, end_user, route,
                            queued_ms, tags)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&row.request.as_bytes()[..])
    .bind(&row.tenant.org.as_bytes()[..])
    .bind(&row.tenant.project.as_bytes()[..])
    .bind(&row.tenant.key.as_bytes()[..])
    .bind(&*row.model)
    .bind(admitted.as_millis())
    .bind(row.ended.as_millis())
    .bind(row.first_output.map(millis))
    .bind(cause.code())
    .bind(row.service.as_str())
    .bind(row.price.as_ref().map(|(id, _)| id.as_bytes().to_vec()))
    .bind(count(Class::Input))
    .bind(count(Class::CachedInput))
    .bind(count(Class::Output))
    .bind(count(Class::Seconds))
    .bind(count(Class::Images))
    .bind(count(Class::Requests))
    .bind(charge.get())
    .bind(line.map(|line| stored(line.number)))
    .bind(row.labels.end_user())
    .bind(row.route.as_deref())
    .bind(row.queued.map(millis))
    .bind(labels::written(&row.labels))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
