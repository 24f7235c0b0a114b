//! Files mapped into memory: the only unsafe code of this crate.
//!
//! A mapping is a promise that somebody else can break: when a mapped file is cut short, touching the pages behind its
//! new end kills the process (`SIGBUS`), and when it is written to, bytes change under a shared reference. Nothing in
//! user space can rule that out. What is done here: a mapping lives only while a model is loaded (it goes when its owner
//! is dropped, and loaders drop it as soon as the weights are repacked), and the file stays open, so that
//! [`Mapping::still_whole`] tells with one system call whether somebody wrote to it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

use memmap2::{Mmap, MmapOptions};

use crate::Error;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Mapping),
    /// Handed over by the caller; nobody else can change them.
    Memory(Vec<u8>),
}

impl Bytes {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Mapping::open(path).map(Self::Mapped)
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => &mapping.map,
            Self::Memory(bytes) => bytes,
        }
    }

    /// What error messages call these bytes.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Mapped(mapping) => &mapping.path,
            Self::Memory(_) => Path::new("bytes in memory"),
        }
    }

    pub(crate) fn still_whole(&self) -> Result<(), Error> {
        match self {
            Self::Mapped(mapping) => mapping.still_whole(),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// A whole file, mapped for reading, and the open handle that tells whether it is still what was mapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: Mmap,
    file: File,
    path: PathBuf,
    /// Absent where the file system keeps no times.
    modified: Option<SystemTime>,
}

impl Mapping {
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |action| move |source| Error::Io { action, path: path.to_owned(), source };
        // Asked before opening: opening a pipe would wait for its writer.
        if !fs::metadata(path).map_err(failed("open"))?.is_file() {
            return Err(Error::NotAModel { path: path.to_owned(), problem: "it is not a regular file".into() });
        }
        let file = File::open(path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("read the size of"))?;
        let length = usize::try_from(metadata.len()).map_err(|_| Error::NotAModel {
            path: path.to_owned(),
            problem: format!("its {} bytes are more than this machine can address", metadata.len()),
        })?;
        #[expect(
            unsafe_code,
            reason = "mapping a file is unsafe by nature; see the SAFETY comment and the module's text"
        )]
        // SAFETY: the mapping is read-only and of exactly the length that the file has now, and it is reached through
        // `&[u8]` only while `self` lives. That no other process cuts or overwrites the file meanwhile cannot be had
        // from any system; it is narrowed to the time of loading as the module's text says, and whatever bytes are
        // read are treated as untrusted numbers: no reference, length or enum is ever made from them without a check.
        let map = unsafe { MmapOptions::new().len(length).map(&file) }.map_err(failed("map"))?;
        Ok(Self { map, file, path: path.to_owned(), modified: metadata.modified().ok() })
    }

    /// Whether the file still has the length and the time of modification that it had when it was mapped.
    ///
    /// A check, not a lock: it can be cut right afterwards. It turns the usual accident (a file overwritten by a
    /// download or a copy) into an error instead of a killed process or a model with torn weights.
    fn still_whole(&self) -> Result<(), Error> {
        let failed = |source| Error::Io { action: "read the size of", path: self.path.clone(), source };
        let metadata = self.file.metadata().map_err(failed)?;
        if metadata.len() != self.map.len() as u64 || metadata.modified().ok() != self.modified {
            return Err(Error::Changed { path: self.path.clone(), opened: self.map.len() as u64, now: metadata.len() });
        }
        Ok(())
    }
}
