//! The ledger and the balance.

use account::{Action, OrgId, Reach};
use axum::{
    Json,
    extract::{Path, State},
};
use wire::{
    admin::{Balance, LedgerQuery, List},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control, convert,
    error::ApiError,
    page::{self, Asked},
    routes::organisations,
};

/// What an organisation has, and the end of its ledger.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/balance", tag = "admin",
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 200, description = "The answer", body = Balance),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn balance(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
) -> Result<Json<Balance>, ApiError> {
    let org = readable(&control, &caller, &org).await?;
    let head = control.store().head(org).await?;
    Ok(Json(Balance {
        organisation_id: org.to_string(),
        balance: head.balance.to_string(),
        lines: head.number,
        head: head.hash.to_string(),
    }))
}

/// Lines of the ledger, oldest first, in their canonical bytes. `docs/verify_ledger.py` checks them.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/ledger", tag = "admin",
    params(("org" = String, Path, description = "Whose"), LedgerQuery),
    responses(
        (status = 200, description = "The answer", body = List<String>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn lines(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<LedgerQuery>,
) -> Result<Json<List<String>>, ApiError> {
    let org = readable(&control, &caller, &org).await?;
    let (size, after) = (page::size(query.limit)?, query.after.unwrap_or(0));
    let read = control.store().lines(org, after.saturating_add(1), size + 1).await?;
    let last = after.saturating_add(size.into());
    Ok(Json(page::part(read, size, |_| last.to_string(), Clone::clone)))
}

async fn readable(control: &Control, caller: &Caller, org: &str) -> Result<OrgId, ApiError> {
    let org = convert::id(OrgId::parse(org))?;
    caller.may(Action::ReadBills, Reach::Organisation(org))?;
    organisations::find(control, org).await?;
    Ok(org)
}
