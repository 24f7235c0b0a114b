//! Invitations and resets: tokens that work once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Role, Secret};

/// An invitation into an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// Its id, `invite_…`.
    pub id: String,
    /// Into which organisation.
    pub organisation_id: String,
    /// For whom.
    pub email: String,
    /// What they will be.
    pub role: Role,
    /// When it was made.
    pub created_at: String,
    /// From then on it is none.
    pub expires_at: String,
    /// Who accepted it.
    pub accepted_by: Option<String>,
}

/// An invitation to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    /// For whom: nobody with another address accepts it.
    pub email: String,
    /// What they will be.
    pub role: Role,
    /// From then on it is none; default: in 7 days, at most 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// An invitation with its token. Nothing is sent: whoever made it hands it on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedInvite {
    /// The invitation.
    #[serde(flatten)]
    pub invite: Invite,
    /// The token, shown this once. Absent in the answer to a request that was sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// Somebody new accepts an invitation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The invitation's token.
    pub token: Secret,
    /// The password that they will sign in with, 10 characters or more.
    pub password: Secret,
}

/// Somebody who is signed in accepts an invitation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Joining {
    /// The invitation's token.
    pub token: Secret,
}

/// What became of an invitation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// Who joined.
    pub user_id: String,
    /// Which organisation.
    pub organisation_id: String,
    /// What they are there.
    pub role: Role,
}

/// The right to set a person's password once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedReset {
    /// Whose.
    pub user_id: String,
    /// From then on it is none.
    pub expires_at: String,
    /// The token, shown this once. Absent in the answer to a request that was sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// Uses a reset.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The reset's token.
    pub token: Secret,
    /// The password that shall be, 10 characters or more.
    pub password: Secret,
}
