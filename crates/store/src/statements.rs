//! Statements: the part of a chain that was written in a stretch of time, and what it comes to.

use account::{
    OrgId, Period, Timestamp,
    ledger::{Head, Line, Statement},
};
use sqlx::Row;

use crate::{Error, Store, columns::stored, ledger};

/// Lines that are read at a time.
const TURN: u32 = 1000;

/// Lines are written almost in the order of their moments: the first one from a moment on is looked for in ever longer
/// stretches, in milliseconds.
const STRETCHES: [i64; 3] = [60 * 60 * 1000, 24 * 60 * 60 * 1000, i64::MAX];

impl Store {
    /// What the lines come to that were written in a period, up to now if it is not over.
    pub async fn statement(&self, org: OrgId, period: Period) -> Result<Statement, Error> {
        let last = match period.end {
            Some(end) => self.first_line_from(org, end).await? - 1,
            None => self.head(org).await?.number,
        };
        let first = self.first_line_from(org, period.start).await?;
        let mut statement = Statement::new(self.head_at(org, first - 1).await?);
        let mut next = first;
        while next <= last {
            let most = u32::try_from(last - next + 1).unwrap_or(u32::MAX).min(TURN);
            let lines = self.lines(org, next, most).await?;
            if lines.is_empty() {
                return Err(Error::Corrupt { what: "ledger" });
            }
            for line in &lines {
                let line = Line::parse(line).map_err(|_| Error::Corrupt { what: "line of the ledger" })?;
                statement.push(&line).map_err(|_| Error::Corrupt { what: "ledger" })?;
            }
            next += lines.len() as u64;
        }
        Ok(statement)
    }

    /// The number of the first line that was written at a moment or later; one past the last line when there is none yet.
    pub async fn first_line_from(&self, org: OrgId, moment: Timestamp) -> Result<u64, Error> {
        for stretch in STRETCHES {
            let query = sqlx::query("SELECT MIN(number) AS number FROM ledger WHERE org = ? AND at >= ? AND at < ?");
            let start = moment.as_millis();
            let query = query.bind(&org.as_bytes()[..]).bind(start).bind(start.saturating_add(stretch));
            let row = query.fetch_one(self.readers()).await?;
            if let Some(number) = row.try_get::<Option<i64>, _>("number")? {
                return u64::try_from(number).map_err(|_| Error::Corrupt { what: "number" });
            }
        }
        Ok(self.head(org).await?.number + 1)
    }

    /// The end of a chain when it had so many lines.
    pub async fn head_at(&self, org: OrgId, lines: u64) -> Result<Head, Error> {
        if lines == 0 {
            return Ok(Head::EMPTY);
        }
        let query = sqlx::query("SELECT number, hash, balance FROM ledger WHERE org = ? AND number = ?");
        let row = query.bind(&org.as_bytes()[..]).bind(stored(lines)).fetch_optional(self.readers()).await?;
        row.as_ref().map_or(Err(Error::NotFound { what: "line of the ledger" }), ledger::read_head)
    }
}
