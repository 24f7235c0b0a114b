//! The moments between two durable steps. In tests the process can be made to die at any one of them.

/// Called wherever a kill would leave the data folder in a state of its own.
#[cfg(not(test))]
pub(crate) fn point() {}

/// Ends the process at the n-th call when the environment says so; the test that started it looks at what was left.
#[cfg(test)]
pub(crate) fn point() {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    static COUNT: AtomicU64 = AtomicU64::new(0);
    static LAST: LazyLock<Option<u64>> = LazyLock::new(|| std::env::var(ABORT_AT).ok()?.parse().ok());
    if *LAST == Some(COUNT.fetch_add(1, Ordering::SeqCst)) {
        std::process::abort();
    }
}

/// The environment variable that says after how many points a test's child process dies.
#[cfg(test)]
pub(crate) const ABORT_AT: &str = "CATALOG_TEST_ABORT_AT";
