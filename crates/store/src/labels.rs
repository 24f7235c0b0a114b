//! Labels of requests as rows: which values a tag had on a day, as far as they are summed apart.

use std::collections::BTreeMap;

use account::{Labels, OrgId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::Error;

/// The tag that stands for the end user; no tag of a caller is without a name.
pub(crate) const END_USER: &str = "";

/// Values of one tag that are summed apart on one day; more are one sum.
const MOST_VALUES: i64 = 1000;

/// Tags of an organisation that are summed on one day; more are kept with their requests alone.
const MOST_NAMES: i64 = 100;

/// The label that a value is summed under; none where the day has too many tags.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    org: OrgId,
    day: i64,
    tag: &str,
    value: &str,
) -> Result<Option<i64>, Error> {
    let known = sqlx::query("SELECT id FROM labels WHERE org = ? AND tag = ? AND day = ? AND value = ?");
    let known = known.bind(&org.as_bytes()[..]).bind(tag).bind(day).bind(value);
    if let Some(row) = known.fetch_optional(&mut *connection).await? {
        return Ok(Some(row.try_get("id")?));
    }
    let Some(values) = values_of(&mut *connection, org, day, tag).await? else { return Ok(None) };
    if values < MOST_VALUES {
        let more = sqlx::query(
            "UPDATE label_names SET distinct_values = distinct_values + 1 WHERE org = ? AND day = ? AND tag = ?",
        );
        more.bind(&org.as_bytes()[..]).bind(day).bind(tag).execute(&mut *connection).await?;
        return insert(connection, org, day, tag, Some(value)).await.map(Some);
    }
    let others = sqlx::query("SELECT id FROM labels WHERE org = ? AND tag = ? AND day = ? AND value IS NULL LIMIT 1");
    let others = others.bind(&org.as_bytes()[..]).bind(tag).bind(day);
    match others.fetch_optional(&mut *connection).await? {
        Some(row) => Ok(Some(row.try_get("id")?)),
        None => insert(connection, org, day, tag, None).await.map(Some),
    }
}

/// How many values the tag had on the day so far; none where the day has too many tags.
async fn values_of(connection: &mut SqliteConnection, org: OrgId, day: i64, tag: &str) -> Result<Option<i64>, Error> {
    let query = sqlx::query("SELECT distinct_values FROM label_names WHERE org = ? AND day = ? AND tag = ?");
    let query = query.bind(&org.as_bytes()[..]).bind(day).bind(tag);
    if let Some(row) = query.fetch_optional(&mut *connection).await? {
        return Ok(Some(row.try_get("distinct_values")?));
    }
    let query = sqlx::query("SELECT COUNT(*) AS names FROM label_names WHERE org = ? AND day = ?");
    let row = query.bind(&org.as_bytes()[..]).bind(day).fetch_one(&mut *connection).await?;
    // The end user is always summed.
    if tag != END_USER && row.try_get::<i64, _>("names")? >= MOST_NAMES {
        return Ok(None);
    }
    let query = sqlx::query("INSERT INTO label_names (org, day, tag, distinct_values) VALUES (?, ?, ?, 0)");
    query.bind(&org.as_bytes()[..]).bind(day).bind(tag).execute(connection).await?;
    Ok(Some(0))
}

async fn insert(
    connection: &mut SqliteConnection,
    org: OrgId,
    day: i64,
    tag: &str,
    value: Option<&str>,
) -> Result<i64, Error> {
    let query = sqlx::query("INSERT INTO labels (org, tag, day, value) VALUES (?, ?, ?, ?)");
    let query = query.bind(&org.as_bytes()[..]).bind(tag).bind(day).bind(value);
    Ok(query.execute(connection).await?.last_insert_rowid())
}

/// Tags as a column holds them; none where there are none.
pub(crate) fn written(labels: &Labels) -> Option<String> {
    // Texts serialise.
    (!labels.tags().is_empty()).then(|| serde_json::to_string(labels.tags()).unwrap_or_default())
}

/// The labels of a usage row.
pub(crate) fn read(row: &SqliteRow) -> Result<Labels, Error> {
    let wrong = |_| Error::Corrupt { what: "label" };
    let end_user: Option<String> = row.try_get("end_user")?;
    Labels::new(end_user.as_deref(), tags(row)?).map_err(wrong)
}

/// The tags of a usage row.
pub(crate) fn tags(row: &SqliteRow) -> Result<BTreeMap<Box<str>, Box<str>>, Error> {
    match row.try_get::<Option<String>, _>("tags")? {
        Some(text) => serde_json::from_str(&text).map_err(|_| Error::Corrupt { what: "tag" }),
        None => Ok(BTreeMap::new()),
    }
}
