//! What webhooks are told of.

use sha2::{Digest, Sha256};

use crate::{EventId, LimitKind, Nano, OrgId, Owner, Period};

/// A kind of event, which webhooks choose among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A budget has passed a share.
    BudgetThreshold,
    /// A prepaid organisation has little left.
    CreditLow,
    /// It has nothing left.
    CreditSpent,
    /// Somebody tries whether a webhook works. Nobody chooses it: it comes when it is asked for.
    Ping,
}

/// Something that happened in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A budget has passed a share.
    BudgetThreshold {
        /// Whose budget.
        owner: Owner,
        /// Which.
        limit: LimitKind,
        /// The day, month or all of time that it is for.
        period: Period,
        /// The share.
        percent: u8,
        /// The budget.
        allowed: Nano,
        /// What was spent when the share was passed.
        spent: Nano,
    },
    /// The balance fell below what its webhook calls little.
    CreditLow {
        /// What that is.
        threshold: Nano,
        /// The balance.
        balance: Nano,
        /// The ledger's line of the last credit.
        credit: u64,
    },
    /// The balance buys nothing more.
    CreditSpent {
        /// The balance.
        balance: Nano,
        /// The ledger's line of the last credit.
        credit: u64,
    },
    /// Somebody tries a webhook.
    Ping(EventId),
}

impl EventKind {
    /// All that webhooks choose among.
    pub const CHOICE: [Self; 3] = [Self::BudgetThreshold, Self::CreditLow, Self::CreditSpent];

    /// The name in JSON and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BudgetThreshold => "budget.threshold",
            Self::CreditLow => "credit.low",
            Self::CreditSpent => "credit.spent",
            Self::Ping => "ping",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ping].into_iter().chain(Self::CHOICE).find(|kind| kind.as_str() == name)
    }
}

impl Event {
    /// Of which kind it is.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::BudgetThreshold { .. } => EventKind::BudgetThreshold,
            Self::CreditLow { .. } => EventKind::CreditLow,
            Self::CreditSpent { .. } => EventKind::CreditSpent,
            Self::Ping(_) => EventKind::Ping,
        }
    }

    /// Its name. What is one event has one: a share of one budget in one period, or the end of one credit, however often it is
    /// noticed.
    pub fn id(&self, org: OrgId) -> EventId {
        let what = match self {
            Self::BudgetThreshold { owner, limit, period, percent, allowed, .. } => {
                let start = period.start.as_millis();
                format!("{owner} {} {start} {percent} {}", limit.as_str(), allowed.get())
            }
            Self::CreditLow { threshold, credit, .. } => format!("{} {credit}", threshold.get()),
            Self::CreditSpent { credit, .. } => credit.to_string(),
            Self::Ping(id) => return *id,
        };
        let digest = Sha256::digest(format!("{} {org} {what}", self.kind().as_str()));
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        EventId::from_bytes(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{KeyId, Timestamp};

    const ORG: OrgId = OrgId::from_bytes([1; 16]);

    #[test]
    fn names_read_back() {
        for kind in EventKind::CHOICE.into_iter().chain([EventKind::Ping]) {
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::parse("budget"), None);
    }

    #[test]
    fn an_event_has_one_name_and_others_have_others() {
        let day = |start| Period { start: Timestamp::from_millis(start), end: None };
        let budget = |key, start, percent, allowed, spent| Event::BudgetThreshold {
            owner: Owner::Key(KeyId::from_bytes([key; 16])),
            limit: LimitKind::BudgetDay,
            period: day(start),
            percent,
            allowed: Nano::new(allowed),
            spent: Nano::new(spent),
        };
        let one = budget(1, 0, 50, 10, 5);
        assert_eq!(one.id(ORG), budget(1, 0, 50, 10, 6).id(ORG), "it may be noticed a little later");
        let others = [
            one.id(ORG),
            one.id(OrgId::from_bytes([2; 16])),
            budget(2, 0, 50, 10, 5).id(ORG),
            budget(1, 1, 50, 10, 5).id(ORG),
            budget(1, 0, 80, 10, 5).id(ORG),
            budget(1, 0, 50, 11, 5).id(ORG),
            Event::CreditSpent { balance: Nano::ZERO, credit: 1 }.id(ORG),
            Event::CreditSpent { balance: Nano::ZERO, credit: 2 }.id(ORG),
            Event::CreditLow { threshold: Nano::new(1), balance: Nano::ZERO, credit: 1 }.id(ORG),
            Event::CreditLow { threshold: Nano::new(2), balance: Nano::ZERO, credit: 1 }.id(ORG),
        ];
        assert_eq!(HashSet::from(others).len(), others.len());
    }
}
