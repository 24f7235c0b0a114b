//! A copy of the rows and the pepper, taken while requests are served.

use std::path::Path;

use crate::{Error, Store, pepper, store::FILE};

impl Store {
    /// Writes a copy into `folder`, which must exist and hold none: the rows of one moment, compacted, and the pepper, without
    /// which no key of the copy would work. A data folder is restored by copying both back while nothing serves.
    pub async fn backup(&self, folder: &Path) -> Result<(), Error> {
        let rows = folder.join(FILE);
        let failed = |path: &Path, source| Error::File { path: path.to_owned(), source };
        if rows.exists() {
            return Err(Error::Conflict { what: "a backup in this folder" });
        }
        let name = rows.to_str().ok_or_else(|| failed(&rows, std::io::ErrorKind::InvalidFilename.into()))?;
        sqlx::query("VACUUM INTO ?").bind(name).execute(self.readers()).await?;
        let written = std::fs::File::open(&rows).and_then(|file| file.sync_all());
        written.map_err(|source| failed(&rows, source))?;
        let path = folder.join(pepper::FILE);
        pepper::write(folder, &path, self.pepper()).map_err(|source| failed(&path, source))
    }
}
