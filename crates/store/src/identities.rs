//! Accounts at OpenID providers by which people sign in.

use account::{IdentityId, KeyedHash, Timestamp, UserId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{Error, Made, Store, columns::bytes, sessions, tenants::made};

/// Somebody's account at an OpenID provider. Issuer and subject are who they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// Its name here.
    pub id: IdentityId,
    /// Who they are here.
    pub user: UserId,
    /// Which provider.
    pub issuer: Box<str>,
    /// Who they are there.
    pub subject: Box<str>,
    /// Whether the provider had made sure of the person's address when this was linked.
    pub verified: bool,
}

/// Lets somebody sign in by an account at a provider.
pub(crate) async fn link(
    connection: &mut SqliteConnection,
    identity: &ExternalIdentity,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO identities (id, person, issuer, subject, verified, created) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(&identity.id.as_bytes()[..])
        .bind(&identity.user.as_bytes()[..])
        .bind(&*identity.issuer)
        .bind(&*identity.subject)
        .bind(identity.verified)
        .bind(now.as_millis())
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("a link with this account of the provider"))?;
    Ok(())
}

/// Lets somebody sign in by an account at a provider no more. Their sessions end.
pub(crate) async fn unlink(connection: &mut SqliteConnection, user: UserId, identity: IdentityId) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM identities WHERE person = ? AND id = ?");
    let query = query.bind(&user.as_bytes()[..]).bind(&identity.as_bytes()[..]);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Err(Error::NotFound { what: "identity" });
    }
    sessions::end_all(connection, user).await
}

/// Uses a sign-in up, unless that was done before. Those that could not be sent again any more are forgotten.
pub(crate) async fn use_sign_in(
    connection: &mut SqliteConnection,
    hash: &KeyedHash,
    expires: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    let over = sqlx::query("DELETE FROM used_sign_ins WHERE expires <= ?").bind(now.as_millis());
    over.execute(&mut *connection).await?;
    let query = sqlx::query("INSERT INTO used_sign_ins (hash, expires) VALUES (?, ?)");
    let query = query.bind(&hash.as_bytes()[..]).bind(expires.as_millis()).execute(connection);
    query.await.map_err(|error| Error::from(error).or_conflict("the use of this sign-in"))?;
    Ok(())
}

impl Store {
    /// Whose this account at a provider is.
    pub async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<ExternalIdentity>, Error> {
        let query = sqlx::query("SELECT * FROM identities WHERE issuer = ? AND subject = ?").bind(issuer).bind(subject);
        query.fetch_optional(self.readers()).await?.as_ref().map(identity).transpose()
    }

    /// A person's accounts at providers in the order of their ids, `most` of those behind `after`.
    pub async fn identity_page(
        &self,
        user: UserId,
        after: Option<IdentityId>,
        most: u32,
    ) -> Result<Vec<Made<ExternalIdentity>>, Error> {
        let query =
            sqlx::query("SELECT * FROM identities WHERE person = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3");
        let query = query.bind(&user.as_bytes()[..]).bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(|row| made(row, identity(row)?)).collect()
    }

    /// Whether a sign-in was used.
    pub async fn is_sign_in_used(&self, hash: &KeyedHash) -> Result<bool, Error> {
        let query = sqlx::query("SELECT 1 FROM used_sign_ins WHERE hash = ?").bind(&hash.as_bytes()[..]);
        Ok(query.fetch_optional(self.readers()).await?.is_some())
    }
}

fn identity(row: &SqliteRow) -> Result<ExternalIdentity, Error> {
    let (issuer, subject): (String, String) = (row.try_get("issuer")?, row.try_get("subject")?);
    Ok(ExternalIdentity {
        id: IdentityId::from_bytes(bytes(row, "id")?),
        user: UserId::from_bytes(bytes(row, "person")?),
        issuer: issuer.into(),
        subject: subject.into(),
        verified: row.try_get("verified")?,
    })
}
