//! The people of the installation, for whoever runs it.

use account::{Action, Actions, Reach, Role, UserId};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use store::{Change, Made};
use wire::{
    admin::{List, NewUser, User, UserChange, UserQuery},
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
};

/// The people of the installation.
#[utoipa::path(
    get, path = "/admin/v1/users", tag = "admin", params(UserQuery),
    responses(
        (status = 200, description = "The answer", body = List<User>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<UserQuery>,
) -> Result<Json<List<User>>, ApiError> {
    caller.may(Action::ManageUsers, Reach::Installation)?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let email = query.email.map(|email| email.to_ascii_lowercase());
    let read = control.store().user_page(email.as_deref(), after, size + 1).await?;
    Ok(Json(page::part(read, size, |made| made.what.id.to_string(), convert::user)))
}

/// Makes somebody known.
#[utoipa::path(
    post, path = "/admin/v1/users", tag = "admin", request_body = NewUser,
    responses(
        (status = 201, description = "Made", body = User),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    posted: Posted<NewUser>,
) -> Result<Response, ApiError> {
    let new = posted.body;
    let operator = new.operator.unwrap_or(false);
    caller.may_decide_over(if operator { Role::Operator.actions() } else { Actions::NONE })?;
    let email = convert::email(&new.email)?;
    let password = match &new.password {
        Some(password) => Some(control.passwords().hash("password", password).await?),
        None => None,
    };
    let user = store::User { id: UserId::generate()?, email: email.as_str().into(), operator };
    let id = user.id;
    let answer = convert::user(&Made { what: user.clone(), created: store::now() });
    let mut changes = vec![(Change::AddUser(user), caller.act(None, Some(text(&answer))))];
    changes.extend(password.map(|hash| (Change::SetPassword { user: id, hash }, caller.act(None, None))));
    let turn = control.turn().await;
    let done = control.make_all(turn, changes, posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

/// One person.
#[utoipa::path(
    get, path = "/admin/v1/users/{user}", tag = "admin",
    params(("user" = String, Path, description = "Their id")),
    responses(
        (status = 200, description = "The answer", body = User),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Response, ApiError> {
    let user = convert::id(UserId::parse(&user))?;
    caller.may(Action::ManageUsers, Reach::Installation)?;
    let found = convert::user(&find(&control, user).await?);
    Ok(tagged(&found, &found))
}

/// Changes whether a person runs the installation. Their sessions end.
#[utoipa::path(
    patch, path = "/admin/v1/users/{user}", tag = "admin", request_body = UserChange,
    params(("user" = String, Path, description = "Their id"), ("If-Match" = String, Header, description = "Their `ETag`")),
    responses(
        (status = 200, description = "Changed", body = User),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change(
    State(control): State<Control>,
    caller: Caller,
    Path(user): Path<String>,
    precondition: IfMatch,
    Body(change): Body<UserChange>,
) -> Result<Response, ApiError> {
    let user = convert::id(UserId::parse(&user))?;
    caller.may_decide_over(Role::Operator.actions())?;
    let turn = control.turn().await;
    let mut made = find(&control, user).await?;
    let before = convert::user(&made);
    precondition.check(&before)?;
    made.what.operator = change.operator.unwrap_or(made.what.operator);
    let after = convert::user(&made);
    control.change(turn, &caller, Change::ChangeUser(made.what), &before, &after).await?;
    Ok(tagged(&after, &after))
}

/// Ends a person: they are taken out of every organisation, and signed out. Of none may they be the last owner.
#[utoipa::path(
    delete, path = "/admin/v1/users/{user}", tag = "admin",
    params(("user" = String, Path, description = "Their id"), ("If-Match" = String, Header, description = "Their `ETag`")),
    responses(
        (status = 204, description = "Is no more"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    caller: Caller,
    Path(user): Path<String>,
    precondition: IfMatch,
) -> Result<StatusCode, ApiError> {
    let user = convert::id(UserId::parse(&user))?;
    let turn = control.turn().await;
    may_decide_over(&control, &caller, user).await?;
    let before = convert::user(&find(&control, user).await?);
    precondition.check(&before)?;
    let act = caller.act(Some(text(&before)), None);
    control.commit(turn, vec![(Change::RemoveUser(user), act)], None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The person, or that there is none.
pub(crate) async fn find(control: &Control, user: UserId) -> Result<Made<store::User>, ApiError> {
    control.store().user(user).await?.ok_or(ApiError::NOT_FOUND)
}

/// Refuses to become or to end somebody who may do what the caller may not.
pub(crate) async fn may_decide_over(control: &Control, caller: &Caller, user: UserId) -> Result<(), ApiError> {
    caller.may(Action::ManageUsers, Reach::Installation)?;
    let person = control.store().person(user).await?.ok_or(ApiError::NOT_FOUND)?;
    caller.may_decide_over(person.actions())
}
