//! Signing in and out, and what people do for themselves.

use account::{Email, Purpose, Session, Token, UserId};
use axum::{
    Json,
    body::Body as ResponseBody,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use store::{Act, Change};
use wire::{
    admin::{Joined, Joining, PasswordChange, Secret, SessionInfo, SignIn},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::Body,
    caller::Visitor,
    control::text,
    convert, cookie,
    error::ApiError,
    routes::{invites, users},
};

/// Organisations that are listed with a session.
const MOST_ORGANISATIONS: u32 = 1000;

/// Signs in: the answer sets the cookie of a new session. An address that nobody has is answered like a wrong password.
#[utoipa::path(
    post, path = "/admin/v1/session", tag = "admin", request_body = SignIn, security(()),
    responses(
        (status = 201, description = "Signed in", body = SessionInfo),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn sign_in(
    State(control): State<Control>,
    visitor: Visitor,
    Body(wanted): Body<SignIn>,
) -> Result<Response, ApiError> {
    control.attempt(&wanted.email, visitor.address)?;
    let known = match Email::parse(&wanted.email) {
        Ok(email) => control.store().credentials(email.as_str()).await?,
        Err(_) => None,
    };
    let password = known.as_ref().and_then(|known| known.password.as_ref());
    let is_right = control.passwords().verify(&wanted.password, password).await?;
    let Some(known) = known.filter(|_| is_right) else {
        tracing::info!(address = visitor.address.map(tracing::field::display), "a sign-in was refused");
        return Err(ApiError::InvalidCredentials);
    };
    let turn = control.turn().await;
    // It may have been changed while it was compared.
    if control.store().credentials_of(known.user).await?.as_ref() != Some(&known) {
        return Err(ApiError::InvalidCredentials);
    }
    let Beginning { token, session, changes } = Beginning::of(&control, &visitor, known.user)?;
    control.commit(turn, changes, None).await?;
    let answer = Response::builder().status(StatusCode::CREATED).header(header::CONTENT_TYPE, "application/json");
    let body = ResponseBody::from(text(&info(&control, &session).await?));
    cookie::keep(answer, &token, control.is_secure()).body(body).map_err(|_| ApiError::Internal)
}

/// A session of its own for each time that somebody has shown who they are.
pub(crate) struct Beginning {
    /// What the browser keeps.
    pub(crate) token: Token,
    /// What is kept here.
    session: Session,
    /// What makes it begin. The one before of this browser ends.
    pub(crate) changes: Vec<(Change, Act)>,
}

impl Beginning {
    pub(crate) fn of(control: &Control, visitor: &Visitor, user: UserId) -> Result<Self, ApiError> {
        let token = Token::generate(Purpose::Session)?;
        let now = store::now();
        let session = Session { hash: control.pepper().hash_token(&token), user, begun: now, seen: now };
        let act = || visitor.act(user, None);
        let mut changes = vec![(Change::AddSession(session), act())];
        if let Some(account::Identity::Person(_, before)) = &visitor.identity {
            changes.push((Change::EndSession(*before), act()));
        }
        Ok(Self { token, session, changes })
    }
}

/// Who is signed in, where they belong, and what to send with whatever changes something.
#[utoipa::path(
    get, path = "/admin/v1/session", tag = "admin",
    responses(
        (status = 200, description = "The answer", body = SessionInfo),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(State(control): State<Control>, caller: Caller) -> Result<Response, ApiError> {
    let (_, session) = caller.session()?;
    let info = info(&control, session).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(info)).into_response())
}

async fn info(control: &Control, session: &Session) -> Result<SessionInfo, ApiError> {
    let user = users::find(control, session.user).await?.what;
    let organisations = control.store().organisation_page_of(user.id, None, None, MOST_ORGANISATIONS).await?;
    Ok(SessionInfo {
        user_id: user.id.to_string(),
        email: user.email.into(),
        operator: user.operator,
        organisations: organisations.iter().map(convert::membership).collect(),
        csrf_token: Secret::new(control.pepper().csrf_token(&session.hash).expose()),
        expires_at: session.ends().to_string(),
    })
}

/// Signs out.
#[utoipa::path(
    delete, path = "/admin/v1/session", tag = "admin",
    responses(
        (status = 204, description = "Signed out"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn sign_out(State(control): State<Control>, caller: Caller) -> Result<Response, ApiError> {
    let (_, session) = caller.session()?;
    let turn = control.turn().await;
    control.commit(turn, vec![(Change::EndSession(*session), caller.act(None, None))], None).await?;
    gone(&control)
}

/// Sets another password for oneself. All of one's sessions end, this one too.
#[utoipa::path(
    post, path = "/admin/v1/session/password", tag = "admin", request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed; sign in anew"),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change_password(
    State(control): State<Control>,
    caller: Caller,
    Body(wanted): Body<PasswordChange>,
) -> Result<Response, ApiError> {
    let (person, _) = caller.session()?;
    // Who has found a browser signed in does not know the password yet.
    control.attempt(&caller.name(), caller.address())?;
    let known = control.store().credentials_of(person.id).await?.ok_or(ApiError::NOT_FOUND)?;
    if !control.passwords().verify(&wanted.current, known.password.as_ref()).await? {
        return Err(ApiError::InvalidCredentials);
    }
    let hash = control.passwords().hash("new", &wanted.new).await?;
    let turn = control.turn().await;
    if control.store().credentials_of(person.id).await?.as_ref() != Some(&known) {
        return Err(ApiError::InvalidCredentials);
    }
    let change = Change::SetPassword { user: person.id, hash };
    control.commit(turn, vec![(change, caller.act(None, None))], None).await?;
    gone(&control)
}

/// Accepts an invitation that was made for one's own address.
#[utoipa::path(
    post, path = "/admin/v1/session/join", tag = "admin", request_body = Joining,
    responses(
        (status = 201, description = "Joined", body = Joined),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn join(
    State(control): State<Control>,
    caller: Caller,
    Body(wanted): Body<Joining>,
) -> Result<Response, ApiError> {
    let (person, _) = caller.session()?;
    let invite = invites::open(&control, &wanted.token).await?;
    let user = users::find(&control, person.id).await?.what;
    if invite.email != user.email {
        return Err(ApiError::NOT_FOUND);
    }
    let turn = control.turn().await;
    let act = |after: &Joined| -> Act { caller.act(None, Some(text(after))) };
    let (changes, joined) = invites::join(&invite, person.id, act);
    control.commit(turn, changes.into(), None).await?;
    Ok((StatusCode::CREATED, Json(joined)).into_response())
}

fn gone(control: &Control) -> Result<Response, ApiError> {
    let answer = Response::builder().status(StatusCode::NO_CONTENT);
    cookie::forget(answer, control.is_secure()).body(ResponseBody::empty()).map_err(|_| ApiError::Internal)
}
