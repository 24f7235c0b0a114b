//! The installation's admin key: made at the first start, shown once, kept as a hash in the data folder.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, IsTerminal, Write},
    path::Path,
};

use account::{ApiKey, KeyHash};
use anyhow::{Context, Result};

/// File in the data folder that holds the hash.
pub const FILE: &str = "admin-key.hash";

/// File in the data folder with a new key, where nobody sees it on a terminal.
const SECRET_FILE: &str = "admin.key";

/// Environment variable that sets the first key, for containers and tests.
pub const BOOTSTRAP_VARIABLE: &str = "MODELWORKS_BOOTSTRAP_KEY";

/// The key's hash, and the key itself when it was made just now.
pub struct AdminKey {
    /// What callers' keys are compared with.
    pub hash: KeyHash,
    /// A key that nobody has seen yet.
    pub fresh: Option<ApiKey>,
}

/// Reads the hash, or makes the first key: `bootstrap` when it is given, else a random one.
pub fn open(data_dir: &Path, bootstrap: Option<String>) -> Result<AdminKey> {
    let path = data_dir.join(FILE);
    if let Some(hash) = read(&path)? {
        let same = |text| ApiKey::parse(text).is_ok_and(|key| hash.matches(&key));
        if bootstrap.is_some_and(|text| !same(text)) {
            tracing::warn!(
                "${BOOTSTRAP_VARIABLE} is not the admin key of this data folder, which was made at an earlier start and still \
                 counts; remove {} to set a new one",
                path.display()
            );
        }
        return Ok(AdminKey { hash, fresh: None });
    }
    let (key, is_new) = match bootstrap {
        Some(text) => {
            (ApiKey::parse(text).with_context(|| format!("${BOOTSTRAP_VARIABLE} cannot be the admin key"))?, false)
        }
        None => (ApiKey::generate().context("making the admin key")?, true),
    };
    let hash = key.hash();
    if write(data_dir, &path, &hash.to_string()).with_context(|| format!("writing {}", path.display()))? {
        return Ok(AdminKey { hash, fresh: is_new.then_some(key) });
    }
    let hash = read(&path)?.with_context(|| format!("{} came and went; start again", path.display()))?;
    Ok(AdminKey { hash, fresh: None })
}

/// Tells a new key to whoever starts the server: on a terminal, once, or in a file that only its owner reads, for what goes to
/// a log stays there.
pub fn tell(key: &ApiKey, data_dir: &Path, out: &mut (impl Write + IsTerminal)) -> Result<()> {
    if out.is_terminal() {
        return Ok(writeln!(out, "Admin key (shown this once): {}", key.expose())?);
    }
    let path = data_dir.join(SECRET_FILE);
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
        writeln!(file, "{}", key.expose())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|refused| refused.error)?;
        io::Result::Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(writeln!(out, "Admin key: in {}; remove the file once the key is kept elsewhere", path.display())?)
}

/// The hash that is kept, if there is one.
fn read(path: &Path) -> Result<Option<KeyHash>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let hash = KeyHash::parse(text.trim())
        .with_context(|| format!("{} does not hold a key hash; remove it to make a new admin key", path.display()))?;
    Ok(Some(hash))
}

/// Writes whole or not at all, readable by the owner alone. `false` when another process that starts in the same moment
/// was first: its key counts, and ours must not be shown.
fn write(folder: &Path, path: &Path, text: &str) -> io::Result<bool> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(refused) => return Err(refused.error),
    }
    File::open(folder)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_hash_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), None).unwrap();
        let key = first.fresh.expect("the first start makes a key");
        let second = open(folder.path(), None).unwrap();
        assert!(second.fresh.is_none());
        assert!(second.hash.matches(&key));
        let kept = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!kept.contains(key.expose()));
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn of_many_first_starts_one_makes_the_key_that_all_use() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let opened: Vec<AdminKey> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| open(folder.path(), None).unwrap())).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            let shown: Vec<&ApiKey> = opened.iter().filter_map(|opened| opened.fresh.as_ref()).collect();
            assert_eq!(shown.len(), 1);
            assert!(opened.iter().all(|opened| opened.hash.matches(shown[0])));
        }
    }

    #[test]
    fn a_bootstrap_key_counts_only_at_the_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let key = "bootstrap-key-of-more-than-thirty-two-characters";
        let first = open(folder.path(), Some(key.into())).unwrap();
        assert!(first.fresh.is_none() && first.hash.matches(&ApiKey::parse(key.to_owned()).unwrap()));
        let other = open(folder.path(), Some("another-key-of-more-than-thirty-two-characters".into())).unwrap();
        assert!(other.hash.matches(&ApiKey::parse(key.to_owned()).unwrap()));
    }

    #[test]
    fn a_short_bootstrap_key_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path(), Some("short".into())).is_err());
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
