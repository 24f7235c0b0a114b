//! Why a limit says no, so that the caller knows whose it is and when to come again.

use std::fmt;

use thiserror::Error;

use crate::{LimitKind, Nano, Owner, Timestamp};

/// When a limit has room again. Ordered by how lasting it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resets {
    /// When requests that run now end, which nobody can date.
    WhenRunningEnd,
    /// At this moment at the latest.
    At(Timestamp),
    /// Not by waiting: the limit, or the credit, has to be raised.
    Never,
}

/// One limit and how it stands. Numbers are requests, tokens or billionths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub limit: LimitKind,
    /// Whose.
    pub owner: Owner,
    /// How much there may be. For a balance: credits less charges.
    pub allowed: i128,
    /// How much there was, in the window or period that counts.
    pub used: i128,
    /// How much requests that run have set aside and not used.
    pub held: i128,
    /// When all that is used is given back; for a window the moment at which it is empty.
    pub resets: Resets,
}

impl Standing {
    /// What is left.
    pub fn remaining(&self) -> i128 {
        (self.allowed - self.used - self.held).max(0)
    }
}

/// A limit that has no room for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub struct Refusal {
    /// The limit as it stands; `resets` says when there is room for what was asked.
    pub standing: Standing,
    /// What was asked.
    pub needed: i128,
}

impl Refusal {
    /// Whether the limit is used up. Otherwise requests that run hold what is missing, and may give it back.
    pub fn is_spent(&self) -> bool {
        self.standing.used + self.needed > self.standing.allowed
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Standing { limit, owner, allowed, used, held, resets } = self.standing;
        let number = |number: i128| match limit.is_money() {
            true => Nano::new(i64::try_from(number).unwrap_or(i64::MAX)).to_string(),
            false => number.to_string(),
        };
        write!(
            f,
            "the limit {} = {} of {owner} has no room for {}: ",
            limit.as_str(),
            number(allowed),
            number(self.needed)
        )?;
        match (self.is_spent(), held) {
            (_, 0) => write!(f, "{} used", number(used))?,
            (true, held) => write!(f, "{} used, and {} held by running requests", number(used), number(held))?,
            (false, held) => {
                write!(f, "{} used, the rest is held by running requests ({})", number(used), number(held))?
            }
        }
        match resets {
            Resets::WhenRunningEnd => f.write_str("; there is room when they end"),
            Resets::At(moment) => write!(f, "; there is room at {moment}"),
            Resets::Never if limit == LimitKind::Balance => f.write_str("; waiting does not help, credit does"),
            Resets::Never => f.write_str("; waiting does not help, only a larger limit or a smaller request"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyId, OrgId};

    fn check(limit: LimitKind, owner: Owner, numbers: [i128; 4], resets: Resets, expect: &str) {
        let [allowed, used, held, needed] = numbers;
        let refusal = Refusal { standing: Standing { limit, owner, allowed, used, held, resets }, needed };
        assert_eq!(refusal.to_string(), expect);
    }

    #[test]
    fn a_refusal_names_limit_owner_and_reset_and_tells_spent_from_held() {
        let key = Owner::Key(KeyId::from_bytes([0; 16]));
        let org = Owner::Organisation(OrgId::from_bytes([0; 16]));
        let zeros = "0".repeat(32);
        let at = Resets::At(Timestamp::from_millis(0));
        check(
            LimitKind::RequestsPerMinute,
            key,
            [100, 100, 0, 1],
            at,
            &format!(
                "the limit requests_per_minute = 100 of key key_{zeros} has no room for 1: 100 used; there is room at 1970-01-01T00:00:00Z"
            ),
        );
        check(
            LimitKind::BudgetDay,
            key,
            [10_000_000_000, 5_000_000_000, 4_500_000_000, 1_000_000_000],
            Resets::WhenRunningEnd,
            &format!(
                "the limit budget_day = 10 of key key_{zeros} has no room for 1: 5 used, the rest is held by running requests (4.5); there is room when they end"
            ),
        );
        check(
            LimitKind::Balance,
            org,
            [0, 0, 0, 1],
            Resets::Never,
            &format!(
                "the limit balance = 0 of organisation org_{zeros} has no room for 0.000000001: 0 used; waiting does not help, credit does"
            ),
        );
    }

    #[test]
    fn what_lasts_longer_is_greater() {
        let (one, other) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        assert!(Resets::WhenRunningEnd < Resets::At(one));
        assert!(Resets::At(one) < Resets::At(other) && Resets::At(other) < Resets::Never);
    }
}
