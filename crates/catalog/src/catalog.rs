//! The catalogue: names to entries, entries to backends.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use futures::{
    FutureExt,
    future::{BoxFuture, WeakShared},
};
use inference::Backend;

use crate::{
    Config, Entry, Error, Name, Pull, Reference,
    disk::{Disk, SystemDisk},
    folder::{Folder, Orphans, Scan},
    loading::{Loader, Loads, Wanted},
    lock::{self, Mode},
    manifest::Manifest,
    progress::Reporter,
    pull,
};

/// All models that this installation knows. Shared behind an `Arc`.
///
/// What other processes pull into or remove from the same data folder is seen at the next question. The questions read
/// small files of the data folder when it has changed, and otherwise only ask when it last did.
pub struct Catalog {
    /// Models that were there already. A leaf lock, never held across an await.
    registered: RwLock<BTreeMap<String, Registered>>,
    loads: Arc<Loads>,
    on_disk: Option<OnDisk>,
}

struct Registered {
    created: u64,
    backend: Arc<dyn Backend>,
}

struct OnDisk {
    folder: Arc<Folder>,
    config: Arc<Config>,
    loader: Arc<dyn Loader>,
    /// The last scan, and the state of the folder that it is of. A leaf lock; the scan itself is made under it, so that
    /// several questions at once read the folder once.
    scanned: Mutex<(Option<SystemTime>, Arc<Scan>)>,
    /// Pulls under way, by name.
    pulls: Mutex<HashMap<Name, UnderWay>>,
}

struct UnderWay {
    reference: Reference,
    running: WeakShared<BoxFuture<'static, Result<Name, Error>>>,
    reporter: Reporter,
}

impl Catalog {
    /// Opens the data folder, making it when it is not there, and clears away what killed processes left in it.
    pub fn open(config: Config, loader: Arc<dyn Loader>) -> Result<Arc<Self>, Error> {
        Self::open_on(config, loader, Arc::new(SystemDisk))
    }

    pub(crate) fn open_on(config: Config, loader: Arc<dyn Loader>, disk: Arc<dyn Disk>) -> Result<Arc<Self>, Error> {
        let folder = Arc::new(Folder::open(&config.data_dir, disk)?);
        folder.collect(Orphans::Keep)?;
        let on_disk =
            OnDisk { folder, config: Arc::new(config), loader, scanned: Mutex::default(), pulls: Mutex::default() };
        for problem in &on_disk.scan().problems {
            tracing::warn!("{}", problem.text);
        }
        Ok(Arc::new(Self { registered: RwLock::default(), loads: Arc::default(), on_disk: Some(on_disk) }))
    }

    /// Without a data folder: only what is registered (tests, upstreams).
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self { registered: RwLock::default(), loads: Arc::default(), on_disk: None })
    }

    /// Adds a model that is already there. It hides a model on disk of the same name, and replaces an earlier registration.
    pub fn register(&self, name: &str, backend: Arc<dyn Backend>) {
        let created = unix_seconds();
        let mut registered = self.registered.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = registered.insert(name.to_owned(), Registered { created, backend });
        drop(registered);
        drop(replaced);
    }

    /// Every model on disk or registered, by name.
    pub fn models(&self) -> Vec<Entry> {
        let mut all = BTreeMap::new();
        if let Some(on_disk) = &self.on_disk {
            for (name, manifest) in &on_disk.scan().manifests {
                all.extend(self.entry(on_disk, name, manifest).map(|entry| (name.to_string(), entry)));
            }
        }
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(registered.iter().map(|(name, model)| (name.clone(), model.entry(name))));
        all.into_values().collect()
    }

    /// One model by its exact name.
    pub fn model(&self, name: &str) -> Option<Entry> {
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = registered.get(name) {
            return Some(model.entry(name));
        }
        drop(registered);
        let on_disk = self.on_disk.as_ref()?;
        let name = name.parse::<Name>().ok()?;
        self.entry(on_disk, &name, on_disk.scan().manifests.get(&name)?)
    }

    /// What in the data folder cannot be used, and why: damaged manifests, models with missing files. Public text.
    pub fn problems(&self) -> Vec<String> {
        let scan = self.on_disk.as_ref().map(OnDisk::scan);
        scan.map(|scan| scan.problems.iter().map(|problem| problem.text.clone()).collect()).unwrap_or_default()
    }

    /// Why a model that is in the data folder cannot be used. Public text.
    pub fn problem(&self, name: &Name) -> Option<String> {
        let scan = self.on_disk.as_ref()?.scan();
        let problem = scan.problems.iter().find(|problem| problem.model.as_ref() == Some(name));
        problem.map(|problem| problem.text.clone())
    }

    /// The model's backend, loaded once on first use; callers wait, bounded (then `Overloaded`). Unknown: `ModelNotFound`.
    /// A load that fails is reported to all who wait (`Unavailable`), and tried again for the next caller.
    pub fn backend(&self, name: &str) -> BoxFuture<'_, Result<Arc<dyn Backend>, inference::Error>> {
        let name = name.to_owned();
        async move {
            if self.loads.is_closed() {
                return Err(inference::Error::ShuttingDown);
            }
            if let Some(backend) = self.registered(&name) {
                return Ok(backend);
            }
            let Some((on_disk, wanted)) = self.wanted(&name) else {
                return Err(inference::Error::ModelNotFound { model: name });
            };
            self.loads.backend(wanted, &on_disk.loader).await
        }
        .boxed()
    }

    /// What is in memory now.
    pub fn loaded(&self) -> Vec<(String, Arc<dyn Backend>)> {
        let mut all: BTreeMap<_, _> = self.loads.ready().into_iter().collect();
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(registered.iter().map(|(name, model)| (name.clone(), model.backend.clone())));
        all.into_iter().collect()
    }

    /// Brings a model into the data folder, under `name` or a name that follows from the reference. One that is there is
    /// brought again only when it may have changed since (not when it is known or its digest was given).
    ///
    /// Pulls of one name are one: in this process the second joins the first, and a pull in another process is waited for.
    ///
    /// The pull itself runs while the result is polled. Errors that need no waiting come at once.
    pub fn pull(&self, reference: Reference, name: Option<Name>) -> Result<Pull, Error> {
        let on_disk = self.on_disk.as_ref().ok_or(Error::NoFolder)?;
        let reference = match reference {
            // The same file is the same reference wherever the next pull is made.
            Reference::Path(path) => Reference::Path(std::fs::canonicalize(&path).unwrap_or(path)),
            reference => reference,
        };
        let name = match name {
            Some(name) => name,
            None => reference.default_name()?,
        };
        let mut pulls = on_disk.pulls();
        pulls.retain(|_, pull| pull.running.upgrade().is_some_and(|running| running.peek().is_none()));
        if let Some(under_way) = pulls.get(&name)
            && let Some(running) = under_way.running.upgrade()
        {
            if under_way.reference != reference {
                return Err(Error::Busy { name });
            }
            return Ok(Pull { running, reporter: under_way.reporter.clone() });
        }
        let reporter = Reporter::new();
        let (folder, config) = (on_disk.folder.clone(), on_disk.config.clone());
        let running = pull::pull(folder, config, reference.clone(), name.clone(), reporter.clone()).boxed().shared();
        if let Some(weak) = running.downgrade() {
            pulls.insert(name, UnderWay { reference, running: weak, reporter: reporter.clone() });
        }
        Ok(Pull { running, reporter })
    }

    /// Removes a model from the data folder, and files that no other model uses. A loaded one is unloaded first: requests
    /// that run keep its backend until they end, new ones are told that it does not exist. Files that another process is
    /// loading at this moment are gone for it. While anybody pulls, files stay until the last pull has ended.
    ///
    /// Blocks for some file operations.
    pub fn remove(&self, name: &Name) -> Result<(), Error> {
        let folder = &self.on_disk.as_ref().ok_or(Error::NoFolder)?.folder;
        let removed = {
            let _folder_lock = folder.wait_shared()?;
            let Some(_name_lock) = lock::try_lock(&folder.name_lock(name), Mode::Exclusive)? else {
                return Err(Error::Busy { name: name.clone() });
            };
            folder.remove(name)?
        };
        self.loads.unload(name.as_str());
        if !removed {
            return Err(Error::Unknown { name: name.clone() });
        }
        folder.collect(Orphans::Remove)
    }

    /// Drops the model's backend, when there is one; requests that run keep theirs until they end. Says whether there was one.
    pub fn unload(&self, name: &str) -> bool {
        self.loads.unload(name)
    }

    /// Drops every backend, and from now on refuses to load or hand out one: [`inference::Error::ShuttingDown`].
    pub fn shutdown(&self) {
        self.loads.close();
        let registered = std::mem::take(&mut *self.registered.write().unwrap_or_else(PoisonError::into_inner));
        drop(registered);
    }

    fn registered(&self, name: &str) -> Option<Arc<dyn Backend>> {
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        registered.get(name).map(|model| model.backend.clone())
    }

    fn wanted(&self, name: &str) -> Option<(&OnDisk, Wanted)> {
        let on_disk = self.on_disk.as_ref()?;
        let parsed = name.parse::<Name>().ok()?;
        let scan = on_disk.scan();
        let manifest = scan.manifests.get(&parsed)?;
        let path = on_disk.path(manifest)?;
        Some((on_disk, Wanted { name: name.to_owned(), path, digest: manifest.folder() }))
    }

    fn entry(&self, on_disk: &OnDisk, name: &Name, manifest: &Manifest) -> Option<Entry> {
        Some(Entry {
            name: name.to_string(),
            created: manifest.created,
            bytes: manifest.bytes(),
            digest: Some(manifest.digest.to_string()),
            source: Some(manifest.source.clone()),
            path: Some(on_disk.path(manifest)?),
            loaded: self.loads.is_ready(name.as_str(), &manifest.folder()),
        })
    }
}

impl OnDisk {
    fn pulls(&self) -> MutexGuard<'_, HashMap<Name, UnderWay>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the data folder says now.
    fn scan(&self) -> Arc<Scan> {
        let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the scan: what changes during it is then seen by the next.
        let changed = self.folder.changed();
        if changed.is_none() || scanned.0 != changed {
            match self.folder.scan() {
                Ok(scan) => *scanned = (changed, Arc::new(scan)),
                Err(error) => tracing::error!(%error, "cannot read the data folder"),
            }
        }
        scanned.1.clone()
    }

    fn path(&self, manifest: &Manifest) -> Option<PathBuf> {
        match self.folder.show(manifest) {
            Ok(path) => Some(path),
            Err(error) => {
                tracing::error!(%error, "cannot show a model's files");
                None
            }
        }
    }
}

impl Registered {
    fn entry(&self, name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            created: self.created,
            bytes: 0,
            digest: None,
            source: None,
            path: None,
            loaded: true,
        }
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
