//! People, and what they are in which organisation.

use std::collections::BTreeMap;

use account::{OrgId, Person, Role, Timestamp, UserId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Made, Organisation, Store,
    columns::bytes,
    sessions,
    tenants::{made, organisation},
};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The address by which they are known, unique in the installation.
    pub email: Box<str>,
    /// Whether they run the installation.
    pub operator: bool,
}

/// Makes a person known.
pub(crate) async fn add_user(connection: &mut SqliteConnection, user: &User, now: Timestamp) -> Result<(), Error> {
    sqlx::query("INSERT INTO users (id, email, operator, created) VALUES (?, ?, ?, ?)")
        .bind(&user.id.as_bytes()[..])
        .bind(&*user.email)
        .bind(user.operator)
        .bind(now.as_millis())
        .execute(connection)
        .await
        .map_err(|error| Error::from(error).or_conflict("a user with this address"))?;
    Ok(())
}

/// Writes what can change of a person. What they could do in their sessions was meant for who they were.
pub(crate) async fn change_user(connection: &mut SqliteConnection, user: &User) -> Result<(), Error> {
    let query = sqlx::query("UPDATE users SET operator = ? WHERE id = ?").bind(user.operator);
    let done = query.bind(&user.id.as_bytes()[..]).execute(&mut *connection).await?;
    if done.rows_affected() == 0 {
        return Err(Error::NotFound { what: "user" });
    }
    sessions::end_all(connection, user.id).await
}

/// Takes a person out of every organisation, and away. The audit log goes on to name the id.
pub(crate) async fn remove_user(connection: &mut SqliteConnection, user: UserId) -> Result<(), Error> {
    for (org, _) in roles(&mut *connection, user).await? {
        set_member(&mut *connection, org, user, None).await?;
    }
    sessions::drop_password(&mut *connection, user).await?;
    let identities = sqlx::query("DELETE FROM identities WHERE person = ?").bind(&user.as_bytes()[..]);
    identities.execute(&mut *connection).await?;
    let gone = sqlx::query("DELETE FROM users WHERE id = ?").bind(&user.as_bytes()[..]).execute(connection).await?;
    if gone.rows_affected() == 0 { Err(Error::NotFound { what: "user" }) } else { Ok(()) }
}

/// Takes a person into an organisation.
pub(crate) async fn add_member(
    connection: &mut SqliteConnection,
    org: OrgId,
    user: UserId,
    role: Role,
) -> Result<(), Error> {
    let query = sqlx::query("INSERT INTO members (org, person, role) VALUES (?, ?, ?)");
    let query = query.bind(&org.as_bytes()[..]).bind(&user.as_bytes()[..]).bind(role.as_str());
    query.execute(connection).await.map_err(|error| Error::from(error).or_conflict("this membership"))?;
    Ok(())
}

/// Gives a person a role in an organisation in place of the one they had. Where they had one, their sessions end.
///
/// # Errors
///
/// [`Error::LastOwner`] when nobody would be left who owns it.
pub(crate) async fn set_member(
    connection: &mut SqliteConnection,
    org: OrgId,
    user: UserId,
    role: Option<Role>,
) -> Result<(), Error> {
    let before = roles(&mut *connection, user).await?.remove(&org);
    let gone = sqlx::query("DELETE FROM members WHERE org = ? AND person = ?");
    gone.bind(&org.as_bytes()[..]).bind(&user.as_bytes()[..]).execute(&mut *connection).await?;
    if let Some(role) = role {
        add_member(&mut *connection, org, user, role).await?;
    }
    if before == Some(Role::Owner) && role != Some(Role::Owner) {
        let query = sqlx::query("SELECT COUNT(*) AS owners FROM members WHERE org = ? AND role = ?");
        let query = query.bind(&org.as_bytes()[..]).bind(Role::Owner.as_str());
        if query.fetch_one(&mut *connection).await?.try_get::<i64, _>("owners")? == 0 {
            return Err(Error::LastOwner);
        }
    }
    if before.is_some_and(|before| role != Some(before)) {
        sessions::end_all(connection, user).await?;
    }
    Ok(())
}

impl Store {
    /// One person.
    pub async fn user(&self, id: UserId) -> Result<Option<Made<User>>, Error> {
        let query = sqlx::query("SELECT * FROM users WHERE id = ?").bind(&id.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(|row| made(row, user(row)?)).transpose()
    }

    /// People in the order of their ids, `most` of those behind `after`; only the one with this address, where one is given.
    pub async fn user_page(
        &self,
        email: Option<&str>,
        after: Option<UserId>,
        most: u32,
    ) -> Result<Vec<Made<User>>, Error> {
        let query = sqlx::query(
            "SELECT * FROM users WHERE (?1 IS NULL OR email = ?1) AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3",
        );
        let query = query.bind(email).bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(|row| made(row, user(row)?)).collect()
    }

    /// One person of an organisation and their role.
    pub async fn member(&self, org: OrgId, id: UserId) -> Result<Option<(User, Role)>, Error> {
        let query = sqlx::query(
            "SELECT users.*, members.role FROM members JOIN users ON users.id = members.person
             WHERE members.org = ? AND members.person = ?",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(&id.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(member).transpose()
    }

    /// The people of an organisation with their roles in the order of their ids, `most` of those behind `after`; only the
    /// one with this address, where one is given.
    pub async fn member_page(
        &self,
        org: OrgId,
        email: Option<&str>,
        after: Option<UserId>,
        most: u32,
    ) -> Result<Vec<(User, Role)>, Error> {
        let query = sqlx::query(
            "SELECT users.*, members.role FROM members JOIN users ON users.id = members.person
             WHERE members.org = ?1 AND (?2 IS NULL OR users.email = ?2) AND (?3 IS NULL OR members.person > ?3)
             ORDER BY members.person LIMIT ?4",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(email).bind(after.map(|id| id.as_bytes().to_vec()));
        query.bind(most).fetch_all(self.readers()).await?.iter().map(member).collect()
    }

    /// One person with all that they are.
    pub async fn person(&self, id: UserId) -> Result<Option<Person>, Error> {
        let mut transaction = self.readers().begin().await?;
        let query = sqlx::query("SELECT * FROM users WHERE id = ?").bind(&id.as_bytes()[..]);
        let Some(row) = query.fetch_optional(&mut *transaction).await? else { return Ok(None) };
        let operator = user(&row)?.operator;
        Ok(Some(Person { id, operator, roles: roles(&mut transaction, id).await? }))
    }

    /// Everybody, to be looked up in memory.
    pub async fn people(&self) -> Result<Vec<Person>, Error> {
        let mut transaction = self.readers().begin().await?;
        let mut people: BTreeMap<UserId, Person> = BTreeMap::new();
        for row in sqlx::query("SELECT * FROM users").fetch_all(&mut *transaction).await? {
            let User { id, operator, .. } = user(&row)?;
            people.insert(id, Person { id, operator, roles: BTreeMap::new() });
        }
        for row in sqlx::query("SELECT org, person, role FROM members").fetch_all(&mut *transaction).await? {
            if let Some(person) = people.get_mut(&UserId::from_bytes(bytes(&row, "person")?)) {
                person.roles.insert(OrgId::from_bytes(bytes(&row, "org")?), role(&row)?);
            }
        }
        Ok(people.into_values().collect())
    }

    /// The organisations that a person belongs to, in the order in which they were made, `most` of those behind `after`; only
    /// the one of this name, where one is given.
    pub async fn organisation_page_of(
        &self,
        user: UserId,
        name: Option<&str>,
        after: Option<OrgId>,
        most: u32,
    ) -> Result<Vec<(Made<Organisation>, Role)>, Error> {
        let query = sqlx::query(
            "SELECT organisations.*, members.role
             FROM organisations JOIN members ON members.org = organisations.id AND members.person = ?1
             WHERE (?2 IS NULL OR organisations.name = ?2) AND (?3 IS NULL OR (organisations.created, organisations.id) >
                 (SELECT last.created, last.id FROM organisations AS last WHERE last.id = ?3))
             ORDER BY organisations.created, organisations.id LIMIT ?4",
        );
        let query = query.bind(&user.as_bytes()[..]).bind(name);
        let query = query.bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok((made(row, organisation(row)?)?, role(row)?))).collect()
    }
}

/// What a person is where.
async fn roles(connection: &mut SqliteConnection, user: UserId) -> Result<BTreeMap<OrgId, Role>, Error> {
    let query = sqlx::query(
        "SELECT members.org, members.role FROM users JOIN members ON members.person = users.id WHERE users.id = ?",
    );
    let rows = query.bind(&user.as_bytes()[..]).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((OrgId::from_bytes(bytes(row, "org")?), role(row)?))).collect()
}

fn user(row: &SqliteRow) -> Result<User, Error> {
    let email: String = row.try_get("email")?;
    let id = UserId::from_bytes(bytes(row, "id")?);
    Ok(User { id, email: email.into(), operator: row.try_get("operator")? })
}

fn member(row: &SqliteRow) -> Result<(User, Role), Error> {
    Ok((user(row)?, role(row)?))
}

pub(crate) fn role(row: &SqliteRow) -> Result<Role, Error> {
    Role::parse(row.try_get("role")?).map_err(|_| Error::Corrupt { what: "role" })
}
