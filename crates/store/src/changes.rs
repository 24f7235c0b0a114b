//! Administrative changes: each one with its line in the audit log, and done once where the caller wants that.

use account::{Key, Limits, OrgId, Owner, PriceVersion, Role, Timestamp, UserId};
use sqlx::{Row, SqliteConnection};

use crate::{
    Correction, Credit, Error, Organisation, Project, Store, User,
    columns::{bytes, stored, time},
    keys, ledger, limits, prices, tenants,
};

/// An answer to a change is kept for so long, in milliseconds: 24 hours.
const KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Something that an administrator does.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new organisation.
    AddOrganisation(Organisation),
    /// A new project.
    AddProject(Project),
    /// A new person.
    AddUser(User),
    /// A person's role in an organisation; none takes them out of it.
    SetMember {
        /// Where.
        org: OrgId,
        /// Who.
        user: UserId,
        /// What they are from now on.
        role: Option<Role>,
    },
    /// A new key.
    AddKey(Key),
    /// Scopes, expiry, revocation or secrets of a key.
    ChangeKey(Key),
    /// All limits of an owner.
    SetLimits {
        /// To whom the owner belongs.
        org: OrgId,
        /// Whose limits.
        owner: Owner,
        /// What they are from now on.
        limits: Limits,
    },
    /// A new version of a model's price.
    AddPrice {
        /// The model's name.
        model: Box<str>,
        /// The version.
        version: PriceVersion,
    },
    /// Credit.
    AddCredit(Credit),
    /// A correction in the ledger.
    Correct(Correction),
}

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

/// The caller's wish that a change be done once, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Who sends: keys of different callers have nothing to do with each other.
    pub caller: Box<str>,
    /// To which route.
    pub route: Box<str>,
    /// The caller's name for the change.
    pub key: Box<str>,
    /// SHA-256 of what was sent.
    pub body_hash: [u8; 32],
    /// The status that answers it.
    pub status: u16,
    /// The body that answers it, without secrets.
    pub answer: Box<str>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It is done now.
    Now,
    /// It was done before: the same payment was told twice.
    Before,
    /// It was sent before and answered so.
    Replayed {
        /// The status.
        status: u16,
        /// The body.
        answer: Box<str>,
    },
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
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

impl Change {
    /// Whose audit log it belongs to; none is the installation's.
    fn org(&self) -> Option<OrgId> {
        match self {
            Self::AddOrganisation(organisation) => Some(organisation.id),
            Self::AddProject(project) => Some(project.org),
            Self::AddKey(key) | Self::ChangeKey(key) => Some(key.org),
            Self::SetMember { org, .. } | Self::SetLimits { org, .. } => Some(*org),
            Self::AddCredit(credit) => Some(credit.org),
            Self::Correct(correction) => Some(correction.org),
            Self::AddUser(_) | Self::AddPrice { .. } => None,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::AddOrganisation(_) => "organisation.add",
            Self::AddProject(_) => "project.add",
            Self::AddUser(_) => "user.add",
            Self::SetMember { .. } => "member.set",
            Self::AddKey(_) => "key.add",
            Self::ChangeKey(_) => "key.change",
            Self::SetLimits { .. } => "limits.set",
            Self::AddPrice { .. } => "price.add",
            Self::AddCredit(_) => "credit.add",
            Self::Correct(_) => "ledger.correct",
        }
    }

    fn object(&self) -> String {
        match self {
            Self::AddOrganisation(organisation) => organisation.id.to_string(),
            Self::AddProject(project) => project.id.to_string(),
            Self::AddUser(user) => user.id.to_string(),
            Self::SetMember { user, .. } => user.to_string(),
            Self::AddKey(key) | Self::ChangeKey(key) => key.id.to_string(),
            Self::SetLimits { owner, .. } => owner.to_string(),
            Self::AddPrice { model, version } => format!("{} of {model}", version.id),
            Self::AddCredit(credit) => credit.org.to_string(),
            Self::Correct(correction) => format!("line {} of {}", correction.corrects, correction.org),
        }
    }
}

impl Store {
    /// Makes a change and notes it in the audit log, in one transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`], [`Error::NotFound`] and [`Error::OtherBody`] leave everything as it was.
    pub async fn apply(&self, change: Change, act: Act, once: Option<Once>) -> Result<Applied, Error> {
        self.write(move |connection| Box::pin(apply(connection, change, act, once))).await
    }

    /// The audit log of an organisation, newest first.
    pub async fn audit(&self, org: OrgId, most: u32) -> Result<Vec<AuditEntry>, Error> {
        let query = sqlx::query("SELECT * FROM audit WHERE org = ? ORDER BY sequence DESC LIMIT ?");
        let rows = query.bind(&org.as_bytes()[..]).bind(most).fetch_all(self.readers()).await?;
        let text = |row: &sqlx::sqlite::SqliteRow, column: &str| -> Result<Option<Box<str>>, Error> {
            Ok(row.try_get::<Option<String>, _>(column)?.map(Into::into))
        };
        let entry = |row| {
            Ok(AuditEntry {
                at: time(row, "at")?,
                actor: text(row, "actor")?.unwrap_or_default(),
                action: text(row, "action")?.unwrap_or_default(),
                object: text(row, "object")?.unwrap_or_default(),
                before: text(row, "before")?,
                after: text(row, "after")?,
                address: text(row, "address")?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

async fn apply(
    connection: &mut SqliteConnection,
    change: Change,
    act: Act,
    once: Option<Once>,
) -> Result<Applied, Error> {
    if let Some(once) = &once
        && let Some(before) = find(&mut *connection, once, act.at).await?
    {
        return Ok(before);
    }
    let now = act.at;
    let done = match &change {
        Change::AddOrganisation(organisation) => tenants::add_organisation(&mut *connection, organisation, now).await,
        Change::AddProject(project) => tenants::add_project(&mut *connection, project, now).await,
        Change::AddUser(user) => tenants::add_user(&mut *connection, user, now).await,
        Change::SetMember { org, user, role } => tenants::set_member(&mut *connection, *org, *user, *role).await,
        Change::AddKey(key) => keys::add_key(&mut *connection, key, now).await,
        Change::ChangeKey(key) => keys::change_key(&mut *connection, key).await,
        Change::SetLimits { org, owner, limits } => limits::set_limits(&mut *connection, *org, owner, limits).await,
        Change::AddPrice { model, version } => prices::add_price(&mut *connection, model, version).await,
        Change::AddCredit(credit) => match ledger::add_credit(&mut *connection, credit, now).await {
            Ok(true) => Ok(()),
            Ok(false) => return Ok(Applied::Before),
            Err(error) => Err(error),
        },
        Change::Correct(correction) => ledger::add_correction(&mut *connection, correction, now).await,
    };
    done?;
    log(&mut *connection, &change, &act).await?;
    if let Some(once) = &once {
        remember(connection, once, now).await?;
    }
    Ok(Applied::Now)
}

async fn log(connection: &mut SqliteConnection, change: &Change, act: &Act) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit (at, org, actor, action, object, before, after, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(act.at.as_millis())
    .bind(change.org().map(|org| org.as_bytes().to_vec()))
    .bind(&*act.actor)
    .bind(change.action())
    .bind(change.object())
    .bind(act.before.as_deref())
    .bind(act.after.as_deref())
    .bind(act.address.as_deref())
    .execute(connection)
    .await?;
    Ok(())
}

async fn find(connection: &mut SqliteConnection, once: &Once, now: Timestamp) -> Result<Option<Applied>, Error> {
    let gone = sqlx::query("DELETE FROM idempotency WHERE at < ?").bind(now.as_millis().saturating_sub(KEPT_MILLIS));
    gone.execute(&mut *connection).await?;
    let query =
        sqlx::query("SELECT body_hash, status, answer FROM idempotency WHERE caller = ? AND route = ? AND key = ?");
    let query = query.bind(&*once.caller).bind(&*once.route).bind(&*once.key);
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
    if bytes::<32>(&row, "body_hash")? != once.body_hash {
        return Err(Error::OtherBody);
    }
    let answer: String = row.try_get("answer")?;
    Ok(Some(Applied::Replayed { status: row.try_get("status")?, answer: answer.into() }))
}

async fn remember(connection: &mut SqliteConnection, once: &Once, now: Timestamp) -> Result<(), Error> {
    let query =
        "INSERT INTO idempotency (caller, route, key, body_hash, status, answer, at) VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(query)
        .bind(&*once.caller)
        .bind(&*once.route)
        .bind(&*once.key)
        .bind(&once.body_hash[..])
        .bind(stored(once.status.into()))
        .bind(&*once.answer)
        .bind(now.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}
