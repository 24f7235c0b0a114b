//! Somebody, where they are somebody, and what they may do there.

use thiserror::Error;

use crate::{Action, Actions, OrgId, ProjectId, Role, Scopes};

/// What an authority reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every organisation.
    Installation,
    /// One organisation and its projects.
    Organisation(OrgId),
    /// One project.
    Project(OrgId, ProjectId),
}

/// What an authenticated caller may do: a person by role, a key by scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    reach: Reach,
    actions: Actions,
}

/// Why something may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// The role or scope is missing.
    #[error("this caller may not do that; it needs the right {action:?}")]
    Lacks {
        /// What it would have to be allowed.
        action: Action,
    },
    /// The object lies in another organisation or project; to the outside it does not exist.
    #[error("there is no such object")]
    Elsewhere,
    /// Nobody grants what they lack.
    #[error("nobody can grant what they lack: this caller lacks the right {action:?}")]
    Grants {
        /// The first that is missing.
        action: Action,
    },
}

impl Reach {
    fn covers(self, object: Self) -> bool {
        match (self, object) {
            (Self::Installation, _) => true,
            (Self::Organisation(mine), Self::Organisation(org) | Self::Project(org, _)) => mine == org,
            (Self::Project(my_org, mine), Self::Project(org, project)) => my_org == org && mine == project,
            (_, Self::Installation) | (Self::Project(..), Self::Organisation(_)) => false,
        }
    }
}

impl Authority {
    /// A person with a role in an organisation. An operator reaches all of them.
    pub fn of_role(role: Role, org: OrgId) -> Self {
        let reach = if role == Role::Operator { Reach::Installation } else { Reach::Organisation(org) };
        Self { reach, actions: role.actions() }
    }

    /// Whoever runs the installation.
    pub fn of_operator() -> Self {
        Self { reach: Reach::Installation, actions: Role::Operator.actions() }
    }

    /// A key. One that has an `admin:` scope of the installation reaches all of it, one that has another `admin:` scope
    /// its organisation, any other its project.
    pub fn of_scopes(scopes: Scopes, org: OrgId, project: ProjectId) -> Self {
        let actions = scopes.actions();
        let names = |beyond: Actions| !beyond.contains_all(actions);
        let reach = if names(Role::Owner.actions()) {
            Reach::Installation
        } else if scopes.iter().any(|scope| scope.as_str().starts_with("admin:")) {
            Reach::Organisation(org)
        } else {
            Reach::Project(org, project)
        };
        Self { reach, actions }
    }

    /// What it may do where it reaches.
    pub fn actions(&self) -> Actions {
        self.actions
    }

    /// Whether it may do `action` to something at `place`.
    pub fn may(&self, action: Action, place: Reach) -> Result<(), Forbidden> {
        if !self.reach.covers(place) {
            return Err(Forbidden::Elsewhere);
        }
        if self.actions.contains(action) { Ok(()) } else { Err(Forbidden::Lacks { action }) }
    }

    /// Whether it may give a key of `place` these scopes, beside being allowed to make keys at all.
    pub fn may_grant_scopes(&self, scopes: Scopes, place: Reach) -> Result<(), Forbidden> {
        let own = self.may(Action::ManageOwnKeys, place);
        own.or_else(|_| self.may(Action::ManageKeys, place))?;
        self.may_grant(scopes.actions())
    }

    /// Whether it may change somebody of `place` from one role to another; `None` stands for no membership. The old
    /// role counts too, or an admin could remove the owner.
    pub fn may_change_role(&self, from: Option<Role>, to: Option<Role>, place: Reach) -> Result<(), Forbidden> {
        self.may(Action::ManageMembers, place)?;
        [from, to].into_iter().flatten().try_for_each(|role| self.may_grant(role.actions()))
    }

    /// Whether it has all of `actions` itself, so that it may hand them on.
    pub fn may_grant(&self, actions: Actions) -> Result<(), Forbidden> {
        let missing = actions.iter().find(|action| !self.actions.contains(*action));
        missing.map_or(Ok(()), |action| Err(Forbidden::Grants { action }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    const ORG: OrgId = OrgId::from_bytes([1; 16]);
    const OTHER: OrgId = OrgId::from_bytes([2; 16]);
    const PROJECT: ProjectId = ProjectId::from_bytes([3; 16]);
    const SIBLING: ProjectId = ProjectId::from_bytes([4; 16]);

    #[test]
    fn nobody_grants_a_scope_that_they_lack() {
        let place = Reach::Project(ORG, PROJECT);
        for role in Role::ALL {
            let authority = Authority::of_role(role, ORG);
            for scope in Scope::ALL {
                let granted = authority.may_grant_scopes(Scopes::of(&[scope]), place).is_ok();
                let makes_keys = role.may(Action::ManageOwnKeys) || role.may(Action::ManageKeys);
                let has_all = scope.actions().iter().all(|action| role.may(action));
                assert_eq!(granted, makes_keys && has_all, "{role:?} {scope:?}");
            }
        }
        let maker = Authority::of_scopes(Scopes::of(&[Scope::AdminKeys]), ORG, PROJECT);
        assert!(maker.may_grant_scopes(Scopes::of(&[Scope::AdminKeys]), place).is_ok());
        assert!(maker.may_grant_scopes(Scopes::of(&[Scope::Inference]), place).is_err());
    }

    #[test]
    fn nobody_grants_or_takes_a_role_beyond_their_own() {
        for mine in Role::ALL {
            let authority = Authority::of_role(mine, ORG);
            for role in Role::ALL {
                let expect = mine.may(Action::ManageMembers) && mine.actions().contains_all(role.actions());
                let place = Reach::Organisation(ORG);
                assert_eq!(authority.may_change_role(None, Some(role), place).is_ok(), expect, "{mine:?} {role:?}");
                assert_eq!(authority.may_change_role(Some(role), None, place).is_ok(), expect, "{mine:?} {role:?}");
            }
        }
    }

    #[test]
    fn what_lies_elsewhere_does_not_exist() {
        let owner = Authority::of_role(Role::Owner, ORG);
        for place in [Reach::Installation, Reach::Organisation(OTHER), Reach::Project(OTHER, PROJECT)] {
            for action in Action::ALL {
                assert_eq!(owner.may(action, place), Err(Forbidden::Elsewhere), "{action:?} {place:?}");
            }
        }
        let key = Authority::of_scopes(Scopes::of(&[Scope::UsageRead]), ORG, PROJECT);
        assert_eq!(key.may(Action::ReadUsage, Reach::Project(ORG, PROJECT)), Ok(()));
        assert_eq!(key.may(Action::ReadUsage, Reach::Project(ORG, SIBLING)), Err(Forbidden::Elsewhere));
        assert_eq!(key.may(Action::ReadUsage, Reach::Organisation(ORG)), Err(Forbidden::Elsewhere));
        assert!(Authority::of_role(Role::Operator, ORG).may(Action::ReadBills, Reach::Organisation(OTHER)).is_ok());
    }

    #[test]
    fn a_key_reaches_as_far_as_its_largest_scope() {
        let reach = |scopes: &[Scope]| Authority::of_scopes(Scopes::of(scopes), ORG, PROJECT).reach;
        for scope in Scope::ALL {
            let expect = match scope {
                scope if scope >= Scope::AdminInstallation => Reach::Installation,
                scope if scope >= Scope::AdminOrganisation => Reach::Organisation(ORG),
                _ => Reach::Project(ORG, PROJECT),
            };
            assert_eq!(reach(&[scope]), expect, "{scope:?}");
            assert_eq!(reach(&[scope, Scope::Inference]), expect, "{scope:?}");
        }
        assert_eq!(reach(&[]), Reach::Project(ORG, PROJECT));
    }
}
