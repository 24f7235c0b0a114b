//! The accounts at OpenID providers by which people sign in.

use account::{Action, IdentityId, Reach, UserId};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use store::Change;
use wire::{
    admin::{ExternalIdentity, List, PartQuery},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    control::text,
    convert,
    error::ApiError,
    page::{self, Asked},
    routes::users,
};

/// A person's accounts at providers that are looked through for one: they have no more than there are providers.
const MOST: u32 = 1000;

/// A person's accounts at providers.
#[utoipa::path(
    get, path = "/admin/v1/users/{user}/identities", tag = "admin",
    params(("user" = String, Path, description = "Their id"), PartQuery),
    responses(
        (status = 200, description = "The answer", body = List<ExternalIdentity>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Path(user): Path<String>,
    Asked(query): Asked<PartQuery>,
) -> Result<Json<List<ExternalIdentity>>, ApiError> {
    let user = convert::id(UserId::parse(&user))?;
    caller.may(Action::ManageUsers, Reach::Installation)?;
    users::find(&control, user).await?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let read = control.store().identity_page(user, after, size + 1).await?;
    Ok(Json(page::part(read, size, |made| made.what.id.to_string(), convert::identity)))
}

/// Lets a person sign in by an account at a provider no more. Their sessions end.
#[utoipa::path(
    delete, path = "/admin/v1/users/{user}/identities/{identity}", tag = "admin",
    params(
        ("user" = String, Path, description = "Their id"), ("identity" = String, Path, description = "The account's id"),
    ),
    responses(
        (status = 204, description = "Is linked no more"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    caller: Caller,
    Path((user, identity)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let user = convert::id(UserId::parse(&user))?;
    users::may_decide_over(&control, &caller, user).await?;
    let identity = convert::id(IdentityId::parse(&identity))?;
    let turn = control.turn().await;
    let all = control.store().identity_page(user, None, MOST).await?;
    let before = all.iter().find(|made| made.what.id == identity).ok_or(ApiError::NOT_FOUND)?;
    let act = caller.act(Some(text(&convert::identity(before))), None);
    control.commit(turn, vec![(Change::UnlinkIdentity { user, identity }, act)], None).await?;
    Ok(StatusCode::NO_CONTENT)
}
