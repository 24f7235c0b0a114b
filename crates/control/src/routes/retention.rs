//! How long request rows are kept.

use account::{Action, OrgId, Reach};
use axum::{
    extract::{Path, State},
    response::Response,
};
use store::Change;
use wire::{
    admin::{Retention, RetentionChange},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::Body,
    convert,
    error::ApiError,
    precondition::{IfMatch, tagged},
    routes::organisations,
};

/// Most days: a hundred years.
const MOST_DAYS: u32 = 36_500;

/// For how many days an organisation keeps request rows, if it has a setting of its own.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/retention", tag = "admin",
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 200, description = "The answer", body = Retention),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn of_organisation(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
) -> Result<Response, ApiError> {
    let org = organisation(&control, &caller, Action::ReadOrganisation, &org).await?;
    read(&control, Some(org)).await
}

/// Sets it. Sums of usage and the ledger stay.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/retention", tag = "admin", request_body = RetentionChange,
    params(("org" = String, Path, description = "Whose"), ("If-Match" = String, Header, description = "Its `ETag`")),
    responses(
        (status = 200, description = "Changed", body = Retention),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change_organisation(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    precondition: IfMatch,
    Body(wanted): Body<RetentionChange>,
) -> Result<Response, ApiError> {
    let org = organisation(&control, &caller, Action::ChangeOrganisation, &org).await?;
    change(&control, &caller, Some(org), &precondition, &wanted).await
}

/// For how many days request rows of organisations without a setting are kept.
#[utoipa::path(
    get, path = "/admin/v1/retention", tag = "admin",
    responses(
        (status = 200, description = "The answer", body = Retention),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn of_installation(State(control): State<Control>, caller: Caller) -> Result<Response, ApiError> {
    caller.may(Action::ManageOrganisations, Reach::Installation)?;
    read(&control, None).await
}

/// Sets it.
#[utoipa::path(
    patch, path = "/admin/v1/retention", tag = "admin", request_body = RetentionChange,
    params(("If-Match" = String, Header, description = "Its `ETag`")),
    responses(
        (status = 200, description = "Changed", body = Retention),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change_installation(
    State(control): State<Control>,
    caller: Caller,
    precondition: IfMatch,
    Body(wanted): Body<RetentionChange>,
) -> Result<Response, ApiError> {
    caller.may(Action::ManageOrganisations, Reach::Installation)?;
    change(&control, &caller, None, &precondition, &wanted).await
}

async fn organisation(control: &Control, caller: &Caller, action: Action, org: &str) -> Result<OrgId, ApiError> {
    let org = convert::id(OrgId::parse(org))?;
    caller.may(action, Reach::Organisation(org))?;
    organisations::find(control, org).await?;
    Ok(org)
}

async fn read(control: &Control, org: Option<OrgId>) -> Result<Response, ApiError> {
    let retention = Retention { request_days: control.store().retention(org).await? };
    Ok(tagged(&retention, &retention))
}

async fn change(
    control: &Control,
    caller: &Caller,
    org: Option<OrgId>,
    precondition: &IfMatch,
    wanted: &RetentionChange,
) -> Result<Response, ApiError> {
    let turn = control.turn().await;
    let before = Retention { request_days: control.store().retention(org).await? };
    precondition.check(&before)?;
    let days = wanted.request_days.unwrap_or(before.request_days);
    if let Some(days) = days.filter(|days| !(1..=MOST_DAYS).contains(days)) {
        let message = format!("rows are kept for 1 to {MOST_DAYS} days, but it is {days}; null keeps them for ever");
        return Err(ApiError::invalid("request_days", message));
    }
    let after = Retention { request_days: days };
    control.change(turn, caller, Change::SetRetention(store::Retention { org, days }), &before, &after).await?;
    Ok(tagged(&after, &after))
}
