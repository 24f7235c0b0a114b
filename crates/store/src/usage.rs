//! What was used: single requests, and sums that are kept by quarters of an hour.

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

    /// What an owner within an organisation spent in a period: charges of requests that were admitted in it.
    pub async fn spent(&self, org: OrgId, owner: Owner, period: Period) -> Result<Nano, Error> {
        let query = match owner {
            Owner::Organisation(_) => sqlx::query(
                "SELECT COALESCE(SUM(charge), 0) AS charge FROM rollups
                 WHERE org = ? AND quarter >= ? AND quarter < ? AND org = ?",
            ),
            Owner::Project(_) => sqlx::query(
                "SELECT COALESCE(SUM(charge), 0) AS charge FROM rollups
                 WHERE org = ? AND quarter >= ? AND quarter < ? AND project = ?",
            ),
            Owner::Key(_) => sqlx::query(
                "SELECT COALESCE(SUM(charge), 0) AS charge FROM rollups
                 WHERE org = ? AND quarter >= ? AND quarter < ? AND key = ?",
            ),
        };
        let id = match &owner {
            Owner::Organisation(id) => id.as_bytes(),
            Owner::Project(id) => id.as_bytes(),
            Owner::Key(id) => id.as_bytes(),
        };
        let end = period.end.map_or(i64::MAX, Timestamp::as_millis);
        let query = query.bind(&org.as_bytes()[..]).bind(period.start.as_millis()).bind(end).bind(&id[..]);
        nano(&query.fetch_one(self.readers()).await?, "charge")
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
