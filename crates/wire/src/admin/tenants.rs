//! Organisations and their projects.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an organisation pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Billing {
    /// From credit that is there: at zero it stops.
    Prepaid,
    /// By a statement: only budgets stop it.
    Postpaid,
}

/// An organisation: who pays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organisation {
    /// Its id, `org_…`.
    pub id: String,
    /// Its name, unique in the installation.
    pub name: String,
    /// IANA time zone, whose days and months its budgets have.
    pub time_zone: String,
    /// How it pays.
    pub billing: Billing,
    /// When it was made.
    pub created_at: String,
}

/// An organisation to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganisation {
    /// Its name, unique in the installation.
    pub name: String,
    /// IANA time zone; default: `UTC`. It stays, since past budgets have its days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How it pays; default: `postpaid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<Billing>,
}

/// What shall change of an organisation.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganisationChange {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another way to pay; for whoever runs the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<Billing>,
}

/// A project of an organisation: what keys, limits and usage belong to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its id, `proj_…`.
    pub id: String,
    /// Whose it is.
    pub organisation_id: String,
    /// Its name, unique in the organisation.
    pub name: String,
    /// When it was made.
    pub created_at: String,
}

/// A project to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// Its name, unique in the organisation.
    pub name: String,
}

/// What shall change of a project.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectChange {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
