//! Resets: a token with which a person sets their password once. Nothing is sent from here.

use std::time::Duration;

use account::{Purpose, Token, UserId};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use store::{Change, Reset};
use wire::{
    admin::{IssuedReset, NewPassword, Secret},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::{Body, Nothing, Posted},
    caller::Visitor,
    convert,
    error::ApiError,
    routes::users,
};

/// How long a reset lasts.
const LASTS: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes a token with which a person sets their password once, and shows it, this once. One that was made before ends.
#[utoipa::path(
    post, path = "/admin/v1/users/{user}/reset", tag = "admin",
    params(("user" = String, Path, description = "Their id")),
    responses(
        (status = 201, description = "Made", body = IssuedReset),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    Path(user): Path<String>,
    posted: Posted<Nothing>,
) -> Result<Response, ApiError> {
    let user = convert::id(UserId::parse(&user))?;
    // Who sets somebody's password may do all that they may do.
    users::may_decide_over(&control, &caller, user).await?;
    let token = Token::generate(Purpose::Reset)?;
    let expires = store::now().after(LASTS);
    let answer = IssuedReset { user_id: user.to_string(), expires_at: expires.to_string(), secret: None };
    let change = Change::AddReset(Reset { user, hash: control.pepper().hash_token(&token), expires });
    let done = control.make(&caller, change, posted.wish, &answer).await?;
    Ok(done.answer(IssuedReset { secret: Some(Secret::new(token.expose())), ..answer }))
}

/// Sets a password with a reset's token. The person's sessions end.
#[utoipa::path(
    post, path = "/admin/v1/resets/accept", tag = "admin", request_body = NewPassword, security(()),
    responses(
        (status = 204, description = "Set; sign in with it"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn accept(
    State(control): State<Control>,
    visitor: Visitor,
    Body(wanted): Body<NewPassword>,
) -> Result<StatusCode, ApiError> {
    let token = Token::parse(Purpose::Reset, wanted.token.expose().trim()).map_err(|_| ApiError::NOT_FOUND)?;
    let hash = control.pepper().hash_token(&token);
    let reset = control.store().reset(&hash).await?.filter(|reset| reset.expires > store::now());
    let user = reset.ok_or(ApiError::NOT_FOUND)?.user;
    control.attempt(&user.to_string(), visitor.address)?;
    let password = control.passwords().hash("password", &wanted.password).await?;
    let act = || visitor.act(user, None);
    let changes = vec![(Change::UseReset { user, hash }, act()), (Change::SetPassword { user, hash: password }, act())];
    let turn = control.turn().await;
    control.commit(turn, changes, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
