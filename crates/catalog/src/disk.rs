//! The disk under the data folder: how much is free, and what happens when it is not enough.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// What a pull needs of a disk; a test puts a small one here.
pub(crate) trait Disk: Send + Sync + 'static {
    /// Bytes that may still be written below `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Appends to a file.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
}

/// The real one.
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let status = rustix::fs::statvfs(path)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
}
