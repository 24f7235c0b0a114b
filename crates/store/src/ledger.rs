//! Lines of the ledger, and the credits that make some of them.

use account::{
    Nano, OrgId, Timestamp,
    ledger::{CreditSource, Entry, Head, Line, LineHash, Terms},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, count, nano, stored},
    notices,
};

/// Credit to an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// To whom.
    pub org: OrgId,
    /// How it came in.
    pub source: CreditSource,
    /// The name of the payment, unique in the installation: what is told twice credits once.
    pub external_id: Box<str>,
    /// How much; not less than nothing.
    pub amount: Nano,
}

/// A line that makes up for an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// In whose chain.
    pub org: OrgId,
    /// The number of the earlier line.
    pub corrects: u64,
    /// What it should have been computed from: docs/ledger.md.
    pub terms: Option<Terms>,
    /// What this line adds to the balance.
    pub amount: Nano,
}

/// The end of an organisation's chain.
pub(crate) async fn head(connection: &mut SqliteConnection, org: OrgId) -> Result<Head, Error> {
    let query = sqlx::query("SELECT number, hash, balance FROM ledger WHERE org = ? ORDER BY number DESC LIMIT 1");
    let row = query.bind(&org.as_bytes()[..]).fetch_optional(connection).await?;
    row.as_ref().map_or(Ok(Head::EMPTY), read_head)
}

pub(crate) fn read_head(row: &SqliteRow) -> Result<Head, Error> {
    let hash = LineHash::from_bytes(bytes(row, "hash")?);
    Ok(Head { number: count(row, "number")?, hash, balance: nano(row, "balance")? })
}

/// Adds a line to its organisation's chain.
pub(crate) async fn append(connection: &mut SqliteConnection, line: &Line) -> Result<(), Error> {
    sqlx::query("INSERT INTO ledger (org, number, line, hash, balance, at) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(&line.org.as_bytes()[..])
        .bind(stored(line.number))
        .bind(line.text())
        .bind(&line.hash().as_bytes()[..])
        .bind(line.balance.get())
        .bind(line.at.as_millis())
        .execute(&mut *connection)
        .await?;
    if let Entry::Correction { corrects, terms } = &line.entry {
        sqlx::query("INSERT INTO corrections (org, corrects, number, amount, agreed) VALUES (?, ?, ?, ?, ?)")
            .bind(&line.org.as_bytes()[..])
            .bind(stored(*corrects))
            .bind(stored(line.number))
            .bind(line.amount.get())
            .bind(terms.is_none())
            .execute(connection)
            .await?;
    }
    Ok(())
}

impl Store {
    /// The end of an organisation's chain; its balance is credits less charges.
    pub async fn head(&self, org: OrgId) -> Result<Head, Error> {
        head(&mut *self.readers().acquire().await?, org).await
    }

    /// Lines of an organisation's chain from number `from` on, `most` of them.
    pub async fn lines(&self, org: OrgId, from: u64, most: u32) -> Result<Vec<String>, Error> {
        let query = sqlx::query("SELECT line FROM ledger WHERE org = ? AND number >= ? ORDER BY number LIMIT ?");
        let query = query.bind(&org.as_bytes()[..]).bind(stored(from)).bind(most);
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok(row.try_get("line")?)).collect()
    }
}

/// Adds a credit once, however often it is told; `false` when it was there.
pub(crate) async fn add_credit(
    connection: &mut SqliteConnection,
    credit: &Credit,
    now: Timestamp,
) -> Result<bool, Error> {
    let Credit { org, source, external_id, amount } = credit;
    let query = sqlx::query("SELECT org, amount FROM credits WHERE external_id = ?").bind(&**external_id);
    if let Some(row) = query.fetch_optional(&mut *connection).await? {
        let same = OrgId::from_bytes(bytes(&row, "org")?) == *org && nano(&row, "amount")? == *amount;
        return if same { Ok(false) } else { Err(Error::Conflict { what: "another credit with this external id" }) };
    }
    let line = head(&mut *connection, *org).await?.credit(*org, now, *source, external_id, *amount)?;
    append(&mut *connection, &line).await?;
    sqlx::query("INSERT INTO credits (external_id, org, source, amount, number) VALUES (?, ?, ?, ?, ?)")
        .bind(&**external_id)
        .bind(&org.as_bytes()[..])
        .bind(source.as_str())
        .bind(amount.get())
        .bind(stored(line.number))
        .execute(connection)
        .await?;
    Ok(true)
}

/// Adds a correction.
pub(crate) async fn add_correction(
    connection: &mut SqliteConnection,
    correction: &Correction,
    now: Timestamp,
) -> Result<(), Error> {
    let Correction { org, corrects, terms, amount } = *correction;
    let head = head(&mut *connection, org).await?;
    let line = head.correct(org, now, corrects, terms, amount)?;
    append(&mut *connection, &line).await?;
    notices::corrected(connection, org, head.balance, line.balance, now).await
}
