//! Who belongs to an organisation, and as what.

use account::{Action, OrgId, Reach, Role, UserId};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use store::{Change, User};
use wire::{
    admin::{List, Member, MemberChange, NewMember, UserQuery},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::{Body, Posted},
    control::text,
    convert,
    error::ApiError,
    page::{self, Asked},
    precondition::{IfMatch, tagged},
    routes::{organisations, users},
};

/// The people of an organisation.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/members", tag = "admin",
    params(("org" = String, Path, description = "Whose"), UserQuery),
    responses(
        (status = 200, description = "The answer", body = List<Member>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<UserQuery>,
) -> Result<Json<List<Member>>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ReadMembers, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let email = query.email.map(|email| email.to_ascii_lowercase());
    let read = control.store().member_page(org, email.as_deref(), after, size + 1).await?;
    Ok(Json(page::part(read, size, |(user, _)| user.id.to_string(), convert::member)))
}

/// Takes somebody who is known here into an organisation. Who is known by an address only is invited.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/members", tag = "admin", request_body = NewMember,
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 201, description = "Belongs to it now", body = Member),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    posted: Posted<NewMember>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    let role = convert::role(posted.body.role);
    caller.may_change_role(None, Some(role), org)?;
    organisations::find(&control, org).await?;
    let id = convert::named("user_id", UserId::parse(&posted.body.user_id))?;
    let user = users::find(&control, id).await?.what;
    let answer = convert::member(&(user, role));
    let done = control.make(&caller, Change::AddMember { org, user: id, role }, posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

/// One person of an organisation.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/members/{user}", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("user" = String, Path, description = "Their id")),
    responses(
        (status = 200, description = "The answer", body = Member),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    caller: Caller,
    Path((org, user)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (_, member) = find(&control, &caller, Action::ReadMembers, &org, &user).await?;
    let found = convert::member(&member);
    Ok(tagged(&found, &found))
}

/// Changes a person's role. Their sessions end, and the last owner stays one.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/members/{user}", tag = "admin", request_body = MemberChange,
    params(
        ("org" = String, Path, description = "Whose"), ("user" = String, Path, description = "Their id"),
        ("If-Match" = String, Header, description = "The membership's `ETag`"),
    ),
    responses(
        (status = 200, description = "Changed", body = Member),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change(
    State(control): State<Control>,
    caller: Caller,
    Path((org, user)): Path<(String, String)>,
    precondition: IfMatch,
    Body(change): Body<MemberChange>,
) -> Result<Response, ApiError> {
    let turn = control.turn().await;
    let (org, member) = find(&control, &caller, Action::ManageMembers, &org, &user).await?;
    let before = convert::member(&member);
    precondition.check(&before)?;
    let (user, role) = member;
    let wanted = change.role.map_or(role, convert::role);
    caller.may_change_role(Some(role), Some(wanted), org)?;
    let change = Change::SetMember { org, user: user.id, role: Some(wanted) };
    let after = convert::member(&(user, wanted));
    control.change(turn, &caller, change, &before, &after).await?;
    Ok(tagged(&after, &after))
}

/// Takes somebody out of an organisation. Their sessions end, and the last owner stays.
#[utoipa::path(
    delete, path = "/admin/v1/organisations/{org}/members/{user}", tag = "admin",
    params(
        ("org" = String, Path, description = "Whose"), ("user" = String, Path, description = "Their id"),
        ("If-Match" = String, Header, description = "The membership's `ETag`"),
    ),
    responses(
        (status = 204, description = "Belongs to it no more"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    caller: Caller,
    Path((org, user)): Path<(String, String)>,
    precondition: IfMatch,
) -> Result<StatusCode, ApiError> {
    let turn = control.turn().await;
    let (org, member) = find(&control, &caller, Action::ManageMembers, &org, &user).await?;
    let before = convert::member(&member);
    precondition.check(&before)?;
    let (user, role) = member;
    caller.may_change_role(Some(role), None, org)?;
    let change = Change::SetMember { org, user: user.id, role: None };
    let act = caller.act(Some(text(&before)), None);
    control.commit(turn, vec![(change, act)], None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A person of an organisation to whom the caller may do `action`, or that there is none.
async fn find(
    control: &Control,
    caller: &Caller,
    action: Action,
    org: &str,
    user: &str,
) -> Result<(OrgId, (User, Role)), ApiError> {
    let (org, user) = (convert::id(OrgId::parse(org))?, convert::id(UserId::parse(user))?);
    caller.may(action, Reach::Organisation(org))?;
    Ok((org, control.store().member(org, user).await?.ok_or(ApiError::NOT_FOUND)?))
}
