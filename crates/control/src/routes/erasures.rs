//! End users who are erased from usage.

use account::{Action, Labels, OrgId, Reach};
use axum::{
    Json,
    extract::{Path, State},
};
use wire::{
    admin::{Erasure, NewErasure},
    openai::ErrorResponse,
};

use crate::{Caller, Control, body::Body, convert, error::ApiError, routes::organisations};

/// Erases an end user: no request names them or is tagged with what only theirs were. Sums stay, and so does the ledger, which
/// never named them. Sent again, it erases what came since.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/erasures", tag = "admin", request_body = NewErasure,
    params(("org" = String, Path, description = "Whose end user")),
    responses(
        (status = 200, description = "Erased", body = Erasure),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn erase(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Body(wanted): Body<NewErasure>,
) -> Result<Json<Erasure>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ChangeOrganisation, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let NewErasure { end_user } = wanted;
    if end_user.is_empty() || end_user.len() > Labels::MOST_VALUE_BYTES {
        let message = format!("the name of an end user has 1 to {} bytes", Labels::MOST_VALUE_BYTES);
        return Err(ApiError::invalid("end_user", message));
    }
    let (store, act) = (control.store().clone(), caller.act(None, None));
    // It is completed also when the caller hangs up.
    let erased = tokio::spawn(async move { store.erase_end_user(org, &end_user, act).await });
    let requests = erased.await.map_err(|_| ApiError::Internal)??;
    Ok(Json(Erasure { requests }))
}
