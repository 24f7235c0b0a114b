//! Who may call and what is left for them: keys, people, prices and the meter, in memory.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use account::{
    ApiKey, CsrfToken, Key, KeyId, KeyRefusal, KeyedHash, Meter, NotPriced, OrgId, Pepper, Person, PriceHistory,
    PriceVersion, ProjectId, Session, Timestamp, Token,
};
use futures::{FutureExt, future::BoxFuture};
use store::{Change, Store};
use tokio::sync::watch;

use crate::{journal::Journal, people::People};

pub(crate) use store::now;

/// Everything about tenants that requests need, loaded once and looked up without waiting. Cloning it is cheap; all
/// clones are one.
#[derive(Clone)]
pub struct Tenancy(Arc<Shared>);

struct Shared {
    pepper: Pepper,
    /// By the hash of each secret that works. Leaf locks all: held for a look-up or for arithmetic, never across a wait.
    keys: RwLock<HashMap<KeyedHash, Arc<Key>>>,
    prices: RwLock<BTreeMap<Box<str>, PriceHistory>>,
    meter: Mutex<Meter>,
    /// When keys were last used, since that was last written down.
    used: Mutex<HashMap<KeyId, Timestamp>>,
    /// Keys that were revoked; what runs with one looks here.
    revoked: watch::Sender<HashSet<KeyId>>,
    /// Who is signed in; what runs with a session looks here.
    people: watch::Sender<People>,
    journal: Arc<dyn Journal>,
}

impl Tenancy {
    /// Knows nobody yet.
    pub fn new(pepper: Pepper, journal: Arc<dyn Journal>) -> Self {
        let (keys, prices, meter, used) = Default::default();
        let (revoked, people) = (watch::Sender::default(), watch::Sender::default());
        Self(Arc::new(Shared { pepper, keys, prices, meter, used, revoked, people, journal }))
    }

    /// Takes over what a store holds: organisations and their balances, limits and what was spent of budgets, keys, people and
    /// their sessions, prices.
    pub async fn load(store: &Store) -> Result<Self, store::Error> {
        let tenancy = Self::new(store.pepper().clone(), Arc::new(store.clone()));
        let now = now();
        for organisation in store.organisations().await? {
            let id = organisation.id;
            let balance = store.head(id).await?.balance;
            let budgets = {
                let mut meter = tenancy.meter();
                meter.set_organisation(id, organisation.zone, organisation.billing);
                meter.credit(id, balance);
                meter.periods(id, now).budgets()
            };
            // Of everybody, budget or not: whoever gets one later has spent what was spent.
            for (budget, period) in budgets {
                for (owner, spent) in store.spent(id, period).await? {
                    tenancy.meter().restore(owner, budget, period, spent);
                }
            }
        }
        let mut people = People::default();
        for organisation in store.organisations().await? {
            for project in store.projects(organisation.id).await? {
                people.add_project(project.id, project.org);
            }
        }
        store.people().await?.into_iter().for_each(|person| people.add_person(person));
        store.sessions().await?.into_iter().for_each(|session| people.add_session(session));
        tenancy.0.people.send_replace(people);
        for key in store.keys().await? {
            tenancy.set_key(key);
        }
        for (owner, limits) in store.limits().await? {
            tenancy.meter().set_limits(owner, limits);
        }
        tenancy.set_prices(store.prices().await?);
        Ok(tenancy)
    }

    /// Takes over a change that is durable: it holds from now on.
    pub fn apply(&self, change: &Change) {
        self.0.people.send_modify(|people| people.apply(change));
        match change {
            Change::AddOrganisation(organisation) | Change::ChangeOrganisation(organisation) => {
                self.meter().set_organisation(organisation.id, organisation.zone.clone(), organisation.billing);
            }
            Change::AddKey(key) | Change::ChangeKey(key) => self.set_key(key.clone()),
            Change::SetLimits { owner, limits, .. } => self.meter().set_limits(*owner, *limits),
            Change::AddPrice { model, version } => self.add_price(model, version),
            Change::AddCredit(credit) => self.meter().credit(credit.org, credit.amount),
            Change::RedeemCode { org, amount, .. } => self.meter().credit(*org, *amount),
            Change::Correct(correction) => self.meter().credit(correction.org, correction.amount),
            // Requests ask for none of these.
            Change::AddProject(_) | Change::ChangeProject(_) | Change::AddCode(_) => {}
            Change::AddInvite(_) | Change::RemoveInvite { .. } | Change::AcceptInvite { .. } => {}
            Change::AddReset(_) | Change::UseReset { .. } | Change::UseSignIn { .. } => {}
            Change::LinkIdentity(_) => {}
            // That is theirs.
            Change::AddUser(_) | Change::ChangeUser(_) | Change::RemoveUser(_) | Change::SetPassword { .. } => {}
            Change::DropPassword(_) | Change::UnlinkIdentity { .. } => {}
            Change::AddMember { .. } | Change::SetMember { .. } => {}
            Change::SetRetention(_) => {}
            Change::AddWebhook(_) | Change::ChangeWebhook(_) => {}
            Change::RemoveWebhook { .. } | Change::PingWebhook { .. } => {}
            Change::AddSession(_) | Change::EndSession(_) => {}
        }
    }

    /// Makes a key known, or a change of it. What runs with a key that is revoked is cancelled.
    pub fn set_key(&self, key: Key) {
        if key.revoked.is_some() {
            self.0.revoked.send_if_modified(|revoked| revoked.insert(key.id));
        }
        let key = Arc::new(key);
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, known| known.id != key.id);
        if let Some(previous) = &key.previous {
            keys.insert(previous.hash, Arc::clone(&key));
        }
        keys.insert(key.secret, key);
    }

    /// Replaces all prices.
    pub fn set_prices(&self, prices: BTreeMap<Box<str>, PriceHistory>) {
        *self.0.prices.write().unwrap_or_else(PoisonError::into_inner) = prices;
    }

    fn add_price(&self, model: &str, version: &PriceVersion) {
        let mut prices = self.0.prices.write().unwrap_or_else(PoisonError::into_inner);
        let history = prices.entry(model.into()).or_default();
        *history = PriceHistory::new(history.versions().chain([version]).cloned().collect());
    }

    /// When keys were last used, of those that were since the last call.
    pub fn take_used(&self) -> Vec<(KeyId, Timestamp)> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }

    /// All limits, balances and open requests. What is done under this lock is arithmetic.
    pub fn meter(&self) -> MutexGuard<'_, Meter> {
        self.0.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key that a secret opens.
    pub(crate) fn identify(&self, secret: &ApiKey) -> Result<Arc<Key>, KeyRefusal> {
        let hash = self.0.pepper.hash(&secret.hash());
        let key = self.0.keys.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let key = key.ok_or(KeyRefusal::Unknown)?;
        let now = now();
        key.check(&hash, now)?;
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner).insert(key.id, now);
        Ok(key)
    }

    /// Whose session a token is, if it holds.
    pub(crate) fn session(&self, token: &Token) -> Option<(Arc<Person>, Session)> {
        self.0.people.borrow().session(&self.0.pepper.hash_token(token), now())
    }

    /// The second secret of a session.
    pub(crate) fn csrf_token(&self, session: &KeyedHash) -> CsrfToken {
        self.0.pepper.csrf_token(session)
    }

    /// Whose project this is.
    pub(crate) fn organisation_of(&self, project: ProjectId) -> Option<OrgId> {
        self.0.people.borrow().organisation_of(project)
    }

    /// When sessions were last used, of those that were since the last call.
    pub fn take_seen(&self) -> Vec<(KeyedHash, Timestamp)> {
        self.0.people.borrow().take_seen()
    }

    /// Completes when somebody ends the session: it is signed out of, or its person is no longer who they were.
    pub(crate) fn end_of_session(&self, session: KeyedHash) -> BoxFuture<'static, ()> {
        let mut people = self.0.people.subscribe();
        async move {
            // Without a sender nobody is left who could end it.
            if people.wait_for(|people| !people.has_session(&session)).await.is_err() {
                std::future::pending().await
            }
        }
        .boxed()
    }

    /// Completes when the key is revoked.
    pub(crate) fn revocation(&self, key: KeyId) -> BoxFuture<'static, ()> {
        let mut revoked = self.0.revoked.subscribe();
        async move {
            // Without a sender nobody is left who could revoke.
            if revoked.wait_for(|revoked| revoked.contains(&key)).await.is_err() {
                std::future::pending().await
            }
        }
        .boxed()
    }

    /// The price of a model at a moment.
    pub(crate) fn price(&self, model: &str, at: Timestamp) -> Result<PriceVersion, NotPriced> {
        let prices = self.0.prices.read().unwrap_or_else(PoisonError::into_inner);
        prices.get(model).ok_or(NotPriced)?.at(at).cloned()
    }

    pub(crate) fn journal(&self) -> &dyn Journal {
        &*self.0.journal
    }
}
