//! How commands on the server's own machine find it: a file in the data folder with its address and a key.
//!
//! Whoever reads the data folder as its owner could make a new admin key anyway. The key lives as long as the server.

use std::{
    fs::{self, Permissions},
    io::{ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use account::ApiKey;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Its name in the data folder.
const FILE: &str = "local-access.json";

/// Address and key of the server that uses a data folder.
pub struct LocalAccess {
    /// Where it answers.
    pub url: String,
    /// What opens it.
    pub key: ApiKey,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    url: String,
    key: String,
}

impl LocalAccess {
    /// Of a server that listens on `address`.
    pub fn new(address: SocketAddr, key: ApiKey) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self { url: format!("http://{}", SocketAddr::new(host, address.port())), key }
    }

    /// Writes the file, whole, for its owner alone.
    pub fn write(&self, data_dir: &Path) -> Result<()> {
        let kept = Kept { url: self.url.clone(), key: self.key.expose().to_owned() };
        let path = data_dir.join(FILE);
        let write = || -> Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
            file.as_file().set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(&serde_json::to_vec(&kept)?)?;
            file.persist(&path)?;
            Ok(())
        };
        write().with_context(|| format!("writing {}", path.display()))
    }

    /// Takes the file away: the server ends.
    pub fn remove(data_dir: &Path) {
        let _gone_already = fs::remove_file(data_dir.join(FILE));
    }
}

/// What a server of this data folder left for its own machine; none when none runs.
pub fn open_local_access(data_dir: &Path) -> Result<Option<LocalAccess>> {
    let path = data_dir.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let damaged = || format!("{} is damaged; start the server again", path.display());
    let kept: Kept = serde_json::from_slice(&bytes).with_context(damaged)?;
    Ok(Some(LocalAccess { url: kept.url, key: ApiKey::parse(kept.key).with_context(damaged)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_its_owner_alone_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open_local_access(folder.path()).unwrap().is_none());
        let key = ApiKey::generate().unwrap();
        for (address, url) in [("0.0.0.0:80", "http://127.0.0.1:80"), ("[::1]:81", "http://[::1]:81")] {
            LocalAccess::new(address.parse().unwrap(), key.clone()).write(folder.path()).unwrap();
            let read = open_local_access(folder.path()).unwrap().unwrap();
            assert_eq!((read.url.as_str(), read.key.expose()), (url, key.expose()));
        }
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        LocalAccess::remove(folder.path());
        assert!(open_local_access(folder.path()).unwrap().is_none());
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(open_local_access(folder.path()).is_err());
    }
}
