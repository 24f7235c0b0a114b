//! People, and what they are in an organisation.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Secret;

/// What somebody is in an organisation; docs/roles.md says what that allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
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
}

/// A person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Their id, `user_…`.
    pub id: String,
    /// The address by which they are known, in lower case.
    pub email: String,
    /// Whether they run the installation.
    pub operator: bool,
    /// When they were made known.
    pub created_at: String,
}

/// A person to be made known.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The address by which they are known, unique in the installation.
    pub email: String,
    /// Whether they run the installation; default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<bool>,
    /// Their password, 10 characters or more; without one they need a reset to sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// What shall change of a person.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Whether they run the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<bool>,
}

/// A person's account at an OpenID provider, by which they sign in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExternalIdentity {
    /// Its id here, `identity_…`.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The provider.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// Whether the provider had verified the person's address when this was linked.
    pub email_verified: bool,
    /// When it was linked.
    pub created_at: String,
}

/// A person of an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Their id, `user_…`.
    pub user_id: String,
    /// The address by which they are known.
    pub email: String,
    /// What they are in the organisation.
    pub role: Role,
}

/// A person who shall belong to an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// Who: somebody who is known here. Others are invited.
    pub user_id: String,
    /// What they will be.
    pub role: Role,
}

/// What shall change of a membership.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// Another role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// Which people, and which part of their list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UserQuery {
    /// What `next` of the part before says; default: from the beginning.
    pub after: Option<String>,
    /// Most people in the part, 1 to 1000; default: 100.
    pub limit: Option<u32>,
    /// Only the one with this address.
    pub email: Option<String>,
}
