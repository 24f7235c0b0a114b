//! Sums of usage, kept as rows arrive: by quarter of an hour (UTC) and by day of the organisation's calendar, over all requests
//! and over those with a label. What is shown for years is read from days, of which there are few.

use std::collections::{BTreeMap, HashMap};

use account::{Class, Counts, KeyId, OrgId, ProjectId, Timestamp, Zone};
use sqlx::{Row, SqliteConnection, sqlite::SqliteArguments};

use crate::{
    Error, UsageRow,
    columns::{bytes, count, counts, stored, time},
    labels,
};

/// Quarters of an hour in milliseconds, which the offset of every time zone in use is a multiple of.
const QUARTER: i64 = 15 * 60 * 1000;

/// Adds to a sum, or begins it; `$key` are the columns that name it.
macro_rules! add_to {
    ($table:literal, $key:literal, $places:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            $key,
            ", rows, input, cached_input, output, seconds, images, requests, charge) VALUES (",
            $places,
            ", ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (",
            $key,
            ") DO UPDATE SET rows = rows + excluded.rows, input = input + excluded.input,
                 cached_input = cached_input + excluded.cached_input, output = output + excluded.output,
                 seconds = seconds + excluded.seconds, images = images + excluded.images,
                 requests = requests + excluded.requests, charge = charge + excluded.charge"
        )
    };
}

/// What is added to one sum.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    rows: u64,
    counts: Counts,
    charge: i64,
}

impl Sum {
    fn add(&mut self, row: &UsageRow) {
        self.rows += 1;
        self.counts = self.counts.plus(&row.settlement.counts);
        self.charge = self.charge.saturating_add(row.settlement.charge.get());
    }
}

/// What a sum over all requests is of: organisation, start of the stretch, project, key and model.
type Whole = (OrgId, i64, ProjectId, KeyId, Box<str>);

/// What a label is known by: organisation, day, tag and value.
type Label = (OrgId, i64, Box<str>, Box<str>);

/// What a group of settlements adds: each sum is written once for all of them.
#[derive(Default)]
pub(crate) struct Sums {
    zones: HashMap<OrgId, Zone>,
    /// Ids of labels; none where a day has too many tags.
    labels: HashMap<Label, Option<i64>>,
    quarters: BTreeMap<Whole, Sum>,
    days: BTreeMap<Whole, Sum>,
    label_quarters: BTreeMap<(i64, i64, ProjectId, Box<str>), Sum>,
    label_days: BTreeMap<(i64, ProjectId, Box<str>), Sum>,
}

impl Sums {
    /// Takes a row that was written.
    pub(crate) async fn add(&mut self, connection: &mut SqliteConnection, row: &UsageRow) -> Result<(), Error> {
        let (org, project, key) = (row.tenant.org, row.tenant.project, row.tenant.key);
        let admitted = row.settlement.admitted;
        let quarter = admitted.as_millis() - admitted.as_millis().rem_euclid(QUARTER);
        let day = self.day(connection, org, admitted).await?;
        self.quarters.entry((org, quarter, project, key, row.model.clone())).or_default().add(row);
        self.days.entry((org, day, project, key, row.model.clone())).or_default().add(row);
        let end_user = row.labels.end_user().map(|name| (labels::END_USER, name));
        let tags = row.labels.tags().iter().map(|(name, value)| (&**name, &**value));
        for (tag, value) in end_user.into_iter().chain(tags) {
            let known = (org, day, tag.into(), value.into());
            let label = match self.labels.get(&known) {
                Some(label) => *label,
                None => {
                    let label = labels::find(connection, org, day, tag, value).await?;
                    self.labels.insert(known, label);
                    label
                }
            };
            if let Some(label) = label {
                self.label_quarters.entry((label, quarter, project, row.model.clone())).or_default().add(row);
                self.label_days.entry((label, project, row.model.clone())).or_default().add(row);
            }
        }
        Ok(())
    }

    /// Writes what was taken.
    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Error> {
        for (whole, sum) in &self.quarters {
            let query = sqlx::query(add_to!("rollups", "org, quarter, project, key, model", "?, ?, ?, ?, ?"));
            numbers(of_whole(query, whole), sum).execute(&mut *connection).await?;
        }
        for (whole, sum) in &self.days {
            let query = sqlx::query(add_to!("days", "org, day, project, key, model", "?, ?, ?, ?, ?"));
            numbers(of_whole(query, whole), sum).execute(&mut *connection).await?;
        }
        for ((label, quarter, project, model), sum) in &self.label_quarters {
            let query = sqlx::query(add_to!("label_quarters", "label, quarter, project, model", "?, ?, ?, ?"));
            let query = query.bind(label).bind(quarter).bind(&project.as_bytes()[..]).bind(&**model);
            numbers(query, sum).execute(&mut *connection).await?;
        }
        for ((label, project, model), sum) in &self.label_days {
            let query = sqlx::query(add_to!("label_days", "label, project, model", "?, ?, ?"));
            let query = query.bind(label).bind(&project.as_bytes()[..]).bind(&**model);
            numbers(query, sum).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// The first moment of the day that holds `moment`.
    async fn day(&mut self, connection: &mut SqliteConnection, org: OrgId, moment: Timestamp) -> Result<i64, Error> {
        let zone = match self.zones.get(&org) {
            Some(zone) => zone.clone(),
            None => {
                let zone = zone_of(connection, org).await?;
                self.zones.entry(org).or_insert(zone).clone()
            }
        };
        Ok(zone.day(moment).start.as_millis())
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

fn of_whole<'q>(query: Query<'q>, (org, start, project, key, model): &'q Whole) -> Query<'q> {
    let query = query.bind(&org.as_bytes()[..]).bind(start);
    query.bind(&project.as_bytes()[..]).bind(&key.as_bytes()[..]).bind(&**model)
}

fn numbers<'q>(query: Query<'q>, sum: &Sum) -> Query<'q> {
    let query = Class::ALL
        .into_iter()
        .fold(query.bind(stored(sum.rows)), |query, class| query.bind(stored(sum.counts.of(class))));
    query.bind(sum.charge)
}

/// The time zone of an organisation.
pub(crate) async fn zone_of(connection: &mut SqliteConnection, org: OrgId) -> Result<Zone, Error> {
    let query = sqlx::query("SELECT zone FROM organisations WHERE id = ?").bind(&org.as_bytes()[..]);
    match query.fetch_optional(connection).await? {
        Some(row) => Zone::parse(row.try_get("zone")?).map_err(|_| Error::Corrupt { what: "time zone" }),
        None => Ok(Zone::UTC),
    }
}

/// Sums by day of what an earlier version summed by quarter of an hour alone.
pub(crate) async fn sum_days(connection: &mut SqliteConnection) -> Result<(), Error> {
    let mut sums = Sums::default();
    let rows = sqlx::query("SELECT * FROM rollups").fetch_all(&mut *connection).await?;
    for row in &rows {
        let org = OrgId::from_bytes(bytes(row, "org")?);
        let day = sums.day(connection, org, time(row, "quarter")?).await?;
        let (project, key) = (ProjectId::from_bytes(bytes(row, "project")?), KeyId::from_bytes(bytes(row, "key")?));
        let model: String = row.try_get("model")?;
        let sum = sums.days.entry((org, day, project, key, model.into())).or_default();
        sum.rows += count(row, "rows")?;
        sum.counts = sum.counts.plus(&counts(row)?);
        sum.charge = sum.charge.saturating_add(row.try_get("charge")?);
    }
    sums.write(connection).await
}
