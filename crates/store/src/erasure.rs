//! Erases an end user from usage, their name and what only their requests were tagged with, or one value of a tag. Sums stay, and
//! so does the ledger, which never had either.

use account::OrgId;
use sqlx::{Row, SqliteConnection};

use crate::{Act, Error, Store, audit, labels};

/// Rows or labels of one transaction.
const TURN: usize = 500;

/// Most values of tags that are looked at; of an end user who has more, the rest stays in the sums.
const MOST_VALUES: i64 = 100_000;

/// A value of a tag, and how many requests of an end user have it.
type Value = (String, String, i64);

impl Store {
    /// Erases an end user of an organisation, a bounded part at a time: whoever settles meanwhile does not wait for all of it.
    /// Returns how many requests were theirs. What was cut off is completed by doing it again.
    pub async fn erase_end_user(&self, org: OrgId, end_user: &str, act: Act) -> Result<u64, Error> {
        let name: Box<str> = end_user.into();
        self.write(move |connection| {
            Box::pin(async move {
                // The log must not say who was erased.
                audit::note(&mut *connection, Some(org), "end_user.erase", &org.to_string(), &act).await?;
                let query = sqlx::query("UPDATE labels SET value = NULL WHERE org = ? AND tag = ? AND value = ?");
                query.bind(&org.as_bytes()[..]).bind(labels::END_USER).bind(&*name).execute(connection).await?;
                Ok(())
            })
        })
        .await?;
        let values = self.values_of(org, end_user).await?;
        for part in values.chunks(TURN) {
            let part = part.to_vec();
            self.write(move |connection| Box::pin(erase_values(connection, org, part))).await?;
        }
        let mut erased = 0;
        loop {
            let name: Box<str> = end_user.into();
            match self.write(move |connection| Box::pin(erase_rows(connection, org, name))).await? {
                0 => return Ok(erased),
                part => erased += part,
            }
        }
    }

    /// Erases one value of a tag of an organisation from all requests, a bounded part at a time. Their other tags stay. Returns how
    /// many requests had it. What was cut off is completed by doing it again.
    pub async fn erase_tag(&self, org: OrgId, tag: &str, value: &str, act: Act) -> Result<u64, Error> {
        let (name, is): (Box<str>, Box<str>) = (tag.into(), value.into());
        self.write(move |connection| {
            Box::pin(async move {
                // The log must not say what was erased.
                audit::note(&mut *connection, Some(org), "tag.erase", &org.to_string(), &act).await?;
                let query = sqlx::query("UPDATE labels SET value = NULL WHERE org = ? AND tag = ? AND value = ?");
                query.bind(&org.as_bytes()[..]).bind(&*name).bind(&*is).execute(connection).await?;
                Ok(())
            })
        })
        .await?;
        let (mut erased, mut last) = (0, 0);
        loop {
            let rows = self.tagged(org, tag, value, last).await?;
            let Some(end) = rows.last() else { return Ok(erased) };
            last = *end;
            let name: Box<str> = tag.into();
            erased += self.write(move |connection| Box::pin(erase_tag(connection, org, name, rows))).await?;
        }
    }

    /// Requests with this value of a tag behind a row. Who looks for them holds up nobody who writes.
    async fn tagged(&self, org: OrgId, tag: &str, value: &str, after: i64) -> Result<Vec<i64>, Error> {
        let query = sqlx::query(
            "SELECT usage.rowid AS place FROM usage WHERE org = ?1 AND usage.rowid > ?2 AND tags IS NOT NULL
                 AND EXISTS (SELECT 1 FROM json_each(usage.tags) AS t WHERE t.key = ?3 AND t.value = ?4)
             ORDER BY usage.rowid LIMIT ?5",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(after).bind(tag).bind(value).bind(TURN as i64);
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok(row.try_get("place")?)).collect()
    }

    /// The values of tags that requests of an end user have.
    async fn values_of(&self, org: OrgId, end_user: &str) -> Result<Vec<Value>, Error> {
        let query = sqlx::query(
            "SELECT t.key AS tag, t.value AS value, COUNT(*) AS theirs FROM usage, json_each(usage.tags) AS t
             WHERE org = ? AND end_user = ? GROUP BY t.key, t.value LIMIT ?",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(end_user).bind(MOST_VALUES);
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok((row.try_get("tag")?, row.try_get("value")?, row.try_get("theirs")?))).collect()
    }
}

/// Erases values that no request of anybody else has.
async fn erase_values(connection: &mut SqliteConnection, org: OrgId, values: Vec<Value>) -> Result<(), Error> {
    for (tag, value, theirs) in &values {
        let query = sqlx::query(
            "UPDATE labels SET value = NULL WHERE org = ?1 AND tag = ?2 AND value = ?3 AND ?4 >= (
                 SELECT SUM(rows) FROM labels AS all_days JOIN label_days ON label = all_days.id
                 WHERE org = ?1 AND tag = ?2 AND value = ?3)",
        );
        query.bind(&org.as_bytes()[..]).bind(tag).bind(value).bind(theirs).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn erase_rows(connection: &mut SqliteConnection, org: OrgId, end_user: Box<str>) -> Result<u64, Error> {
    let query = sqlx::query(
        "UPDATE usage SET end_user = NULL, tags = NULL
         WHERE rowid IN (SELECT rowid FROM usage WHERE org = ? AND end_user = ? LIMIT ?)",
    );
    let query = query.bind(&org.as_bytes()[..]).bind(&*end_user).bind(TURN as i64);
    Ok(query.execute(connection).await?.rows_affected())
}

/// Takes a tag off these requests; where it was the only one there is none left.
async fn erase_tag(connection: &mut SqliteConnection, org: OrgId, tag: Box<str>, rows: Vec<i64>) -> Result<u64, Error> {
    let mut erased = 0;
    for row in rows {
        let query = sqlx::query(
            "UPDATE usage SET tags = NULLIF(
                 (SELECT json_group_object(t.key, t.value) FROM json_each(usage.tags) AS t WHERE t.key <> ?3), '{}')
             WHERE org = ?1 AND usage.rowid = ?2",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(row).bind(&*tag);
        erased += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(erased)
}
