//! Handlers: check the caller, convert, read or change, convert back.

pub(crate) mod audit;
pub(crate) mod credits;
pub(crate) mod erasures;
pub(crate) mod identities;
pub(crate) mod invites;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod members;
pub(crate) mod oidc;
pub(crate) mod organisations;
pub(crate) mod prices;
pub(crate) mod projects;
pub(crate) mod reratings;
pub(crate) mod resets;
pub(crate) mod retention;
pub(crate) mod session;
pub(crate) mod statements;
pub(crate) mod users;
pub(crate) mod webhooks;
