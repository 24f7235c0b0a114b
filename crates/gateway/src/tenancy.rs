//! Who may call and what is left for them: keys, prices and the meter, in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use account::{
    ApiKey, Key, KeyRefusal, KeyedHash, Meter, NotPriced, Owner, Pepper, PriceHistory, PriceVersion, Timestamp,
};
use store::Store;

use crate::journal::Journal;

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
    journal: Arc<dyn Journal>,
}

impl Tenancy {
    /// Knows nobody yet.
    pub fn new(pepper: Pepper, journal: Arc<dyn Journal>) -> Self {
        let (keys, prices, meter) = Default::default();
        Self(Arc::new(Shared { pepper, keys, prices, meter, journal }))
    }

    /// Takes over what a store holds: organisations and their balances, limits and what was spent of budgets, keys, prices.
    pub async fn load(store: &Store) -> Result<Self, store::Error> {
        let tenancy = Self::new(store.pepper().clone(), Arc::new(store.clone()));
        let mut orgs = HashMap::new();
        for organisation in store.organisations().await? {
            let balance = store.head(organisation.id).await?.balance;
            orgs.insert(Owner::Organisation(organisation.id), organisation.id);
            for project in store.projects(organisation.id).await? {
                orgs.insert(Owner::Project(project.id), organisation.id);
            }
            let mut meter = tenancy.meter();
            meter.set_organisation(organisation.id, organisation.zone, organisation.billing);
            meter.credit(organisation.id, balance);
        }
        for key in store.keys().await? {
            orgs.insert(Owner::Key(key.id), key.org);
            tenancy.set_key(key);
        }
        let now = now();
        for (owner, limits) in store.limits().await? {
            tenancy.meter().set_limits(owner, limits);
            let Some(org) = orgs.get(&owner).copied() else { continue };
            let budgets = tenancy.meter().periods(org, now).budgets();
            for (budget, period) in budgets.into_iter().filter(|(budget, _)| limits.get(*budget).is_some()) {
                let spent = store.spent(org, owner, period).await?;
                tenancy.meter().restore(owner, budget, period, spent);
            }
        }
        tenancy.set_prices(store.prices().await?);
        Ok(tenancy)
    }

    /// Makes a key known, or a change of it.
    pub fn set_key(&self, key: Key) {
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

    /// All limits, balances and open requests. What is done under this lock is arithmetic.
    pub fn meter(&self) -> MutexGuard<'_, Meter> {
        self.0.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key that a secret opens.
    pub(crate) fn identify(&self, secret: &ApiKey) -> Result<Arc<Key>, KeyRefusal> {
        let hash = self.0.pepper.hash(&secret.hash());
        let key = self.0.keys.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let key = key.ok_or(KeyRefusal::Unknown)?;
        key.check(&hash, now())?;
        Ok(key)
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

/// The time of the day, which rules are given and do not ask for.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
