//! Who administrates: somebody whom whoever serves these routes has checked.

use std::net::{IpAddr, SocketAddr};

use account::{
    Action, Actions, Authority, Forbidden, Identity, Key, OrgId, Person, ProjectId, Reach, Role, Scopes, Session,
    UserId,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use store::Act;

use crate::{Control, error::ApiError};

/// Somebody whose key or session was checked. A handler that needs one says so in its parameters.
#[derive(Debug, Clone)]
pub struct Caller {
    identity: Identity,
    address: Option<IpAddr>,
}

/// Somebody who need not show who they are: they are about to.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who they are already.
    pub(crate) identity: Option<Identity>,
    /// Where they come from.
    pub(crate) address: Option<IpAddr>,
}

impl Caller {
    /// Who it is, for the audit log and for what is done once.
    pub(crate) fn name(&self) -> String {
        self.identity.to_string()
    }

    /// Where they come from.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The key, where it is one that asks.
    pub(crate) fn key(&self) -> Option<&Key> {
        match &self.identity {
            Identity::Key(key) => Some(key),
            Identity::Person(..) => None,
        }
    }

    /// The person and the session, where it is one that asks. A key has none.
    pub(crate) fn session(&self) -> Result<(&Person, &Session), ApiError> {
        match &self.identity {
            Identity::Key(_) => Err(ApiError::NOT_FOUND),
            Identity::Person(person, session) => Ok((person, session)),
        }
    }

    /// Refuses what the caller may not do at `place`.
    pub(crate) fn may(&self, action: Action, place: Reach) -> Result<(), ApiError> {
        Ok(self.identity.may(action, place)?)
    }

    /// Refuses what the caller may not do to a key, or to what belongs to it.
    pub(crate) fn may_with(&self, action: Action, key: &Key) -> Result<(), ApiError> {
        Ok(self.identity.may_with(action, key)?)
    }

    /// Whose the keys are that the caller makes: a member's own. Operators and keys make them for projects.
    pub(crate) fn member(&self, org: OrgId) -> Option<UserId> {
        match &self.identity {
            Identity::Person(person, _) if !person.operator && person.roles.contains_key(&org) => Some(person.id),
            _ => None,
        }
    }

    /// Whether the caller reaches every organisation with what it may do.
    pub(crate) fn reaches_all(&self, action: Action) -> bool {
        self.identity.may(action, Reach::Installation).is_ok()
    }

    /// Refuses to make or change a key that may do what the caller may not.
    pub(crate) fn may_grant(&self, scopes: Scopes, org: OrgId, project: ProjectId) -> Result<(), ApiError> {
        let place = Reach::Project(org, project);
        Ok(self.authority(place)?.may_grant_scopes(scopes, place)?)
    }

    /// Refuses to end a key of whoever runs the installation, unless the caller is such a one.
    pub(crate) fn may_end(&self, key: &Key) -> Result<(), ApiError> {
        let theirs = key.authority().actions();
        let own = self.authority(Reach::Project(key.org, key.project))?.actions();
        let missing = theirs.iter().find(|action| !own.contains(*action));
        match missing {
            Some(action) if !Role::Owner.actions().contains_all(theirs) => Err(Forbidden::Grants { action }.into()),
            _ => Ok(()),
        }
    }

    /// Refuses to give or take a role in an organisation that allows what the caller may not do there.
    pub(crate) fn may_change_role(&self, from: Option<Role>, to: Option<Role>, org: OrgId) -> Result<(), ApiError> {
        let place = Reach::Organisation(org);
        Ok(self.authority(place)?.may_change_role(from, to, place)?)
    }

    /// Refuses to become, make or unmake somebody who may do what the caller may not. `rights` are theirs.
    pub(crate) fn may_decide_over(&self, rights: Actions) -> Result<(), ApiError> {
        self.may(Action::ManageUsers, Reach::Installation)?;
        Ok(self.authority(Reach::Installation)?.may_grant(rights)?)
    }

    /// What the audit log says of a change.
    pub(crate) fn act(&self, before: Option<String>, after: Option<String>) -> Act {
        act(self.name(), self.address, before, after)
    }

    fn authority(&self, place: Reach) -> Result<Authority, Forbidden> {
        self.identity.authority(place)
    }
}

impl Visitor {
    /// What the audit log says of what they do as `actor`, who they are from now on.
    pub(crate) fn act(&self, actor: impl ToString, after: Option<String>) -> Act {
        act(actor.to_string(), self.address, None, after)
    }
}

fn act(actor: String, address: Option<IpAddr>, before: Option<String>, after: Option<String>) -> Act {
    Act {
        actor: actor.into(),
        at: store::now(),
        before: before.map(Into::into),
        after: after.map(Into::into),
        address: address.map(|address| address.to_string().into()),
    }
}

impl FromRequestParts<Control> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let visitor = Visitor::from_request_parts(parts, control).await?;
        Ok(Self { identity: visitor.identity.ok_or(ApiError::NoKey)?, address: visitor.address })
    }
}

impl FromRequestParts<Control> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, ApiError> {
        let identity = parts.extensions.get::<Identity>().cloned();
        Ok(Self { identity, address: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip) })
    }
}
