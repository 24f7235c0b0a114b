//! Who asks: an API key, or a person in a session, and with either a project and its organisation.

use account::{Action, ApiKey, Authority, Forbidden, Identity, KeyRefusal, ProjectId, Reach, Tenant};
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use wire::admin::PROJECT_HEADER;

use crate::{
    Service, Tenancy,
    error::ApiError,
    rate_limit,
    router::{Access, access},
    session::{self, Site},
};

/// Where Anthropic's clients put the key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Names a person's project. A key has one.
const X_PROJECT: HeaderName = HeaderName::from_static(PROJECT_HEADER);

/// Somebody whose key or session was checked, wherever they may be going.
#[derive(Debug, Clone)]
pub(crate) struct Known(Identity);

/// Somebody whose key or session was checked, on behalf of a project. A handler that needs one says so in its parameters and
/// cannot forget the check.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    identity: Identity,
    tenant: Tenant,
    /// What they may do for the project.
    authority: Authority,
}

impl Caller {
    /// A person names the project; one that they have nothing to do with is told like one that does not exist.
    fn new(Known(identity): Known, headers: &HeaderMap, tenancy: &Tenancy) -> Result<Self, ApiError> {
        let tenant = match &identity {
            Identity::Key(key) => Tenant { org: key.org, project: key.project, key: key.id },
            Identity::Person(person, _) => {
                let named = headers.get(X_PROJECT).ok_or(ApiError::NoProject)?;
                let project = named.to_str().ok().and_then(|text| ProjectId::parse(text).ok());
                let project = project.ok_or(Forbidden::Elsewhere)?;
                let org = tenancy.organisation_of(project).ok_or(Forbidden::Elsewhere)?;
                Tenant::of_person(org, project, person.id)
            }
        };
        let authority = identity.authority(Reach::Project(tenant.org, tenant.project))?;
        Ok(Self { identity, tenant, authority })
    }

    /// What may share cached prefixes with this caller's requests: those of its project. Ids of projects are random.
    pub(crate) fn cache_salt(&self) -> u64 {
        let (salt, _) = self.tenant.project.as_bytes().split_at(8);
        salt.iter().fold(0, |salt, byte| salt << 8 | u64::from(*byte))
    }

    /// The three that its requests count for.
    pub(crate) fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// Whether it may do `action` to something at `place`.
    pub(crate) fn may(&self, action: Action, place: Reach) -> Result<(), Forbidden> {
        self.authority.may(action, place)
    }

    /// Whether it may name this model.
    pub(crate) fn may_use(&self, model: &str) -> bool {
        match &self.identity {
            Identity::Key(key) => key.models.allows(model),
            Identity::Person(..) => true,
        }
    }

    /// Completes when the key is revoked, or the session ended.
    pub(crate) fn revocation(&self, tenancy: &Tenancy) -> BoxFuture<'static, ()> {
        match &self.identity {
            Identity::Key(key) => tenancy.revocation(key.id),
            Identity::Person(_, session) => tenancy.end_of_session(session.hash),
        }
    }
}

impl FromRequestParts<Service> for Known {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, ApiError> {
        match parts.extensions.get::<Identity>() {
            Some(identity) => Ok(Self(identity.clone())),
            None => identify(&parts.method, &parts.headers, service),
        }
    }
}

impl FromRequestParts<Service> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, ApiError> {
        match parts.extensions.get::<Self>() {
            Some(caller) => Ok(caller.clone()),
            None => {
                let known = Known::from_request_parts(parts, service).await?;
                Self::new(known, &parts.headers, service.tenancy())
            }
        }
    }
}

/// Denies by default: whatever is not listed as public needs a key or a session, addresses that do not exist included, so
/// that nobody without one learns what there is. What they must be for is the matched route's affair.
pub(crate) async fn authenticate(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let pattern = request.extensions().get::<MatchedPath>();
    let access = pattern.map_or(Access::AnyKey, |path| access(path.as_str()));
    if access == Access::Public {
        return next.run(request).await;
    }
    let is_entrance =
        |path: &MatchedPath| service.annex().is_some_and(|annex| annex.is_entrance(request.method(), path.as_str()));
    if pattern.is_some_and(is_entrance) {
        return enter(&service, request, next).await;
    }
    let known = match identify(request.method(), request.headers(), &service) {
        Ok(known) => known,
        Err(error) => return error.into_response(),
    };
    // For routes of another edge.
    request.extensions_mut().insert(known.0.clone());
    let caller = Caller::new(known, request.headers(), service.tenancy());
    let caller = match (access, caller) {
        (Access::Needs(action), caller) => match caller.and_then(|caller| authorize(caller, action)) {
            Ok(caller) => caller,
            Err(error) => return error.into_response(),
        },
        (_, Ok(caller)) => caller,
        // Without a project there is enough to do, too: a handler that wants one asks for it.
        (_, Err(_)) => return next.run(request).await,
    };
    let tenant = caller.tenant();
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    if access == Access::Needs(Action::Infer) {
        rate_limit::write(response.headers_mut(), service.tenancy(), &tenant);
    }
    response
}

/// Lets somebody in who is about to show who they are, but not because another site's page wants it: who is made to sign in as
/// somebody else shows them what they do. What another site may link to or send back to (a provider does) is a `GET`, whose
/// route must know by itself that this browser began.
async fn enter(service: &Service, mut request: Request, next: Next) -> Response {
    let may_be_linked_to = request.method().is_safe();
    if !may_be_linked_to && Site::of(request.headers(), service.config().origin.as_deref()) == Site::Other {
        return ApiError::CrossSite.into_response();
    }
    if let Some(Ok(identity)) = session::signed_in(request.headers(), service) {
        request.extensions_mut().insert(identity);
    }
    next.run(request).await
}

fn authorize(caller: Caller, action: Action) -> Result<Caller, ApiError> {
    caller.may(action, Reach::Project(caller.tenant.org, caller.tenant.project))?;
    Ok(caller)
}

/// A key counts before a cookie: a program that sends one means it.
fn identify(method: &Method, headers: &HeaderMap, service: &Service) -> Result<Known, ApiError> {
    let key = match (bearer(headers)?, x_api_key(headers)?) {
        (Some(one), Some(other)) if one.expose() != other.expose() => return Err(ApiError::TwoKeys),
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) => {
            let identity = session::signed_in(headers, service).ok_or(ApiError::NoKey)??;
            if let Identity::Person(_, session) = &identity {
                session::check_intent(method, headers, &session.hash, service)?;
            }
            return Ok(Known(identity));
        }
    };
    let key = service.tenancy().identify(&key).map_err(|refusal| match refusal {
        KeyRefusal::Unknown => ApiError::WrongKey,
        ended => ApiError::KeyEnded(ended),
    })?;
    Ok(Known(Identity::Key(key)))
}

fn bearer(headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| ApiError::WrongKey)?;
    // The scheme's name is case-insensitive (RFC 9110, section 11.1).
    let (scheme, token) = value.trim().split_once(' ').ok_or(ApiError::NoKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::NoKey);
    }
    parse(token).map(Some)
}

fn x_api_key(headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let Some(value) = headers.get(X_API_KEY) else { return Ok(None) };
    parse(value.to_str().map_err(|_| ApiError::WrongKey)?).map(Some)
}

fn parse(key: &str) -> Result<ApiKey, ApiError> {
    ApiKey::parse(key.trim()).map_err(|_| ApiError::WrongKey)
}
