//! Invitations: a token that lets one person join an organisation once. Nothing is sent from here.

use std::time::Duration;

use account::{Action, InviteId, OrgId, Purpose, Reach, Role, Token, UserId};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use store::{Act, Change, InviteRecord};
use wire::{
    admin::{Acceptance, Invite, IssuedInvite, Joined, List, NewInvite, PartQuery, Secret},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::{Body, Posted},
    caller::Visitor,
    control::text,
    convert,
    error::ApiError,
    page::{self, Asked},
    routes::organisations,
};

/// How long an invitation lasts unless its maker says otherwise.
const USUAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long one may last.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The invitations of an organisation, accepted ones included.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/invites", tag = "admin",
    params(("org" = String, Path, description = "Whose"), PartQuery),
    responses(
        (status = 200, description = "The answer", body = List<Invite>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<PartQuery>,
) -> Result<Json<List<Invite>>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ManageMembers, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let read = control.store().invite_page(org, after, size + 1).await?;
    Ok(Json(page::part(read, size, |record| record.invite.id.to_string(), convert::invite)))
}

/// Invites somebody and shows the invitation's token, this once.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/invites", tag = "admin", request_body = NewInvite,
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 201, description = "Made", body = IssuedInvite),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    posted: Posted<NewInvite>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    let new = posted.body;
    let role = convert::role(new.role);
    caller.may_change_role(None, Some(role), org)?;
    organisations::find(&control, org).await?;
    let now = store::now();
    let expires = new.expires_at.as_deref().map(|text| convert::moment("expires_at", text)).transpose()?;
    let expires = expires.unwrap_or_else(|| now.after(USUAL));
    if expires <= now || expires > now.after(LONGEST) {
        return Err(ApiError::invalid("expires_at", "an invitation ends within 30 days from now"));
    }
    let token = Token::generate(Purpose::Invite)?;
    let (id, hash) = (InviteId::generate()?, control.pepper().hash_token(&token));
    let email = convert::email(&new.email)?.as_str().into();
    let invite = store::Invite { id, org, hash, email, role, expires };
    let answer = convert::invite(&InviteRecord { invite: invite.clone(), created: now, accepted: None });
    let done = control.make(&caller, Change::AddInvite(invite), posted.wish, &answer).await?;
    Ok(done.answer(IssuedInvite { invite: answer, secret: Some(Secret::new(token.expose())) }))
}

/// Takes an invitation back that nobody has accepted.
#[utoipa::path(
    delete, path = "/admin/v1/organisations/{org}/invites/{invite}", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("invite" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Is none any more"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn remove(
    State(control): State<Control>,
    caller: Caller,
    Path((org, invite)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (org, invite) = (convert::id(OrgId::parse(&org))?, convert::id(InviteId::parse(&invite))?);
    caller.may(Action::ManageMembers, Reach::Organisation(org))?;
    let turn = control.turn().await;
    let act = caller.act(None, None);
    control.commit(turn, vec![(Change::RemoveInvite { org, invite }, act)], None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Accepts an invitation as somebody new, who signs in with this password from now on. Who is known already signs in and
/// joins with the session.
#[utoipa::path(
    post, path = "/admin/v1/invites/accept", tag = "admin", request_body = Acceptance, security(()),
    responses(
        (status = 201, description = "Joined", body = Joined),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn accept(
    State(control): State<Control>,
    visitor: Visitor,
    Body(wanted): Body<Acceptance>,
) -> Result<Response, ApiError> {
    let invite = open(&control, &wanted.token).await?;
    control.attempt(&invite.email, visitor.address)?;
    let hash = control.passwords().hash("password", &wanted.password).await?;
    let user = store::User { id: UserId::generate()?, email: invite.email.clone(), operator: false };
    let id = user.id;
    let ([accepted, joins], joined) = join(&invite, id, |after| visitor.act(id, Some(text(after))));
    let act = || visitor.act(id, None);
    let password = Change::SetPassword { user: id, hash };
    // The invitation comes first, so that whoever is second changes nothing; and nobody joins before they are known.
    let changes = vec![accepted, (Change::AddUser(user), act()), (password, act()), joins];
    let turn = control.turn().await;
    control.commit(turn, changes, None).await?;
    Ok((StatusCode::CREATED, Json(joined)).into_response())
}

/// The invitation that this token is good for. Unknown, used and expired ones are told alike.
pub(crate) async fn open(control: &Control, token: &Secret) -> Result<store::Invite, ApiError> {
    let token = Token::parse(Purpose::Invite, token.expose().trim()).map_err(|_| ApiError::NOT_FOUND)?;
    find(control, &token).await?.ok_or(ApiError::NOT_FOUND)
}

/// The same, where there may be none.
pub(crate) async fn find(control: &Control, token: &Token) -> Result<Option<store::Invite>, ApiError> {
    let record = control.store().invite(&control.pepper().hash_token(token)).await?;
    let record = record.filter(|record| record.accepted.is_none() && record.invite.expires > store::now());
    Ok(record.map(|record| record.invite))
}

/// What makes a person join, in this order: the invitation is used up, they belong to the organisation. And the answer.
pub(crate) fn join(invite: &store::Invite, user: UserId, act: impl Fn(&Joined) -> Act) -> ([(Change, Act); 2], Joined) {
    let (org, role) = (invite.org, invite.role);
    let joined = joined(org, user, role);
    let accept = Change::AcceptInvite { org, invite: invite.id, user };
    let add = Change::AddMember { org, user, role };
    ([(accept, act(&joined)), (add, act(&joined))], joined)
}

/// That somebody has joined.
pub(crate) fn joined(org: OrgId, user: UserId, role: Role) -> Joined {
    Joined { user_id: user.to_string(), organisation_id: org.to_string(), role: convert::role_name(role) }
}
