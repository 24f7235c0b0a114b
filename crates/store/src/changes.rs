//! Administrative changes: each one with its line in the audit log, and done once where the caller wants that.

use account::Timestamp;
use sqlx::{Row, SqliteConnection};

use crate::{
    Act, Change, Error, Store, audit, codes,
    columns::{bytes, stored},
    identities, invites, keys, ledger, limits, people, prices, retention, sessions, tenants, webhooks,
};

/// An answer to a change is kept for so long, in milliseconds: 24 hours.
const KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;

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

impl Store {
    /// Makes a change and notes it in the audit log, in one transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`], [`Error::NotFound`] and [`Error::OtherBody`] leave everything as it was.
    pub async fn apply(&self, change: Change, act: Act, once: Option<Once>) -> Result<Applied, Error> {
        self.apply_all(vec![(change, act)], once).await
    }

    /// The same for changes that belong together: all of them or none.
    pub async fn apply_all(&self, changes: Vec<(Change, Act)>, once: Option<Once>) -> Result<Applied, Error> {
        self.write(move |connection| Box::pin(apply(connection, changes, once))).await
    }
}

async fn apply(
    connection: &mut SqliteConnection,
    changes: Vec<(Change, Act)>,
    once: Option<Once>,
) -> Result<Applied, Error> {
    let Some(now) = changes.first().map(|(_, act)| act.at) else { return Ok(Applied::Now) };
    if let Some(once) = &once
        && let Some(before) = find(&mut *connection, once, now).await?
    {
        return Ok(before);
    }
    for (change, act) in &changes {
        if make(&mut *connection, change, now).await? == Applied::Before {
            return Ok(Applied::Before);
        }
        audit::log(&mut *connection, change, act).await?;
    }
    if let Some(once) = &once {
        remember(connection, once, now).await?;
    }
    Ok(Applied::Now)
}

async fn make(connection: &mut SqliteConnection, change: &Change, now: Timestamp) -> Result<Applied, Error> {
    match change {
        Change::AddOrganisation(organisation) => tenants::add_organisation(connection, organisation, now).await,
        Change::ChangeOrganisation(organisation) => tenants::change_organisation(connection, organisation).await,
        Change::AddProject(project) => tenants::add_project(connection, project, now).await,
        Change::ChangeProject(project) => tenants::change_project(connection, project).await,
        Change::AddUser(user) => people::add_user(connection, user, now).await,
        Change::AddMember { org, user, role } => people::add_member(connection, *org, *user, *role).await,
        Change::SetMember { org, user, role } => people::set_member(connection, *org, *user, *role).await,
        Change::ChangeUser(user) => people::change_user(connection, user).await,
        Change::RemoveUser(user) => people::remove_user(connection, *user).await,
        Change::SetPassword { user, hash } => sessions::set_password(connection, *user, hash).await,
        Change::DropPassword(user) => sessions::drop_password(connection, *user).await,
        Change::LinkIdentity(identity) => identities::link(connection, identity, now).await,
        Change::UnlinkIdentity { user, identity } => identities::unlink(connection, *user, *identity).await,
        Change::UseSignIn { hash, expires, .. } => identities::use_sign_in(connection, hash, *expires, now).await,
        Change::AddSession(session) => sessions::add_session(connection, session).await,
        Change::EndSession(session) => sessions::end_session(connection, session).await,
        Change::AddInvite(invite) => invites::add_invite(connection, invite, now).await,
        Change::RemoveInvite { org, invite } => invites::remove_invite(connection, *org, *invite).await,
        Change::AcceptInvite { org, invite, user } => {
            invites::accept_invite(connection, *org, *invite, *user, now).await
        }
        Change::AddReset(reset) => invites::add_reset(connection, reset).await,
        Change::UseReset { user, hash } => invites::use_reset(connection, *user, hash, now).await,
        Change::AddKey(key) => keys::add_key(connection, key, now).await,
        Change::ChangeKey(key) => keys::change_key(connection, key).await,
        Change::SetLimits { org, owner, limits } => limits::set_limits(connection, *org, owner, limits, now).await,
        Change::AddPrice { model, version } => prices::add_price(connection, model, version).await,
        Change::AddCredit(credit) => {
            let is_new = ledger::add_credit(connection, credit, now).await?;
            return Ok(if is_new { Applied::Now } else { Applied::Before });
        }
        Change::AddCode(code) => codes::add_code(connection, code, now).await,
        Change::RedeemCode { org, code, amount } => codes::redeem_code(connection, *org, *code, *amount, now).await,
        Change::Correct(correction) => ledger::add_correction(connection, correction, now).await,
        Change::SetRetention(setting) => retention::set(connection, setting).await,
        Change::AddWebhook(webhook) => webhooks::add(connection, webhook, now).await,
        Change::ChangeWebhook(webhook) => webhooks::change(connection, webhook).await,
        Change::RemoveWebhook { org, webhook } => webhooks::remove(connection, *org, *webhook).await,
        Change::PingWebhook { org, webhook, event } => webhooks::ping(connection, *org, *webhook, *event, now).await,
    }?;
    Ok(Applied::Now)
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
