//! What every handler shares, and the one way in which things are changed.

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError},
};

use account::Pepper;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use store::{Act, Applied, Change, Once, Store};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    Caller, Config, Providers, attempts::Attempts, body::Wish, convert, error::ApiError, passwords::Passwords,
};

/// Told of each change as soon as it is durable, in the order in which they were made.
pub type Publish = Box<dyn Fn(&Change) + Send + Sync>;

/// What every handler shares. Cloning it is cheap; all clones are one.
#[derive(Clone)]
pub struct Control(Arc<Shared>);

struct Shared {
    store: Store,
    publish: Publish,
    /// Held from the reading of what a change depends on until the change is known everywhere. Administration is rare, and
    /// whoever waits here waits for somebody's commit.
    turn: Arc<Mutex<()>>,
    secure: bool,
    webhooks_without_tls: bool,
    passwords: Passwords,
    providers: Providers,
    /// A leaf lock: held for a little arithmetic.
    attempts: std::sync::Mutex<Attempts>,
}

/// The right to change something: there is one at a time.
pub(crate) struct Turn(OwnedMutexGuard<()>);

/// What became of the wish to make something.
pub(crate) enum Done {
    /// It is made now.
    Now,
    /// It was told before.
    Before,
    /// It was sent before and answered so.
    Replayed(Response),
}

impl Control {
    /// Administers the rows of `store`; people sign in with passwords and by `providers`; what runs learns of changes through
    /// `publish`.
    pub fn new(config: Config, providers: Providers, store: Store, publish: Publish) -> Self {
        let passwords = Passwords::new(store.pepper().clone(), config.cost);
        let Config { secure, webhooks_without_tls, .. } = config;
        let (turn, attempts) = (Arc::default(), std::sync::Mutex::default());
        Self(Arc::new(Shared { store, publish, turn, secure, webhooks_without_tls, passwords, providers, attempts }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn pepper(&self) -> &Pepper {
        self.0.store.pepper()
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub(crate) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    /// Whether cookies are for TLS alone.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Whether webhooks may be sent to without TLS.
    pub(crate) fn sends_without_tls(&self) -> bool {
        self.0.webhooks_without_tls
    }

    /// Counts an attempt to come in as `account`, or refuses it.
    pub(crate) fn attempt(&self, account: &str, address: Option<IpAddr>) -> Result<(), ApiError> {
        let mut attempts = self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = attempts.attempt(account, address, store::now());
        counted.map_err(|retry_after| ApiError::TooManyAttempts { retry_after })
    }

    /// The same for whoever comes back from a provider.
    pub(crate) fn attempt_from(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        let mut attempts = self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = attempts.attempt_from(address, store::now());
        counted.map_err(|retry_after| ApiError::TooManyAttempts { retry_after })
    }

    /// Waits for the right to change something. What is read with it does not change until it is given back.
    pub(crate) async fn turn(&self) -> Turn {
        Turn(Arc::clone(&self.0.turn).lock_owned().await)
    }

    /// Makes something new, which is answered with `answer`; that has no secrets in it.
    pub(crate) async fn make<T: Serialize>(
        &self,
        caller: &Caller,
        change: Change,
        wish: Option<Wish>,
        answer: &T,
    ) -> Result<Done, ApiError> {
        let turn = self.turn().await;
        let act = caller.act(None, Some(text(answer)));
        self.make_all(turn, vec![(change, act)], wish, answer).await
    }

    /// The same for changes that belong together, with the right to change taken before.
    pub(crate) async fn make_all<T: Serialize>(
        &self,
        turn: Turn,
        changes: Vec<(Change, Act)>,
        wish: Option<Wish>,
        answer: &T,
    ) -> Result<Done, ApiError> {
        let once = wish.map(|wish| wish.once(StatusCode::CREATED.as_u16(), &text(answer)));
        match self.commit(turn, changes, once).await? {
            Applied::Now => Ok(Done::Now),
            Applied::Before => Ok(Done::Before),
            Applied::Replayed { status, answer } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
                Ok(Done::Replayed((status, Json(answer)).into_response()))
            }
        }
    }

    /// Changes something from `before` to `after`, which have no secrets in them.
    pub(crate) async fn change<T: Serialize>(
        &self,
        turn: Turn,
        caller: &Caller,
        change: Change,
        before: &T,
        after: &T,
    ) -> Result<(), ApiError> {
        let act = caller.act(Some(text(before)), Some(text(after)));
        self.commit(turn, vec![(change, act)], None).await?;
        Ok(())
    }

    /// Makes a durable change known to what runs.
    pub(crate) fn publish(&self, change: &Change) {
        (self.0.publish)(change);
    }

    /// Makes all of these changes or none, and ends keys that may do more than their owners from then on. Goes on when the caller
    /// hangs up: what is durable must become known.
    pub(crate) async fn commit(
        &self,
        turn: Turn,
        mut changes: Vec<(Change, Act)>,
        once: Option<Once>,
    ) -> Result<Applied, ApiError> {
        changes.extend(self.keys_that_end(&changes).await?);
        let shared = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let applied = shared.store.apply_all(changes.clone(), once).await;
            if matches!(applied, Ok(Applied::Now)) {
                changes.iter().for_each(|(change, _)| (shared.publish)(change));
            }
            drop(turn.0);
            applied
        });
        Ok(task.await.map_err(|_| ApiError::Internal)??)
    }

    /// The end of each key that may do more than its owner, once these changes are made. It stands here so that nobody who
    /// takes a role away has to think of it.
    async fn keys_that_end(&self, changes: &[(Change, Act)]) -> Result<Vec<(Change, Act)>, ApiError> {
        let mut ends = Vec::new();
        for (change, act) in changes {
            let (user, place, role) = match change {
                Change::SetMember { org, user, role } => (*user, Some(*org), *role),
                Change::RemoveUser(user) => (*user, None, None),
                _ => continue,
            };
            for mut record in self.store().keys_of(user).await? {
                if place.is_some_and(|org| org != record.key.org) || record.key.check_owner(role).is_ok() {
                    continue;
                }
                let before = text(&convert::key(&record));
                record.key.revoke(act.at);
                let after = text(&convert::key(&record));
                let act = Act { before: Some(before.into()), after: Some(after.into()), ..act.clone() };
                ends.push((Change::ChangeKey(record.key), act));
            }
        }
        Ok(ends)
    }
}

impl Done {
    /// The answer: `body`, which may have a secret in it, or what was answered before.
    pub(crate) fn answer<T: Serialize>(self, body: T) -> Response {
        match self {
            Self::Now => (StatusCode::CREATED, Json(body)).into_response(),
            Self::Before => Json(body).into_response(),
            Self::Replayed(response) => response,
        }
    }
}

/// As the audit log keeps it.
pub(crate) fn text<T: Serialize>(value: &T) -> String {
    // Our own types serialise.
    serde_json::to_string(value).unwrap_or_default()
}
