//! Tokens that work once: invitations and resets.

use std::time::Duration;

use account::{InviteId, Purpose, Role, Token, UserId};
use axum::Router;
use serde_json::{Value, json};
use store::{Change, Invite, Reset};

use crate::stage::*;

const PASSWORD: &str = "correct horse battery";

fn invites() -> String {
    format!("/admin/v1/organisations/{ORG}/invites")
}

async fn invite(app: &Router, email: &str, role: &str) -> Value {
    check(app, "POST", &invites(), json!({"email": email, "role": role}), 201).await.json()
}

fn acceptance(token: &Value) -> Value {
    json!({"token": token, "password": PASSWORD})
}

const ACCEPT: &str = "/admin/v1/invites/accept";
const RESET: &str = "/admin/v1/resets/accept";

#[tokio::test]
async fn an_invitation_makes_somebody_new_belong_once() {
    let stage = stage().await;
    let owner = stage.user("owner", Some(Role::Owner)).await;
    let app = stage.app_of_user(owner).await;
    let invite = invite(&app, "New@example.org", "member").await;
    assert!(invite["secret"].as_str().unwrap().starts_with("mwi-"));
    assert_eq!((&invite["email"], &invite["accepted_by"]), (&json!("new@example.org"), &Value::Null));
    let short = json!({"token": invite["secret"], "password": "short"});
    check(&stage.stranger(), "POST", ACCEPT, short, 400).await;
    let joined = check(&stage.stranger(), "POST", ACCEPT, acceptance(&invite["secret"]), 201).await.json();
    assert_eq!((&joined["organisation_id"], &joined["role"]), (&json!(ORG.to_string()), &json!("member")));
    check(&stage.stranger(), "POST", ACCEPT, acceptance(&invite["secret"]), 404).await;
    let sign_in = json!({"email": "new@example.org", "password": PASSWORD});
    let info = check(&stage.stranger(), "POST", "/admin/v1/session", sign_in, 201).await.json();
    assert_eq!((&info["user_id"], &info["organisations"][0]["role"]), (&joined["user_id"], &json!("member")));
    let listed = check(&app, "GET", &invites(), Value::Null, 200).await.json();
    assert_eq!((&listed["data"][0]["accepted_by"], listed["data"][0].get("secret")), (&joined["user_id"], None));
    let log = check(&app, "GET", &format!("/admin/v1/organisations/{ORG}/audit"), Value::Null, 200).await.json();
    let seen = |entry: &Value| (entry["action"].as_str().unwrap().to_owned(), entry["actor"].clone());
    let seen: Vec<_> = log["data"].as_array().unwrap().iter().take(3).map(seen).collect();
    let (new, owner) = (joined["user_id"].clone(), json!(owner.to_string()));
    let expect = [("member.add", new.clone()), ("invite.accept", new), ("invite.add", owner)];
    assert_eq!(seen, expect.map(|(action, actor)| (action.to_owned(), actor)));
}

#[tokio::test]
async fn of_many_who_use_a_token_at_once_one_does() {
    let stage = stage().await;
    let operator = stage.operator().await;
    let user = stage.user("ann", None).await;
    let invite = invite(&operator, "new@example.org", "viewer").await;
    let reset = check(&operator, "POST", &format!("/admin/v1/users/{user}/reset"), json!({}), 201).await.json();
    for (path, secret, done) in [(ACCEPT, &invite["secret"], 201), (RESET, &reset["secret"], 204)] {
        let send_it = |_| {
            let (app, body) = (stage.stranger(), acceptance(secret).to_string());
            tokio::spawn(async move {
                let request = axum::http::Request::post(path).body(axum::body::Body::from(body)).unwrap();
                send(&app, request).await.status.as_u16()
            })
        };
        // No more than an account has attempts.
        let sent: Vec<_> = (0..10).map(send_it).collect();
        let mut statuses = Vec::new();
        for sent in sent {
            statuses.push(sent.await.unwrap());
        }
        assert_eq!(statuses.iter().filter(|status| **status == done).count(), 1, "{path}: {statuses:?}");
        // The others find that the token, or the address, is taken.
        assert!(statuses.iter().all(|status| [done, 404, 409].contains(status)), "{path}: {statuses:?}");
    }
    assert_eq!(stage.store.member_page(ORG, None, None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_used_expired_and_withdrawn_tokens_are_told_alike() {
    let stage = stage().await;
    let operator = stage.operator().await;
    let user = stage.user("ann", None).await;
    let past = account::Timestamp::from_millis(store::now().as_millis() - 1);
    let (old, old_reset) = (Token::generate(Purpose::Invite).unwrap(), Token::generate(Purpose::Reset).unwrap());
    let expired = Invite {
        id: InviteId::generate().unwrap(),
        org: ORG,
        hash: stage.store.pepper().hash_token(&old),
        email: "old@example.org".into(),
        role: Role::Viewer,
        expires: past,
    };
    apply(&stage.store, Change::AddInvite(expired)).await;
    let hash = stage.store.pepper().hash_token(&old_reset);
    apply(&stage.store, Change::AddReset(Reset { user, hash, expires: past })).await;
    let withdrawn = invite(&operator, "w@example.org", "viewer").await;
    let path = format!("{}/{}", invites(), withdrawn["id"].as_str().unwrap());
    check(&operator, "DELETE", &path, Value::Null, 204).await;
    check(&operator, "DELETE", &path, Value::Null, 404).await;
    let unknown = Token::generate(Purpose::Invite).unwrap();
    let mut told = Vec::new();
    for token in [old.expose(), withdrawn["secret"].as_str().unwrap(), unknown.expose(), "", old_reset.expose()] {
        told.push(check(&stage.stranger(), "POST", ACCEPT, acceptance(&json!(token)), 404).await.bytes);
    }
    for token in [old_reset.expose(), old.expose(), "x"] {
        told.push(check(&stage.stranger(), "POST", RESET, acceptance(&json!(token)), 404).await.bytes);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn who_is_known_joins_in_their_session_and_only_with_an_invitation_of_their_own() {
    let stage = stage().await;
    let operator = stage.operator().await;
    let (ann, ben) = (stage.user("ann", None).await, stage.user("ben", None).await);
    let invite = invite(&operator, "ann@example.org", "admin").await;
    let join = json!({"token": invite["secret"]});
    // A password does not make somebody new of whoever is known.
    check(&stage.stranger(), "POST", ACCEPT, acceptance(&invite["secret"]), 409).await;
    check(&stage.app_of_user(ben).await, "POST", "/admin/v1/session/join", join.clone(), 404).await;
    let joined = check(&stage.app_of_user(ann).await, "POST", "/admin/v1/session/join", join.clone(), 201).await;
    assert_eq!(joined.json()["role"], "admin");
    check(&stage.app_of_user(ann).await, "POST", "/admin/v1/session/join", join, 404).await;
    // Who belongs already keeps the role that they have.
    let again = self::invite(&operator, "ann@example.org", "owner").await;
    let app = stage.app_of_user(ann).await;
    assert_eq!(
        check(&app, "POST", "/admin/v1/session/join", json!({"token": again["secret"]}), 409).await.code(),
        "conflict"
    );
    assert_eq!(stage.store.member(ORG, ann).await.unwrap().unwrap().1, Role::Admin);
}

#[tokio::test]
async fn nobody_invites_into_a_role_beyond_their_own_or_for_ever() {
    let stage = stage().await;
    let admin = stage.user("admin", Some(Role::Admin)).await;
    let app = stage.app_of_user(admin).await;
    let refused = check(&app, "POST", &invites(), json!({"email": "x@example.org", "role": "owner"}), 403).await;
    assert_eq!(refused.code(), "cannot_grant");
    for wrong in [
        json!({"email": "x@example.org", "role": "operator"}),
        json!({"email": "x", "role": "viewer"}),
        json!({"email": "x@example.org", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}),
        json!({"email": "x@example.org", "role": "viewer", "expires_at": store::now().after(Duration::from_secs(31 * 86_400)).to_string()}),
    ] {
        check(&app, "POST", &invites(), wrong, 400).await;
    }
    let once = [("idempotency-key", "x")];
    let new = json!({"email": "x@example.org", "role": "admin"});
    let first = check_with(&app, "POST", &invites(), new.clone(), &once, 201).await.json();
    let second = check_with(&app, "POST", &invites(), new, &once, 201).await.json();
    assert_eq!((&first["id"], second.get("secret")), (&second["id"], None));
}

#[tokio::test]
async fn a_reset_sets_the_password_ends_the_sessions_and_replaces_the_one_before() {
    let stage = stage().await;
    let operator = stage.operator().await;
    let new = json!({"email": "ann@example.org", "password": "the first password"});
    let user = check(&operator, "POST", "/admin/v1/users", new, 201).await.json();
    let sign_in = |password: &str| json!({"email": "ann@example.org", "password": password});
    let session = "/admin/v1/session";
    check(&stage.stranger(), "POST", session, sign_in("the first password"), 201).await;
    let path = format!("/admin/v1/users/{}/reset", user["id"].as_str().unwrap());
    let first = check(&operator, "POST", &path, json!({}), 201).await.json();
    let second = check(&operator, "POST", &path, json!({}), 201).await.json();
    check(&stage.stranger(), "POST", RESET, acceptance(&first["secret"]), 404).await;
    check(&stage.stranger(), "POST", session, sign_in("the first password"), 201).await;
    assert_eq!(stage.store.sessions().await.unwrap().len(), 2);
    check(&stage.stranger(), "POST", RESET, acceptance(&second["secret"]), 204).await;
    assert!(stage.store.sessions().await.unwrap().is_empty());
    check(&stage.stranger(), "POST", session, sign_in("the first password"), 401).await;
    check(&stage.stranger(), "POST", session, sign_in(PASSWORD), 201).await;
    let unknown = format!("/admin/v1/users/{}/reset", UserId::from_bytes([9; 16]));
    check(&operator, "POST", &unknown, json!({}), 404).await;
}
