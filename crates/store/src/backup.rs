//! A copy of the rows and the pepper, taken while requests are served, and the way back.

use std::{fs::File, io, path::Path};

use account::Pepper;
use sqlx::{ConnectOptions, SqliteConnection};

use crate::{
    Config, Error, Store, pepper,
    store::{FILE, options},
};

/// What SQLite keeps beside the file while it is used.
const LOG: &str = "modelworks.db-wal";

impl Store {
    /// Writes a copy into `folder`, which must exist and hold none: the rows of one moment, compacted, and the pepper, without
    /// which no key of the copy would work.
    pub async fn backup(&self, folder: &Path) -> Result<(), Error> {
        copy(&mut *self.readers().acquire().await?, self.pepper(), folder).await
    }
}

/// The same of a data folder that another process may serve meanwhile. Nothing of it is changed.
pub async fn backup(data: &Path, folder: &Path) -> Result<(), Error> {
    if !data.join(FILE).exists() {
        return Err(Error::NotFound { what: "database in the data folder" });
    }
    let mut connection = options(data, &Config::default()).read_only(true).connect().await?;
    copy(&mut connection, &pepper::read(data)?, folder).await
}

/// Brings a copy into a data folder that has no rows, and that nothing serves.
pub fn restore(copy: &Path, data: &Path) -> Result<(), Error> {
    if [FILE, pepper::FILE].iter().any(|name| !copy.join(name).exists()) {
        return Err(Error::NotFound { what: "backup in this folder" });
    }
    if [FILE, pepper::FILE, LOG].iter().any(|name| data.join(name).exists()) {
        return Err(Error::Conflict { what: "a database in the data folder" });
    }
    let place = |from: &Path, to: &Path| -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(data)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(to).map_err(|refused| refused.error)?;
        File::open(data)?.sync_all()
    };
    // The rows come last: a folder without them is restored again from the beginning.
    let pepper = pepper::read(copy)?;
    let (from, to) = (copy.join(FILE), data.join(FILE));
    let path = data.join(pepper::FILE);
    pepper::write(data, &path, &pepper).map_err(|source| Error::File { path, source })?;
    place(&from, &to).map_err(|source| Error::File { path: to, source })
}

async fn copy(connection: &mut SqliteConnection, pepper: &Pepper, folder: &Path) -> Result<(), Error> {
    let rows = folder.join(FILE);
    let failed = |path: &Path, source| Error::File { path: path.to_owned(), source };
    if rows.exists() {
        return Err(Error::Conflict { what: "a backup in this folder" });
    }
    let name = rows.to_str().ok_or_else(|| failed(&rows, io::ErrorKind::InvalidFilename.into()))?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(connection).await?;
    let written = File::open(&rows).and_then(|file| file.sync_all());
    written.map_err(|source| failed(&rows, source))?;
    let path = folder.join(pepper::FILE);
    pepper::write(folder, &path, pepper).map_err(|source| failed(&path, source))
}
