//! Keys of people: who makes, sees and ends whose, and with what they end.

use account::{KeyId, KeyedHash, Role, Scope, UserId};
use serde_json::{Value, json};
use store::Change;

use crate::stage::*;

const ANY: [(&str, &str); 1] = [("if-match", "*")];

fn keys() -> String {
    format!("/admin/v1/organisations/{ORG}/keys")
}

fn new(scopes: &[&str]) -> Value {
    json!({"project_id": PROJECT.to_string(), "name": "k", "scopes": scopes})
}

/// A key that belongs to this person, or to nobody.
async fn owned(stage: &Stage, owner: Option<UserId>, scope: Scope) -> String {
    let mut key = stage.key(&[scope]).await;
    key.owner = owner;
    apply(&stage.store, Change::ChangeKey(key.clone())).await;
    key.id.to_string()
}

/// A key that belongs to this person in the other organisation, where they are a member.
async fn elsewhere(stage: &Stage, owner: UserId) -> String {
    let mut key = stage.key(&[Scope::Inference]).await;
    (key.id, key.org, key.project) = (KeyId::from_bytes([9; 16]), OTHER, OTHER_PROJECT);
    (key.owner, key.secret) = (Some(owner), KeyedHash::from_bytes([9; 32]));
    apply(&stage.store, Change::AddMember { org: OTHER, user: owner, role: Role::Member }).await;
    apply(&stage.store, Change::AddKey(key.clone())).await;
    key.id.to_string()
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_role_does_with_its_own_and_with_foreign_keys_what_the_table_says() {
    // Status of a look, a change, a rotation and an end.
    let (all, look, none) = ([200, 200, 201, 200], [200, 403, 403, 403], [404; 4]);
    for (role, own, foreign, listed) in [
        (Role::Owner, all, all, 3),
        (Role::Admin, all, all, 3),
        (Role::Member, all, none, 1),
        (Role::Viewer, look, look, 3),
        (Role::Billing, [403; 4], [403; 4], 0),
        (Role::Operator, all, all, 3),
    ] {
        let stage = stage().await;
        let me = stage.user("me", Some(role)).await;
        let you = stage.user("you", Some(Role::Member)).await;
        let app = stage.app_of_user(me).await;
        // What every role but one may do itself, so that it is the owner alone that counts.
        let mine = owned(&stage, Some(me), Scope::ModelsRead).await;
        let yours = owned(&stage, Some(you), Scope::ModelsRead).await;
        let nobodys = owned(&stage, None, Scope::ModelsRead).await;
        let list = check(&app, "GET", &keys(), Value::Null, if listed == 0 { 403 } else { 200 }).await;
        if listed > 0 {
            assert_eq!(ids(&list.json()).len(), listed, "{role:?}");
        }
        for (key, [see, change, rotate, end]) in [(&mine, own), (&yours, foreign), (&nobodys, foreign)] {
            // An operator is no member here, so no key can be theirs.
            if role == Role::Operator && key == &mine {
                continue;
            }
            let path = format!("{}/{key}", keys());
            check(&app, "GET", &path, Value::Null, see).await;
            check_with(&app, "PATCH", &path, json!({"name": "renamed"}), &ANY, change).await;
            check(&app, "POST", &format!("{path}/rotate"), json!({}), rotate).await;
            check(&app, "POST", &format!("{path}/revoke"), Value::Null, end).await;
            let is_ended = stage
                .store
                .keys()
                .await
                .unwrap()
                .iter()
                .any(|known| known.id.to_string() == *key && known.revoked.is_some());
            assert_eq!(is_ended, end == 200, "{role:?} {key}");
        }
    }
}

#[tokio::test]
async fn a_member_makes_keys_for_themselves_with_what_they_may_do_and_sees_no_others() {
    let stage = stage().await;
    let (ann, ben) = (stage.user("ann", Some(Role::Member)).await, stage.user("ben", Some(Role::Member)).await);
    let app = stage.app_of_user(ann).await;
    let made = check(&app, "POST", &keys(), new(&["inference", "usage:read"]), 201).await.json();
    assert_eq!(made["owner_id"], ann.to_string());
    for scopes in [&["admin:keys"][..], &["admin:organisation"], &["inference", "admin:prices"]] {
        assert_eq!(check(&app, "POST", &keys(), new(scopes), 403).await.code(), "cannot_grant");
    }
    for owner in [json!(ben.to_string()), Value::Null] {
        let mut of_others = new(&["inference"]);
        of_others["owner_id"] = owner.clone();
        assert_eq!(check(&app, "POST", &keys(), of_others, 403).await.code(), "missing_scope");
        let path = format!("{}/{}", keys(), made["id"].as_str().unwrap());
        check_with(&app, "PATCH", &path, json!({"owner_id": owner}), &ANY, 403).await;
    }
    let yours = owned(&stage, Some(ben), Scope::Inference).await;
    assert_eq!(ids(&check(&app, "GET", &keys(), Value::Null, 200).await.json()), [made["id"].as_str().unwrap()]);
    let filtered = check(&app, "GET", &format!("{}?owner={ben}", keys()), Value::Null, 200).await.json();
    assert_eq!(ids(&filtered), [""; 0]);
    for path in [format!("{}/{yours}", keys()), format!("{}/{yours}/limits", keys())] {
        check(&app, "GET", &path, Value::Null, 404).await;
    }
    check(&app, "GET", &format!("{}/{}/limits", keys(), made["id"].as_str().unwrap()), Value::Null, 200).await;
    let manager = stage.owner().await;
    let filtered = check(&manager, "GET", &format!("{}?owner={ben}", keys()), Value::Null, 200).await.json();
    assert_eq!(ids(&filtered), [yours.as_str()]);
}

#[tokio::test]
async fn who_manages_keys_says_whose_they_are() {
    let stage = stage().await;
    let admin = stage.user("admin", Some(Role::Admin)).await;
    let viewer = stage.user("viewer", Some(Role::Viewer)).await;
    let stranger = stage.user("stranger", None).await;
    let app = stage.app_of_user(admin).await;
    let with = |owner: Value, scope: &str| {
        let mut new = new(&[scope]);
        new["owner_id"] = owner;
        new
    };
    assert_eq!(check(&app, "POST", &keys(), new(&["inference"]), 201).await.json()["owner_id"], admin.to_string());
    let free = check(&app, "POST", &keys(), with(Value::Null, "inference"), 201).await.json();
    assert_eq!(free["owner_id"], Value::Null);
    let looks = check(&app, "POST", &keys(), with(json!(viewer.to_string()), "models:read"), 201).await.json();
    assert_eq!(looks["owner_id"], viewer.to_string());
    for (owner, scope) in [(viewer, "inference"), (stranger, "models:read")] {
        let refused = check(&app, "POST", &keys(), with(json!(owner.to_string()), scope), 400).await.json();
        assert_eq!(refused["error"]["param"], "owner_id");
    }
    let path = format!("{}/{}", keys(), looks["id"].as_str().unwrap());
    let more = json!({"scopes": ["inference"]});
    check_with(&app, "PATCH", &path, more.clone(), &ANY, 400).await;
    check_with(&app, "PATCH", &path, json!({"owner_id": admin.to_string(), "scopes": ["inference"]}), &ANY, 200).await;
    // Keys have no keys, and operators make them for projects.
    for app in [stage.owner().await, stage.operator().await] {
        assert_eq!(check(&app, "POST", &keys(), new(&["inference"]), 201).await.json()["owner_id"], Value::Null);
    }
}

#[tokio::test]
async fn a_key_ends_when_its_owner_may_no_longer_do_what_it_may() {
    let ended = async |what: &str, role: Role| {
        let stage = stage().await;
        let ann = stage.user("ann", Some(Role::Admin)).await;
        let kept = stage.user("kept", Some(Role::Owner)).await;
        let asks = owned(&stage, Some(ann), Scope::Inference).await;
        let looks = owned(&stage, Some(ann), Scope::UsageRead).await;
        owned(&stage, Some(kept), Scope::Inference).await;
        owned(&stage, None, Scope::Inference).await;
        let there = elsewhere(&stage, ann).await;
        stage.published.lock().unwrap().clear();
        let app = stage.operator().await;
        match what {
            "role" => {
                let path = format!("/admin/v1/organisations/{ORG}/members/{ann}");
                check_with(&app, "PATCH", &path, json!({"role": role.as_str()}), &ANY, 200).await;
            }
            "membership" => {
                let path = format!("/admin/v1/organisations/{ORG}/members/{ann}");
                check_with(&app, "DELETE", &path, Value::Null, &ANY, 204).await;
            }
            _ => drop(check_with(&app, "DELETE", &format!("/admin/v1/users/{ann}"), Value::Null, &ANY, 204).await),
        }
        let names = [(asks, "asks"), (looks, "looks"), (there, "there")];
        let name = |id: String| names.iter().find(|(known, _)| *known == id).map_or("another", |(_, name)| name);
        let keys = stage.store.keys().await.unwrap();
        let mut ended: Vec<_> =
            keys.iter().filter(|key| key.revoked.is_some()).map(|key| name(key.id.to_string())).collect();
        ended.sort_unstable();
        // What runs learns of each, and so does the audit log.
        let published = stage.published.lock().unwrap().clone();
        let told = published.iter().filter(|change| matches!(change, Change::ChangeKey(key) if key.revoked.is_some()));
        assert_eq!(told.count(), ended.len());
        let mut logged = 0;
        for org in [ORG, OTHER] {
            let log = stage.store.audit(Some(org), None, 100).await.unwrap();
            let ends = |entry: &&store::AuditEntry| {
                &*entry.action == "key.change"
                    && entry.before.as_deref().is_some_and(|before| before.contains("\"revoked_at\":null"))
                    && entry.after.as_deref().is_some_and(|after| !after.contains("\"revoked_at\":null"))
            };
            logged += log.iter().filter(ends).count();
        }
        assert_eq!(logged, ended.len());
        ended
    };
    assert_eq!(ended("role", Role::Admin).await, [""; 0]);
    assert_eq!(ended("role", Role::Member).await, [""; 0]);
    assert_eq!(ended("role", Role::Viewer).await, ["asks"]);
    assert_eq!(ended("role", Role::Billing).await, ["asks"]);
    assert_eq!(ended("membership", Role::Owner).await, ["asks", "looks"]);
    assert_eq!(ended("user", Role::Owner).await, ["asks", "looks", "there"]);
}

#[tokio::test]
async fn a_person_has_a_bounded_number_of_keys_that_work() {
    let stage = stage().await;
    let ann = stage.user("ann", Some(Role::Member)).await;
    let app = stage.app_of_user(ann).await;
    // It counts where it is.
    elsewhere(&stage, ann).await;
    let mut last = String::new();
    for _ in 0..100 {
        last = owned(&stage, Some(ann), Scope::Inference).await;
    }
    assert_eq!(check(&app, "POST", &keys(), new(&["inference"]), 409).await.code(), "too_many");
    check_with(&app, "PATCH", &format!("{}/{last}", keys()), json!({"name": "still mine"}), &ANY, 200).await;
    check(&app, "POST", &format!("{}/{last}/revoke", keys()), Value::Null, 200).await;
    check(&app, "POST", &keys(), new(&["inference"]), 201).await;
    // One that has ended is none too many.
    check_with(&app, "PATCH", &format!("{}/{last}", keys()), json!({"name": "was mine"}), &ANY, 200).await;
}
