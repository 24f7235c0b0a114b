//! What was used: single requests, and sums that are kept by quarters of an hour.

use std::collections::BTreeMap;

use account::{
    Cause, Counts, KeyId, Nano, OrgId, Owner, Period, PriceId, ProjectId, RequestId, Service, Tenant, Timestamp,
};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, bytes_if, count, counts, nano, time},
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
    /// Whom the caller asked for.
    pub end_user: Option<Box<str>>,
}

/// A sum over requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSum {
    /// Start of the quarter of an hour (UTC) in which they were admitted.
    pub quarter: Timestamp,
    /// For which project.
    pub project: ProjectId,
    /// With which key.
    pub key: KeyId,
    /// The model's name.
    pub model: Box<str>,
    /// How many ended.
    pub rows: u64,
    /// What ran.
    pub counts: Counts,
    /// What was charged.
    pub charge: Nano,
}

impl Store {
    /// One request of an organisation.
    pub async fn request(&self, org: OrgId, request: RequestId) -> Result<Option<RequestRecord>, Error> {
        let query = sqlx::query("SELECT * FROM usage WHERE org = ? AND request = ?");
        let query = query.bind(&org.as_bytes()[..]).bind(&request.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(record).transpose()
    }

    /// The sums of an organisation in a stretch of time, whose ends fall on quarters of an hour in every time zone in use.
    pub async fn usage(&self, org: OrgId, from: Timestamp, until: Timestamp) -> Result<Vec<UsageSum>, Error> {
        let query = sqlx::query(
            "SELECT * FROM rollups WHERE org = ? AND quarter >= ? AND quarter < ? ORDER BY quarter, project, key, model",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(from.as_millis()).bind(until.as_millis());
        query.fetch_all(self.readers()).await?.iter().map(sum).collect()
    }

    /// What an organisation, its projects and its keys spent in a period: charges of requests that were admitted in it.
    /// Who is not listed spent nothing.
    pub async fn spent(&self, org: OrgId, period: Period) -> Result<BTreeMap<Owner, Nano>, Error> {
        let query = sqlx::query(
            "SELECT project, key, SUM(charge) AS charge FROM rollups
             WHERE org = ? AND quarter >= ? AND quarter < ? GROUP BY project, key",
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
    let end_user: Option<String> = row.try_get("end_user")?;
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
        end_user: end_user.map(Into::into),
    })
}

fn sum(row: &SqliteRow) -> Result<UsageSum, Error> {
    let model: String = row.try_get("model")?;
    Ok(UsageSum {
        quarter: time(row, "quarter")?,
        project: ProjectId::from_bytes(bytes(row, "project")?),
        key: KeyId::from_bytes(bytes(row, "key")?),
        model: model.into(),
        rows: count(row, "rows")?,
        counts: counts(row)?,
        charge: nano(row, "charge")?,
    })
}
