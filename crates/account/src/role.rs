//! The one table of who may do what.

use thiserror::Error;

use crate::{Action, Actions};

/// What somebody is: in an organisation, or, for [`Role::Operator`], above all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Whose organisation it is.
    Owner,
    /// Runs it for the owner.
    Admin,
    /// Works with models.
    Member,
    /// Looks on.
    Viewer,
    /// Pays.
    Billing,
    /// Runs the installation. Not a role of an organisation: nobody gets it by an invitation.
    Operator,
}

/// A name that no role has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a role is one of owner, admin, member, viewer and billing")]
pub struct UnknownRole;

const Y: bool = true;
const N: bool = false;

/// Columns in the order of [`Role::ALL`]: owner, admin, member, viewer, billing, operator.
const TABLE: [(Action, [bool; 6]); Action::ALL.len()] = [
    (Action::ReadOrganisation, [Y, Y, Y, Y, Y, Y]),
    (Action::ChangeOrganisation, [Y, Y, N, N, N, Y]),
    (Action::DeleteOrganisation, [Y, N, N, N, N, Y]),
    (Action::ReadMembers, [Y, Y, Y, Y, Y, Y]),
    (Action::ManageMembers, [Y, Y, N, N, N, Y]),
    (Action::ReadProjects, [Y, Y, Y, Y, Y, Y]),
    (Action::ManageProjects, [Y, Y, N, N, N, Y]),
    (Action::ReadKeys, [Y, Y, N, Y, N, Y]),
    (Action::ReadOwnKeys, [Y, Y, Y, Y, N, Y]),
    (Action::ManageKeys, [Y, Y, N, N, N, Y]),
    (Action::ManageOwnKeys, [Y, Y, Y, N, N, Y]),
    (Action::ReadLimits, [Y, Y, Y, Y, Y, Y]),
    (Action::ManageLimits, [Y, Y, N, N, N, Y]),
    (Action::ReadModels, [Y, Y, Y, Y, Y, Y]),
    (Action::Infer, [Y, Y, Y, N, N, Y]),
    (Action::UseFiles, [Y, Y, Y, N, N, Y]),
    (Action::UseBatches, [Y, Y, Y, N, N, Y]),
    (Action::ReadUsage, [Y, Y, Y, Y, Y, Y]),
    (Action::ReadRequests, [Y, Y, Y, N, N, Y]),
    (Action::ReadBills, [Y, Y, N, N, Y, Y]),
    (Action::RedeemCredits, [Y, Y, N, N, Y, Y]),
    (Action::ReadAudit, [Y, Y, N, N, N, Y]),
    (Action::ManageOrganisations, [N, N, N, N, N, Y]),
    (Action::ManageUsers, [N, N, N, N, N, Y]),
    (Action::ManageCredits, [N, N, N, N, N, Y]),
    (Action::ManagePrices, [N, N, N, N, N, Y]),
    (Action::ManageModels, [N, N, N, N, N, Y]),
    (Action::ManageUpstreams, [N, N, N, N, N, Y]),
    (Action::ManageBackups, [N, N, N, N, N, Y]),
];

impl Role {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Owner, Self::Admin, Self::Member, Self::Viewer, Self::Billing, Self::Operator];

    /// The name in JSON and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
            Self::Billing => "billing",
            Self::Operator => "operator",
        }
    }

    /// The role of an organisation that has this name. The operator is none.
    pub fn parse(name: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == name);
        role.filter(|role| *role != Self::Operator).ok_or(UnknownRole)
    }

    /// Whether the role may do it.
    pub fn may(self, action: Action) -> bool {
        TABLE[action as usize].1[self as usize]
    }

    /// All that the role may do.
    pub fn actions(self) -> Actions {
        let allowed: Vec<Action> = Action::ALL.into_iter().filter(|action| self.may(*action)).collect();
        Actions::of(&allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/roles.md is the table that people read; both say the same in every cell.
    #[test]
    fn every_cell_is_as_documented() {
        let document = include_str!("../../../docs/roles.md");
        let rows: Vec<Vec<&str>> = document
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), Action::ALL.len());
        for (row, action) in rows.iter().zip(Action::ALL) {
            assert_eq!(row[0], format!("`{action:?}`"));
            for (cell, role) in row[1..].iter().zip(Role::ALL) {
                assert_eq!(role.may(action), *cell == "yes", "{role:?} {action:?}");
                assert!(["yes", ""].contains(cell));
            }
            assert_eq!(row.len(), 1 + Role::ALL.len());
        }
    }

    #[test]
    fn rows_and_columns_stand_where_they_are_looked_up() {
        for (place, (action, _)) in TABLE.iter().enumerate() {
            assert_eq!(*action as usize, place);
        }
        for (place, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role as usize, place);
        }
    }

    #[test]
    fn roles_are_nested_as_their_names_promise() {
        let larger = [
            (Role::Operator, Role::Owner),
            (Role::Owner, Role::Admin),
            (Role::Admin, Role::Member),
            (Role::Admin, Role::Viewer),
            (Role::Admin, Role::Billing),
        ];
        for (more, less) in larger {
            assert!(more.actions().contains_all(less.actions()), "{more:?} {less:?}");
            assert!(!less.actions().contains_all(more.actions()), "{more:?} {less:?}");
        }
        let changes = [Action::ManageKeys, Action::ManageOwnKeys, Action::Infer, Action::UseFiles, Action::UseBatches];
        assert!(changes.into_iter().all(|action| !Role::Viewer.may(action) && !Role::Billing.may(action)));
    }

    #[test]
    fn nobody_is_invited_as_operator() {
        assert_eq!(Role::parse("operator"), Err(UnknownRole));
        assert_eq!(Role::parse("owner"), Ok(Role::Owner));
        assert_eq!(Role::parse("' OR 1=1"), Err(UnknownRole));
    }
}
