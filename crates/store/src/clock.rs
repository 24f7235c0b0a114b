//! The time of the day, which rules are given and do not ask for.

use std::time::{SystemTime, UNIX_EPOCH};

use account::Timestamp;

/// The time of the day.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
