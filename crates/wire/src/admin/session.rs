//! Signing in, and who has.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Role, Secret};

/// Carries a session's second secret. Whatever changes something with a session sends it.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Names the project that a request of the model APIs with a session belongs to.
pub const PROJECT_HEADER: &str = "x-modelworks-project";

/// The cookie that holds a session. With TLS a browser sends it nowhere else and takes it from no other host (RFC 6265bis,
/// section 4.1.3).
pub fn session_cookie(secure: bool) -> &'static str {
    if secure { "__Host-modelworks-session" } else { "modelworks-session" }
}

/// The cookie that holds a sign-in with a provider that has begun.
pub fn pending_cookie(secure: bool) -> &'static str {
    if secure { "__Host-modelworks-sign-in" } else { "modelworks-sign-in" }
}

/// A provider with which people sign in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignInProvider {
    /// Its name in addresses.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// Where a browser begins: a path on this server.
    pub start: String,
}

/// How a sign-in with a provider begins.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SignInQuery {
    /// Where the browser goes when somebody is signed in: a path on this server, at most 512 characters; default: `/`.
    pub return_to: Option<String>,
    /// The token of an invitation, for somebody who is not known here yet.
    #[param(value_type = Option<String>)]
    pub invite: Option<Secret>,
}

/// Who signs in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The address by which they are known.
    pub email: String,
    /// Their password.
    pub password: Secret,
}

/// Who is signed in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionInfo {
    /// Their id, `user_…`.
    pub user_id: String,
    /// The address by which they are known.
    pub email: String,
    /// Whether they run the installation.
    pub operator: bool,
    /// Where they belong, the first thousand.
    pub organisations: Vec<Membership>,
    /// What to send as `x-csrf-token` with whatever changes something.
    pub csrf_token: Secret,
    /// When the session ends unless it is used before.
    pub expires_at: String,
}

/// An organisation that somebody belongs to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    /// Its id, `org_…`.
    pub organisation_id: String,
    /// Its name.
    pub name: String,
    /// What they are there.
    pub role: Role,
}

/// Another password for oneself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one there is.
    pub current: Secret,
    /// The one that shall be, 10 characters or more.
    pub new: Secret,
}
