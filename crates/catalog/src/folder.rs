//! The data folder.
//!
//! ```text
//! models/<name>.json        one manifest per model: its files by name and digest, and where they came from
//! blobs/sha256-<digest>     the files, under the digest that was checked before they came here
//! folders/<digest>/<name>   links to blobs under the names that loaders expect; made from a manifest at any time
//! partial/                  downloads in progress
//! locks/                    lock files, without content
//! ```
//!
//! A model exists when its manifest does; the manifest is written last and removed first. Everything else that a killed
//! process leaves is either continued (downloads) or removed (the rest) by [`Folder::collect`], which runs only while no
//! process pulls: every pull holds the folder's lock in shared mode, and collecting needs it alone.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    io::Read,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    Digest, Error, Name, crash,
    disk::Disk,
    durable::{self, TEMPORARY},
    lock::{self, Lock, Mode},
    manifest::{self, Manifest},
};

/// A download that nobody has continued for so long is removed.
const PARTIAL_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Folders of `pip` in `partial/` begin so; nothing in them can be continued.
pub(crate) const PIP_FOLDER: &str = "pip-";

pub(crate) struct Folder {
    root: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
}

/// What the manifests say.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) manifests: BTreeMap<Name, Manifest>,
    /// Models of which files are missing or of another length.
    incomplete: Vec<Manifest>,
    /// What cannot be used.
    pub(crate) problems: Vec<Problem>,
    /// Whether a manifest was not understood, so that it is unknown which blobs it needs.
    not_understood: bool,
}

/// Something in the folder that cannot be used.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The model that it keeps from being used, unless the file's name is none of a model.
    pub(crate) model: Option<Name>,
    /// What it is, and what to do; public text.
    pub(crate) text: String,
}

/// What [`Folder::collect`] does with a blob that no manifest mentions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orphans {
    /// A killed pull left it: keep it as a finished download, so that the next pull need not fetch it again.
    Keep,
    /// A model was removed or replaced.
    Remove,
}

impl Folder {
    /// Opens the folder at `root`, and makes what is missing.
    pub(crate) fn open(root: &Path, disk: Arc<dyn Disk>) -> Result<Self, Error> {
        durable::create_folder(root)?;
        // Absolute, so that a model's path stays right whatever happens to the working directory.
        let root = fs::canonicalize(root).map_err(Error::folder("find the folder", root))?;
        for part in ["models", "blobs", "folders", "partial", "locks"] {
            durable::create_folder(&root.join(part))?;
        }
        Ok(Self { root, disk })
    }

    /// Where the blob of a digest is or will be.
    pub(crate) fn blob(&self, digest: Digest) -> PathBuf {
        self.root.join("blobs").join(blob_name(digest))
    }

    /// Where downloads are kept until they are whole.
    pub(crate) fn partial(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Bytes of an unfinished download that are here.
    pub(crate) fn partial_bytes(&self, digest: Digest) -> Option<u64> {
        fs::metadata(self.partial().join(blob_name(digest))).ok().map(|metadata| metadata.len())
    }

    fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    fn manifest(&self, name: &Name) -> PathBuf {
        self.models().join(format!("{name}.json"))
    }

    /// Held by whoever adds or removes something, for as long as it takes.
    pub(crate) async fn lock_shared(&self) -> Result<Lock, Error> {
        lock::lock(&self.folder_lock(), Mode::Shared, || ()).await
    }

    /// As [`Folder::lock_shared`], blocking: the lock is only ever held alone for a few file operations.
    pub(crate) fn wait_shared(&self) -> Result<Lock, Error> {
        lock::wait(&self.folder_lock(), Mode::Shared)
    }

    fn folder_lock(&self) -> PathBuf {
        self.root.join("locks/folder")
    }

    /// The lock of one name. Needs the folder's lock first.
    pub(crate) fn name_lock(&self, name: &Name) -> PathBuf {
        self.root.join("locks").join(format!("name-{name}"))
    }

    /// The lock of one download. Needs the folder's lock first.
    pub(crate) fn partial_lock(&self, key: &str) -> PathBuf {
        self.root.join("locks").join(format!("partial-{key}"))
    }

    /// Refuses when `bytes` more would not fit on the disk.
    pub(crate) fn need(&self, bytes: u64) -> Result<(), Error> {
        let free = self.disk.free_bytes(&self.root).map_err(Error::folder("ask for the free space of", &self.root))?;
        if bytes <= free { Ok(()) } else { Err(Error::DiskFull { needed: Some(bytes), free, path: self.root.clone() }) }
    }

    /// For an error of writing a download: a full disk is told as such.
    pub(crate) fn write_error(&self, path: &Path, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let free = self.disk.free_bytes(&self.root).unwrap_or(0);
                Error::DiskFull { needed: None, free, path: self.root.clone() }
            }
            _ => Error::folder("write", path)(error),
        }
    }

    /// When the set of models last changed; none when it changed so recently that the clock of the file system might
    /// not tell the next change from this one.
    pub(crate) fn changed(&self) -> Option<SystemTime> {
        let changed = fs::metadata(self.models()).and_then(|metadata| metadata.modified()).ok()?;
        let settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > Duration::from_secs(1));
        settled.then_some(changed)
    }

    /// Reads all manifests. One that cannot be used is reported and left out.
    pub(crate) fn scan(&self) -> Result<Scan, Error> {
        let models = self.models();
        let mut scan = Scan::default();
        for entry in fs::read_dir(&models).map_err(Error::folder("list the folder", &models))? {
            let entry = entry.map_err(Error::folder("list the folder", &models))?;
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            if file_name.starts_with(TEMPORARY) {
                continue;
            }
            let Some(name) = file_name.strip_suffix(".json").and_then(|stem| stem.parse::<Name>().ok()) else {
                let text = format!("{} is not a manifest's name", entry.path().display());
                scan.problems.push(Problem { model: None, text });
                continue;
            };
            match read_manifest(&entry.path(), &name) {
                Ok(Some(manifest)) => match self.missing(&manifest) {
                    None => {
                        scan.manifests.insert(name, manifest);
                    }
                    Some(problem) => {
                        let text = format!("the model `{name}` is damaged: {problem}; pull it again");
                        scan.problems.push(Problem { model: Some(name), text });
                        scan.incomplete.push(manifest);
                    }
                },
                // Removed since it was listed.
                Ok(None) => {}
                Err(problem) => {
                    scan.not_understood = true;
                    let path = entry.path();
                    let text =
                        format!("cannot use the manifest {}: {problem}; pull or remove `{name}`", path.display());
                    scan.problems.push(Problem { model: Some(name), text });
                }
            }
        }
        Ok(scan)
    }

    /// The manifest of one name, when there is a usable one with all its blobs.
    pub(crate) fn read(&self, name: &Name) -> Option<Manifest> {
        let manifest = read_manifest(&self.manifest(name), name).ok().flatten()?;
        self.missing(&manifest).is_none().then_some(manifest)
    }

    fn missing(&self, manifest: &Manifest) -> Option<String> {
        manifest.files.iter().find_map(|file| match fs::metadata(self.blob(file.digest)) {
            Ok(found) if found.is_file() && found.len() == file.bytes => None,
            Ok(found) => Some(format!("{} has {} bytes instead of {}", file.name, found.len(), file.bytes)),
            Err(error) => Some(format!("{}: {error}", file.name)),
        })
    }

    /// Removes those files of a model that are not what their digests say, so that a pull brings them again. Reads all.
    pub(crate) fn remove_damaged(&self, name: &Name) -> Result<(), Error> {
        let Ok(Some(manifest)) = read_manifest(&self.manifest(name), name) else { return Ok(()) };
        for file in &manifest.files {
            let blob = self.blob(file.digest);
            match Digest::of_file(&blob) {
                Ok(found) if found == file.digest => {}
                Ok(found) => {
                    tracing::warn!(model = %name, file = %file.name, %found, "a file was damaged and is brought again");
                    durable::remove_file(&blob)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::folder("read", &blob)(error)),
            }
        }
        Ok(())
    }

    /// Makes a model exist. Its blobs are in place.
    pub(crate) fn add(&self, name: &Name, manifest: &Manifest) -> Result<(), Error> {
        self.show(manifest)?;
        durable::write(&self.manifest(name), &manifest.to_json())
    }

    /// Makes a model not exist; says whether it did. Its files go with [`Folder::collect`].
    pub(crate) fn remove(&self, name: &Name) -> Result<bool, Error> {
        let path = self.manifest(name);
        let removed = durable::remove_file(&path)?;
        durable::sync_folder(&self.models())?;
        Ok(removed)
    }

    /// Where a model's files are under their names: the path for a loader. Makes the folder when it is not there.
    pub(crate) fn show(&self, manifest: &Manifest) -> Result<PathBuf, Error> {
        let folders = self.root.join("folders");
        let folder = folders.join(manifest.folder());
        let path = match manifest.main_file() {
            Some(file) => folder.join(file.as_str()),
            None => folder.clone(),
        };
        // Folders appear whole, by one rename: the first link speaks for all.
        if manifest.files.first().is_none_or(|file| folder.join(file.name.as_str()).exists()) {
            return Ok(path);
        }
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(&folders)
            .map_err(Error::folder("create a temporary folder in", &folders))?;
        for file in &manifest.files {
            crash::point();
            let link = temporary.path().join(file.name.as_str());
            let target = Path::new("../../blobs").join(blob_name(file.digest));
            symlink(target, &link).map_err(Error::folder("create the link", &link))?;
        }
        durable::sync_folder(temporary.path())?;
        crash::point();
        match fs::rename(temporary.path(), &folder) {
            Ok(()) => {}
            // Somebody else was quicker, or a broken one stands in the way.
            Err(_) if manifest.files.iter().all(|file| folder.join(file.name.as_str()).exists()) => return Ok(path),
            Err(_) => {
                fs::remove_dir_all(&folder).map_err(Error::folder("remove the broken folder", &folder))?;
                fs::rename(temporary.path(), &folder).map_err(Error::folder("create the folder", &folder))?;
            }
        }
        crash::point();
        durable::sync_folder(&folders)?;
        Ok(path)
    }

    /// Removes what no model needs, unless somebody is pulling or removing: then they, or the next start, do it.
    pub(crate) fn collect(&self, orphans: Orphans) -> Result<(), Error> {
        let Some(_alone) = lock::try_lock(&self.folder_lock(), Mode::Exclusive)? else {
            return Ok(());
        };
        let scan = self.scan()?;
        let mut blobs = HashSet::new();
        let mut folders = HashSet::new();
        // What is left of a damaged model is not for us to remove: the next pull looks at it.
        for manifest in scan.manifests.values().chain(&scan.incomplete) {
            blobs.extend(manifest.files.iter().map(|file| blob_name(file.digest)));
            folders.insert(manifest.folder());
        }
        sweep(&self.models(), |name, _| name.starts_with(TEMPORARY))?;
        sweep(&self.root.join("locks"), |name, _| name != "folder")?;
        sweep(&self.partial(), |name, age| {
            name.starts_with(PIP_FOLDER) || name.starts_with(TEMPORARY) || age > PARTIAL_KEPT
        })?;
        if scan.not_understood {
            // Whose blobs these are is unknown until the manifest is repaired or removed.
            return sweep(&self.root.join("folders"), |name, _| name.starts_with(TEMPORARY));
        }
        sweep(&self.root.join("folders"), |name, _| !folders.contains(name))?;
        let folder = self.root.join("blobs");
        for (name, path, _) in list(&folder)? {
            if blobs.contains(&name) {
                continue;
            }
            crash::point();
            match orphans {
                Orphans::Keep => durable::rename(&path, &self.partial().join(&name))?,
                Orphans::Remove => {
                    durable::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a blob, and the key of a download whose digest is known.
pub(crate) fn blob_name(digest: Digest) -> String {
    format!("sha256-{}", digest.hex())
}

fn read_manifest(path: &Path, name: &Name) -> Result<Option<Manifest>, String> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(manifest::MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > manifest::MOST_BYTES {
        return Err(format!("it has more than {} bytes", manifest::MOST_BYTES));
    }
    Manifest::parse(name, &bytes).map(Some)
}

/// Name, path and age of what is in a folder.
fn list(folder: &Path) -> Result<Vec<(String, PathBuf, Duration)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::folder("list the folder", folder))? {
        let entry = entry.map_err(Error::folder("list the folder", folder))?;
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok()).unwrap_or_default();
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path(), age));
    }
    Ok(found)
}

fn sweep(folder: &Path, mut goes: impl FnMut(&str, Duration) -> bool) -> Result<(), Error> {
    for (name, path, age) in list(folder)? {
        if goes(&name, age) {
            crash::point();
            let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::folder("remove", path)(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
