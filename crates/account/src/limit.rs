//! Limits: what may be used of what, and whose they are.

use std::fmt;

use crate::{KeyId, Nano, OrgId, ProjectId, UserId};

/// Limits of one organisation, project or key. Absent is unlimited, zero is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 seconds.
    pub requests_per_minute: Option<u64>,
    /// Tokens of prompts in any 60 seconds, cached ones included.
    pub input_tokens_per_minute: Option<u64>,
    /// Generated tokens in any 60 seconds.
    pub output_tokens_per_minute: Option<u64>,
    /// Both together.
    pub tokens_per_minute: Option<u64>,
    /// Requests at one time.
    pub concurrent_requests: Option<u64>,
    /// Money in a calendar day of the organisation's time zone.
    pub budget_day: Option<Nano>,
    /// Money in a calendar month of it.
    pub budget_month: Option<Nano>,
    /// Money altogether.
    pub budget_ever: Option<Nano>,
}

/// One kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// [`Limits::requests_per_minute`].
    RequestsPerMinute,
    /// [`Limits::input_tokens_per_minute`].
    InputTokensPerMinute,
    /// [`Limits::output_tokens_per_minute`].
    OutputTokensPerMinute,
    /// [`Limits::tokens_per_minute`].
    TokensPerMinute,
    /// [`Limits::concurrent_requests`].
    ConcurrentRequests,
    /// [`Limits::budget_day`].
    BudgetDay,
    /// [`Limits::budget_month`].
    BudgetMonth,
    /// [`Limits::budget_ever`].
    BudgetEver,
    /// What a prepaid organisation has left.
    Balance,
}

impl LimitKind {
    /// All that can be set; the balance is a fact.
    pub const SETTABLE: [Self; 8] = [
        Self::RequestsPerMinute,
        Self::InputTokensPerMinute,
        Self::OutputTokensPerMinute,
        Self::TokensPerMinute,
        Self::ConcurrentRequests,
        Self::BudgetDay,
        Self::BudgetMonth,
        Self::BudgetEver,
    ];

    /// The name in JSON and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::InputTokensPerMinute => "input_tokens_per_minute",
            Self::OutputTokensPerMinute => "output_tokens_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::BudgetDay => "budget_day",
            Self::BudgetMonth => "budget_month",
            Self::BudgetEver => "budget_ever",
            Self::Balance => "balance",
        }
    }

    /// Whether it counts what came in the last minute.
    pub fn is_window(self) -> bool {
        matches!(
            self,
            Self::RequestsPerMinute | Self::InputTokensPerMinute | Self::OutputTokensPerMinute | Self::TokensPerMinute
        )
    }

    /// Whether it counts money: then its numbers are [`Nano`].
    pub fn is_money(self) -> bool {
        matches!(self, Self::BudgetDay | Self::BudgetMonth | Self::BudgetEver | Self::Balance)
    }
}

impl Limits {
    /// One of them, in requests, tokens or billionths of the currency.
    pub fn get(&self, kind: LimitKind) -> Option<i128> {
        let count = |limit: Option<u64>| limit.map(i128::from);
        let money = |limit: Option<Nano>| limit.map(|limit| i128::from(limit.get()));
        match kind {
            LimitKind::RequestsPerMinute => count(self.requests_per_minute),
            LimitKind::InputTokensPerMinute => count(self.input_tokens_per_minute),
            LimitKind::OutputTokensPerMinute => count(self.output_tokens_per_minute),
            LimitKind::TokensPerMinute => count(self.tokens_per_minute),
            LimitKind::ConcurrentRequests => count(self.concurrent_requests),
            LimitKind::BudgetDay => money(self.budget_day),
            LimitKind::BudgetMonth => money(self.budget_month),
            LimitKind::BudgetEver => money(self.budget_ever),
            LimitKind::Balance => None,
        }
    }
}

impl Limits {
    /// With one of them set, in requests, tokens or billionths. Less than nothing is nothing; a balance is not set.
    #[must_use]
    pub fn with(mut self, kind: LimitKind, allowed: i64) -> Self {
        let allowed = allowed.max(0);
        let count = Some(allowed.unsigned_abs());
        let money = Some(Nano::new(allowed));
        match kind {
            LimitKind::RequestsPerMinute => self.requests_per_minute = count,
            LimitKind::InputTokensPerMinute => self.input_tokens_per_minute = count,
            LimitKind::OutputTokensPerMinute => self.output_tokens_per_minute = count,
            LimitKind::TokensPerMinute => self.tokens_per_minute = count,
            LimitKind::ConcurrentRequests => self.concurrent_requests = count,
            LimitKind::BudgetDay => self.budget_day = money,
            LimitKind::BudgetMonth => self.budget_month = money,
            LimitKind::BudgetEver => self.budget_ever = money,
            LimitKind::Balance => {}
        }
        self
    }
}

/// Whose a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// An organisation: holds for all of its projects together.
    Organisation(OrgId),
    /// A project: holds for all of its keys together.
    Project(ProjectId),
    /// A key, both secrets of a rotation together.
    Key(KeyId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation(id) => write!(f, "organisation {id}"),
            Self::Project(id) => write!(f, "project {id}"),
            Self::Key(id) => write!(f, "key {id}"),
        }
    }
}

/// The three that every request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// Who pays.
    pub org: OrgId,
    /// What it is used for.
    pub project: ProjectId,
    /// Who asks.
    pub key: KeyId,
}

impl Tenant {
    /// Those that a person's requests count for, who asks without a key. Usage has them under the id of a key that has the
    /// person's digits; nobody has such a key, so none of its limits hold, but those of the project and the organisation do.
    pub fn of_person(org: OrgId, project: ProjectId, person: UserId) -> Self {
        Self { org, project, key: KeyId::from_bytes(*person.as_bytes()) }
    }

    /// From the nearest to the furthest.
    pub fn owners(&self) -> [Owner; 3] {
        [Owner::Key(self.key), Owner::Project(self.project), Owner::Organisation(self.org)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_got_and_nothing_else_is() {
        for kind in LimitKind::SETTABLE {
            let limits = Limits::default().with(kind, 7);
            for other in LimitKind::SETTABLE {
                assert_eq!(limits.get(other), (other == kind).then_some(7), "{kind:?} {other:?}");
            }
            assert_eq!(limits.with(kind, -1).get(kind), Some(0));
        }
    }
}
