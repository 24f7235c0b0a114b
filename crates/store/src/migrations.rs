//! The schema's versions, each reached from the one before.

use sqlx::{Row, SqliteConnection};

use crate::{Error, sums};

/// What leads to version 1, 2, … A version that was released is never changed.
const STEPS: &[&str] = &[
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
    include_str!("migrations/6.sql"),
    include_str!("migrations/7.sql"),
];

/// The version from which on usage is summed by day, too.
const SUMS_DAYS: usize = 5;

/// The latest version.
pub(crate) const LATEST: i64 = STEPS.len() as i64;

/// Brings the rows to the latest version, whole or not at all. Rows of a later version are left alone.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    match steps(connection).await {
        Ok(()) => {
            sqlx::raw_sql("COMMIT").execute(connection).await?;
            Ok(())
        }
        Err(error) => {
            sqlx::raw_sql("ROLLBACK").execute(connection).await?;
            Err(error)
        }
    }
}

async fn steps(connection: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        .execute(&mut *connection)
        .await?;
    let row =
        sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version").fetch_one(&mut *connection);
    let found: i64 = row.await?.try_get("version")?;
    if found > LATEST {
        return Err(Error::NewerSchema { found, known: LATEST });
    }
    let done = usize::try_from(found).map_err(|_| Error::Corrupt { what: "schema version" })?;
    for (place, step) in STEPS.iter().enumerate().skip(done) {
        sqlx::raw_sql(*step).execute(&mut *connection).await?;
        let version = sqlx::query("INSERT INTO schema_version (version) VALUES (?)").bind(place as i64 + 1);
        version.execute(&mut *connection).await?;
        if place + 1 == SUMS_DAYS {
            sums::sum_days(&mut *connection).await?;
        }
    }
    if (1..LATEST).contains(&found) {
        tracing::info!(from = found, to = LATEST, "the data folder's schema was brought up to date");
    }
    Ok(())
}
