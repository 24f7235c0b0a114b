//! Tokens that work once: invitations into an organisation, and resets of a password.

use account::{InviteId, KeyedHash, OrgId, Role, Timestamp, UserId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, bytes_if, time},
    people::role,
};

/// An invitation. Its secret is not here: only the keyed hash is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its name.
    pub id: InviteId,
    /// Into which organisation.
    pub org: OrgId,
    /// The hash of its token.
    pub hash: KeyedHash,
    /// For whom: nobody with another address accepts it.
    pub email: Box<str>,
    /// What they will be.
    pub role: Role,
    /// From then on it is none.
    pub expires: Timestamp,
}

/// An invitation and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRecord {
    /// The invitation.
    pub invite: Invite,
    /// When it was made.
    pub created: Timestamp,
    /// Who accepted it.
    pub accepted: Option<UserId>,
}

/// The right to set a person's password once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// Whose.
    pub user: UserId,
    /// The hash of its token.
    pub hash: KeyedHash,
    /// From then on it is none.
    pub expires: Timestamp,
}

/// Adds an invitation.
pub(crate) async fn add_invite(
    connection: &mut SqliteConnection,
    invite: &Invite,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO invites (id, org, hash, email, role, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(&invite.id.as_bytes()[..])
        .bind(&invite.org.as_bytes()[..])
        .bind(&invite.hash.as_bytes()[..])
        .bind(&*invite.email)
        .bind(invite.role.as_str())
        .bind(now.as_millis())
        .bind(invite.expires.as_millis())
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("an invitation with this secret"))?;
    Ok(())
}

/// Takes an invitation back that nobody accepted.
pub(crate) async fn remove_invite(
    connection: &mut SqliteConnection,
    org: OrgId,
    invite: InviteId,
) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM invites WHERE org = ? AND id = ? AND person IS NULL");
    let gone = query.bind(&org.as_bytes()[..]).bind(&invite.as_bytes()[..]).execute(connection).await?;
    if gone.rows_affected() == 0 { Err(Error::NotFound { what: "invitation" }) } else { Ok(()) }
}

/// Uses an invitation up, unless somebody was first or its time is over.
pub(crate) async fn accept_invite(
    connection: &mut SqliteConnection,
    org: OrgId,
    invite: InviteId,
    user: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    let query =
        sqlx::query("UPDATE invites SET person = ? WHERE org = ? AND id = ? AND person IS NULL AND expires > ?");
    let query = query.bind(&user.as_bytes()[..]).bind(&org.as_bytes()[..]).bind(&invite.as_bytes()[..]);
    let taken = query.bind(now.as_millis()).execute(connection).await?;
    if taken.rows_affected() == 0 { Err(Error::NotFound { what: "invitation" }) } else { Ok(()) }
}

/// Adds a reset in place of the one before.
pub(crate) async fn add_reset(connection: &mut SqliteConnection, reset: &Reset) -> Result<(), Error> {
    sqlx::query("INSERT OR REPLACE INTO resets (person, hash, expires) VALUES (?, ?, ?)")
        .bind(&reset.user.as_bytes()[..])
        .bind(&reset.hash.as_bytes()[..])
        .bind(reset.expires.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

/// Uses a reset up, unless somebody was first or its time is over.
pub(crate) async fn use_reset(
    connection: &mut SqliteConnection,
    user: UserId,
    hash: &KeyedHash,
    now: Timestamp,
) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM resets WHERE person = ? AND hash = ? AND expires > ?");
    let query = query.bind(&user.as_bytes()[..]).bind(&hash.as_bytes()[..]).bind(now.as_millis());
    let gone = query.execute(connection).await?;
    if gone.rows_affected() == 0 { Err(Error::NotFound { what: "reset" }) } else { Ok(()) }
}

impl Store {
    /// The invitation that has this secret.
    pub async fn invite(&self, hash: &KeyedHash) -> Result<Option<InviteRecord>, Error> {
        let query = sqlx::query("SELECT * FROM invites WHERE hash = ?").bind(&hash.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(record).transpose()
    }

    /// Invitations of an organisation in the order of their ids, `most` of those behind `after`.
    pub async fn invite_page(
        &self,
        org: OrgId,
        after: Option<InviteId>,
        most: u32,
    ) -> Result<Vec<InviteRecord>, Error> {
        let query =
            sqlx::query("SELECT * FROM invites WHERE org = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3");
        let query = query.bind(&org.as_bytes()[..]).bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(record).collect()
    }

    /// The reset that has this secret.
    pub async fn reset(&self, hash: &KeyedHash) -> Result<Option<Reset>, Error> {
        let query = sqlx::query("SELECT * FROM resets WHERE hash = ?").bind(&hash.as_bytes()[..]);
        let Some(row) = query.fetch_optional(self.readers()).await? else { return Ok(None) };
        let user = UserId::from_bytes(bytes(&row, "person")?);
        Ok(Some(Reset { user, hash: *hash, expires: time(&row, "expires")? }))
    }
}

fn record(row: &SqliteRow) -> Result<InviteRecord, Error> {
    let email: String = row.try_get("email")?;
    let invite = Invite {
        id: InviteId::from_bytes(bytes(row, "id")?),
        org: OrgId::from_bytes(bytes(row, "org")?),
        hash: KeyedHash::from_bytes(bytes(row, "hash")?),
        email: email.into(),
        role: role(row)?,
        expires: time(row, "expires")?,
    };
    Ok(InviteRecord {
        invite,
        created: time(row, "created")?,
        accepted: bytes_if(row, "person")?.map(UserId::from_bytes),
    })
}
