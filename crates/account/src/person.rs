//! A person and what they are where.

use std::collections::BTreeMap;

use crate::{Actions, Authority, Forbidden, OrgId, Reach, Role, UserId};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// Whether they run the installation.
    pub operator: bool,
    /// The organisations that they belong to, and as what.
    pub roles: BTreeMap<OrgId, Role>,
}

impl Person {
    /// What they are at `place`. Where they are nothing, there is nothing for them.
    pub fn authority(&self, place: Reach) -> Result<Authority, Forbidden> {
        if self.operator {
            return Ok(Authority::of_operator());
        }
        match place {
            Reach::Installation => Err(Forbidden::Elsewhere),
            Reach::Organisation(org) | Reach::Project(org, _) => {
                let role = self.roles.get(&org).ok_or(Forbidden::Elsewhere)?;
                Ok(Authority::of_role(*role, org))
            }
        }
    }

    /// All that they may do somewhere.
    pub fn actions(&self) -> Actions {
        let own = if self.operator { Role::Operator.actions() } else { Actions::NONE };
        self.roles.values().fold(own, |actions, role| actions.and(role.actions()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, ProjectId};

    const ORG: OrgId = OrgId::from_bytes([1; 16]);
    const OTHER: OrgId = OrgId::from_bytes([2; 16]);
    const PROJECT: ProjectId = ProjectId::from_bytes([3; 16]);

    #[test]
    fn somebody_is_in_each_organisation_what_they_are_there_and_nothing_elsewhere() {
        let roles = BTreeMap::from([(ORG, Role::Owner), (OTHER, Role::Viewer)]);
        let person = Person { id: UserId::from_bytes([9; 16]), operator: false, roles };
        let may = |action, place| person.authority(place).and_then(|authority| authority.may(action, place));
        assert_eq!(may(Action::ManageKeys, Reach::Project(ORG, PROJECT)), Ok(()));
        let lacks = Err(Forbidden::Lacks { action: Action::ManageKeys });
        assert_eq!(may(Action::ManageKeys, Reach::Organisation(OTHER)), lacks);
        assert_eq!(may(Action::ReadKeys, Reach::Organisation(OTHER)), Ok(()));
        let nowhere = Reach::Organisation(OrgId::from_bytes([3; 16]));
        assert_eq!(may(Action::ReadOrganisation, nowhere), Err(Forbidden::Elsewhere));
        assert_eq!(may(Action::ReadOrganisation, Reach::Installation), Err(Forbidden::Elsewhere));
        assert_eq!(person.actions(), Role::Owner.actions());
    }

    #[test]
    fn an_operator_reaches_everything_whatever_else_they_are() {
        let roles = BTreeMap::from([(ORG, Role::Viewer)]);
        let person = Person { id: UserId::from_bytes([9; 16]), operator: true, roles };
        for place in [Reach::Installation, Reach::Organisation(ORG), Reach::Project(OTHER, PROJECT)] {
            for action in Action::ALL {
                let may = person.authority(place).and_then(|authority| authority.may(action, place));
                assert_eq!(may.is_ok(), Role::Operator.may(action), "{action:?} {place:?}");
            }
        }
    }
}
