//! Signing in with a password, and what ends a session.

use std::sync::Arc;

use account::{Identity, Purpose, Role, Session, Token, UserId};
use axum::Router;
use serde_json::{Value, json};

use crate::stage::*;

const PASSWORD: &str = "correct horse battery";

/// Somebody with a password.
async fn ann(stage: &Stage, role: Role) -> UserId {
    let app = stage.operator().await;
    let new = json!({"email": "ann@example.org", "password": PASSWORD});
    let user = check(&app, "POST", "/admin/v1/users", new, 201).await.json();
    let body = json!({"user_id": user["id"], "role": role.as_str()});
    check(&app, "POST", &format!("/admin/v1/organisations/{ORG}/members"), body, 201).await;
    UserId::parse(user["id"].as_str().unwrap()).unwrap()
}

fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

async fn sign_in(app: &Router) -> Answer {
    check(app, "POST", "/admin/v1/session", credentials("Ann@example.org", PASSWORD), 201).await
}

/// What the cookie of an answer holds.
fn token(answer: &Answer) -> String {
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    cookie.split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
}

/// The routes as whoever has this session sees them, if there is one.
async fn app_in(stage: &Stage, token: &str) -> Option<Router> {
    let hash = stage.store.pepper().hash_token(&Token::parse(Purpose::Session, token).unwrap());
    let session: Session = stage.store.sessions().await.unwrap().into_iter().find(|session| session.hash == hash)?;
    let person = stage.store.person(session.user).await.unwrap()?;
    Some(stage.app_of(Identity::Person(Arc::new(person), session)))
}

#[tokio::test]
async fn whoever_signs_in_has_a_session_that_says_who_they_are() {
    let stage = stage().await;
    let user = ann(&stage, Role::Admin).await;
    let answer = sign_in(&stage.stranger()).await;
    let info = answer.json();
    assert_eq!((&info["user_id"], &info["email"]), (&json!(user.to_string()), &json!("ann@example.org")));
    let membership = json!([{"organisation_id": ORG.to_string(), "name": "one", "role": "admin"}]);
    assert_eq!((&info["organisations"], &info["operator"]), (&membership, &json!(false)));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let app = app_in(&stage, &token(&answer)).await.unwrap();
    let shown = check(&app, "GET", "/admin/v1/session", Value::Null, 200).await.json();
    assert_eq!((&shown["csrf_token"], &shown["organisations"]), (&info["csrf_token"], &membership));
    let listed = check(&app, "GET", "/admin/v1/organisations", Value::Null, 200).await.json();
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["name"]), (1, &json!("one")));
    check(&app, "GET", "/admin/v1/me", Value::Null, 404).await;
    // A key has no session to show or to end.
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/password"), ("POST", "/join")]
        .map(|(m, p)| (m, format!("/admin/v1/session{p}")))
    {
        let body = json!({"current": "x", "new": "y", "token": "z"});
        let body = match path.rsplit('/').next() {
            Some("password") => json!({"current": body["current"], "new": body["new"]}),
            Some("join") => json!({"token": body["token"]}),
            _ => Value::Null,
        };
        check(&stage.operator().await, method, &path, body, 404).await;
    }
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_are_told_alike() {
    let stage = stage().await;
    ann(&stage, Role::Member).await;
    stage.user("without", None).await;
    let mut told = Vec::new();
    for (email, password) in [
        ("ann@example.org", "wrong horse battery"),
        ("ann@example.org", ""),
        ("ben@example.org", PASSWORD),
        ("without@example.org", PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
        ("ann@example.org' OR '1'='1", PASSWORD),
    ] {
        let answer = check(&stage.stranger(), "POST", "/admin/v1/session", credentials(email, password), 401).await;
        assert!(!answer.headers.contains_key("set-cookie"));
        told.push(answer.bytes);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(stage.store.sessions().await.unwrap().is_empty());
}

#[tokio::test]
async fn each_sign_in_is_another_session_and_ends_the_one_before_of_this_browser() {
    let stage = stage().await;
    ann(&stage, Role::Member).await;
    let stranger = stage.stranger();
    let (first, elsewhere) = (token(&sign_in(&stranger).await), token(&sign_in(&stranger).await));
    assert_ne!(first, elsewhere);
    let again = token(&sign_in(&app_in(&stage, &first).await.unwrap()).await);
    assert!(app_in(&stage, &first).await.is_none());
    for token in [&elsewhere, &again] {
        let app = app_in(&stage, token).await.unwrap();
        let gone = check(&app, "DELETE", "/admin/v1/session", Value::Null, 204).await;
        assert!(gone.headers["set-cookie"].to_str().unwrap().contains("=; Path=/; Max-Age=0"));
        assert!(app_in(&stage, token).await.is_none());
    }
}

#[tokio::test]
async fn sessions_end_with_the_password_the_role_and_the_person() {
    let stage = stage().await;
    let operator = stage.operator().await;
    stage.user("owner", Some(Role::Owner)).await;
    let user = ann(&stage, Role::Member).await;
    let member = format!("/admin/v1/organisations/{ORG}/members/{user}");
    let path = format!("/admin/v1/users/{user}");
    let any = [("if-match", "*")];
    for (method, path, body) in [
        ("PATCH", &member, json!({"role": "viewer"})),
        ("PATCH", &path, json!({"operator": true})),
        ("DELETE", &member, Value::Null),
        ("DELETE", &path, Value::Null),
    ] {
        let mine = token(&sign_in(&stage.stranger()).await);
        assert!(app_in(&stage, &mine).await.is_some());
        let expect = if method == "PATCH" { 200 } else { 204 };
        check_with(&operator, method, path, body, &any, expect).await;
        assert!(app_in(&stage, &mine).await.is_none(), "{method} {path}");
    }
    let gone = credentials("ann@example.org", PASSWORD);
    check(&stage.stranger(), "POST", "/admin/v1/session", gone, 401).await;
}

#[tokio::test]
async fn who_knows_the_password_changes_it_and_is_signed_out_everywhere() {
    let stage = stage().await;
    ann(&stage, Role::Member).await;
    let (here, there) = (token(&sign_in(&stage.stranger()).await), token(&sign_in(&stage.stranger()).await));
    let app = app_in(&stage, &here).await.unwrap();
    let change = |current: &str, new: &str| json!({"current": current, "new": new});
    let path = "/admin/v1/session/password";
    assert_eq!(
        check(&app, "POST", path, change("wrong horse", "another one"), 401).await.code(),
        "invalid_credentials"
    );
    check(&app, "POST", path, change(PASSWORD, "short"), 400).await;
    check(&app, "POST", path, change(PASSWORD, "another password"), 204).await;
    for token in [here, there] {
        assert!(app_in(&stage, &token).await.is_none());
    }
    let session = "/admin/v1/session";
    check(&stage.stranger(), "POST", session, credentials("ann@example.org", PASSWORD), 401).await;
    check(&stage.stranger(), "POST", session, credentials("ann@example.org", "another password"), 201).await;
}

#[tokio::test]
async fn a_guesser_is_told_to_wait_and_the_right_password_does_not_help() {
    let stage = stage().await;
    ann(&stage, Role::Member).await;
    let app = stage.stranger();
    for number in 0..10 {
        let guess = credentials("ann@example.org", &format!("guess number {number}"));
        check(&app, "POST", "/admin/v1/session", guess, 401).await;
    }
    let right = credentials("ANN@example.org", PASSWORD);
    let refused = check(&app, "POST", "/admin/v1/session", right, 429).await;
    assert_eq!(refused.code(), "rate_limit_exceeded");
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // An address that nobody has is refused alike, and other accounts are not.
    for number in 0..11 {
        let expect = if number < 10 { 401 } else { 429 };
        check(&app, "POST", "/admin/v1/session", credentials("ben@example.org", PASSWORD), expect).await;
    }
}
