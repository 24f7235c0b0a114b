//! A key of a project, and when it opens the door.

use std::{collections::BTreeSet, time::Duration};

use thiserror::Error;

use crate::{Authority, Forbidden, KeyId, KeyedHash, Name, OrgId, ProjectId, Role, Scopes, Timestamp, UserId};

/// An API key. Its secret is not here: only the keyed hash is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name for everything that counts: both secrets of a rotation share it, hence every counter.
    pub id: KeyId,
    /// Who pays.
    pub org: OrgId,
    /// What it belongs to.
    pub project: ProjectId,
    /// Whose it is; none for one that is its project's alone.
    pub owner: Option<UserId>,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub scopes: Scopes,
    /// Which models it may name.
    pub models: ModelAccess,
    /// From then on it is refused; what runs goes on.
    pub expires: Option<Timestamp>,
    /// Since then it is refused; what ran was cancelled.
    pub revoked: Option<Timestamp>,
    /// The secret's hash.
    pub secret: KeyedHash,
    /// The secret before the last rotation, while it still works.
    pub previous: Option<PreviousSecret>,
}

/// A secret that was replaced and has not stopped to work yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Its hash.
    pub hash: KeyedHash,
    /// The first moment at which it does not work.
    pub until: Timestamp,
}

/// Which models a key may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ModelAccess {
    /// All there are, later ones too.
    #[default]
    All,
    /// These.
    Only(BTreeSet<Box<str>>),
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyRefusal {
    /// The secret is none of this key's, or its time after a rotation is over.
    #[error("the API key is not valid here; check for a key of another installation, or a cut or replaced one")]
    Unknown,
    /// Somebody revoked it.
    #[error("the API key was revoked at {at}")]
    Revoked {
        /// When.
        at: Timestamp,
    },
    /// Its time is over.
    #[error("the API key expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
}

impl ModelAccess {
    /// Whether `model`, by the name that requests use, is among them.
    pub fn allows(&self, model: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(models) => models.contains(model),
        }
    }
}

impl Key {
    /// Whether a secret with this hash opens the door now.
    pub fn check(&self, secret: &KeyedHash, now: Timestamp) -> Result<(), KeyRefusal> {
        let current = *secret == self.secret;
        let previous = self.previous.as_ref().is_some_and(|previous| previous.hash == *secret && now < previous.until);
        if !current && !previous {
            return Err(KeyRefusal::Unknown);
        }
        if let Some(at) = self.revoked {
            return Err(KeyRefusal::Revoked { at });
        }
        match self.expires {
            Some(at) if at <= now => Err(KeyRefusal::Expired { at }),
            _ => Ok(()),
        }
    }

    /// What it may do.
    pub fn authority(&self) -> Authority {
        Authority::of_scopes(self.scopes, self.org, self.project)
    }

    /// Refuses a key that may do more than its owner, who is this in its organisation; `None` stands for no membership. A key
    /// without an owner may do what its scopes say.
    pub fn check_owner(&self, role: Option<Role>) -> Result<(), Forbidden> {
        match (self.owner, role) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Forbidden::Elsewhere),
            (Some(_), Some(role)) => Authority::of_role(role, self.org).may_grant(self.scopes.actions()),
        }
    }

    /// Replaces the secret; the one before works for `grace` more. Of two rotations in a row only the last secret but
    /// one is kept, so that there are never more than two.
    pub fn rotate(&mut self, secret: KeyedHash, now: Timestamp, grace: Duration) {
        let hash = std::mem::replace(&mut self.secret, secret);
        self.previous = (!grace.is_zero()).then(|| PreviousSecret { hash, until: now.after(grace) });
    }

    /// Ends the key. A second time changes nothing.
    pub fn revoke(&mut self, now: Timestamp) {
        self.revoked.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn secret(text: u8) -> KeyedHash {
        KeyedHash::from_bytes([text; 32])
    }

    fn key() -> Key {
        Key {
            id: KeyId::from_bytes([1; 16]),
            org: OrgId::from_bytes([2; 16]),
            project: ProjectId::from_bytes([3; 16]),
            owner: None,
            name: Name::default_name(),
            scopes: Scopes::all(),
            models: ModelAccess::All,
            expires: None,
            revoked: None,
            secret: secret(1),
            previous: None,
        }
    }

    #[test]
    fn both_secrets_work_during_the_grace_and_one_after_it() {
        let mut key = key();
        key.rotate(secret(2), at(1000), Duration::from_millis(500));
        for now in [1000, 1499] {
            assert_eq!(key.check(&secret(1), at(now)), Ok(()));
            assert_eq!(key.check(&secret(2), at(now)), Ok(()));
        }
        assert_eq!(key.check(&secret(1), at(1500)), Err(KeyRefusal::Unknown));
        assert_eq!(key.check(&secret(2), at(1500)), Ok(()));
        key.rotate(secret(3), at(1100), Duration::from_millis(500));
        assert_eq!(key.check(&secret(1), at(1100)), Err(KeyRefusal::Unknown));
        key.rotate(secret(4), at(1200), Duration::ZERO);
        assert_eq!(key.check(&secret(3), at(1200)), Err(KeyRefusal::Unknown));
        assert_eq!(key.check(&secret(4), at(1200)), Ok(()));
    }

    #[test]
    fn revocation_and_expiry_hold_at_once_and_for_both_secrets() {
        let mut key = key();
        key.expires = Some(at(5000));
        key.rotate(secret(2), at(4900), Duration::from_secs(9));
        assert_eq!(key.check(&secret(2), at(4999)), Ok(()));
        for which in [1, 2] {
            assert_eq!(key.check(&secret(which), at(5000)), Err(KeyRefusal::Expired { at: at(5000) }));
        }
        key.revoke(at(4000));
        key.revoke(at(4500));
        for which in [1, 2] {
            assert_eq!(key.check(&secret(which), at(4100)), Err(KeyRefusal::Revoked { at: at(4000) }));
        }
    }

    #[test]
    fn a_key_does_no_more_than_its_owner_may() {
        for role in Role::ALL.into_iter().map(Some).chain([None]) {
            for scope in Scope::ALL {
                let scopes = Scopes::of(&[scope]);
                let free = Key { scopes, ..key() };
                assert_eq!(free.check_owner(role), Ok(()));
                let owned = Key { owner: Some(UserId::from_bytes([4; 16])), ..free };
                let expect = role.is_some_and(|role| scope.actions().iter().all(|action| role.may(action)));
                assert_eq!(owned.check_owner(role).is_ok(), expect, "{role:?} {scope:?}");
            }
        }
        // Who belongs to it no more has no key there, not even one for nothing.
        let nothing = Key { owner: Some(UserId::from_bytes([4; 16])), scopes: Scopes::NONE, ..key() };
        assert!(nothing.check_owner(Some(Role::Billing)).is_ok() && nothing.check_owner(None).is_err());
    }

    #[test]
    fn who_does_not_know_the_secret_learns_nothing_of_the_key() {
        let mut key = key();
        key.revoke(at(1));
        key.expires = Some(at(1));
        assert_eq!(key.check(&secret(9), at(2)), Err(KeyRefusal::Unknown));
    }

    #[test]
    fn an_empty_list_allows_no_model() {
        assert!(ModelAccess::All.allows("m"));
        assert!(!ModelAccess::Only(BTreeSet::new()).allows("m"));
        assert!(ModelAccess::Only(BTreeSet::from(["m".into()])).allows("m"));
        assert!(!ModelAccess::Only(BTreeSet::from(["m".into()])).allows("M"));
    }
}
