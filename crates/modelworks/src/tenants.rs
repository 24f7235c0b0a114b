//! The tenants of a data folder: opened under its lock, with what a first start needs.

use std::{
    collections::BTreeSet,
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

use account::{
    ApiKey, Billing, Class, Key, KeyHash, KeyId, KeyedHash, ModelAccess, Name, Nano, OrgId, Price, PriceHistory,
    PriceId, PriceVersion, ProjectId, Scopes, Timestamp, Zone,
};
use anyhow::{Context, Result, bail};
use catalog::Catalog;
use gateway::Tenancy;
use store::{Act, Change, KeysOf, Organisation, Project, Store, now};
use tokio::task::JoinHandle;

use crate::webhooks;

/// Held by the one server of a data folder.
const LOCK: &str = "serve.lock";

/// Name of the key that opens everything.
const ADMIN: &str = "admin";

/// The key with which commands on the server's own machine ask: a new secret at each start.
const LOCAL: KeyId = KeyId::from_bytes(*b"local access key");

/// How often it is written down when keys and sessions were last used.
const NOTE: Duration = Duration::from_secs(30);

/// How often request rows are deleted whose time is over.
const EXPIRE_REQUESTS: Duration = Duration::from_secs(60 * 60);

/// How often responses are deleted that have expired, and how many in one transaction.
const EXPIRE_RESPONSES: Duration = Duration::from_secs(60);
const RESPONSES_AT_ONCE: u32 = 500;

/// How often deliveries to webhooks are given up or deleted that are too old.
const EXPIRE_DELIVERIES: Duration = Duration::from_secs(60 * 60);

/// How often it is looked whether another process pulled a model.
const LOOK: Duration = Duration::from_millis(500);

/// The rows of a data folder, and the lock that says they are ours.
pub struct Tenants {
    /// The rows.
    pub store: Store,
    /// What requests look up.
    pub tenancy: Tenancy,
    /// The secret with which commands on this machine ask.
    pub local: ApiKey,
    _lock: File,
}

impl Tenants {
    /// Opens the data folder. What an earlier process left open is ended; the organisation and the project `default` are
    /// there, and in them the key that `admin` is the hash of; models that nobody has priced cost nothing, as long as
    /// nothing here costs anything.
    pub async fn open(data_dir: &Path, admin: &KeyHash, models: &[String]) -> Result<Self> {
        let lock = lock(data_dir)?;
        let store = Store::open(data_dir, store::Config::default()).await.context("opening the data folder's rows")?;
        let now = now();
        let left = store.resolve_open_requests(now).await.context("ending what an earlier process left open")?;
        if left > 0 {
            tracing::warn!(requests = left, "requests that ran when the server last ended were not charged");
        }
        let failed = gateway::fail_interrupted_responses(&store).await.context("ending background responses")?;
        if failed > 0 {
            tracing::warn!(
                responses = failed,
                "background responses that were being made when the server last ended have failed"
            );
        }
        let (org, project) = ensure_default(&store, now).await?;
        ensure_admin_key(&store, org, project, admin, now).await?;
        let local = renew_local_key(&store, org, project, now).await?;
        ensure_prices(&store, models, now).await?;
        let tenancy = Tenancy::load(&store).await.context("reading the data folder's rows")?;
        Ok(Self { store, tenancy, local, _lock: lock })
    }

    /// Writes down now and then when keys and sessions were last used, and deletes what is not to be kept any longer, until
    /// the tasks are aborted.
    pub fn upkeep(&self) -> [JoinHandle<()>; 4] {
        let (store, tenancy) = (self.store.clone(), self.tenancy.clone());
        let note = move || {
            let (store, tenancy) = (store.clone(), tenancy.clone());
            async move { note_use(&store, &tenancy).await }
        };
        let store = self.store.clone();
        let requests = move || expire_requests(store.clone(), now());
        let store = self.store.clone();
        let responses = move || expire_responses(store.clone(), now());
        let store = self.store.clone();
        let deliveries = move || webhooks::expire(store.clone(), now());
        [
            every(NOTE, note),
            every(EXPIRE_REQUESTS, requests),
            every(EXPIRE_RESPONSES, responses),
            every(EXPIRE_DELIVERIES, deliveries),
        ]
    }

    /// Does for models that are pulled from now on what [`Tenants::open`] did for those there were, until it is aborted.
    pub fn watch(&self, catalog: Arc<Catalog>) -> JoinHandle<()> {
        let (store, tenancy) = (self.store.clone(), self.tenancy.clone());
        tokio::spawn(async move {
            let mut known = BTreeSet::new();
            let mut looks = tokio::time::interval(LOOK);
            loop {
                looks.tick().await;
                let catalog = Arc::clone(&catalog);
                let names = move || catalog.models().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
                let Ok(names) = tokio::task::spawn_blocking(names).await else { continue };
                if names.iter().all(|name| known.contains(name)) {
                    continue;
                }
                match price_and_read(&store, &tenancy, &names).await {
                    Ok(()) => known.extend(names),
                    Err(error) => tracing::warn!("models that were pulled are not priced yet: {error:#}"),
                }
            }
        })
    }
}

async fn price_and_read(store: &Store, tenancy: &Tenancy, models: &[String]) -> Result<()> {
    let changes = ensure_prices(store, models, now()).await?;
    changes.iter().for_each(|change| tenancy.apply(change));
    Ok(())
}

/// Writes down when keys and sessions were last used, all at once.
pub async fn note_use(store: &Store, tenancy: &Tenancy) {
    let (used, seen) = (tenancy.take_used(), tenancy.take_seen());
    let written = async {
        if !used.is_empty() {
            store.note_use(used).await?;
        }
        if !seen.is_empty() {
            store.note_sessions(seen).await?;
        }
        Ok::<_, store::Error>(())
    };
    if let Err(error) = written.await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "when keys and sessions were last used was not written down");
    }
}

/// Does something at once and after each `period`, until it is aborted.
fn every<F>(period: Duration, work: impl Fn() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(period);
        loop {
            turns.tick().await;
            work().await;
        }
    })
}

/// Deletes the request rows whose time is over.
async fn expire_requests(store: Store, now: Timestamp) {
    match store.delete_expired(now).await {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "request rows were deleted, because their time is over"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "request rows whose time is over are not deleted yet");
        }
    }
}

/// Deletes the responses that have expired, a part at a time so that nothing else waits for long.
async fn expire_responses(store: Store, now: Timestamp) {
    loop {
        match store.delete_expired_responses(now, RESPONSES_AT_ONCE).await {
            Ok(deleted) if deleted < u64::from(RESPONSES_AT_ONCE) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "expired responses were not deleted");
                return;
            }
        }
    }
}

/// Takes the lock of a data folder, which whoever serves it or replaces its rows holds.
pub fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join(LOCK);
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another `modelworks serve` uses the data folder {}; stop it, or choose another folder with --data-dir",
            data_dir.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

async fn ensure_default(store: &Store, now: Timestamp) -> Result<(OrgId, ProjectId)> {
    let name = Name::default_name();
    let known = store.organisations().await?.into_iter().find(|organisation| organisation.name == name);
    let org = match known {
        Some(organisation) => organisation.id,
        None => {
            let (id, zone, billing) = (OrgId::generate()?, Zone::UTC, Billing::Postpaid);
            let organisation = Organisation { id, name: name.clone(), zone, billing };
            apply(store, Change::AddOrganisation(organisation), now).await?;
            id
        }
    };
    let known = store.projects(org).await?.into_iter().find(|project| project.name == name);
    let project = match known {
        Some(project) => project.id,
        None => {
            let id = ProjectId::generate()?;
            apply(store, Change::AddProject(Project { id, org, name }), now).await?;
            id
        }
    };
    Ok((org, project))
}

/// The hash in the data folder says which secret opens everything: where the file was removed to reset a lost key, the new
/// secret replaces the old one at once, and the key may do everything again, whatever became of it.
async fn ensure_admin_key(
    store: &Store,
    org: OrgId,
    project: ProjectId,
    admin: &KeyHash,
    now: Timestamp,
) -> Result<()> {
    let secret = store.pepper().hash(admin);
    if store.keys().await?.iter().any(|key| key.secret == secret) {
        return Ok(());
    }
    let of = KeysOf { project: Some(project), owner: None, name: Some(ADMIN) };
    // Of several with this name the first is the one that a first start made.
    let known = store.key_page(org, of, None, 1).await?.pop();
    let change = match known {
        Some(known) => {
            let mut key = Key { scopes: Scopes::all(), models: ModelAccess::All, expires: None, ..known.key };
            key.revoked = None;
            key.rotate(secret, now, Duration::ZERO);
            Change::ChangeKey(key)
        }
        None => Change::AddKey(all_powerful(KeyId::generate()?, org, project, Name::parse(ADMIN)?, secret)),
    };
    apply(store, change, now).await
}

/// Gives the key for this machine another secret.
async fn renew_local_key(store: &Store, org: OrgId, project: ProjectId, now: Timestamp) -> Result<ApiKey> {
    let secret = ApiKey::generate()?;
    let key = all_powerful(LOCAL, org, project, Name::parse("local access")?, store.pepper().hash(&secret.hash()));
    let is_known = store.key(org, LOCAL).await?.is_some();
    apply(store, if is_known { Change::ChangeKey(key) } else { Change::AddKey(key) }, now).await?;
    Ok(secret)
}

fn all_powerful(id: KeyId, org: OrgId, project: ProjectId, name: Name, secret: KeyedHash) -> Key {
    let (scopes, models) = (Scopes::all(), ModelAccess::All);
    Key { id, org, project, owner: None, name, scopes, models, expires: None, revoked: None, secret, previous: None }
}

/// Prices models at zero that nobody has priced, as long as nothing here costs anything. Returns what it changed.
async fn ensure_prices(store: &Store, models: &[String], now: Timestamp) -> Result<Vec<Change>> {
    let prices = store.prices().await?;
    let free = |history: &PriceHistory| {
        history.versions().all(|version| Class::ALL.iter().all(|class| version.price.rates().of(*class) == Nano::ZERO))
    };
    if !prices.values().all(free) {
        return Ok(Vec::new());
    }
    let mut changes = Vec::new();
    for model in models.iter().filter(|model| !prices.contains_key(model.as_str())) {
        let version = PriceVersion { id: PriceId::generate()?, from: now, price: Price::FREE };
        let change = Change::AddPrice { model: model.as_str().into(), version };
        apply(store, change.clone(), now).await?;
        changes.push(change);
    }
    Ok(changes)
}

async fn apply(store: &Store, change: Change, now: Timestamp) -> Result<()> {
    let act = Act { actor: "installation".into(), at: now, before: None, after: None, address: None };
    store.apply(change, act, None).await.context("writing the data folder's rows")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn reopen(tenants: Tenants, folder: &Path, admin: &KeyHash, names: &[&str]) -> Tenants {
        drop(tenants.tenancy);
        tenants.store.close().await;
        drop(tenants._lock);
        Tenants::open(folder, admin, &models(names)).await.unwrap()
    }

    async fn admin_key(tenants: &Tenants) -> Key {
        let org = tenants.store.organisations().await.unwrap()[0].id;
        tenants
            .store
            .key_page(org, KeysOf { name: Some(ADMIN), ..KeysOf::default() }, None, 1)
            .await
            .unwrap()
            .remove(0)
            .key
    }

    #[tokio::test]
    async fn the_key_for_this_machine_has_another_secret_at_each_start() {
        let folder = tempfile::tempdir().unwrap();
        let admin = ApiKey::generate().unwrap().hash();
        let tenants = Tenants::open(folder.path(), &admin, &[]).await.unwrap();
        let (pepper, first) = (tenants.store.pepper().clone(), tenants.local.clone());
        let tenants = reopen(tenants, folder.path(), &admin, &[]).await;
        let keys = tenants.store.keys().await.unwrap();
        assert_eq!(keys.len(), 2);
        let local = keys.iter().find(|key| key.id == LOCAL).unwrap();
        assert_eq!(local.secret, pepper.hash(&tenants.local.hash()));
        assert!(local.check(&pepper.hash(&first.hash()), now()).is_err());
    }

    #[tokio::test]
    async fn a_key_of_an_earlier_version_opens_the_default_project_and_a_reset_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (ApiKey::generate().unwrap().hash(), ApiKey::generate().unwrap().hash());
        let tenants = Tenants::open(folder.path(), &first, &models(&["a"])).await.unwrap();
        let key = admin_key(&tenants).await;
        assert_eq!(key.secret, tenants.store.pepper().hash(&first));

        let tenants = reopen(tenants, folder.path(), &first, &["a"]).await;
        assert_eq!(admin_key(&tenants).await, key);
        // Another key of this name is not taken for it, and the reset brings back what was taken from it.
        let name = Name::parse(ADMIN).unwrap();
        let other = ApiKey::generate().unwrap();
        let other = tenants.store.pepper().hash(&other.hash());
        let namesake = all_powerful(KeyId::from_bytes([0; 16]), key.org, key.project, name, other);
        let mut revoked = Key { scopes: Scopes::NONE, ..key.clone() };
        revoked.revoke(now());
        for change in [Change::AddKey(namesake), Change::ChangeKey(revoked)] {
            apply(&tenants.store, change, now().after(Duration::from_secs(1))).await.unwrap();
        }
        let tenants = reopen(tenants, folder.path(), &second, &["a"]).await;
        let reset = admin_key(&tenants).await;
        assert_eq!(reset, Key { secret: tenants.store.pepper().hash(&second), ..key });
        assert_eq!(tenants.store.organisations().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn models_are_free_until_something_costs() {
        let folder = tempfile::tempdir().unwrap();
        let admin = ApiKey::generate().unwrap().hash();
        let tenants = Tenants::open(folder.path(), &admin, &models(&["a"])).await.unwrap();
        let tenants = reopen(tenants, folder.path(), &admin, &["a", "b"]).await;
        assert_eq!(tenants.store.prices().await.unwrap().len(), 2);
        let rates = account::Rates::default().with(Class::Output, Nano::new(1));
        let price = Price::new(rates, 1000).unwrap();
        let version = PriceVersion { id: PriceId::generate().unwrap(), from: now(), price };
        apply(&tenants.store, Change::AddPrice { model: "a".into(), version }, now()).await.unwrap();
        let tenants = reopen(tenants, folder.path(), &admin, &["a", "b", "c"]).await;
        assert!(!tenants.store.prices().await.unwrap().contains_key("c"));
    }

    #[tokio::test]
    async fn a_second_server_on_a_folder_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let admin = ApiKey::generate().unwrap().hash();
        let _first = Tenants::open(folder.path(), &admin, &[]).await.unwrap();
        let Err(error) = Tenants::open(folder.path(), &admin, &[]).await else { panic!("there are two") };
        assert!(error.to_string().contains("another `modelworks serve`"), "{error}");
    }
}
