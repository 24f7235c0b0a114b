//! Whose turn it is: rows served to each salt.
//!
//! A salt keeps its count while it has live sequences. When it leaves and comes back it takes up where it was, but no lower
//! than the least served of those present; counts that this rule makes pointless are forgotten, so the table stays small.

use std::collections::BTreeMap;

/// Salts remembered although they have no live sequence. Beyond this, the least served are forgotten first: they gain the
/// least by it.
const REMEMBERED: usize = 1024;

/// Rows served to each salt.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    salts: BTreeMap<u64, Served>,
    /// Salts with a live sequence.
    present: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Served {
    rows: u64,
    live: usize,
}

impl Turns {
    /// A sequence of the salt has come.
    pub fn enter(&mut self, salt: u64) {
        let least = self.least();
        let served = self.salts.entry(salt).or_default();
        if served.live == 0 {
            served.rows = served.rows.max(least);
            self.present += 1;
        }
        served.live += 1;
    }

    /// A sequence of the salt has gone.
    pub fn leave(&mut self, salt: u64) {
        let Some(served) = self.salts.get_mut(&salt) else { return };
        served.live = served.live.saturating_sub(1);
        if served.live > 0 {
            return;
        }
        self.present -= 1;
        if self.present == 0 {
            self.salts.clear(); // nobody is there to be treated unfairly
        } else if self.salts.len() - self.present > REMEMBERED {
            let least = self.least();
            self.salts.retain(|_, served| served.live > 0 || served.rows > least);
            while self.salts.len() - self.present > REMEMBERED {
                let absent = self.salts.iter().filter(|(_, served)| served.live == 0);
                let Some((&salt, _)) = absent.min_by_key(|(_, served)| served.rows) else { return };
                self.salts.remove(&salt);
            }
        }
    }

    /// Rows were given to the salt.
    pub fn serve(&mut self, salt: u64, rows: usize) {
        if let Some(served) = self.salts.get_mut(&salt) {
            served.rows += rows as u64;
        }
    }

    /// Rows given to the salt so far.
    pub fn served(&self, salt: u64) -> u64 {
        self.salts.get(&salt).map_or(0, |served| served.rows)
    }

    /// The least served of the salts that are present.
    fn least(&self) -> u64 {
        self.salts.values().filter(|served| served.live > 0).map(|served| served.rows).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_starts_at_the_least_served() {
        let mut turns = Turns::default();
        turns.enter(1);
        turns.serve(1, 100);
        turns.enter(2);
        assert_eq!(turns.served(2), 100);
    }

    #[test]
    fn leaving_does_not_wash_a_salt_clean() {
        let mut turns = Turns::default();
        turns.enter(1);
        turns.enter(2);
        turns.serve(2, 50);
        turns.leave(2);
        turns.enter(2);
        assert_eq!((turns.served(1), turns.served(2)), (0, 50));
    }

    #[test]
    fn the_table_stays_small_and_empties() {
        let mut turns = Turns::default();
        turns.enter(0);
        for salt in 1..5000 {
            turns.enter(salt);
            turns.serve(salt, salt as usize);
            turns.leave(salt);
            assert!(turns.salts.len() <= REMEMBERED + 1);
        }
        turns.leave(0);
        assert!(turns.salts.is_empty());
    }
}
