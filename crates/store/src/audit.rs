//! The audit log: who did what, when, to what and from where.

use account::{OrgId, Timestamp};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Change, Error, Store,
    columns::{count, stored, time},
};

/// Who does it, and what the audit log shall say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The id of a person or key, or what it is on the machine itself.
    pub actor: Box<str>,
    /// When.
    pub at: Timestamp,
    /// What was before, without secrets.
    pub before: Option<Box<str>>,
    /// What is after, without secrets.
    pub after: Option<Box<str>>,
    /// From where.
    pub address: Option<Box<str>>,
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number; later ones are larger.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Box<str>,
    /// What, such as `key.add`.
    pub action: Box<str>,
    /// To what.
    pub object: Box<str>,
    /// What was before.
    pub before: Option<Box<str>>,
    /// What is after.
    pub after: Option<Box<str>>,
    /// From where.
    pub address: Option<Box<str>>,
}

impl Store {
    /// The audit log of an organisation, or of what concerns no organisation: the newest `most` that are older than `before`.
    pub async fn audit(&self, org: Option<OrgId>, before: Option<u64>, most: u32) -> Result<Vec<AuditEntry>, Error> {
        let query = match org {
            Some(org) => sqlx::query(
                "SELECT * FROM audit WHERE org = ? AND (? IS NULL OR sequence < ?) ORDER BY sequence DESC LIMIT ?",
            )
            .bind(org.as_bytes().to_vec()),
            None => sqlx::query(
                "SELECT * FROM audit WHERE org IS NULL AND (? IS NULL OR sequence < ?) ORDER BY sequence DESC LIMIT ?",
            ),
        };
        let before = before.map(stored);
        let rows = query.bind(before).bind(before).bind(most).fetch_all(self.readers()).await?;
        rows.iter().map(entry).collect()
    }
}

fn entry(row: &SqliteRow) -> Result<AuditEntry, Error> {
    let text = |column: &str| -> Result<Option<Box<str>>, Error> {
        Ok(row.try_get::<Option<String>, _>(column)?.map(Into::into))
    };
    Ok(AuditEntry {
        sequence: count(row, "sequence")?,
        at: time(row, "at")?,
        actor: text("actor")?.unwrap_or_default(),
        action: text("action")?.unwrap_or_default(),
        object: text("object")?.unwrap_or_default(),
        before: text("before")?,
        after: text("after")?,
        address: text("address")?,
    })
}

/// Notes a change, in the transaction that makes it.
pub(crate) async fn log(connection: &mut SqliteConnection, change: &Change, act: &Act) -> Result<(), Error> {
    note(connection, change.org(), change.action(), &change.object(), act).await
}

/// The same of what is done in many transactions, in the first of them.
pub(crate) async fn note(
    connection: &mut SqliteConnection,
    org: Option<OrgId>,
    action: &str,
    object: &str,
    act: &Act,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (at, org, actor, action, object, before, after, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(act.at.as_millis())
    .bind(org.map(|org| org.as_bytes().to_vec()))
    .bind(&*act.actor)
    .bind(action)
    .bind(object)
    .bind(act.before.as_deref())
    .bind(act.after.as_deref())
    .bind(act.address.as_deref())
    .execute(connection)
    .await?;
    Ok(())
}
