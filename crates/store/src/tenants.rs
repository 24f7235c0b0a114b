//! Organisations and their projects.

use account::{Billing, Name, OrgId, ProjectId, Timestamp, Zone};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, time},
};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// Its id.
    pub id: OrgId,
    /// Its name, unique in the installation.
    pub name: Name,
    /// Whose days and months its budgets have.
    pub zone: Zone,
    /// How it pays.
    pub billing: Billing,
}

/// A project of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub org: OrgId,
    /// Its name, unique in the organisation.
    pub name: Name,
}

/// Something and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made<T> {
    /// What.
    pub what: T,
    /// When.
    pub created: Timestamp,
}

/// Adds an organisation.
pub(crate) async fn add_organisation(
    connection: &mut SqliteConnection,
    organisation: &Organisation,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO organisations (id, name, zone, billing, created) VALUES (?, ?, ?, ?, ?)")
        .bind(&organisation.id.as_bytes()[..])
        .bind(organisation.name.as_str())
        .bind(organisation.zone.name())
        .bind(billing_name(organisation.billing))
        .bind(now.as_millis())
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("an organisation of this name"))?;
    Ok(())
}

/// Writes what can change of an organisation.
pub(crate) async fn change_organisation(
    connection: &mut SqliteConnection,
    organisation: &Organisation,
) -> Result<(), Error> {
    let done = sqlx::query("UPDATE organisations SET name = ?, billing = ? WHERE id = ?")
        .bind(organisation.name.as_str())
        .bind(billing_name(organisation.billing))
        .bind(&organisation.id.as_bytes()[..])
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("an organisation of this name"))?;
    if done.rows_affected() == 0 { Err(Error::NotFound { what: "organisation" }) } else { Ok(()) }
}

/// Adds a project.
pub(crate) async fn add_project(
    connection: &mut SqliteConnection,
    project: &Project,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO projects (id, org, name, created) VALUES (?, ?, ?, ?)")
        .bind(&project.id.as_bytes()[..])
        .bind(&project.org.as_bytes()[..])
        .bind(project.name.as_str())
        .bind(now.as_millis())
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("a project of this name"))?;
    Ok(())
}

/// Writes what can change of a project.
pub(crate) async fn change_project(connection: &mut SqliteConnection, project: &Project) -> Result<(), Error> {
    let done = sqlx::query("UPDATE projects SET name = ? WHERE org = ? AND id = ?")
        .bind(project.name.as_str())
        .bind(&project.org.as_bytes()[..])
        .bind(&project.id.as_bytes()[..])
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("a project of this name"))?;
    if done.rows_affected() == 0 { Err(Error::NotFound { what: "project" }) } else { Ok(()) }
}

impl Store {
    /// All organisations, by name.
    pub async fn organisations(&self) -> Result<Vec<Organisation>, Error> {
        let query = sqlx::query("SELECT id, name, zone, billing FROM organisations ORDER BY name");
        query.fetch_all(self.readers()).await?.iter().map(organisation).collect()
    }

    /// One organisation.
    pub async fn organisation(&self, id: OrgId) -> Result<Option<Made<Organisation>>, Error> {
        let query = sqlx::query("SELECT * FROM organisations WHERE id = ?").bind(&id.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(|row| made(row, organisation(row)?)).transpose()
    }

    /// Organisations in the order in which they were made, `most` of those behind `after`; only the one of this name,
    /// where one is given.
    pub async fn organisation_page(
        &self,
        name: Option<&str>,
        after: Option<OrgId>,
        most: u32,
    ) -> Result<Vec<Made<Organisation>>, Error> {
        let query = sqlx::query(
            "SELECT * FROM organisations
             WHERE (?1 IS NULL OR name = ?1)
                 AND (?2 IS NULL OR (created, id) > (SELECT created, id FROM organisations WHERE id = ?2))
             ORDER BY created, id LIMIT ?3",
        );
        let query = query.bind(name).bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(|row| made(row, organisation(row)?)).collect()
    }

    /// One project of an organisation.
    pub async fn project(&self, org: OrgId, id: ProjectId) -> Result<Option<Made<Project>>, Error> {
        let query = sqlx::query("SELECT * FROM projects WHERE org = ? AND id = ?");
        let query = query.bind(&org.as_bytes()[..]).bind(&id.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(|row| made(row, project(org, row)?)).transpose()
    }

    /// Projects of an organisation in the order in which they were made, `most` of those behind `after`; only the one of
    /// this name, where one is given.
    pub async fn project_page(
        &self,
        org: OrgId,
        name: Option<&str>,
        after: Option<ProjectId>,
        most: u32,
    ) -> Result<Vec<Made<Project>>, Error> {
        let query = sqlx::query(
            "SELECT * FROM projects
             WHERE org = ?1 AND (?2 IS NULL OR name = ?2)
                 AND (?3 IS NULL OR (created, id) > (SELECT created, id FROM projects WHERE org = ?1 AND id = ?3))
             ORDER BY created, id LIMIT ?4",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(name);
        let query = query.bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(|row| made(row, project(org, row)?)).collect()
    }

    /// The projects of an organisation, by name.
    pub async fn projects(&self, org: OrgId) -> Result<Vec<Project>, Error> {
        let query = sqlx::query("SELECT id, name FROM projects WHERE org = ? ORDER BY name").bind(&org.as_bytes()[..]);
        query.fetch_all(self.readers()).await?.iter().map(|row| project(org, row)).collect()
    }
}

pub(crate) fn made<T>(row: &SqliteRow, what: T) -> Result<Made<T>, Error> {
    Ok(Made { what, created: time(row, "created")? })
}

fn project(org: OrgId, row: &SqliteRow) -> Result<Project, Error> {
    Ok(Project { id: ProjectId::from_bytes(bytes(row, "id")?), org, name: name(row)? })
}

pub(crate) fn organisation(row: &SqliteRow) -> Result<Organisation, Error> {
    let zone = Zone::parse(row.try_get("zone")?).map_err(|_| Error::Corrupt { what: "zone" })?;
    Ok(Organisation { id: OrgId::from_bytes(bytes(row, "id")?), name: name(row)?, zone, billing: read_billing(row)? })
}

/// How an organisation pays, if there is one.
pub(crate) async fn billing(connection: &mut SqliteConnection, org: OrgId) -> Result<Option<Billing>, Error> {
    let query = sqlx::query("SELECT billing FROM organisations WHERE id = ?").bind(&org.as_bytes()[..]);
    query.fetch_optional(connection).await?.as_ref().map(read_billing).transpose()
}

fn read_billing(row: &SqliteRow) -> Result<Billing, Error> {
    match row.try_get("billing")? {
        "prepaid" => Ok(Billing::Prepaid),
        "postpaid" => Ok(Billing::Postpaid),
        _ => Err(Error::Corrupt { what: "billing" }),
    }
}

fn billing_name(billing: Billing) -> &'static str {
    match billing {
        Billing::Prepaid => "prepaid",
        Billing::Postpaid => "postpaid",
    }
}

pub(crate) fn name(row: &SqliteRow) -> Result<Name, Error> {
    Name::parse(row.try_get("name")?).map_err(|_| Error::Corrupt { what: "name" })
}
