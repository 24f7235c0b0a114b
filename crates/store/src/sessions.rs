//! How people show who they are: passwords, and the sessions that follow.

use account::{KeyedHash, PasswordHash, Session, Timestamp, UserId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, time},
};

/// What is known of somebody who wants to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who they would be.
    pub user: UserId,
    /// What their password is compared with; none as long as they have none.
    pub password: Option<PasswordHash>,
}

/// Sets a password. Who knew the one before is out.
pub(crate) async fn set_password(
    connection: &mut SqliteConnection,
    user: UserId,
    hash: &PasswordHash,
) -> Result<(), Error> {
    let query = sqlx::query("INSERT OR REPLACE INTO passwords (person, hash) VALUES (?, ?)");
    query.bind(&user.as_bytes()[..]).bind(hash.as_str()).execute(&mut *connection).await?;
    end_all(connection, user).await
}

/// Takes a password away, and the right to set another one. Who knew them is out.
pub(crate) async fn drop_password(connection: &mut SqliteConnection, user: UserId) -> Result<(), Error> {
    for sql in ["DELETE FROM passwords WHERE person = ?", "DELETE FROM resets WHERE person = ?"] {
        sqlx::query(sql).bind(&user.as_bytes()[..]).execute(&mut *connection).await?;
    }
    end_all(connection, user).await
}

/// Notes that somebody has signed in. Sessions that are over go, and of too many of one person the oldest.
pub(crate) async fn add_session(connection: &mut SqliteConnection, session: &Session) -> Result<(), Error> {
    let millis = |length: std::time::Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let now = session.begun.as_millis();
    let over = sqlx::query("DELETE FROM sessions WHERE seen <= ? OR begun <= ?");
    let over = over.bind(now - millis(Session::IDLE)).bind(now - millis(Session::LONGEST));
    over.execute(&mut *connection).await?;
    let oldest = sqlx::query(
        "DELETE FROM sessions WHERE hash IN
             (SELECT hash FROM sessions WHERE person = ? ORDER BY begun DESC, hash DESC LIMIT -1 OFFSET ?)",
    );
    let oldest = oldest.bind(&session.user.as_bytes()[..]).bind(Session::MOST as i64 - 1);
    oldest.execute(&mut *connection).await?;
    sqlx::query("INSERT INTO sessions (hash, person, begun, seen) VALUES (?, ?, ?, ?)")
        .bind(&session.hash.as_bytes()[..])
        .bind(&session.user.as_bytes()[..])
        .bind(now)
        .bind(session.seen.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a session. One that is over is over.
pub(crate) async fn end_session(connection: &mut SqliteConnection, session: &Session) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM sessions WHERE hash = ?").bind(&session.hash.as_bytes()[..]);
    query.execute(connection).await?;
    Ok(())
}

/// Ends all sessions of a person.
pub(crate) async fn end_all(connection: &mut SqliteConnection, user: UserId) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM sessions WHERE person = ?").bind(&user.as_bytes()[..]);
    query.execute(connection).await?;
    Ok(())
}

impl Store {
    /// What is known of whoever has this address.
    pub async fn credentials(&self, email: &str) -> Result<Option<Credentials>, Error> {
        let query = sqlx::query(
            "SELECT users.id, passwords.hash FROM users LEFT JOIN passwords ON passwords.person = users.id
             WHERE users.email = ?",
        );
        query.bind(email).fetch_optional(self.readers()).await?.as_ref().map(credentials).transpose()
    }

    /// The same of a person.
    pub async fn credentials_of(&self, user: UserId) -> Result<Option<Credentials>, Error> {
        let query = sqlx::query(
            "SELECT users.id, passwords.hash FROM users LEFT JOIN passwords ON passwords.person = users.id
             WHERE users.id = ?",
        );
        let row = query.bind(&user.as_bytes()[..]).fetch_optional(self.readers()).await?;
        row.as_ref().map(credentials).transpose()
    }

    /// Every session there is, to be looked up by hash in memory.
    pub async fn sessions(&self) -> Result<Vec<Session>, Error> {
        let rows = sqlx::query("SELECT * FROM sessions").fetch_all(self.readers()).await?;
        let session = |row: &SqliteRow| {
            Ok(Session {
                hash: KeyedHash::from_bytes(bytes(row, "hash")?),
                user: UserId::from_bytes(bytes(row, "person")?),
                begun: time(row, "begun")?,
                seen: time(row, "seen")?,
            })
        };
        rows.iter().map(session).collect()
    }

    /// Notes when sessions were last used: many at once, now and then.
    pub async fn note_sessions(&self, seen: Vec<(KeyedHash, Timestamp)>) -> Result<(), Error> {
        self.write(move |connection| {
            Box::pin(async move {
                for (session, at) in seen {
                    let query = sqlx::query("UPDATE sessions SET seen = ? WHERE hash = ?");
                    let query = query.bind(at.as_millis()).bind(&session.as_bytes()[..]);
                    query.execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

fn credentials(row: &SqliteRow) -> Result<Credentials, Error> {
    let hash: Option<String> = row.try_get("hash")?;
    Ok(Credentials { user: UserId::from_bytes(bytes(row, "id")?), password: hash.map(PasswordHash::new) })
}
