//! Signing in with an OpenID provider: there, and back.

use account::{Applicant, Email, Entrance, IdentityId, NoEntrance, OrgId, Purpose, Role, Token, UserId};
use axum::{
    Json,
    body::Body as ResponseBody,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use serde::{Deserialize, Serialize};
use store::{Act, Change, ExternalIdentity, Made, User};
use wire::{
    admin::{List, SignInProvider, SignInQuery},
    openai::ErrorResponse,
};

use crate::{
    Control, Provider,
    caller::Visitor,
    control::text,
    convert, cookie,
    error::ApiError,
    page::Asked,
    pending::{self, Pending},
    return_path::ReturnPath,
    routes::{invites, session::Beginning},
    sign_in_page::{onwards, refused},
};

/// A person's accounts at providers that are looked at: they have no more than there are providers.
const MOST_IDENTITIES: u32 = 1000;

/// What a provider sends the browser back with (OpenID Connect Core 1.0, section 3.1.2.5; RFC 9207). It may say more.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackQuery {
    /// What the browser was sent with.
    state: Option<String>,
    /// Is exchanged for an ID token.
    code: Option<String>,
    /// Who it is from.
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// What the audit log says of a sign-in.
#[derive(Serialize)]
struct SignedIn<'a> {
    provider: &'a str,
    issuer: &'a str,
    subject: &'a str,
}

/// The providers with which people sign in, for a page that offers them.
#[utoipa::path(
    get, path = "/admin/v1/oidc", tag = "admin", security(()),
    responses(
        (status = 200, description = "The answer", body = List<SignInProvider>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(State(control): State<Control>) -> Json<List<SignInProvider>> {
    let provider = |provider: &Provider| SignInProvider {
        name: provider.name.to_string(),
        display_name: provider.display_name.to_string(),
        start: start_path(&provider.name),
    };
    Json(List { data: control.providers().list().iter().map(provider).collect(), next: None })
}

/// Sends the browser to a provider.
#[utoipa::path(
    get, path = "/admin/v1/oidc/{provider}/start", tag = "admin", security(()),
    params(("provider" = String, Path, description = "Its name"), SignInQuery),
    responses(
        (status = 303, description = "To the provider, with a cookie to come back with"),
        (status = "4XX", description = "A page that says why not", body = String, content_type = "text/html"),
        (status = "5XX", description = "A page that says why not", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn start(
    State(control): State<Control>,
    Path(name): Path<String>,
    query: Result<Asked<SignInQuery>, ApiError>,
) -> Response {
    match send(&control, &name, query).await {
        Ok(answer) => answer,
        Err(error) => refused(error, None),
    }
}

async fn send(
    control: &Control,
    name: &str,
    query: Result<Asked<SignInQuery>, ApiError>,
) -> Result<Response, ApiError> {
    let provider = control.providers().find(name)?;
    let Asked(SignInQuery { return_to, invite }) = query?;
    let invite = invite.map(|text| Token::parse(Purpose::Invite, text.expose().trim())).transpose();
    let pending = Pending {
        token: Token::generate(Purpose::SignIn)?,
        expires: store::now().after(pending::LASTS),
        provider: provider.name.clone(),
        return_to: return_to.as_deref().map(ReturnPath::parse).transpose()?.unwrap_or_default(),
        invite: invite.map_err(|error| ApiError::invalid("invite", error))?,
    };
    let _place = provider.place()?;
    let kept = pending.text();
    let secrets = control.pepper().request_secrets(&kept);
    let (state, nonce, verifier) = (secrets.state(), secrets.nonce(), secrets.verifier());
    let redirect = control.providers().redirect(provider);
    let request = oidc::Request { redirect: &redirect, state: &state, nonce: &nonce, verifier: &verifier };
    let address = provider.oidc.authorization_url(&request).await.map_err(|error| failed(provider, &error))?;
    let answer = cookie::keep_pending(onwards(address.as_str()), &kept, control.is_secure());
    answer.body(ResponseBody::empty()).map_err(|_| ApiError::Internal)
}

/// Takes somebody back whom a provider vouches for, and signs them in.
#[utoipa::path(
    get, path = "/admin/v1/oidc/{provider}/callback", tag = "admin", security(()),
    params(("provider" = String, Path, description = "Its name"), CallbackQuery),
    responses(
        (status = 303, description = "Signed in: to where the sign-in began, with the cookie of a new session"),
        (status = "4XX", description = "A page that says why not", body = String, content_type = "text/html"),
        (status = "5XX", description = "A page that says why not", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn callback(
    State(control): State<Control>,
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    query: Result<Asked<CallbackQuery>, ApiError>,
) -> Response {
    let begun = match take_back(&control, &name, &headers, query).await {
        Ok(begun) => begun,
        Err(error) => {
            let again = control.providers().find(&name).ok().map(|_| start_path(&name));
            return refused(error, again.as_deref());
        }
    };
    let mut answer = match finish(&control, &visitor, &begun).await {
        Ok(answer) => answer,
        Err(error) => {
            let (_, code) = error.parts();
            let address = visitor.address.map(tracing::field::display);
            tracing::info!(provider = name, code, address, "a sign-in with a provider was refused");
            refused(error, Some(&start_path(&name)))
        }
    };
    // Whatever has come of it: it was this one's turn.
    cookie::forget_pending(answer.headers_mut(), control.is_secure());
    answer
}

/// A sign-in that this browser has begun and that was not used, and what the provider sends back.
struct Begun<'a> {
    provider: &'a Provider,
    pending: Pending,
    secrets: account::RequestSecrets,
    query: CallbackQuery,
}

/// Checks that this browser has begun: the state that it brings is the one of what it keeps.
async fn take_back<'a>(
    control: &'a Control,
    name: &str,
    headers: &HeaderMap,
    query: Result<Asked<CallbackQuery>, ApiError>,
) -> Result<Begun<'a>, ApiError> {
    let provider = control.providers().find(name)?;
    let Asked(query) = query?;
    let kept = cookie::pending(headers, control.is_secure()).ok_or(ApiError::SignInLost)?;
    let secrets = control.pepper().request_secrets(kept);
    if !query.state.as_deref().is_some_and(|state| secrets.matches_state(state)) {
        return Err(ApiError::SignInLost);
    }
    let pending = Pending::read(kept).ok_or(ApiError::SignInLost)?;
    let holds = pending.provider == provider.name && pending.expires > store::now();
    if !holds || control.store().is_sign_in_used(&control.pepper().hash_token(&pending.token)).await? {
        return Err(ApiError::SignInLost);
    }
    Ok(Begun { provider, pending, secrets, query })
}

/// Asks the provider who it is, and lets them in or not.
async fn finish(control: &Control, visitor: &Visitor, begun: &Begun<'_>) -> Result<Response, ApiError> {
    let Begun { provider, pending, secrets, query } = begun;
    if query.error.is_some() {
        return Err(ApiError::SignInDenied);
    }
    let code = query.code.as_deref().ok_or(ApiError::SignInLost)?;
    control.attempt_from(visitor.address)?;
    let place = provider.place()?;
    let (state, nonce, verifier) = (secrets.state(), secrets.nonce(), secrets.verifier());
    let redirect = control.providers().redirect(provider);
    let request = oidc::Request { redirect: &redirect, state: &state, nonce: &nonce, verifier: &verifier };
    let callback = oidc::Callback { code, issuer: query.iss.as_deref() };
    let now = store::now().as_millis() / 1000;
    let shown = provider.oidc.authenticate(callback, &request, now).await.map_err(|error| failed(provider, &error))?;
    drop(place);

    let turn = control.turn().await;
    let (user, mut changes) = let_in(control, visitor, provider, &shown, pending.invite.as_ref()).await?;
    let signed_in = SignedIn { provider: &provider.name, issuer: provider.oidc.issuer(), subject: &shown.subject };
    let (hash, expires) = (control.pepper().hash_token(&pending.token), pending.expires);
    // It comes first, so that of two that bring the same one changes something.
    changes.insert(0, (Change::UseSignIn { user, hash, expires }, visitor.act(user, Some(text(&signed_in)))));
    let session = Beginning::of(control, visitor, user)?;
    changes.extend(session.changes);
    control.commit(turn, changes, None).await.map_err(|error| match error {
        ApiError::Conflict { .. } => ApiError::SignInLost,
        error => error,
    })?;
    let answer = onwards(&control.providers().address(&pending.return_to));
    let answer = cookie::keep(answer, &session.token, control.is_secure());
    answer.body(ResponseBody::empty()).map_err(|_| ApiError::Internal)
}

/// Who they are here, and what makes them so if they were not before.
async fn let_in(
    control: &Control,
    visitor: &Visitor,
    provider: &Provider,
    shown: &oidc::Authenticated,
    invite: Option<&Token>,
) -> Result<(UserId, Vec<(Change, Act)>), ApiError> {
    let store = control.store();
    let issuer = provider.oidc.issuer();
    let known = store.identity(issuer, &shown.subject).await?.map(|identity| identity.user);
    // What is no address is none.
    let email = shown.email.as_deref().and_then(|text| Email::parse(text).ok());
    let invite = match invite {
        Some(token) => invites::find(control, token).await?,
        None => None,
    };
    let invited = invite.as_ref().and_then(|invite| Email::parse(&invite.email).ok());
    let account = match email.as_ref().or(invited.as_ref()) {
        Some(email) => store.credentials(email.as_str()).await?.map(|known| known.user),
        None => None,
    };
    let identities = match account {
        Some(user) => store.identity_page(user, None, MOST_IDENTITIES).await?,
        None => Vec::new(),
    };
    let claimed = identities.iter().any(|made| made.what.verified && &*made.what.issuer == issuer);
    let applicant = Applicant {
        known,
        email: email.as_ref(),
        verified: shown.email_verified,
        invited: invited.as_ref(),
        account,
        claimed,
    };
    let link = |user, verified| -> Result<(Change, Act), ApiError> {
        let (id, subject) = (IdentityId::generate()?, shown.subject.as_str().into());
        let identity = ExternalIdentity { id, user, issuer: issuer.into(), subject, verified };
        let made = convert::identity(&Made { what: identity.clone(), created: store::now() });
        Ok((Change::LinkIdentity(identity), visitor.act(user, Some(text(&made)))))
    };
    match applicant.enter(&provider.domains)? {
        Entrance::Known(user) => Ok((user, Vec::new())),
        Entrance::Linked(user) => {
            // What was set up before might be somebody else's: an invitation does not prove an address.
            let mut changes = vec![(Change::DropPassword(user), visitor.act(user, None))];
            let unproved = identities.iter().filter(|made| !made.what.verified);
            changes.extend(unproved.map(|made| {
                let before = Some(text(&convert::identity(made)).into());
                let change = Change::UnlinkIdentity { user, identity: made.what.id };
                (change, Act { before, ..visitor.act(user, None) })
            }));
            changes.push(link(user, true)?);
            Ok((user, changes))
        }
        Entrance::Invited => {
            let invite = invite.ok_or(NoEntrance::NotInvited)?;
            let (user, add) = new_user(visitor, &invite.email)?;
            let ([accepted, joins], _) = invites::join(&invite, user, |after| visitor.act(user, Some(text(after))));
            Ok((user, vec![accepted, add, link(user, shown.email_verified && email.is_some())?, joins]))
        }
        Entrance::Listed { org, role } => {
            if store.organisation(org).await?.is_none() {
                tracing::error!(provider = &*provider.name, %org, "a domain is listed for an organisation that is not here");
                return Err(NoEntrance::NotInvited.into());
            }
            let email = email.ok_or(NoEntrance::NoAddress)?;
            let (user, add) = new_user(visitor, email.as_str())?;
            Ok((user, vec![add, link(user, true)?, joins(visitor, org, user, role)]))
        }
    }
}

/// Somebody new, and that they are made known.
fn new_user(visitor: &Visitor, email: &str) -> Result<(UserId, (Change, Act)), ApiError> {
    let user = User { id: UserId::generate()?, email: email.into(), operator: false };
    let made = convert::user(&Made { what: user.clone(), created: store::now() });
    let (id, act) = (user.id, visitor.act(user.id, Some(text(&made))));
    Ok((id, (Change::AddUser(user), act)))
}

/// That somebody joins because of their domain.
fn joins(visitor: &Visitor, org: OrgId, user: UserId, role: Role) -> (Change, Act) {
    let joined = invites::joined(org, user, role);
    (Change::AddMember { org, user, role }, visitor.act(user, Some(text(&joined))))
}

/// Says in the log why a provider could not vouch for anybody.
fn failed(provider: &Provider, error: &oidc::Error) -> ApiError {
    tracing::warn!(provider = &*provider.name, %error, "a provider did not sign somebody in");
    ApiError::ProviderFailed
}

fn start_path(provider: &str) -> String {
    format!("/admin/v1/oidc/{provider}/start")
}
