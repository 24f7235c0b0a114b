//! How long request rows are kept. Sums and the ledger stay.

use std::collections::HashMap;

use account::{OrgId, Timestamp};
use sqlx::{Row, SqliteConnection};

use crate::{Error, Store, columns::bytes};

/// Rows that are deleted in one transaction.
const TURN: i64 = 500;

/// A day in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// For how many days request rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Whose; none sets it for all organisations that have none of their own.
    pub org: Option<OrgId>,
    /// Days from a request's admission; none keeps its row.
    pub days: Option<u32>,
}

/// What stands for the installation among organisations.
fn owner(org: Option<OrgId>) -> Vec<u8> {
    org.map_or_else(Vec::new, |org| org.as_bytes().to_vec())
}

pub(crate) async fn set(connection: &mut SqliteConnection, retention: &Retention) -> Result<(), Error> {
    let owner = owner(retention.org);
    sqlx::query("DELETE FROM retention WHERE org = ?").bind(&owner[..]).execute(&mut *connection).await?;
    if let Some(days) = retention.days {
        let query = sqlx::query("INSERT INTO retention (org, days) VALUES (?, ?)");
        query.bind(&owner[..]).bind(days).execute(connection).await?;
    }
    Ok(())
}

impl Store {
    /// For how many days request rows are kept: of an organisation, or of all that have no setting of their own.
    pub async fn retention(&self, org: Option<OrgId>) -> Result<Option<u32>, Error> {
        let query = sqlx::query("SELECT days FROM retention WHERE org = ?").bind(owner(org));
        let row = query.fetch_optional(self.readers()).await?;
        Ok(row.map(|row| row.try_get("days")).transpose()?)
    }

    /// Deletes request rows whose time is over, a bounded part at a time, so that whoever settles meanwhile does not wait for
    /// all of it. Returns how many there were.
    pub async fn delete_expired(&self, now: Timestamp) -> Result<u64, Error> {
        let rows = sqlx::query("SELECT org, days FROM retention").fetch_all(self.readers()).await?;
        let (mut own, mut usual) = (HashMap::new(), None);
        for row in &rows {
            let days: u32 = row.try_get("days")?;
            match row.try_get::<Vec<u8>, _>("org")?.is_empty() {
                true => usual = Some(days),
                false => drop(own.insert(OrgId::from_bytes(bytes(row, "org")?), days)),
            }
        }
        let mut deleted = 0;
        for organisation in self.organisations().await? {
            let org = organisation.id;
            let Some(days) = own.get(&org).copied().or(usual) else { continue };
            let before = now.as_millis().saturating_sub(i64::from(days) * DAY);
            loop {
                match self.write(move |connection| Box::pin(delete(connection, org, before))).await? {
                    0 => break,
                    part => deleted += part,
                }
            }
        }
        Ok(deleted)
    }
}

async fn delete(connection: &mut SqliteConnection, org: OrgId, before: i64) -> Result<u64, Error> {
    let query = sqlx::query(
        "DELETE FROM usage WHERE rowid IN (SELECT rowid FROM usage WHERE org = ? AND admitted < ? LIMIT ?)",
    );
    Ok(query.bind(&org.as_bytes()[..]).bind(before).bind(TURN).execute(connection).await?.rows_affected())
}
