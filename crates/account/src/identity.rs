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
