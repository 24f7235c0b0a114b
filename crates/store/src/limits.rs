//! Limits of organisations, projects and keys.

use std::collections::BTreeMap;

use account::{KeyId, LimitKind, Limits, OrgId, Owner, ProjectId, Timestamp};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{Error, Store, columns::bytes, notices};

/// Replaces all limits of an owner, who belongs to `org`.
pub(crate) async fn set_limits(
    connection: &mut SqliteConnection,
    org: OrgId,
    owner: &Owner,
    limits: &Limits,
    now: Timestamp,
) -> Result<(), Error> {
    let (kind_of_owner, id) = parts(owner);
    if !belongs(&mut *connection, org, owner).await? {
        return Err(Error::NotFound { what: kind_of_owner });
    }
    let before = read(&mut *connection, org, owner).await?;
    let gone = sqlx::query("DELETE FROM limits WHERE org = ? AND owner_kind = ? AND owner = ?");
    gone.bind(&org.as_bytes()[..]).bind(kind_of_owner).bind(&id[..]).execute(&mut *connection).await?;
    for kind in LimitKind::SETTABLE {
        let Some(allowed) = limits.get(kind) else { continue };
        sqlx::query("INSERT INTO limits (org, owner_kind, owner, kind, allowed) VALUES (?, ?, ?, ?, ?)")
            .bind(&org.as_bytes()[..])
            .bind(kind_of_owner)
            .bind(&id[..])
            .bind(kind.as_str())
            .bind(i64::try_from(allowed).unwrap_or(i64::MAX))
            .execute(&mut *connection)
            .await?;
    }
    notices::limits_changed(connection, org, *owner, &before, limits, now).await
}

/// The limits of an owner, who belongs to `org`.
pub(crate) async fn read(connection: &mut SqliteConnection, org: OrgId, owner: &Owner) -> Result<Limits, Error> {
    let (kind_of_owner, id) = parts(owner);
    let query = sqlx::query("SELECT kind, allowed FROM limits WHERE org = ? AND owner_kind = ? AND owner = ?");
    let query = query.bind(&org.as_bytes()[..]).bind(kind_of_owner).bind(&id[..]);
    let mut limits = Limits::default();
    for row in query.fetch_all(connection).await? {
        limits = limits.with(kind(&row)?, row.try_get("allowed")?);
    }
    Ok(limits)
}

async fn belongs(connection: &mut SqliteConnection, org: OrgId, owner: &Owner) -> Result<bool, Error> {
    let query = match owner {
        Owner::Organisation(id) => return Ok(*id == org),
        Owner::Project(_) => sqlx::query("SELECT 1 FROM projects WHERE org = ? AND id = ?"),
        Owner::Key(_) => sqlx::query("SELECT 1 FROM keys WHERE org = ? AND id = ?"),
    };
    let found = query.bind(&org.as_bytes()[..]).bind(&parts(owner).1[..]).fetch_optional(connection).await?;
    Ok(found.is_some())
}

fn parts(owner: &Owner) -> (&'static str, [u8; 16]) {
    match owner {
        Owner::Organisation(id) => ("organisation", *id.as_bytes()),
        Owner::Project(id) => ("project", *id.as_bytes()),
        Owner::Key(id) => ("key", *id.as_bytes()),
    }
}

impl Store {
    /// The limits of everybody who has some.
    pub async fn limits(&self) -> Result<Vec<(Owner, Limits)>, Error> {
        let mut all: BTreeMap<Owner, Limits> = BTreeMap::new();
        let query = sqlx::query("SELECT owner_kind, owner, kind, allowed FROM limits");
        for row in query.fetch_all(self.readers()).await? {
            let id = bytes(&row, "owner")?;
            let owner = match row.try_get("owner_kind")? {
                "organisation" => Owner::Organisation(OrgId::from_bytes(id)),
                "project" => Owner::Project(ProjectId::from_bytes(id)),
                "key" => Owner::Key(KeyId::from_bytes(id)),
                _ => return Err(Error::Corrupt { what: "owner of a limit" }),
            };
            let limits = all.entry(owner).or_default();
            *limits = limits.with(kind(&row)?, row.try_get("allowed")?);
        }
        Ok(all.into_iter().collect())
    }

    /// The limits of an owner, who belongs to `org`.
    pub async fn limits_of(&self, org: OrgId, owner: &Owner) -> Result<Limits, Error> {
        read(&mut *self.readers().acquire().await?, org, owner).await
    }
}

fn kind(row: &SqliteRow) -> Result<LimitKind, Error> {
    let name: &str = row.try_get("kind")?;
    let kind = LimitKind::SETTABLE.into_iter().find(|kind| kind.as_str() == name);
    kind.ok_or(Error::Corrupt { what: "kind of limit" })
}
