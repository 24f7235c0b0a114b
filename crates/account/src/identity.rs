//! Who asks, once that is checked.

use std::{fmt, sync::Arc};

use crate::{Action, Actions, Authority, Forbidden, Key, Person, Reach, Session};

/// Somebody whose key or session was checked.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A program with a key.
    Key(Arc<Key>),
    /// A person in a session.
    Person(Arc<Person>, Session),
}

impl Identity {
    /// What they are at `place`: a key is the same everywhere, a person has a role in each organisation.
    pub fn authority(&self, place: Reach) -> Result<Authority, Forbidden> {
        match self {
            Self::Key(key) => Ok(key.authority()),
            Self::Person(person, _) => person.authority(place),
        }
    }

    /// Whether they may do `action` to something at `place`.
    pub fn may(&self, action: Action, place: Reach) -> Result<(), Forbidden> {
        self.authority(place)?.may(action, place)
    }

    /// Whether they may do `action` to this key, or to what belongs to it. One's own may be seen and managed by who may not
    /// do that to others; and for who may see none but their own, there are no others.
    pub fn may_with(&self, action: Action, key: &Key) -> Result<(), Forbidden> {
        let place = Reach::Project(key.org, key.project);
        let authority = self.authority(place)?;
        let own = matches!(self, Self::Person(person, _) if key.owner == Some(person.id));
        if own {
            return match action {
                Action::ReadKeys => authority.may(Action::ReadOwnKeys, place),
                Action::ManageKeys => authority.may(Action::ManageOwnKeys, place),
                action => authority.may(action, place),
            };
        }
        let sees = |action| authority.may(action, place).is_ok();
        if sees(Action::ReadOwnKeys) && !sees(Action::ReadKeys) {
            return Err(Forbidden::Elsewhere);
        }
        authority.may(action, place)
    }

    /// All that they may do somewhere.
    pub fn actions(&self) -> Actions {
        match self {
            Self::Key(key) => key.authority().actions(),
            Self::Person(person, _) => person.actions(),
        }
    }
}

/// The id by which the audit log knows them.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.id.fmt(f),
            Self::Person(person, _) => person.id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyId, KeyedHash, ModelAccess, Name, OrgId, ProjectId, Role, Scope, Scopes, Timestamp, UserId};

    const ORG: OrgId = OrgId::from_bytes([1; 16]);
    const OTHER: OrgId = OrgId::from_bytes([2; 16]);
    const ME: UserId = UserId::from_bytes([3; 16]);
    const YOU: UserId = UserId::from_bytes([4; 16]);

    fn key(org: OrgId, owner: Option<UserId>) -> Key {
        Key {
            id: KeyId::from_bytes([5; 16]),
            org,
            project: ProjectId::from_bytes([6; 16]),
            owner,
            name: Name::default_name(),
            scopes: Scopes::of(&[Scope::AdminKeys]),
            models: ModelAccess::All,
            expires: None,
            revoked: None,
            secret: KeyedHash::from_bytes([7; 32]),
            previous: None,
        }
    }

    fn me(role: Role) -> Identity {
        let roles = [(ORG, role)].into_iter().filter(|(_, role)| *role != Role::Operator).collect();
        let now = Timestamp::from_millis(0);
        let session = Session { hash: KeyedHash::from_bytes([8; 32]), user: ME, begun: now, seen: now };
        Identity::Person(Arc::new(Person { id: ME, operator: role == Role::Operator, roles }), session)
    }

    /// Which answer each role has for one's own key, somebody's and nobody's: `ok`, what is lacking, or that there is none.
    #[test]
    fn every_role_sees_and_manages_its_own_keys_and_others_as_the_table_says() {
        let word = |answer: Result<(), Forbidden>| match answer {
            Ok(()) => "ok",
            Err(Forbidden::Elsewhere) => "none",
            Err(_) => "lacks",
        };
        for (role, own, others) in [
            (Role::Owner, ["ok", "ok", "ok"], ["ok", "ok", "ok"]),
            (Role::Admin, ["ok", "ok", "ok"], ["ok", "ok", "ok"]),
            (Role::Member, ["ok", "ok", "lacks"], ["none", "none", "none"]),
            (Role::Viewer, ["ok", "lacks", "lacks"], ["ok", "lacks", "lacks"]),
            (Role::Billing, ["lacks", "lacks", "lacks"], ["lacks", "lacks", "lacks"]),
            (Role::Operator, ["ok", "ok", "ok"], ["ok", "ok", "ok"]),
        ] {
            for (owner, expect) in [(Some(ME), own), (Some(YOU), others), (None, others)] {
                let actions = [Action::ReadKeys, Action::ManageKeys, Action::ManageLimits];
                let answers = actions.map(|action| word(me(role).may_with(action, &key(ORG, owner))));
                assert_eq!(answers, expect, "{role:?} {owner:?}");
                if role != Role::Operator {
                    assert_eq!(word(me(role).may_with(Action::ReadKeys, &key(OTHER, owner))), "none", "{role:?}");
                }
            }
        }
        assert_eq!(me(Role::Member).may_with(Action::ReadLimits, &key(ORG, Some(YOU))), Err(Forbidden::Elsewhere));
        assert_eq!(me(Role::Billing).may_with(Action::ReadLimits, &key(ORG, Some(YOU))), Ok(()));
    }

    #[test]
    fn a_key_owns_no_keys() {
        let asks = Identity::Key(Arc::new(key(ORG, Some(ME))));
        assert_eq!(asks.may_with(Action::ManageKeys, &key(ORG, Some(YOU))), Ok(()), "its scopes say so");
        let mut weak = key(ORG, Some(ME));
        weak.scopes = Scopes::of(&[Scope::Inference]);
        let asks = Identity::Key(Arc::new(weak));
        let lacks = Err(Forbidden::Lacks { action: Action::ManageKeys });
        assert_eq!(asks.may_with(Action::ManageKeys, &key(ORG, Some(ME))), lacks);
    }
}
