//! What was used: single requests, and sums over them.

use std::collections::BTreeMap;

use account::{
    Cause, Class, Counts, KeyId, Labels, Nano, OrgId, Owner, Period, PriceId, ProjectId, RequestId, Service, Tenant,
    Timestamp, Zone,
};
use futures::TryStreamExt;
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, bytes_if, count, counts, nano, time, time_if},
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

/// What a sum is of: start of the period, project, what tells it apart, model. It is also the order of sums.
fn of(sum: &UsageSum) -> (Timestamp, ProjectId, &Part, &str) {
    (sum.start, sum.project, &sum.part, &sum.model)
}

/// Sums by start of the period, project, key or value, and model. The columns stand in the order in which [`sum`] reads them.
macro_rules! sums_of {
    ($start:literal, $part:literal, $from:literal) => {
        concat!(
            "SELECT ",
            $start,
            " AS start, project, ",
            $part,
            ", model, SUM(rows), SUM(charge), SUM(input), SUM(cached_input), SUM(output), SUM(seconds), SUM(images),
             SUM(requests) FROM ",
            $from,
            " GROUP BY 1, 2, 3, 4"
        )
    };
}

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
        // Days have sums of their own; hours and months are added up, each by itself.
        let mut stretches = Vec::new();
        if bucket == Bucket::Day {
            stretches.push((from, until));
        } else if let Some((first, last)) = self.extent(org, bucket, from, until).await? {
            let mut next = Some(bucket.of(first, &zone));
            while let Some(period) = next.filter(|period| period.start <= last) {
                stretches.push((period.start, period.end.map_or(until, |end| end.min(until))));
                next = period.end.map(|end| bucket.of(end, &zone));
            }
        }
        let tag = match apart {
            Apart::Key => None,
            Apart::EndUser => Some(labels::END_USER),
            Apart::Tag(name) => Some(name),
        };
        let query = match (bucket, tag) {
            (Bucket::Hour, None) => sums_of!("?2", "key", "rollups WHERE org = ?1 AND quarter >= ?2 AND quarter < ?3"),
            (Bucket::Day, None) => sums_of!("day", "key", "days WHERE org = ?1 AND day >= ?2 AND day < ?3"),
            (Bucket::Month, None) => sums_of!("?2", "key", "days WHERE org = ?1 AND day >= ?2 AND day < ?3"),
            // Days of labels are found by what began them.
            (Bucket::Hour, Some(_)) => sums_of!(
                "?2",
                "value",
                "labels JOIN label_quarters ON label = id
                 WHERE org = ?1 AND day >= ?5 AND day < ?3 AND tag = ?4 AND quarter >= ?2 AND quarter < ?3"
            ),
            (Bucket::Day, Some(_)) => sums_of!(
                "day",
                "value",
                "labels JOIN label_days ON label = id WHERE org = ?1 AND day >= ?2 AND day < ?3 AND tag = ?4"
            ),
            (Bucket::Month, Some(_)) => sums_of!(
                "?2",
                "value",
                "labels JOIN label_days ON label = id WHERE org = ?1 AND day >= ?2 AND day < ?3 AND tag = ?4"
            ),
        };
        let mut sums = Vec::new();
        for (from, until) in stretches {
            let query = sqlx::query(query).bind(&org.as_bytes()[..]).bind(from.as_millis()).bind(until.as_millis());
            let query = query.bind(tag).bind(zone.day(from).start.as_millis());
            let mut rows = query.fetch(self.readers());
            while let Some(row) = rows.try_next().await? {
                if sums.len() == most {
                    return Err(Error::TooMany { what: "sums", most });
                }
                sums.push(sum(&row, tag.is_some())?);
            }
        }
        sums.sort_unstable_by(|one: &UsageSum, other| of(one).cmp(&of(other)));
        Ok(sums)
    }

    /// When the first and the last sum begin of those that begin in a stretch of time: nobody goes through the years before and
    /// after.
    async fn extent(
        &self,
        org: OrgId,
        bucket: Bucket,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        // Each of the two is found by one look into the index.
        let query = match bucket {
            Bucket::Hour => {
                "SELECT (SELECT MIN(quarter) FROM rollups WHERE org = ?1 AND quarter >= ?2 AND quarter < ?3) AS first,
                        (SELECT MAX(quarter) FROM rollups WHERE org = ?1 AND quarter >= ?2 AND quarter < ?3) AS last"
            }
            Bucket::Day | Bucket::Month => {
                "SELECT (SELECT MIN(day) FROM days WHERE org = ?1 AND day >= ?2 AND day < ?3) AS first,
                        (SELECT MAX(day) FROM days WHERE org = ?1 AND day >= ?2 AND day < ?3) AS last"
            }
        };
        let query = sqlx::query(query).bind(&org.as_bytes()[..]).bind(from.as_millis()).bind(until.as_millis());
        let row = query.fetch_one(self.readers()).await?;
        Ok(time_if(&row, "first")?.zip(time_if(&row, "last")?))
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

fn sum(row: &SqliteRow, of_label: bool) -> Result<UsageSum, Error> {
    let id = |column| {
        let id: &[u8] = row.try_get(column)?;
        <[u8; 16]>::try_from(id).map_err(|_| Error::Corrupt { what: "id in a sum" })
    };
    let count =
        |column| u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Corrupt { what: "count in a sum" });
    let mut counts = Counts::default();
    for (class, column) in Class::ALL.into_iter().zip(6..) {
        counts = counts.with(class, count(column)?);
    }
    Ok(UsageSum {
        start: Timestamp::from_millis(row.try_get(0)?),
        project: ProjectId::from_bytes(id(1)?),
        part: match of_label {
            true => Part::Value(row.try_get::<Option<&str>, _>(2)?.map(Into::into)),
            false => Part::Key(KeyId::from_bytes(id(2)?)),
        },
        model: row.try_get::<&str, _>(3)?.into(),
        rows: count(4)?,
        counts,
        charge: Nano::new(row.try_get(5)?),
    })
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
