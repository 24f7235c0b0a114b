//! Administration under `/admin/v1`: organisations, projects, people, keys, limits, prices, credit, the ledger, webhooks
//! and the audit log.
//!
//! Amounts are decimal text in units of the installation's currency (`"12.50"`), with at most nine digits behind the point;
//! moments are text as in RFC 3339. In a `PATCH`, what is absent stays and what is `null` is taken away. Unlike the model
//! APIs, unknown fields are refused: a limit with a typing error would be no limit.

mod audit;
mod bills;
mod credits;
mod invites;
mod keys;
mod limits;
mod people;
mod prices;
mod secret;
mod session;
mod tenants;
mod webhooks;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use audit::AuditEntry;
pub use bills::{
    ClassCharges, Corrections, Erasure, LedgerQuery, ModelCharges, NewErasure, NewRerating, Rerating, Retention,
    RetentionChange, Statement, StatementCredit, StatementEnd, StatementFormat, StatementQuery, TagValue,
};
pub use credits::{Balance, Code, Credit, IssuedCode, NewCode, NewCredit, Redemption};
pub use invites::{Acceptance, Invite, IssuedInvite, IssuedReset, Joined, Joining, NewInvite, NewPassword};
pub use keys::{IssuedKey, Key, KeyChange, KeyQuery, Me, NewKey, Rotation};
pub use limits::{Limits, LimitsChange};
pub use people::{ExternalIdentity, Member, MemberChange, NewMember, NewUser, Role, User, UserChange, UserQuery};
pub use prices::{NewPrice, Price, PriceQuery};
pub use secret::Secret;
pub use session::{
    CSRF_HEADER, Membership, PROJECT_HEADER, PasswordChange, SessionInfo, SignIn, SignInProvider, SignInQuery,
    pending_cookie, session_cookie,
};
pub use tenants::{Billing, NewOrganisation, NewProject, Organisation, OrganisationChange, Project, ProjectChange};
pub use webhooks::{Delivery, IssuedWebhook, NewWebhook, Ping, Webhook, WebhookChange};

/// A part of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// What is in this part.
    pub data: Vec<T>,
    /// Ask with `after` set to this for the next part; absent in the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// What `next` of the part before says; default: from the beginning.
    pub after: Option<String>,
    /// Most things in the part, 1 to 1000; default: 100.
    pub limit: Option<u32>,
    /// Only what has this name.
    pub name: Option<String>,
}

/// Which part of a list that is not searched.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PartQuery {
    /// What `next` of the part before says; default: from the beginning.
    pub after: Option<String>,
    /// Most things in the part, 1 to 1000; default: 100.
    pub limit: Option<u32>,
}

/// Which part of a list that begins with the newest.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NewestFirstQuery {
    /// What `next` of the part before says; default: from the newest.
    pub after: Option<u64>,
    /// Most things in the part, 1 to 1000; default: 100.
    pub limit: Option<u32>,
}

/// A field of a `PATCH`: absent is `None`, `null` is `Some(None)`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
