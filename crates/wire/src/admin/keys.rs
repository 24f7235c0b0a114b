//! API keys, without their secrets but where they are made.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Limits, Secret, present};

/// An API key. Its secret is nowhere but in the answer that made it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its id, `key_…`.
    pub id: String,
    /// Who pays.
    pub organisation_id: String,
    /// What it belongs to.
    pub project_id: String,
    /// Whose it is, `user_…`; `null`: its project's alone.
    pub owner_id: Option<String>,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub scopes: Vec<String>,
    /// The models that it may name; `null`: all.
    pub models: Option<Vec<String>>,
    /// From then on it is refused.
    pub expires_at: Option<String>,
    /// Since then it is refused.
    pub revoked_at: Option<String>,
    /// The secret before the last rotation works until then.
    pub previous_secret_until: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last used, to the minute.
    pub last_used_at: Option<String>,
}

/// A key to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The project that it belongs to.
    pub project_id: String,
    /// Whose it is: a member of the organisation, who may do all that it may; `null`: its project's alone. Default: the
    /// member who makes it; of others nobody.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner_id: Option<Option<String>>,
    /// What people call it.
    pub name: String,
    /// What it is for; default: `inference`, `models:read` and `usage:read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The models that it may name; default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// From then on it is refused; default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Limits of its own; default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// A key with its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedKey {
    /// The key.
    #[serde(flatten)]
    pub key: Key,
    /// The secret, shown this once. Absent in the answer to a request that was sent before: rotate the key if it is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// What shall change of a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// Another owner; `null`: its project's alone.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner_id: Option<Option<String>>,
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Other scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Other models; `null`: all.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub models: Option<Option<Vec<String>>>,
    /// Another expiry; `null`: never.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Option<String>>,
}

/// A change of a key's secret.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// For so long the secret before works, too; default: 0, at most 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

/// Which keys, and which part of their list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// What `next` of the part before says; default: from the beginning.
    pub after: Option<String>,
    /// Most keys in the part, 1 to 1000; default: 100.
    pub limit: Option<u32>,
    /// Only keys with this name.
    pub name: Option<String>,
    /// Only keys of this project.
    pub project_id: Option<String>,
    /// Only keys of this person.
    pub owner: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The key that asks.
    pub key_id: String,
    /// Its project.
    pub project_id: String,
    /// Its organisation.
    pub organisation_id: String,
    /// What it is for.
    pub scopes: Vec<String>,
}
