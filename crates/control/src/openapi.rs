//! What this edge adds to the OpenAPI document.

use utoipa::OpenApi;

use crate::routes::{
    audit, credits, erasures, keys, ledger, limits, organisations, prices, projects, reratings, retention, statements,
};

#[derive(OpenApi)]
#[openapi(
    paths(
        keys::me,
        organisations::list,
        organisations::create,
        organisations::show,
        organisations::change,
        projects::list,
        projects::create,
        projects::show,
        projects::change,
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
        audit::of_organisation,
        audit::of_installation,
    ),
    tags((name = "admin", description = "Administration"))
)]
struct Document;

/// The paths and types of the administrative routes, to be part of whoever's document serves them.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
