//! How long it holds that somebody has signed in.

use std::time::Duration;

use crate::{KeyedHash, Timestamp, UserId};

/// A session of a person. Its secret is not here: only the keyed hash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The hash of the secret that the browser keeps.
    pub hash: KeyedHash,
    /// Whose it is.
    pub user: UserId,
    /// When it began.
    pub begun: Timestamp,
    /// When it was last used, as far as that is known.
    pub seen: Timestamp,
}

impl Session {
    /// Nobody leaves a browser alone for so long and finds it signed in.
    pub const IDLE: Duration = Duration::from_secs(12 * 60 * 60);

    /// After this time one signs in again, whatever one did meanwhile.
    pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// Sessions that a person has at a time; another one ends the oldest.
    pub const MOST: usize = 16;

    /// The first moment at which it does not hold, unless it is used before.
    pub fn ends(&self) -> Timestamp {
        self.seen.after(Self::IDLE).min(self.begun.after(Self::LONGEST))
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends() <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_unused_and_used() {
        let start = Timestamp::from_millis(0);
        let mut session = Session {
            hash: KeyedHash::from_bytes([1; 32]),
            user: UserId::from_bytes([1; 16]),
            begun: start,
            seen: start,
        };
        let before = |moment: Timestamp| Timestamp::from_millis(moment.as_millis() - 1);
        let idle = start.after(Session::IDLE);
        assert!(!session.is_over(before(idle)) && session.is_over(idle));
        let longest = start.after(Session::LONGEST);
        session.seen = before(longest);
        assert!(!session.is_over(before(longest)) && session.is_over(longest));
    }
}
