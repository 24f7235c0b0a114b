//! What this edge adds to the OpenAPI document.

use utoipa::OpenApi;

use crate::routes::{
    audit, credits, erasures, identities, invites, keys, ledger, limits, members, oidc, organisations, prices,
    projects, reratings, resets, retention, session, statements, users, webhooks,
};

#[derive(OpenApi)]
#[openapi(
    paths(
        session::sign_in,
        session::show,
        session::sign_out,
        session::change_password,
        session::join,
        invites::accept,
        resets::accept,
        oidc::list,
        oidc::start,
        oidc::callback,
        keys::me,
        organisations::list,
        organisations::create,
        organisations::show,
        organisations::change,
        projects::list,
        projects::create,
        projects::show,
        projects::change,
        members::list,
        members::create,
        members::show,
        members::change,
        members::remove,
        invites::list,
        invites::create,
        invites::remove,
        users::list,
        users::create,
        users::show,
        users::change,
        users::remove,
        identities::list,
        identities::remove,
        resets::create,
        keys::list,
        keys::create,
        keys::show,
        keys::change,
        keys::rotate,
        keys::revoke,
        limits::of_organisation,
        limits::change_organisation,
        limits::of_project,
        limits::change_project,
        limits::of_key,
        limits::change_key,
        prices::list,
        prices::create,
        credits::grant,
        credits::redeem,
        credits::codes,
        credits::create_code,
        ledger::balance,
        ledger::lines,
        statements::show,
        reratings::rerate,
        erasures::erase,
        retention::of_organisation,
        retention::change_organisation,
        retention::of_installation,
        retention::change_installation,
        webhooks::list,
        webhooks::create,
        webhooks::show,
        webhooks::change,
        webhooks::remove,
        webhooks::rotate,
        webhooks::ping,
        webhooks::deliveries,
        audit::of_organisation,
        audit::of_installation,
    ),
    components(schemas(wire::admin::StatementFormat)),
    tags((name = "admin", description = "Administration"))
)]
struct Document;

/// The paths and types of the administrative routes, to be part of whoever's document serves them.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
