//! The pepper's file: beside the rows, not in them, so that a copy of the rows alone tests no guesses.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
};

use account::Pepper;

use crate::Error;

/// Its name in the data folder.
pub(crate) const FILE: &str = "pepper";

/// Reads the pepper of a data folder, or makes it: 32 random bytes that only the owner may read.
pub(crate) fn open(folder: &Path) -> Result<Pepper, Error> {
    let path = folder.join(FILE);
    let failed = |source| Error::File { path: path.clone(), source };
    match read(folder) {
        Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let pepper = Pepper::generate()?;
            write(folder, &path, &pepper).map_err(failed)?;
            Ok(pepper)
        }
        read => read,
    }
}

/// Reads the pepper of a folder that has one.
pub(crate) fn read(folder: &Path) -> Result<Pepper, Error> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => Pepper::from_bytes(&bytes).map_err(|source| Error::Pepper { path, source }),
        Err(source) => Err(Error::File { path, source }),
    }
}

/// Writes whole or not at all; a file that is there stays, for without it no key works.
pub(crate) fn write(folder: &Path, path: &Path, pepper: &Pepper) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(pepper.expose())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|refused| refused.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_pepper_is_made_once_and_only_the_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = open(folder.path()).unwrap();
        assert_eq!(open(folder.path()).unwrap().expose(), made.expose());
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_pepper_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), b"short").unwrap();
        assert!(matches!(open(folder.path()), Err(Error::Pepper { .. })));
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), b"short");
    }
}
