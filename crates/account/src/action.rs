//! What can be done, as a closed list.

use std::fmt;

/// Everything that somebody may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// See the organisation and its settings.
    ReadOrganisation,
    /// Change its name and time zone.
    ChangeOrganisation,
    /// End it.
    DeleteOrganisation,
    /// See who belongs to it.
    ReadMembers,
    /// Invite, remove, change roles.
    ManageMembers,
    /// See projects.
    ReadProjects,
    /// Make, rename and end projects.
    ManageProjects,
    /// See the keys of others (never their secrets).
    ReadKeys,
    /// See one's own.
    ReadOwnKeys,
    /// Make, change, rotate and revoke anybody's keys.
    ManageKeys,
    /// The same with one's own.
    ManageOwnKeys,
    /// See limits and what is left of them.
    ReadLimits,
    /// Set limits of the organisation, its projects and keys.
    ManageLimits,
    /// See the list of models.
    ReadModels,
    /// Ask a model.
    Infer,
    /// Store and read files.
    UseFiles,
    /// Run batches.
    UseBatches,
    /// See counts and costs.
    ReadUsage,
    /// See single requests.
    ReadRequests,
    /// See the ledger, statements and the balance.
    ReadBills,
    /// Redeem a code for credit.
    RedeemCredits,
    /// See the audit log of the organisation.
    ReadAudit,
    /// Make organisations, suspend them, choose prepaid or postpaid.
    ManageOrganisations,
    /// Make people known, end them, let them set another password.
    ManageUsers,
    /// Grant credit and correct bills.
    ManageCredits,
    /// Set prices.
    ManagePrices,
    /// Pull, load and remove models.
    ManageModels,
    /// Connect somebody else's engines.
    ManageUpstreams,
    /// Take and restore backups.
    ManageBackups,
}

impl Action {
    /// All there are.
    pub const ALL: [Self; 29] = [
        Self::ReadOrganisation,
        Self::ChangeOrganisation,
        Self::DeleteOrganisation,
        Self::ReadMembers,
        Self::ManageMembers,
        Self::ReadProjects,
        Self::ManageProjects,
        Self::ReadKeys,
        Self::ReadOwnKeys,
        Self::ManageKeys,
        Self::ManageOwnKeys,
        Self::ReadLimits,
        Self::ManageLimits,
        Self::ReadModels,
        Self::Infer,
        Self::UseFiles,
        Self::UseBatches,
        Self::ReadUsage,
        Self::ReadRequests,
        Self::ReadBills,
        Self::RedeemCredits,
        Self::ReadAudit,
        Self::ManageOrganisations,
        Self::ManageUsers,
        Self::ManageCredits,
        Self::ManagePrices,
        Self::ManageModels,
        Self::ManageUpstreams,
        Self::ManageBackups,
    ];
}

/// Some of the actions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Actions(u32);

impl Actions {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(actions: &[Action]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < actions.len() {
            bits |= 1 << actions[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// Whether `action` is among them.
    pub fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// Whether all of `others` are among them.
    pub fn contains_all(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_own_bit() {
        for (place, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, place);
        }
        assert_eq!(Actions::of(&Action::ALL).iter().count(), Action::ALL.len());
        // The last of the list is the last of the enumeration: a later one would not fit the array.
        assert_eq!(Action::ALL.len() - 1, Action::ManageBackups as usize);
    }

    #[test]
    fn sets_are_compared_as_sets() {
        let some = Actions::of(&[Action::Infer, Action::ReadUsage]);
        assert!(some.contains_all(Actions::NONE) && some.contains_all(Actions::of(&[Action::Infer])));
        assert!(!some.contains_all(Actions::of(&[Action::Infer, Action::UseFiles])));
        assert_eq!(Actions::of(&[Action::Infer]).and(Actions::of(&[Action::ReadUsage])), some);
    }
}
