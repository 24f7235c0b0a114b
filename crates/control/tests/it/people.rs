//! Members and users: who may make whom what, and what always stays.

use account::{Role, Scope, UserId};
use serde_json::{Value, json};

use crate::stage::*;

const ANY: [(&str, &str); 1] = [("if-match", "*")];

fn members() -> String {
    format!("/admin/v1/organisations/{ORG}/members")
}

/// Roles of an organisation.
fn roles() -> impl Iterator<Item = Role> + Clone {
    Role::ALL.into_iter().filter(|role| *role != Role::Operator)
}

#[tokio::test]
async fn every_role_gives_changes_and_takes_what_the_table_says() {
    let stage = stage().await;
    // Nobody here is the last one.
    stage.user("owner", Some(Role::Owner)).await;
    for mine in Role::ALL {
        let me = stage.user(&format!("me-{}", mine.as_str()), Some(mine)).await;
        let app = stage.app_of_user(me).await;
        let mut number = 0;
        for (theirs, wanted) in roles().flat_map(|theirs| roles().map(move |wanted| (theirs, wanted))) {
            number += 1;
            let manages = mine.may(account::Action::ManageMembers);
            let over = |role: Role| mine.actions().contains_all(role.actions());
            let expect = |allowed: bool, status| match (manages, allowed) {
                (false, _) => (403, "missing_scope"),
                (true, false) => (403, "cannot_grant"),
                (true, true) => (status, ""),
            };
            let new = stage.user(&format!("new-{}-{number}", mine.as_str()), None).await;
            let body = json!({"user_id": new.to_string(), "role": theirs.as_str()});
            let (status, code) = expect(over(theirs), 201);
            assert_eq!(check(&app, "POST", &members(), body, status).await.code_if_refused(), code);

            let user = stage.user(&format!("is-{}-{number}", mine.as_str()), Some(theirs)).await;
            let path = format!("{}/{user}", members());
            let (status, code) = expect(over(theirs) && over(wanted), 200);
            let change = json!({"role": wanted.as_str()});
            let changed = check_with(&app, "PATCH", &path, change, &ANY, status).await;
            assert_eq!(changed.code_if_refused(), code, "{mine:?} {theirs:?} {wanted:?}");
            let is = if status == 200 { wanted } else { theirs };
            let (status, code) = expect(over(is), 204);
            let gone = check_with(&app, "DELETE", &path, Value::Null, &ANY, status).await;
            assert_eq!(gone.code_if_refused(), code, "{mine:?} {is:?}");
            assert_eq!(stage.store.member(ORG, user).await.unwrap().is_none(), status == 204);
        }
    }
}

#[tokio::test]
async fn the_last_owner_is_neither_demoted_nor_removed_whoever_wants_it() {
    let stage = stage().await;
    let owner = stage.user("owner", Some(Role::Owner)).await;
    let operator = stage.operator().await;
    let path = format!("{}/{owner}", members());
    for app in [stage.app_of_user(owner).await, operator.clone()] {
        let demote = json!({"role": "admin"});
        assert_eq!(check_with(&app, "PATCH", &path, demote, &ANY, 409).await.code(), "last_owner");
        assert_eq!(check_with(&app, "DELETE", &path, Value::Null, &ANY, 409).await.code(), "last_owner");
    }
    let user = format!("/admin/v1/users/{owner}");
    assert_eq!(check_with(&operator, "DELETE", &user, Value::Null, &ANY, 409).await.code(), "last_owner");
    assert_eq!(stage.store.member(ORG, owner).await.unwrap().unwrap().1, Role::Owner);
    // An owner stays one by being set to one.
    check_with(&operator, "PATCH", &path, json!({"role": "owner"}), &ANY, 200).await;
    let second = stage.user("second", Some(Role::Owner)).await;
    check_with(&operator, "DELETE", &user, Value::Null, &ANY, 204).await;
    check(&operator, "GET", &user, Value::Null, 404).await;
    check(&operator, "GET", &path, Value::Null, 404).await;
    assert_eq!(stage.store.member_page(ORG, None, None, 9).await.unwrap()[0].0.id, second);
}

#[tokio::test]
async fn of_owners_who_remove_each_other_at_once_one_is_left() {
    let stage = stage().await;
    let mut owners = Vec::new();
    for number in 0..8 {
        owners.push(stage.user(&format!("owner{number}"), Some(Role::Owner)).await);
    }
    let operator = stage.operator().await;
    let remove = |user: UserId| {
        let app = operator.clone();
        tokio::spawn(async move {
            let path = format!("/admin/v1/organisations/{ORG}/members/{user}");
            let request = axum::http::Request::delete(path).header("if-match", "*");
            send(&app, request.body(axum::body::Body::empty()).unwrap()).await.status.as_u16()
        })
    };
    let removed: Vec<_> = owners.into_iter().map(remove).collect();
    let mut statuses = Vec::new();
    for removed in removed {
        statuses.push(removed.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 204, 204, 204, 204, 204, 204, 409]);
}

#[tokio::test]
async fn members_are_listed_in_parts_changed_as_seen_and_made_once() {
    let stage = stage().await;
    let app = stage.operator().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let id = stage.user(&format!("u{number}"), None).await;
        let body = json!({"user_id": id.to_string(), "role": "member"});
        let once = [("idempotency-key", "add")];
        let sent = if number == 0 { 2 } else { 1 };
        for _ in 0..sent {
            let header: &[_] = if number == 0 { &once } else { &[] };
            check_with(&app, "POST", &members(), body.clone(), header, 201).await;
        }
        assert_eq!(check(&app, "POST", &members(), body, 409).await.code(), "conflict");
        ids.push(id.to_string());
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let part = check(&app, "GET", &format!("{}?limit=2{after}", members()), Value::Null, 200).await.json();
        let data = part["data"].as_array().unwrap().iter();
        listed.extend(data.map(|member| member["user_id"].as_str().unwrap().to_owned()));
        let Some(next) = part["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    ids.sort();
    assert_eq!(listed, ids);
    let named = check(&app, "GET", &format!("{}?email=U3@example.org", members()), Value::Null, 200).await.json();
    assert_eq!(named["data"].as_array().unwrap().len(), 1);

    let path = format!("{}/{}", members(), ids[0]);
    for method in ["PATCH", "DELETE"] {
        let refused = check(&app, method, &path, json!({"role": "viewer"}), 428).await;
        assert_eq!(refused.code(), "precondition_required");
    }
    let seen = check(&app, "GET", &path, Value::Null, 200).await.tag().to_owned();
    let tag = [("if-match", seen.as_str())];
    check_with(&app, "PATCH", &path, json!({"role": "viewer"}), &tag, 200).await;
    for method in ["PATCH", "DELETE"] {
        let late = check_with(&app, method, &path, json!({"role": "owner"}), &tag, 412).await;
        assert_eq!(late.code(), "precondition_failed");
    }
    let unknown = json!({"user_id": UserId::from_bytes([99; 16]).to_string(), "role": "member"});
    check(&app, "POST", &members(), unknown, 404).await;
    for wrong in [json!({"user_id": ids[0], "role": "operator"}), json!({"user_id": "x", "role": "member"})] {
        check(&app, "POST", &members(), wrong, 400).await;
    }
    let log = check(&app, "GET", &format!("/admin/v1/organisations/{ORG}/audit?limit=1"), Value::Null, 200).await;
    let entry = &log.json()["data"][0];
    assert_eq!((&entry["action"], &entry["object"]), (&json!("member.set"), &json!(ids[0])));
    assert_eq!((&entry["before"]["role"], &entry["after"]["role"]), (&json!("member"), &json!("viewer")));
}

#[tokio::test]
async fn users_are_made_found_and_ended_by_whoever_runs_the_installation() {
    let stage = stage().await;
    let app = stage.operator().await;
    let users = "/admin/v1/users";
    let new = json!({"email": "Ann@Example.org", "password": "correct horse"});
    let once = [("idempotency-key", "ann")];
    let user = check_with(&app, "POST", users, new.clone(), &once, 201).await.json();
    assert_eq!((&user["email"], &user["operator"]), (&json!("ann@example.org"), &json!(false)));
    assert_eq!(check_with(&app, "POST", users, new.clone(), &once, 201).await.json(), user);
    assert_eq!(check(&app, "POST", users, new, 409).await.code(), "conflict");
    let found = check(&app, "GET", &format!("{users}?email=ANN@example.org"), Value::Null, 200).await.json();
    assert_eq!(found["data"], json!([user]));
    let path = format!("{users}/{}", user["id"].as_str().unwrap());
    let seen = check(&app, "GET", &path, Value::Null, 200).await;
    assert_eq!(seen.json(), user);
    let operator = check_with(&app, "PATCH", &path, json!({"operator": true}), &[("if-match", seen.tag())], 200).await;
    assert_eq!(operator.json()["operator"], true);
    assert_eq!(check_with(&app, "DELETE", &path, Value::Null, &[("if-match", seen.tag())], 412).await.status, 412);
    check_with(&app, "DELETE", &path, Value::Null, &[("if-match", operator.tag())], 204).await;
    check(&app, "GET", &path, Value::Null, 404).await;
    for (wrong, param) in [
        (json!({"email": "ann"}), "email"),
        (json!({"email": "b@example.org", "password": "short"}), "password"),
        (json!({"email": "b@example.org", "admin": true}), "admin"),
    ] {
        let refused = check(&app, "POST", users, wrong, 400).await.json();
        assert!(refused["error"]["param"] == param || refused["error"]["message"].to_string().contains(param));
    }
    let log = check(&app, "GET", "/admin/v1/audit", Value::Null, 200).await.json();
    let actions: Vec<_> =
        log["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["user.remove", "user.change", "password.set", "user.add"]);
}

#[tokio::test]
async fn nobody_makes_unmakes_or_becomes_somebody_who_may_do_more() {
    let stage = stage().await;
    // All organisations and people, but neither prices nor models.
    let key = stage.key(&[Scope::AdminInstallation]).await;
    let app = stage.app(Some(&key));
    let new = json!({"email": "op@example.org", "operator": true});
    assert_eq!(check(&app, "POST", "/admin/v1/users", new, 403).await.code(), "cannot_grant");
    check(&app, "POST", "/admin/v1/users", json!({"email": "nobody@example.org"}), 201).await;
    stage.user("another", Some(Role::Owner)).await;
    for who in [Role::Operator, Role::Owner] {
        let user = stage.user(who.as_str(), Some(who)).await;
        let path = format!("/admin/v1/users/{user}");
        assert_eq!(check(&app, "POST", &format!("{path}/reset"), json!({}), 403).await.code(), "cannot_grant");
        assert_eq!(check_with(&app, "DELETE", &path, Value::Null, &ANY, 403).await.code(), "cannot_grant");
        let change = json!({"operator": who != Role::Operator});
        assert_eq!(check_with(&app, "PATCH", &path, change, &ANY, 403).await.code(), "cannot_grant");
    }
}
