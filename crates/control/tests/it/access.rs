//! Who may do what, walked over the route list.

use account::{Action, IdentityId, InviteId, KeyId, Role, Scope, UserId, WebhookId};
use axum::{Router, body::Body, http::Request};
use control::{endpoints, openapi_document};
use serde_json::{Value, json};

use crate::stage::*;

/// A request that a route would take if it were allowed.
fn request(method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("if-match", "*");
    let body = match (method, path.rsplit('/').next()) {
        ("GET", _) => String::new(),
        ("POST", Some("projects")) => json!({"name": "x"}).to_string(),
        ("POST", Some("keys")) => json!({"name": "x", "project_id": OTHER_PROJECT.to_string()}).to_string(),
        ("POST", Some("erasures")) => json!({"end_user": "x"}).to_string(),
        ("POST", Some("members")) => json!({"user_id": USER.to_string(), "role": "viewer"}).to_string(),
        ("POST", Some("invites")) => json!({"email": "x@example.org", "role": "viewer"}).to_string(),
        ("POST", Some("webhooks")) => json!({"url": "https://example.org/"}).to_string(),
        ("POST", Some("redeem")) => json!({"code": "mw-".repeat(20)}).to_string(),
        _ => json!({}).to_string(),
    };
    request.body(Body::from(body)).unwrap()
}

/// A key of the other organisation.
const THEIRS: KeyId = KeyId::from_bytes([4; 16]);

/// Somebody of the other organisation.
const USER: UserId = UserId::from_bytes([5; 16]);

fn address(path: &str, org: &str, project: &str, key: &str) -> String {
    let path =
        path.replace("{org}", org).replace("{project}", project).replace("{key}", key).replace("{month}", "2026-11");
    let path = path.replace("{webhook}", &WebhookId::from_bytes([7; 16]).to_string());
    let path = path.replace("{identity}", &IdentityId::from_bytes([7; 16]).to_string());
    path.replace("{user}", &USER.to_string()).replace("{invite}", &InviteId::from_bytes([6; 16]).to_string())
}

#[tokio::test]
async fn nobody_without_a_key_is_answered() {
    let stage = stage().await;
    let app = stage.app(None);
    let (public, others): (Vec<_>, Vec<_>) = endpoints().into_iter().partition(|endpoint| endpoint.public);
    let public: Vec<_> = public.iter().map(|endpoint| (endpoint.method.as_str(), endpoint.path)).collect();
    let entrances = ["/admin/v1/session", "/admin/v1/invites/accept", "/admin/v1/resets/accept"];
    let linked = ["/admin/v1/oidc", "/admin/v1/oidc/{provider}/start", "/admin/v1/oidc/{provider}/callback"];
    let expect = [entrances.map(|path| ("POST", path)), linked.map(|path| ("GET", path))].concat();
    assert_eq!(public, expect, "people come in by these and by no other");
    for endpoint in others {
        let path = address(endpoint.path, &ORG.to_string(), &PROJECT.to_string(), "key_0");
        let answer = send(&app, request(endpoint.method.as_str(), &path)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "invalid_api_key"), "{path}");
    }
}

#[tokio::test]
async fn a_key_is_let_to_the_routes_that_its_scopes_are_for_and_to_no_other() {
    let stage = stage().await;
    for scope in Scope::ALL {
        let key = stage.key(&[scope]).await;
        let app = stage.app(Some(&key));
        for endpoint in endpoints() {
            let path = address(endpoint.path, &ORG.to_string(), &PROJECT.to_string(), &key.id.to_string());
            let answer = send(&app, request(endpoint.method.as_str(), &path)).await;
            let allowed = endpoint.needs.is_none_or(|action| scope.actions().contains(action));
            let refused = answer.status == 403 && answer.code() == "missing_scope";
            assert_eq!(refused, !allowed, "{} {path} with {scope:?}: {}", endpoint.method, answer.status);
        }
    }
}

#[tokio::test]
async fn what_belongs_to_others_is_told_like_what_does_not_exist() {
    let stage = stage().await;
    let mut theirs = stage.key(&[]).await;
    (theirs.id, theirs.org, theirs.project) = (THEIRS, OTHER, OTHER_PROJECT);
    theirs.secret = stage.store.pepper().hash(&account::ApiKey::generate().unwrap().hash());
    apply(&stage.store, store::Change::AddKey(theirs.clone())).await;
    let user = store::User { id: USER, email: "theirs@example.org".into(), operator: false };
    apply(&stage.store, store::Change::AddUser(user)).await;
    apply(&stage.store, store::Change::AddMember { org: OTHER, user: USER, role: Role::Owner }).await;
    let invite = store::Invite {
        id: InviteId::from_bytes([6; 16]),
        org: OTHER,
        hash: account::KeyedHash::from_bytes([6; 32]),
        email: "new@example.org".into(),
        role: Role::Viewer,
        expires: account::Timestamp::from_millis(i64::MAX),
    };
    apply(&stage.store, store::Change::AddInvite(invite)).await;
    let webhook = store::Webhook {
        id: WebhookId::from_bytes([7; 16]),
        org: OTHER,
        url: "https://example.org/".into(),
        description: "theirs".into(),
        events: account::EventKind::CHOICE.into(),
        thresholds: [50].into(),
        credit_low: None,
        enabled: true,
        secret_version: 1,
        previous_until: None,
    };
    apply(&stage.store, store::Change::AddWebhook(webhook)).await;
    // Everything that an organisation can give, so that nothing is missing but the place.
    let owner = stage.user("owner", Some(Role::Owner)).await;
    for app in [stage.owner().await, stage.app_of_user(owner).await] {
        nothing_of_others(&app).await;
    }
}

async fn nothing_of_others(app: &Router) {
    let (own, other) = (ORG.to_string(), OTHER.to_string());
    let nobody = format!("org_{}", "9".repeat(32));
    let (project, key) = (OTHER_PROJECT.to_string(), THEIRS.to_string());
    let mut walked = 0;
    for endpoint in endpoints().into_iter().filter(|endpoint| endpoint.path.contains("{org}")) {
        let owned = endpoint.needs.is_none_or(|action| Role::Owner.may(action));
        if !owned {
            continue;
        }
        walked += 1;
        let mut answers = Vec::new();
        for org in [&other, &nobody] {
            answers
                .push(send(app, request(endpoint.method.as_str(), &address(endpoint.path, org, &project, &key))).await);
        }
        if ["{project}", "{key}", "{user}", "{invite}", "{webhook}"].iter().any(|part| endpoint.path.contains(part)) {
            // Under the own organisation what is of another is not found either.
            answers.push(
                send(app, request(endpoint.method.as_str(), &address(endpoint.path, &own, &project, &key))).await,
            );
            answers.push(
                send(app, request(endpoint.method.as_str(), &address(endpoint.path, &own, "x'%20OR%201=1", "x"))).await,
            );
        }
        for answer in answers {
            let expect = json!({"error": {"message": "there is no such object", "type": "invalid_request_error",
                "param": null, "code": "not_found"}});
            assert_eq!((answer.status.as_u16(), answer.json()), (404, expect), "{} {}", endpoint.method, endpoint.path);
        }
    }
    assert!(walked > 25);
    let listed = check(app, "GET", "/admin/v1/organisations", Value::Null, 200).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["data"][0]["id"], own);
    check(app, "GET", "/admin/v1/audit", Value::Null, 404).await;
}

#[tokio::test]
async fn a_person_is_let_to_what_the_role_allows_and_to_nothing_else() {
    let stage = stage().await;
    for role in Role::ALL {
        let user = stage.user(role.as_str(), Some(role)).await;
        for endpoint in endpoints().into_iter().filter(|endpoint| !endpoint.path.starts_with("/admin/v1/session")) {
            // Nobody is left who was taken out, so each time they are there as they were.
            let app = stage.app_of_user(user).await;
            let path = address(endpoint.path, &ORG.to_string(), &PROJECT.to_string(), &THEIRS.to_string());
            let answer = send(&app, request(endpoint.method.as_str(), &path)).await;
            let allowed = endpoint.needs.is_none_or(|action| role.may(action));
            let refused = answer.status == 403 && answer.code() == "missing_scope";
            assert_eq!(refused, !allowed, "{} {path} as {role:?}: {}", endpoint.method, answer.status);
        }
    }
}

#[tokio::test]
async fn nobody_grants_changes_or_learns_a_key_that_may_do_more() {
    let stage = stage().await;
    let strong = stage.key(&Scope::ALL).await;
    let equal = stage.key(&[Scope::AdminKeys]).await;
    let app = stage.app(Some(&stage.key(&[Scope::AdminKeys, Scope::Inference]).await));
    let keys = format!("/admin/v1/organisations/{ORG}/keys");
    let new = |scopes: Value| json!({"project_id": PROJECT.to_string(), "name": "k", "scopes": scopes});
    check(&app, "POST", &keys, new(json!(["inference", "admin:keys"])), 201).await;
    for scopes in [json!(["usage:read"]), json!(["inference", "admin:prices"]), json!(["admin:installation"])] {
        assert_eq!(check(&app, "POST", &keys, new(scopes), 403).await.code(), "cannot_grant");
    }
    // What a key is for unless one says otherwise is more than this caller has.
    assert_eq!(
        check(&app, "POST", &keys, json!({"project_id": PROJECT.to_string(), "name": "k"}), 403).await.code(),
        "cannot_grant"
    );
    let one = format!("{keys}/{}", strong.id);
    for (path, body) in [(format!("{one}/rotate"), json!({})), (format!("{one}/revoke"), json!({}))] {
        assert_eq!(check(&app, "POST", &path, body, 403).await.code(), "cannot_grant");
    }
    let refused = check_with(&app, "PATCH", &one, json!({"name": "mine"}), &[("if-match", "*")], 403).await;
    assert_eq!(refused.code(), "cannot_grant");
    let one = format!("{keys}/{}", equal.id);
    let raise = json!({"scopes": ["admin:keys", "admin:billing"]});
    assert_eq!(check_with(&app, "PATCH", &one, raise, &[("if-match", "*")], 403).await.code(), "cannot_grant");
    check(&app, "POST", &format!("{one}/rotate"), json!({}), 201).await;
    check(&app, "POST", &format!("{one}/revoke"), json!({}), 200).await;
    // How somebody pays is not their own affair.
    let app = stage.owner().await;
    let org = format!("/admin/v1/organisations/{ORG}");
    check_with(&app, "PATCH", &org, json!({"billing": "prepaid"}), &[("if-match", "*")], 403).await;
    check_with(&app, "PATCH", &org, json!({"name": "renamed"}), &[("if-match", "*")], 200).await;
    check(&app, "POST", &format!("{org}/credits"), json!({"amount": "5", "external_id": "x"}), 403).await;
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let document = serde_json::to_value(openapi_document()).unwrap();
    let mut documented = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            documented.push((path.clone(), method.to_uppercase()));
            assert!(operation["summary"].is_string(), "{method} {path}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                assert!(parameters.iter().any(|parameter| parameter["name"] == name), "{method} {path}: {name}");
            }
        }
    }
    let mut there: Vec<_> =
        endpoints().into_iter().map(|endpoint| (endpoint.path.to_owned(), endpoint.method.to_string())).collect();
    documented.sort();
    there.sort();
    assert_eq!(documented, there);
}

#[tokio::test]
async fn every_change_needs_more_than_a_look() {
    let looks = [
        Action::ReadOrganisation,
        Action::ReadMembers,
        Action::ReadProjects,
        Action::ReadKeys,
        Action::ReadLimits,
        Action::ReadModels,
        Action::ReadBills,
        Action::ReadAudit,
    ];
    let changes = endpoints().into_iter().filter(|endpoint| endpoint.method != "GET" && !endpoint.public);
    // What is one's own: to sign out, one's password, an invitation of one's own.
    let (own, others): (Vec<_>, Vec<_>) = changes.partition(|endpoint| endpoint.path.starts_with("/admin/v1/session"));
    assert_eq!(own.len(), 3);
    for endpoint in others {
        assert!(endpoint.needs.is_some_and(|action| !looks.contains(&action)), "{endpoint:?}");
    }
}
