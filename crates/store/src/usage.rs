//! What was used: single requests, and sums over them.

use std::collections::BTreeMap;

use account::{
    Cause, Counts, KeyId, Labels, Nano, OrgId, Owner, Period, PriceId, ProjectId, RequestId, Service, Tenant,
    Timestamp, Zone,
};
use futures::TryStreamExt;
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, bytes_if, count, counts, nano, time},
    labels,
};

/// One request, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// Which.
    pub request: RequestId,
    /// Whose.
    pub tenant: Tenant,
    /// The model's name.
    pub model: Box<str>,
    /// When it was let in.
    pub admitted: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// To which route it was sent; none where the process ended before it.
    pub route: Option<Box<str>>,
    /// Milliseconds from its admission until its turn came.
    pub queued_ms: Option<u64>,
    /// Milliseconds from its admission to its first output.
    pub first_output_ms: Option<u64>,
    /// Why it ended.
    pub cause: Cause,
    /// The class of service.
    pub service: Service,
    /// The price version that held.
    pub price: Option<PriceId>,
    /// What ran.
    pub counts: Counts,
    /// What was charged.
    pub charge: Nano,
    /// Number of its line in the ledger.
    pub line: Option<u64>,
    /// Whom the caller asked for, and what else it said of the request.
    pub labels: Labels,
}

/// Length of the periods of a report, in the organisation's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// An hour of its clocks.
    Hour,
    /// A day of its calendar.
    Day,
    /// A month of it.
    Month,
}

impl Bucket {
    /// The period that holds a moment.
    pub fn of(self, moment: Timestamp, zone: &Zone) -> Period {
        match self {
            Self::Hour => zone.hour(moment),
            Self::Day => zone.day(moment),
            Self::Month => zone.month(moment),
        }
    }
}

/// What a report is of.
#[derive(Debug, Clone)]
pub struct UsageOf<'a> {
    /// Whose usage.
    pub org: OrgId,
    /// Its time zone.
    pub zone: Zone,
    /// From the period that holds this moment.
    pub from: Timestamp,
    /// Up to the one that holds the last moment before this one.
    pub until: Timestamp,
    /// The length of the periods.
    pub bucket: Bucket,
    /// What is told apart.
    pub apart: Apart<'a>,
    /// Most sums of the report.
    pub most: usize,
}

/// What requests are summed apart by, beside project and model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart<'a> {
    /// The key.
    Key,
    /// The end user. Requests for none are left out.
    EndUser,
    /// The value of this tag. Requests without it are left out.
    Tag(&'a str),
}

/// What tells a sum apart from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The key that asked.
    Key(KeyId),
    /// An end user, or a value of a tag. None are all beyond those that are summed apart, and all that were erased.
    Value(Option<Box<str>>),
}

/// A sum over requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSum {
    /// Start of the period in which they were admitted.
    pub start: Timestamp,
    /// For which project.
    pub project: ProjectId,
    /// What tells it apart.
    pub part: Part,
    /// The model's name.
    pub model: Box<str>,
    /// How many ended.
    pub rows: u64,
    /// What ran.
    pub counts: Counts,
    /// What was charged.
    pub charge: Nano,
}

/// What a sum is of: start of the period, project, what tells it apart, model.
type Of = (Timestamp, ProjectId, Part, Box<str>);

impl Store {
    /// One request of an organisation.
    pub async fn request(&self, org: OrgId, request: RequestId) -> Result<Option<RequestRecord>, Error> {
        let query = sqlx::query("SELECT * FROM usage WHERE org = ? AND request = ?");
        let query = query.bind(&org.as_bytes()[..]).bind(&request.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(record).transpose()
    }

    /// Sums of an organisation's usage by period, project, key or label, and model, in this order.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] for a report of more sums than `most`.
    pub async fn usage(&self, asked: UsageOf<'_>) -> Result<Vec<UsageSum>, Error> {
        let UsageOf { org, zone, from, until, bucket, apart, most } = asked;
        let from = bucket.of(from, &zone).start;
        // Days are kept by what began them.
        let first_day = zone.day(from).start.as_millis();
        let (from, until) = (from.as_millis(), until.as_millis());
        let org = &org.as_bytes()[..];
        let tag = match apart {
            Apart::Key => None,
            Apart::EndUser => Some(labels::END_USER),
            Apart::Tag(name) => Some(name),
        };
        let query = match (bucket, tag) {
            (Bucket::Hour, None) => {
                sqlx::query("SELECT quarter AS start, * FROM rollups WHERE org = ? AND quarter >= ? AND quarter < ?")
                    .bind(org)
            }
            (Bucket::Day | Bucket::Month, None) => {
                sqlx::query("SELECT day AS start, * FROM days WHERE org = ? AND day >= ? AND day < ?").bind(org)
            }
            (Bucket::Hour, Some(tag)) => sqlx::query(
                "SELECT quarter AS start, * FROM labels JOIN label_quarters ON label = id
                 WHERE org = ? AND tag = ? AND day >= ? AND day < ? AND quarter >= ? AND quarter < ?",
            )
            .bind(org)
            .bind(tag)
            .bind(first_day)
            .bind(until),
            (Bucket::Day | Bucket::Month, Some(tag)) => sqlx::query(
                "SELECT day AS start, * FROM labels JOIN label_days ON label = id
                 WHERE org = ? AND tag = ? AND day >= ? AND day < ?",
            )
            .bind(org)
            .bind(tag),
        };
        let mut rows = query.bind(from).bind(until).fetch(self.readers());
        let mut sums: BTreeMap<Of, (u64, Counts, Nano)> = BTreeMap::new();
        let mut period = bucket.of(Timestamp::from_millis(from), &zone);
        while let Some(row) = rows.try_next().await? {
            let start = time(&row, "start")?;
            if !period.contains(start) {
                period = bucket.of(start, &zone);
            }
            let part = match tag {
                Some(_) => Part::Value(row.try_get::<Option<String>, _>("value")?.map(Into::into)),
                None => Part::Key(KeyId::from_bytes(bytes(&row, "key")?)),
            };
            let (project, model) = (ProjectId::from_bytes(bytes(&row, "project")?), row.try_get::<String, _>("model")?);
            let sum = sums.entry((period.start, project, part, model.into())).or_default();
            sum.0 += count(&row, "rows")?;
            sum.1 = sum.1.plus(&counts(&row)?);
            sum.2 = [sum.2, nano(&row, "charge")?].into_iter().sum();
            if sums.len() > most {
                return Err(Error::TooMany { what: "sums", most });
            }
        }
        let sum = |((start, project, part, model), (rows, counts, charge))| UsageSum {
            start,
            project,
            part,
            model,
            rows,
            counts,
            charge,
        };
        Ok(sums.into_iter().map(sum).collect())
    }

    /// What an organisation, its projects and its keys spent in a period of whole days of its calendar: charges of requests that were admitted in it.
    /// Who is not listed spent nothing.
    pub async fn spent(&self, org: OrgId, period: Period) -> Result<BTreeMap<Owner, Nano>, Error> {
        let query = sqlx::query(
            "SELECT project, key, SUM(charge) AS charge FROM days WHERE org = ? AND day >= ? AND day < ?
             GROUP BY project, key",
        );
        let end = period.end.map_or(i64::MAX, Timestamp::as_millis);
        let query = query.bind(&org.as_bytes()[..]).bind(period.start.as_millis()).bind(end);
        let mut spent = BTreeMap::new();
        for row in query.fetch_all(self.readers()).await? {
            let (project, key) =
                (ProjectId::from_bytes(bytes(&row, "project")?), KeyId::from_bytes(bytes(&row, "key")?));
            for owner in (Tenant { org, project, key }).owners() {
                let sum = spent.entry(owner).or_insert(Nano::ZERO);
                *sum = [*sum, nano(&row, "charge")?].into_iter().sum();
            }
        }
        Ok(spent)
    }
}

fn record(row: &SqliteRow) -> Result<RequestRecord, Error> {
    let model: String = row.try_get("model")?;
    let service: &str = row.try_get("service")?;
    let service = Service::ALL.into_iter().find(|known| known.as_str() == service);
    let optional = |column| -> Result<Option<u64>, Error> {
        match row.try_get::<Option<i64>, _>(column)? {
            Some(_) => count(row, column).map(Some),
            None => Ok(None),
        }
    };
    Ok(RequestRecord {
        request: RequestId::from_bytes(bytes(row, "request")?),
        tenant: Tenant {
            org: OrgId::from_bytes(bytes(row, "org")?),
            project: ProjectId::from_bytes(bytes(row, "project")?),
            key: KeyId::from_bytes(bytes(row, "key")?),
        },
        model: model.into(),
        admitted: time(row, "admitted")?,
        ended: time(row, "ended")?,
        route: row.try_get::<Option<String>, _>("route")?.map(Into::into),
        queued_ms: optional("queued_ms")?,
        first_output_ms: optional("first_output_ms")?,
        cause: Cause::from_code(row.try_get("cause")?).ok_or(Error::Corrupt { what: "cause" })?,
        service: service.ok_or(Error::Corrupt { what: "class of service" })?,
        price: bytes_if(row, "price")?.map(PriceId::from_bytes),
        counts: counts(row)?,
        charge: nano(row, "charge")?,
        line: optional("line")?,
        labels: labels::read(row)?,
    })
}
