//! People in sessions, at the edge: for which project they ask, and what other sites cannot make them do.

use std::sync::Arc;

use account::{Class, KeyId, LimitKind, Limits, Name, OrgId, Owner, ProjectId, Purpose, Role, Session, Token, UserId};
use axum::{
    Extension, Router,
    body::Body,
    http::{Method, Request, request::Builder},
    routing::{get, post},
};
use catalog::Catalog;
use gateway::{Annex, Config, Service, Tenancy, router};
use serde_json::{Value, json};
use store::{Change, Project, User};

use crate::stage::*;

const USER: UserId = UserId::from_bytes([7; 16]);
const OTHER_ORG: OrgId = OrgId::from_bytes([8; 16]);
const OTHER_PROJECT: ProjectId = ProjectId::from_bytes([8; 16]);
const COOKIE: &str = "modelworks-session";

struct Stage {
    app: Router,
    tenancy: Tenancy,
    kept: Arc<Kept>,
    session: Session,
    token: Token,
}

/// Somebody with a role in the one organisation, signed in, and a model that says three tokens.
fn stage(role: Role) -> Stage {
    stage_with(Config::default(), role, Scripted::new(|_| Script::Events(says("abc"))))
}

fn stage_with(config: Config, role: Role, backend: Arc<Scripted>) -> Stage {
    let kept = Arc::new(Kept::default());
    let tenancy = tenancy(kept.clone());
    for (id, org) in [(PROJECT, ORG), (OTHER_PROJECT, OTHER_ORG)] {
        tenancy.apply(&Change::AddProject(Project { id, org, name: Name::default_name() }));
    }
    tenancy.apply(&Change::AddUser(User { id: USER, email: "ann@example.org".into(), operator: false }));
    tenancy.apply(&Change::AddMember { org: ORG, user: USER, role });
    let (session, token) = session();
    tenancy.apply(&Change::AddSession(session));
    let catalog = Catalog::in_memory();
    catalog.register("m", backend);
    let routes = Router::new()
        .route("/admin/v1/session", post(sees).get(sees))
        .route("/admin/v1/linked", get(sees).post(sees))
        .route("/admin/v1/thing", get(sees).post(sees).patch(sees).delete(sees));
    let entrances = vec![(Method::POST, "/admin/v1/session"), (Method::GET, "/admin/v1/linked")];
    let annex = Annex { routes, entrances, document: Default::default() };
    let app = router(Service::with_annex(config, catalog, tenancy.clone(), Some(annex)));
    Stage { app, tenancy, kept, session, token }
}

/// Another edge says whom it sees.
async fn sees(identity: Option<Extension<account::Identity>>) -> String {
    identity.map_or_else(|| "nobody".to_owned(), |Extension(identity)| identity.to_string())
}

fn session() -> (Session, Token) {
    let token = Token::generate(Purpose::Session).unwrap();
    let now = store::now();
    (Session { hash: pepper().hash_token(&token), user: USER, begun: now, seen: now }, token)
}

impl Stage {
    /// As a page of the service asks.
    fn request(&self, method: &str, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        request.header("cookie", format!("a=b; {COOKIE}={}", self.token.expose()))
    }

    /// The same, with all that a change needs.
    fn change(&self, method: &str, path: &str) -> Builder {
        let request = self.request(method, path).header("sec-fetch-site", "same-origin");
        request.header("x-csrf-token", self.csrf())
    }

    fn csrf(&self) -> String {
        pepper().csrf_token(&self.session.hash).expose()
    }

    fn ask(&self, project: ProjectId) -> Request<Body> {
        let request = self.change("POST", "/v1/chat/completions").header("x-modelworks-project", project.to_string());
        request.body(chat()).unwrap()
    }

    async fn check(&self, request: Request<Body>, status: u16, code: &str) -> Answer {
        let answer = send(&self.app, request).await;
        let found = if answer.status.is_success() { Value::Null } else { answer.json()["error"]["code"].clone() };
        let expect = if code.is_empty() { Value::Null } else { json!(code) };
        assert_eq!((answer.status.as_u16(), found), (status, expect), "{:?}", answer.bytes);
        answer
    }
}

fn chat() -> Body {
    Body::from(json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}).to_string())
}

#[tokio::test]
async fn a_person_asks_for_a_project_and_is_metered_as_a_key_of_it_would_be() {
    let stage = stage(Role::Member);
    stage.tenancy.meter().set_limits(Owner::Project(PROJECT), Limits::default().with(LimitKind::RequestsPerMinute, 2));
    let answer = stage.check(stage.ask(PROJECT), 200, "").await;
    assert_eq!(answer.headers["x-ratelimit-remaining-requests"], "1");
    let rows = stage.kept.rows();
    assert_eq!((rows.len(), rows[0].settlement.counts.of(Class::Output)), (1, 2));
    let tenant = rows[0].tenant;
    assert_eq!((tenant.org, tenant.project, tenant.key), (ORG, PROJECT, KeyId::from_bytes([7; 16])));
    // The key of the same project has the same limit.
    check(
        &stage.app,
        "POST",
        "/v1/chat/completions",
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}),
        200,
    )
    .await;
    stage.check(stage.ask(PROJECT), 429, "rate_limit_exceeded").await;
    let models = stage.request("GET", "/v1/models").header("x-modelworks-project", PROJECT.to_string());
    stage.check(models.body(Body::empty()).unwrap(), 200, "").await;
}

#[tokio::test]
async fn a_project_must_be_named_and_be_of_ones_own() {
    let stage = stage(Role::Owner);
    let unnamed = stage.change("POST", "/v1/chat/completions").body(chat()).unwrap();
    stage.check(unnamed, 400, "project_required").await;
    let mut told = Vec::new();
    for project in [OTHER_PROJECT.to_string(), ProjectId::from_bytes([99; 16]).to_string(), "x' OR 1=1".into()] {
        let request = stage.change("POST", "/v1/chat/completions").header("x-modelworks-project", project);
        told.push(stage.check(request.body(chat()).unwrap(), 404, "not_found").await.bytes);
    }
    told.dedup();
    assert_eq!(told.len(), 1);
    // Whether the service works is no project's affair.
    stage.check(stage.request("GET", "/openapi.json").body(Body::empty()).unwrap(), 200, "").await;
    stage.check(stage.request("GET", "/no/such/route").body(Body::empty()).unwrap(), 404, "not_found").await;
    assert!(stage.kept.rows().is_empty());
}

#[tokio::test]
async fn the_role_says_what_is_asked_for() {
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Operator) {
        let stage = stage(role);
        let (status, code) = if role.may(account::Action::Infer) { (200, "") } else { (403, "missing_scope") };
        stage.check(stage.ask(PROJECT), status, code).await;
    }
}

#[tokio::test]
async fn what_changes_something_needs_the_page_and_the_second_secret() {
    let stage = stage(Role::Owner);
    let other = pepper().csrf_token(&session().0.hash).expose();
    let csrf = stage.csrf();
    let site = |site: &'static str| ("sec-fetch-site", site.to_owned());
    let origin = |origin: &'static str| ("origin", origin.to_owned());
    let token = |token: &str| ("x-csrf-token", token.to_owned());
    let cases = [
        (vec![site("same-origin"), token(&csrf)], 200, ""),
        (vec![origin("http://localhost"), token(&csrf)], 200, ""),
        (vec![token(&csrf)], 403, "cross_site_request"),
        (vec![site("cross-site"), token(&csrf)], 403, "cross_site_request"),
        (vec![site("same-site"), token(&csrf)], 403, "cross_site_request"),
        (vec![site("none"), token(&csrf)], 403, "cross_site_request"),
        (vec![origin("http://evil.example"), token(&csrf)], 403, "cross_site_request"),
        (vec![origin("null"), token(&csrf)], 403, "cross_site_request"),
        (vec![site("same-origin")], 403, "invalid_csrf_token"),
        (vec![site("same-origin"), token("")], 403, "invalid_csrf_token"),
        (vec![site("same-origin"), token(&other)], 403, "invalid_csrf_token"),
        (vec![site("same-origin"), token(stage.token.expose())], 403, "invalid_csrf_token"),
    ];
    for (headers, status, code) in cases {
        for (method, path) in [
            ("POST", "/admin/v1/thing"),
            ("PATCH", "/admin/v1/thing"),
            ("DELETE", "/admin/v1/thing"),
            ("POST", "/v1/chat/completions"),
        ] {
            let request = stage.request(method, path).header("x-modelworks-project", PROJECT.to_string());
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
            stage.check(request.body(chat()).unwrap(), status, code).await;
        }
    }
    // Looking changes nothing.
    let look = stage.request("GET", "/admin/v1/thing").header("sec-fetch-site", "cross-site");
    assert_eq!(stage.check(look.body(Body::empty()).unwrap(), 200, "").await.text(), USER.to_string());
}

#[tokio::test]
async fn a_session_that_is_over_unknown_or_no_session_is_refused() {
    let stage = stage(Role::Owner);
    let cookie = |value: &str| {
        let request = Request::get("/admin/v1/thing").header("cookie", format!("{COOKIE}={value}"));
        request.body(Body::empty()).unwrap()
    };
    let other = session().1;
    let cut = &stage.token.expose()[..stage.token.expose().len() - 1];
    for value in ["", "x", cut, other.expose(), &format!("{}0", stage.token.expose())] {
        stage.check(cookie(value), 401, "session_ended").await;
    }
    // A session's token is no key, and another cookie no session.
    let key = Request::get("/admin/v1/thing").header("authorization", format!("Bearer {}", stage.token.expose()));
    stage.check(key.body(Body::empty()).unwrap(), 401, "invalid_api_key").await;
    let named = Request::get("/admin/v1/thing").header("cookie", format!("__Host-{COOKIE}={}", stage.token.expose()));
    stage.check(named.body(Body::empty()).unwrap(), 401, "invalid_api_key").await;
    stage.check(cookie(stage.token.expose()), 200, "").await;
    // A key that is sent counts, whatever the browser adds.
    let both = request("POST", "/admin/v1/thing", Body::empty());
    let (mut parts, body) = both.into_parts();
    parts.headers.insert("cookie", format!("{COOKIE}={}", stage.token.expose()).parse().unwrap());
    let answer = stage.check(Request::from_parts(parts, body), 200, "").await;
    assert_eq!(answer.text(), KeyId::from_bytes([3; 16]).to_string());
    stage.tenancy.apply(&Change::EndSession(stage.session));
    stage.check(cookie(stage.token.expose()), 401, "session_ended").await;
}

#[tokio::test]
async fn people_come_in_without_being_known_but_not_because_another_site_wants_it() {
    let stage = stage(Role::Member);
    let enter = || Request::post("/admin/v1/session").header("host", "localhost");
    let body = Body::empty;
    assert_eq!(stage.check(enter().body(body()).unwrap(), 200, "").await.text(), "nobody");
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example"), ("origin", "null")] {
        stage.check(enter().header(name, value).body(body()).unwrap(), 403, "cross_site_request").await;
    }
    // A provider sends the browser back by a link.
    let linked = |method: &str| {
        let request = Request::builder().method(method).uri("/admin/v1/linked").header("sec-fetch-site", "cross-site");
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(stage.check(linked("GET"), 200, "").await.text(), "nobody");
    for method in ["POST", "HEAD"] {
        assert_eq!(send(&stage.app, linked(method)).await.status, 401, "{method}");
    }
    // Who is signed in is known, without more; a stale cookie is in nobody's way.
    let here = stage.request("POST", "/admin/v1/session").body(body()).unwrap();
    assert_eq!(stage.check(here, 200, "").await.text(), USER.to_string());
    let stale = enter().header("cookie", format!("{COOKIE}={}", session().1.expose()));
    assert_eq!(stage.check(stale.body(body()).unwrap(), 200, "").await.text(), "nobody");
    // That is so for this method and this address alone.
    for request in [Request::get("/admin/v1/session"), Request::post("/admin/v1/thing")] {
        stage.check(request.body(body()).unwrap(), 401, "invalid_api_key").await;
    }
}

#[tokio::test]
async fn over_tls_only_the_cookie_that_is_bound_to_the_host_counts() {
    let config = Config { origin: Some("https://models.example.org".into()), secure: true, ..Config::default() };
    let stage = stage_with(config, Role::Owner, Scripted::new(|_| Script::Panic));
    let plain = stage.change("POST", "/admin/v1/thing").body(Body::empty()).unwrap();
    stage.check(plain, 401, "invalid_api_key").await;
    for (origin, status, code) in
        [("https://models.example.org", 200, ""), ("http://models.example.org", 403, "cross_site_request")]
    {
        let request = Request::post("/admin/v1/thing").header("host", "10.0.0.1").header("origin", origin);
        let request = request.header("cookie", format!("__Host-{COOKIE}={}", stage.token.expose()));
        stage.check(request.header("x-csrf-token", stage.csrf()).body(Body::empty()).unwrap(), status, code).await;
    }
}

#[tokio::test]
async fn what_runs_with_a_session_ends_with_it() {
    let (events, script) = tokio::sync::mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(script));
    let stage = stage_with(Config::default(), Role::Member, backend.clone());
    let change = async {
        events.send(text(0, "a")).await.unwrap();
        backend.until_live(1).await;
        stage.tenancy.apply(&Change::SetMember { org: ORG, user: USER, role: None });
        backend.until_live(0).await;
    };
    let (answer, ()) = tokio::join!(send(&stage.app, stage.ask(PROJECT)), change);
    assert_eq!(answer.status, 401, "{:?}", answer.bytes);
    assert_eq!(stage.kept.rows()[0].settlement.cause, account::Cause::KeyRevoked);
}
