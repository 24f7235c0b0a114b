//! File locks between processes, and between the pulls of one. The system frees them when their process dies.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    time::Duration,
};

use crate::Error;

/// How often a lock that somebody else holds is tried again: waiting in the system call would hold a thread, and would
/// not end when the waiting pull is dropped.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// By hand: a child process that is being started at this moment has a copy of the file for a while, and closing ours
    /// would leave the lock with that.
    fn drop(&mut self) {
        // Closing it is all that is left to try.
        let _unlocked = self.file.unlock();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// The lock, unless somebody holds it in a mode that excludes ours.
pub(crate) fn try_lock(path: &Path, mode: Mode) -> Result<Option<Lock>, Error> {
    let file = open(path)?;
    let locked = match mode {
        Mode::Shared => file.try_lock_shared(),
        Mode::Exclusive => file.try_lock(),
    };
    match locked {
        Ok(()) => Ok(Some(Lock { file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::folder("lock", path)(error)),
    }
}

/// The lock, after as long as it takes; blocks.
pub(crate) fn wait(path: &Path, mode: Mode) -> Result<Lock, Error> {
    let file = open(path)?;
    let locked = match mode {
        Mode::Shared => file.lock_shared(),
        Mode::Exclusive => file.lock(),
    };
    locked.map(|()| Lock { file }).map_err(Error::folder("lock", path))
}

fn open(path: &Path) -> Result<File, Error> {
    let options = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    options.map_err(Error::folder("open the lock file", path))
}

/// Waits for the lock; `on_wait` is called once when it is not free at once.
pub(crate) async fn lock(path: &Path, mode: Mode, on_wait: impl FnOnce()) -> Result<Lock, Error> {
    if let Some(lock) = try_lock(path, mode)? {
        return Ok(lock);
    }
    on_wait();
    loop {
        tokio::time::sleep(AGAIN_AFTER).await;
        if let Some(lock) = try_lock(path, mode)? {
            return Ok(lock);
        }
    }
}
