//! Codes that are worth credit, once.

use account::{CodeId, KeyedHash, Nano, OrgId, Timestamp, ledger::CreditSource};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Code, Credit, Error, Store,
    columns::{bytes, bytes_if, nano, time, time_if},
    ledger,
};

/// A code and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRecord {
    /// The code.
    pub code: Code,
    /// When it was made.
    pub created: Timestamp,
    /// Who redeemed it, and when.
    pub redeemed: Option<(OrgId, Timestamp)>,
}

/// Adds a code.
pub(crate) async fn add_code(connection: &mut SqliteConnection, code: &Code, now: Timestamp) -> Result<(), Error> {
    sqlx::query("INSERT INTO codes (id, hash, amount, expires, created) VALUES (?, ?, ?, ?, ?)")
        .bind(&code.id.as_bytes()[..])
        .bind(&code.hash.as_bytes()[..])
        .bind(code.amount.get())
        .bind(code.expires.map(Timestamp::as_millis))
        .bind(now.as_millis())
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("a code with this secret"))?;
    Ok(())
}

/// Gives a code's credit to an organisation, unless somebody was first.
pub(crate) async fn redeem_code(
    connection: &mut SqliteConnection,
    org: OrgId,
    code: CodeId,
    amount: Nano,
    now: Timestamp,
) -> Result<(), Error> {
    let taken = sqlx::query(
        "UPDATE codes SET org = ?, redeemed = ?
         WHERE id = ? AND amount = ? AND redeemed IS NULL AND (expires IS NULL OR expires > ?)",
    )
    .bind(&org.as_bytes()[..])
    .bind(now.as_millis())
    .bind(&code.as_bytes()[..])
    .bind(amount.get())
    .bind(now.as_millis())
    .execute(&mut *connection)
    .await?;
    if taken.rows_affected() == 0 {
        return Err(Error::Conflict { what: "a redemption of this code, or its end," });
    }
    let credit = Credit { org, source: CreditSource::Code, external_id: code.to_string().into(), amount };
    ledger::add_credit(connection, &credit, now).await?;
    Ok(())
}

impl Store {
    /// The code that has this secret.
    pub async fn code(&self, hash: &KeyedHash) -> Result<Option<CodeRecord>, Error> {
        let query = sqlx::query("SELECT * FROM codes WHERE hash = ?").bind(&hash.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(record).transpose()
    }

    /// Codes in the order in which they were made, `most` of those behind `after`.
    pub async fn codes(&self, after: Option<CodeId>, most: u32) -> Result<Vec<CodeRecord>, Error> {
        let query = sqlx::query(
            "SELECT * FROM codes
             WHERE ?1 IS NULL OR (created, id) > (SELECT created, id FROM codes WHERE id = ?1)
             ORDER BY created, id LIMIT ?2",
        );
        let query = query.bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(record).collect()
    }
}

fn record(row: &SqliteRow) -> Result<CodeRecord, Error> {
    let code = Code {
        id: CodeId::from_bytes(bytes(row, "id")?),
        hash: KeyedHash::from_bytes(bytes(row, "hash")?),
        amount: nano(row, "amount")?,
        expires: time_if(row, "expires")?,
    };
    let redeemed = match row.try_get::<Option<i64>, _>("redeemed")? {
        Some(at) => bytes_if(row, "org")?.map(|org| (OrgId::from_bytes(org), Timestamp::from_millis(at))),
        None => None,
    };
    Ok(CodeRecord { code, created: time(row, "created")?, redeemed })
}
