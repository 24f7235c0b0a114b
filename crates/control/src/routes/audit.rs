//! The audit log.

use account::{Action, OrgId, Reach};
use axum::{
    Json,
    extract::{Path, State},
};
use wire::{
    admin::{AuditEntry, List, NewestFirstQuery},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control, convert,
    error::ApiError,
    page::{self, Asked},
    routes::organisations,
};

/// What was administered in an organisation, newest first.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/audit", tag = "admin",
    params(("org" = String, Path, description = "Whose"), NewestFirstQuery),
    responses(
        (status = 200, description = "The answer", body = List<AuditEntry>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn of_organisation(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<NewestFirstQuery>,
) -> Result<Json<List<AuditEntry>>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ReadAudit, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    read(&control, Some(org), &query).await
}

/// What was administered that belongs to no organisation, newest first: prices, codes.
#[utoipa::path(
    get, path = "/admin/v1/audit", tag = "admin", params(NewestFirstQuery),
    responses(
        (status = 200, description = "The answer", body = List<AuditEntry>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn of_installation(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<NewestFirstQuery>,
) -> Result<Json<List<AuditEntry>>, ApiError> {
    caller.may(Action::ReadAudit, Reach::Installation)?;
    read(&control, None, &query).await
}

async fn read(
    control: &Control,
    org: Option<OrgId>,
    query: &NewestFirstQuery,
) -> Result<Json<List<AuditEntry>>, ApiError> {
    let size = page::size(query.limit)?;
    let read = control.store().audit(org, query.after, size + 1).await?;
    Ok(Json(page::part(read, size, |entry| entry.sequence.to_string(), convert::audit_entry)))
}
