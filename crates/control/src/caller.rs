//! Who administrates: a key that whoever serves these routes has checked.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use account::{Action, Actions, Authority, Forbidden, Key, OrgId, ProjectId, Reach, Role, Scopes};
use axum::{extract::FromRequestParts, http::request::Parts};
use store::Act;

use crate::{Control, error::ApiError};

/// Somebody whose key was checked. A handler that needs one says so in its parameters.
#[derive(Debug, Clone)]
pub struct Caller {
    key: Arc<Key>,
    address: Option<IpAddr>,
}

impl Caller {
    /// The key.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// What it may do where it reaches.
    pub(crate) fn actions(&self) -> Actions {
        self.authority().actions()
    }

    /// Refuses what the caller may not do at `place`.
    pub(crate) fn may(&self, action: Action, place: Reach) -> Result<(), ApiError> {
        Ok(self.authority().may(action, place)?)
    }

    /// Whether the caller reaches every organisation with what it may do.
    pub(crate) fn reaches_all(&self, action: Action) -> bool {
        self.authority().may(action, Reach::Installation).is_ok()
    }

    /// Refuses to make or change a key that may do what the caller may not.
    pub(crate) fn may_grant(&self, scopes: Scopes, org: OrgId, project: ProjectId) -> Result<(), ApiError> {
        Ok(self.authority().may_grant_scopes(scopes, Reach::Project(org, project))?)
    }

    /// Refuses to end a key of whoever runs the installation, unless the caller is such a one.
    pub(crate) fn may_end(&self, key: &Key) -> Result<(), ApiError> {
        let theirs = key.authority().actions();
        let missing = theirs.iter().find(|action| !self.actions().contains(*action));
        match missing {
            Some(action) if !Role::Owner.actions().contains_all(theirs) => Err(Forbidden::Grants { action }.into()),
            _ => Ok(()),
        }
    }

    /// What the audit log says of a change.
    pub(crate) fn act(&self, before: Option<String>, after: Option<String>) -> Act {
        Act {
            actor: self.key.id.to_string().into(),
            at: store::now(),
            before: before.map(Into::into),
            after: after.map(Into::into),
            address: self.address.map(|address| address.to_string().into()),
        }
    }

    fn authority(&self) -> Authority {
        self.key.authority()
    }
}

impl FromRequestParts<Control> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, ApiError> {
        let key = parts.extensions.get::<Arc<Key>>().cloned().ok_or(ApiError::NoKey)?;
        Ok(Self { key, address: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip) })
    }
}
