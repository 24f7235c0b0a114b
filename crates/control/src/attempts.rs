//! How often somebody may try to sign in: for each account and for each address, in memory of a fixed size.
//!
//! Each is a bucket of attempts that fills up with time (the generic cell rate algorithm: a bucket is the one moment at which it
//! will be full). There are as many buckets as there are, and a keyed hash says whose is which: two that share one share
//! its attempts, nobody can choose with whom, and no flood of names makes room for another guess.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    time::Duration,
};

use account::Timestamp;

/// Buckets of each kind.
const BUCKETS: usize = 1 << 14;

/// Attempts that are counted.
pub(crate) struct Attempts {
    accounts: Buckets,
    addresses: Buckets,
}

struct Buckets {
    /// When each is full, in milliseconds since 1970.
    full: Vec<i64>,
    hasher: RandomState,
    burst: i64,
    every_millis: i64,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            // Ten wrong tries, then one a minute: too slow to guess, and a person who mistypes is not locked out.
            accounts: Buckets::new(10, Duration::from_secs(60)),
            // A whole office may be behind one address.
            addresses: Buckets::new(60, Duration::from_secs(2)),
        }
    }
}

impl Attempts {
    /// Counts an attempt, or says how long to wait for the next.
    pub(crate) fn attempt(&mut self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        self.attempt_from(address, now)?;
        self.accounts.take(&account.to_ascii_lowercase(), now)
    }

    /// The same where no account is named: nothing can be guessed, but others are asked.
    pub(crate) fn attempt_from(&mut self, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        address.map_or(Ok(()), |address| self.addresses.take(&network(address), now))
    }
}

impl Buckets {
    fn new(burst: i64, every: Duration) -> Self {
        let every_millis = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        Self { full: vec![i64::MIN; BUCKETS], hasher: RandomState::new(), burst, every_millis }
    }

    fn take(&mut self, who: &impl Hash, now: Timestamp) -> Result<(), Duration> {
        let place = self.hasher.hash_one(who) as usize % BUCKETS;
        let now = now.as_millis();
        let full = self.full[place].max(now);
        let wait = full - now - (self.burst - 1) * self.every_millis;
        if wait > 0 {
            return Err(Duration::from_millis(wait.unsigned_abs()));
        }
        self.full[place] = full + self.every_millis;
        Ok(())
    }
}

/// Whoever has one address of IPv6 has the 2⁶⁴ beside it.
fn network(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0, 0, 0, 0, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let mut network = [0; 8];
            network.copy_from_slice(&address.octets()[..8]);
            network
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_764_086_400_000 + 1000 * seconds)
    }

    #[test]
    fn an_account_has_ten_tries_and_then_one_a_minute() {
        let mut attempts = Attempts::default();
        // From another address each time.
        let address = |number: u8| Some(IpAddr::from([192, 0, 2, number]));
        for number in 0..10 {
            let spelling = if number % 2 == 0 { "ann@example.org" } else { "ANN@example.org" };
            assert_eq!(attempts.attempt(spelling, address(number), at(0)), Ok(()));
        }
        assert_eq!(attempts.attempt("ann@example.org", address(10), at(0)), Err(Duration::from_secs(60)));
        assert_eq!(attempts.attempt("ann@example.org", address(11), at(20)), Err(Duration::from_secs(40)));
        assert_eq!(attempts.attempt("ann@example.org", address(12), at(60)), Ok(()));
        assert_eq!(attempts.attempt("ann@example.org", address(13), at(60)), Err(Duration::from_secs(60)));
        let later = at(3600);
        assert!((0..10).all(|_| attempts.attempt("ann@example.org", None, later).is_ok()));
        assert!(attempts.attempt("ann@example.org", None, later).is_err(), "it fills up to ten and no further");
    }

    #[test]
    fn an_address_has_its_tries_whatever_accounts_it_names() {
        let mut attempts = Attempts::default();
        let near = |host: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]));
        let allowed = (0..1000).filter(|number| {
            let account = format!("user{number}@example.org");
            attempts.attempt(&account, near(*number), at(0)).is_ok()
        });
        assert_eq!(allowed.count(), 60, "all of a network are one");
        let refused = attempts.attempt("another@example.org", near(1), at(1)).unwrap_err();
        assert_eq!(refused, Duration::from_secs(1));
        let elsewhere = Some(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]));
        assert_eq!(attempts.attempt("another@example.org", elsewhere, at(1)), Ok(()));
    }

    #[test]
    fn a_flood_of_names_neither_takes_memory_nor_forgets_an_account() {
        let mut attempts = Attempts::default();
        for _ in 0..10 {
            attempts.attempt("ann@example.org", None, at(0)).unwrap();
        }
        for number in 0..100_000 {
            let _counted = attempts.attempt(&format!("{number}@example.org"), None, at(0));
        }
        assert_eq!(attempts.accounts.full.len(), BUCKETS);
        assert!(attempts.attempt("ann@example.org", None, at(0)).is_err());
    }
}
