//! What a key is for.

use std::fmt;

use thiserror::Error;

use crate::{Action, Actions};

/// One thing that a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Ask models.
    Inference,
    /// List models.
    ModelsRead,
    /// Read usage, cost and limits.
    UsageRead,
    /// Store and read files.
    Files,
    /// Run batches.
    Batches,
    /// Change the organisation's settings.
    AdminOrganisation,
    /// Its members.
    AdminMembers,
    /// Its projects.
    AdminProjects,
    /// Its keys.
    AdminKeys,
    /// Its limits.
    AdminLimits,
    /// Its single requests.
    AdminRequests,
    /// Its ledger and credit.
    AdminBilling,
    /// Its audit log.
    AdminAudit,
    /// All organisations, and all people. From here on: for whoever runs the installation.
    AdminInstallation,
    /// Credit of all organisations.
    AdminCredits,
    /// Prices.
    AdminPrices,
    /// Models on disk and in memory.
    AdminModels,
    /// Somebody else's engines.
    AdminUpstreams,
    /// Backups.
    AdminBackups,
}

/// A name that no scope has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is no scope; there are inference, models:read, usage:read, files, batches and admin:…")]
pub struct UnknownScope {
    /// The name that was given.
    pub name: String,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 19] = [
        Self::Inference,
        Self::ModelsRead,
        Self::UsageRead,
        Self::Files,
        Self::Batches,
        Self::AdminOrganisation,
        Self::AdminMembers,
        Self::AdminProjects,
        Self::AdminKeys,
        Self::AdminLimits,
        Self::AdminRequests,
        Self::AdminBilling,
        Self::AdminAudit,
        Self::AdminInstallation,
        Self::AdminCredits,
        Self::AdminPrices,
        Self::AdminModels,
        Self::AdminUpstreams,
        Self::AdminBackups,
    ];

    /// The name in JSON and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::ModelsRead => "models:read",
            Self::UsageRead => "usage:read",
            Self::Files => "files",
            Self::Batches => "batches",
            Self::AdminOrganisation => "admin:organisation",
            Self::AdminMembers => "admin:members",
            Self::AdminProjects => "admin:projects",
            Self::AdminKeys => "admin:keys",
            Self::AdminLimits => "admin:limits",
            Self::AdminRequests => "admin:requests",
            Self::AdminBilling => "admin:billing",
            Self::AdminAudit => "admin:audit",
            Self::AdminInstallation => "admin:installation",
            Self::AdminCredits => "admin:credits",
            Self::AdminPrices => "admin:prices",
            Self::AdminModels => "admin:models",
            Self::AdminUpstreams => "admin:upstreams",
            Self::AdminBackups => "admin:backups",
        }
    }

    /// What a key with this scope may do.
    pub fn actions(self) -> Actions {
        use Action as A;
        match self {
            Self::Inference => Actions::of(&[A::Infer]),
            Self::ModelsRead => Actions::of(&[A::ReadModels]),
            Self::UsageRead => Actions::of(&[A::ReadUsage, A::ReadLimits]),
            Self::Files => Actions::of(&[A::UseFiles]),
            Self::Batches => Actions::of(&[A::UseBatches]),
            Self::AdminOrganisation => Actions::of(&[A::ReadOrganisation, A::ChangeOrganisation]),
            Self::AdminMembers => Actions::of(&[A::ReadMembers, A::ManageMembers]),
            Self::AdminProjects => Actions::of(&[A::ReadProjects, A::ManageProjects]),
            Self::AdminKeys => Actions::of(&[A::ReadKeys, A::ReadOwnKeys, A::ManageKeys, A::ManageOwnKeys]),
            Self::AdminLimits => Actions::of(&[A::ReadLimits, A::ManageLimits]),
            Self::AdminRequests => Actions::of(&[A::ReadRequests]),
            Self::AdminBilling => Actions::of(&[A::ReadUsage, A::ReadBills, A::RedeemCredits]),
            Self::AdminAudit => Actions::of(&[A::ReadAudit]),
            Self::AdminInstallation => Actions::of(&[
                A::ManageOrganisations,
                A::ManageUsers,
                A::ReadOrganisation,
                A::ChangeOrganisation,
                A::DeleteOrganisation,
            ]),
            Self::AdminCredits => Actions::of(&[A::ManageCredits, A::ReadBills]),
            Self::AdminPrices => Actions::of(&[A::ManagePrices]),
            Self::AdminModels => Actions::of(&[A::ManageModels, A::ReadModels]),
            Self::AdminUpstreams => Actions::of(&[A::ManageUpstreams]),
            Self::AdminBackups => Actions::of(&[A::ManageBackups]),
        }
    }
}

/// Some of the scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u32);

impl Scopes {
    /// None: a key for nothing.
    pub const NONE: Self = Self(0);

    /// These.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | 1 << *scope as u32))
    }

    /// Every one: the first key of an installation.
    pub fn all() -> Self {
        Self::of(&Scope::ALL)
    }

    /// Reads names separated by spaces, as [`fmt::Display`] writes them.
    pub fn parse(names: &str) -> Result<Self, UnknownScope> {
        let mut scopes = Self::NONE;
        for name in names.split_whitespace() {
            let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == name);
            let scope = scope.ok_or_else(|| UnknownScope { name: name.chars().take(64).collect() })?;
            scopes.0 |= 1 << scope as u32;
        }
        Ok(scopes)
    }

    /// Whether `scope` is among them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// All that a key with these scopes may do.
    pub fn actions(self) -> Actions {
        self.iter().fold(Actions::NONE, |actions, scope| actions.and(scope.actions()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn names_read_back() {
        for (place, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(scope as usize, place);
            assert_eq!(Scopes::parse(scope.as_str()), Ok(Scopes::of(&[scope])));
        }
        assert_eq!(Scopes::parse(&Scopes::all().to_string()), Ok(Scopes::all()));
        assert_eq!(Scopes::parse(" "), Ok(Scopes::NONE));
        assert!(Scopes::parse("inference admin:*").is_err());
    }

    #[test]
    fn what_belongs_to_the_installation_is_beyond_every_owner() {
        for scope in Scope::ALL {
            let beyond = !Role::Owner.actions().contains_all(scope.actions());
            assert_eq!(beyond, scope >= Scope::AdminInstallation, "{scope:?}");
            assert!(Role::Operator.actions().contains_all(scope.actions()));
        }
    }
}
