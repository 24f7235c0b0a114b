//! The route list, and what each route wants of its caller.

use account::{Action, Forbidden, Identity};
use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    http::Method,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};

use crate::{
    Control,
    error::ApiError,
    routes::{
        audit, credits, erasures, identities, invites, keys, ledger, limits, members, oidc, organisations, prices,
        projects, reratings, resets, retention, session, statements, users, webhooks,
    },
};

/// One administrative route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub method: Method,
    /// The path as the OpenAPI document writes it.
    pub path: &'static str,
    /// What a caller must be allowed to do somewhere at least; none: whoever is known will do.
    pub needs: Option<Action>,
    /// Whether it is one by which people come in, which nobody has to be known for.
    pub public: bool,
}

struct Route {
    endpoint: Endpoint,
    handler: MethodRouter<Control>,
}

/// The route list. What a caller may do *where* is its handler's affair.
fn list() -> Vec<Route> {
    use Action as A;
    const ORG: &str = "/admin/v1/organisations/{org}";
    vec![
        entrance("/admin/v1/session", session::sign_in),
        get("/admin/v1/session", None, session::show),
        delete("/admin/v1/session", None, session::sign_out),
        own("/admin/v1/session/password", session::change_password),
        own("/admin/v1/session/join", session::join),
        entrance("/admin/v1/invites/accept", invites::accept),
        entrance("/admin/v1/resets/accept", resets::accept),
        linked_entrance("/admin/v1/oidc", oidc::list),
        linked_entrance("/admin/v1/oidc/{provider}/start", oidc::start),
        linked_entrance("/admin/v1/oidc/{provider}/callback", oidc::callback),
        get("/admin/v1/me", None, keys::me),
        get("/admin/v1/organisations", Some(A::ReadOrganisation), organisations::list),
        post("/admin/v1/organisations", A::ManageOrganisations, organisations::create),
        get(ORG, Some(A::ReadOrganisation), organisations::show),
        patch(ORG, A::ChangeOrganisation, organisations::change),
        get("/admin/v1/organisations/{org}/projects", Some(A::ReadProjects), projects::list),
        post("/admin/v1/organisations/{org}/projects", A::ManageProjects, projects::create),
        get("/admin/v1/organisations/{org}/projects/{project}", Some(A::ReadProjects), projects::show),
        patch("/admin/v1/organisations/{org}/projects/{project}", A::ManageProjects, projects::change),
        get("/admin/v1/organisations/{org}/members", Some(A::ReadMembers), members::list),
        post("/admin/v1/organisations/{org}/members", A::ManageMembers, members::create),
        get("/admin/v1/organisations/{org}/members/{user}", Some(A::ReadMembers), members::show),
        patch("/admin/v1/organisations/{org}/members/{user}", A::ManageMembers, members::change),
        delete("/admin/v1/organisations/{org}/members/{user}", Some(A::ManageMembers), members::remove),
        get("/admin/v1/organisations/{org}/invites", Some(A::ManageMembers), invites::list),
        post("/admin/v1/organisations/{org}/invites", A::ManageMembers, invites::create),
        delete("/admin/v1/organisations/{org}/invites/{invite}", Some(A::ManageMembers), invites::remove),
        get("/admin/v1/users", Some(A::ManageUsers), users::list),
        post("/admin/v1/users", A::ManageUsers, users::create),
        get("/admin/v1/users/{user}", Some(A::ManageUsers), users::show),
        patch("/admin/v1/users/{user}", A::ManageUsers, users::change),
        delete("/admin/v1/users/{user}", Some(A::ManageUsers), users::remove),
        get("/admin/v1/users/{user}/identities", Some(A::ManageUsers), identities::list),
        delete("/admin/v1/users/{user}/identities/{identity}", Some(A::ManageUsers), identities::remove),
        post("/admin/v1/users/{user}/reset", A::ManageUsers, resets::create),
        get("/admin/v1/organisations/{org}/keys", Some(A::ReadOwnKeys), keys::list),
        post("/admin/v1/organisations/{org}/keys", A::ManageOwnKeys, keys::create),
        get("/admin/v1/organisations/{org}/keys/{key}", Some(A::ReadOwnKeys), keys::show),
        patch("/admin/v1/organisations/{org}/keys/{key}", A::ManageOwnKeys, keys::change),
        post("/admin/v1/organisations/{org}/keys/{key}/rotate", A::ManageOwnKeys, keys::rotate),
        post("/admin/v1/organisations/{org}/keys/{key}/revoke", A::ManageOwnKeys, keys::revoke),
        get("/admin/v1/organisations/{org}/limits", Some(A::ReadLimits), limits::of_organisation),
        patch("/admin/v1/organisations/{org}/limits", A::ManageLimits, limits::change_organisation),
        get("/admin/v1/organisations/{org}/projects/{project}/limits", Some(A::ReadLimits), limits::of_project),
        patch("/admin/v1/organisations/{org}/projects/{project}/limits", A::ManageLimits, limits::change_project),
        get("/admin/v1/organisations/{org}/keys/{key}/limits", Some(A::ReadLimits), limits::of_key),
        patch("/admin/v1/organisations/{org}/keys/{key}/limits", A::ManageLimits, limits::change_key),
        get("/admin/v1/prices", Some(A::ReadModels), prices::list),
        post("/admin/v1/prices", A::ManagePrices, prices::create),
        post("/admin/v1/organisations/{org}/credits", A::ManageCredits, credits::grant),
        post("/admin/v1/organisations/{org}/redeem", A::RedeemCredits, credits::redeem),
        get("/admin/v1/codes", Some(A::ManageCredits), credits::codes),
        post("/admin/v1/codes", A::ManageCredits, credits::create_code),
        get("/admin/v1/organisations/{org}/balance", Some(A::ReadBills), ledger::balance),
        get("/admin/v1/organisations/{org}/ledger", Some(A::ReadBills), ledger::lines),
        get("/admin/v1/organisations/{org}/statements/{month}", Some(A::ReadBills), statements::show),
        post("/admin/v1/organisations/{org}/reratings", A::ManageCredits, reratings::rerate),
        post("/admin/v1/organisations/{org}/erasures", A::ChangeOrganisation, erasures::erase),
        get("/admin/v1/organisations/{org}/retention", Some(A::ReadOrganisation), retention::of_organisation),
        patch("/admin/v1/organisations/{org}/retention", A::ChangeOrganisation, retention::change_organisation),
        get("/admin/v1/retention", Some(A::ManageOrganisations), retention::of_installation),
        patch("/admin/v1/retention", A::ManageOrganisations, retention::change_installation),
        get("/admin/v1/organisations/{org}/webhooks", Some(A::ChangeOrganisation), webhooks::list),
        post("/admin/v1/organisations/{org}/webhooks", A::ChangeOrganisation, webhooks::create),
        get("/admin/v1/organisations/{org}/webhooks/{webhook}", Some(A::ChangeOrganisation), webhooks::show),
        patch("/admin/v1/organisations/{org}/webhooks/{webhook}", A::ChangeOrganisation, webhooks::change),
        delete("/admin/v1/organisations/{org}/webhooks/{webhook}", Some(A::ChangeOrganisation), webhooks::remove),
        post("/admin/v1/organisations/{org}/webhooks/{webhook}/rotate", A::ChangeOrganisation, webhooks::rotate),
        post("/admin/v1/organisations/{org}/webhooks/{webhook}/ping", A::ChangeOrganisation, webhooks::ping),
        get(
            "/admin/v1/organisations/{org}/webhooks/{webhook}/deliveries",
            Some(A::ChangeOrganisation),
            webhooks::deliveries,
        ),
        get("/admin/v1/organisations/{org}/audit", Some(A::ReadAudit), audit::of_organisation),
        get("/admin/v1/audit", Some(A::ReadAudit), audit::of_installation),
    ]
}

fn get<T: 'static>(path: &'static str, needs: Option<Action>, handler: impl Handler<T, Control>) -> Route {
    route(Method::GET, path, needs, on(MethodFilter::GET, handler))
}

fn post<T: 'static>(path: &'static str, needs: Action, handler: impl Handler<T, Control>) -> Route {
    route(Method::POST, path, Some(needs), on(MethodFilter::POST, handler))
}

fn patch<T: 'static>(path: &'static str, needs: Action, handler: impl Handler<T, Control>) -> Route {
    route(Method::PATCH, path, Some(needs), on(MethodFilter::PATCH, handler))
}

fn delete<T: 'static>(path: &'static str, needs: Option<Action>, handler: impl Handler<T, Control>) -> Route {
    route(Method::DELETE, path, needs, on(MethodFilter::DELETE, handler))
}

/// What somebody changes of their own.
fn own<T: 'static>(path: &'static str, handler: impl Handler<T, Control>) -> Route {
    route(Method::POST, path, None, on(MethodFilter::POST, handler))
}

/// By which people come in.
fn entrance<T: 'static>(path: &'static str, handler: impl Handler<T, Control>) -> Route {
    let mut route = own(path, handler);
    route.endpoint.public = true;
    route
}

/// The same for pages that somebody else may send the browser to.
fn linked_entrance<T: 'static>(path: &'static str, handler: impl Handler<T, Control>) -> Route {
    let mut route = get(path, None, handler);
    route.endpoint.public = true;
    route
}

fn route(method: Method, path: &'static str, needs: Option<Action>, handler: MethodRouter<Control>) -> Route {
    Route { endpoint: Endpoint { method, path, needs, public: false }, handler }
}

/// Every route that there is.
pub fn endpoints() -> Vec<Endpoint> {
    list().into_iter().map(|route| route.endpoint).collect()
}

/// The routes, to be served behind the check of who the caller is. They have no fallback of their own.
pub fn routes(control: Control) -> Router {
    let add = |router: Router<Control>, Route { endpoint, handler }: Route| {
        let path = endpoint.path;
        router.route(path, handler.layer(from_fn_with_state(endpoint, authorize)))
    };
    list().into_iter().fold(Router::new(), add).with_state(control)
}

/// Refuses, before anything is read, whoever may not do this anywhere.
async fn authorize(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    if endpoint.public {
        return next.run(request).await;
    }
    let Some(identity) = request.extensions().get::<Identity>() else { return ApiError::NoKey.into_response() };
    match endpoint.needs {
        Some(action) if !identity.actions().contains(action) => {
            ApiError::from(Forbidden::Lacks { action }).into_response()
        }
        _ => next.run(request).await,
    }
}
