//! Writing so that a kill or a power cut leaves the old state or the new one.

use std::{
    fs::{DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use crate::{Error, crash};

/// Temporary files and folders begin so; what a killed process left of them is removed.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Makes a folder and its parents, readable by their owner only. One that is there keeps its mode.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::folder("create the folder", path))
}

/// Writes a whole file: to a temporary file beside it, to the disk, and under its name.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
        .map_err(Error::folder("create a temporary file in", folder))?;
    crash::point();
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::folder("write", path))?;
    crash::point();
    file.persist(path).map_err(|error| Error::folder("write", path)(error.error))?;
    crash::point();
    sync_folder(folder)
}

/// Moves a file, already on the disk, to another name of the same file system.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    crash::point();
    std::fs::rename(from, to).map_err(Error::folder("move a file to", to))?;
    crash::point();
    for path in [to, from] {
        sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Removes a file; says whether there was one.
pub(crate) fn remove_file(path: &Path) -> Result<bool, Error> {
    crash::point();
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::folder("remove", path)(error)),
    }
}

/// Brings the names in a folder to the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::folder("write the folder", path))
}
