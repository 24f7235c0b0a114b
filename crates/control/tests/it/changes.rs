//! Making and changing things: once, in order, noted, known at once.

use account::Scope;
use serde_json::{Value, json};
use store::Change;

use crate::stage::*;

#[tokio::test]
async fn an_organisation_with_a_project_and_a_key_is_made_and_known_at_once() {
    let stage = stage().await;
    let app = stage.operator().await;
    let new = json!({"name": "Acme", "time_zone": "Europe/Berlin", "billing": "prepaid"});
    let org = check(&app, "POST", "/admin/v1/organisations", new, 201).await.json();
    assert_eq!(
        (&org["name"], &org["time_zone"], &org["billing"]),
        (&json!("Acme"), &json!("Europe/Berlin"), &json!("prepaid"))
    );
    let base = format!("/admin/v1/organisations/{}", org["id"].as_str().unwrap());
    let project = check(&app, "POST", &format!("{base}/projects"), json!({"name": "web"}), 201).await.json();
    let new = json!({"project_id": project["id"], "name": "prod", "models": ["m"], "expires_at": "2099-01-01T00:00:00Z",
        "limits": {"requests_per_minute": 50, "budget_day": "2.50"}});
    let key = check(&app, "POST", &format!("{base}/keys"), new, 201).await.json();
    assert_eq!(key["scopes"], json!(["inference", "models:read", "usage:read"]));
    let secret = key["secret"].as_str().unwrap();
    assert!(secret.starts_with("mw-"));
    let path = format!("{base}/keys/{}", key["id"].as_str().unwrap());
    let shown = check(&app, "GET", &path, Value::Null, 200).await.json();
    assert_eq!((&shown["secret"], &shown["models"], &shown["name"]), (&Value::Null, &json!(["m"]), &json!("prod")));
    let limits = check(&app, "GET", &format!("{path}/limits"), Value::Null, 200).await.json();
    assert_eq!(limits, json!({"requests_per_minute": 50, "budget_day": "2.5"}));

    let published = stage.published.lock().unwrap().clone();
    let kinds: Vec<_> = published
        .iter()
        .map(|change| match change {
            Change::AddOrganisation(_) => "organisation",
            Change::AddProject(_) => "project",
            Change::AddKey(_) => "key",
            Change::SetLimits { .. } => "limits",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["organisation", "project", "key", "limits"]);

    let log = check(&app, "GET", &format!("{base}/audit"), Value::Null, 200).await;
    assert!(!log.bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "a secret is in the audit log");
    let log = log.json();
    let actions: Vec<_> =
        log["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["limits.set", "key.add", "project.add", "organisation.add"]);
    let entry = &log["data"][1];
    assert_eq!(
        (&entry["after"]["name"], &entry["before"], &entry["address"]),
        (&json!("prod"), &Value::Null, &json!("192.0.2.7"))
    );
    assert_eq!(log["data"][0]["after"], json!({"requests_per_minute": 50, "budget_day": "2.50"}));
}

#[tokio::test]
async fn what_is_sent_again_is_made_once_and_its_secret_is_not_told_again() {
    let stage = stage().await;
    let app = stage.operator().await;
    let keys = format!("/admin/v1/organisations/{ORG}/keys");
    let new = json!({"project_id": PROJECT.to_string(), "name": "k"});
    let header = [("idempotency-key", "abc")];
    let first = check_with(&app, "POST", &keys, new.clone(), &header, 201).await.json();
    let second = check_with(&app, "POST", &keys, new.clone(), &header, 201).await.json();
    assert_eq!((&first["id"], second.get("secret")), (&second["id"], None));
    assert!(first["secret"].is_string());
    let other = json!({"project_id": PROJECT.to_string(), "name": "l"});
    assert_eq!(check_with(&app, "POST", &keys, other.clone(), &header, 422).await.code(), "idempotency_key_reused");
    // Another caller's key, and another address, have names of their own.
    check_with(&stage.operator().await, "POST", &keys, other, &header, 201).await;
    let projects = format!("/admin/v1/organisations/{ORG}/projects");
    check_with(&app, "POST", &projects, json!({"name": "p"}), &header, 201).await;
    check_with(&app, "POST", &projects, json!({"name": "p"}), &header, 201).await;
    assert_eq!(check(&app, "POST", &projects, json!({"name": "p"}), 409).await.code(), "conflict");
    assert_eq!(stage.published.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_change_is_refused_where_somebody_was_faster() {
    let stage = stage().await;
    let app = stage.operator().await;
    let key = stage.key(&[Scope::Inference]).await;
    for path in [
        format!("/admin/v1/organisations/{ORG}"),
        format!("/admin/v1/organisations/{ORG}/projects/{PROJECT}"),
        format!("/admin/v1/organisations/{ORG}/keys/{}", key.id),
        format!("/admin/v1/organisations/{ORG}/limits"),
        format!("/admin/v1/organisations/{ORG}/projects/{PROJECT}/limits"),
        format!("/admin/v1/organisations/{ORG}/keys/{}/limits", key.id),
    ] {
        let change = if path.ends_with("limits") { json!({"concurrent_requests": 3}) } else { json!({"name": "new"}) };
        assert_eq!(check(&app, "PATCH", &path, change.clone(), 428).await.code(), "precondition_required", "{path}");
        let seen = check(&app, "GET", &path, Value::Null, 200).await.tag().to_owned();
        let changed = check_with(&app, "PATCH", &path, change.clone(), &[("if-match", &seen)], 200).await;
        let late = check_with(&app, "PATCH", &path, change.clone(), &[("if-match", &seen)], 412).await;
        assert_eq!(late.code(), "precondition_failed");
        check_with(&app, "PATCH", &path, change, &[("if-match", changed.tag())], 200).await;
    }
}

#[tokio::test]
async fn of_many_who_change_what_they_saw_one_does() {
    let stage = stage().await;
    let app = stage.operator().await;
    let path = format!("/admin/v1/organisations/{ORG}/limits");
    let seen = check(&app, "GET", &path, Value::Null, 200).await.tag().to_owned();
    let change = |number: usize| {
        let (app, path, seen) = (app.clone(), path.clone(), seen.clone());
        async move {
            let body = json!({"requests_per_minute": number}).to_string();
            let request = axum::http::Request::patch(&path).header("if-match", seen);
            send(&app, request.body(axum::body::Body::from(body)).unwrap()).await.status
        }
    };
    let tries: Vec<_> = (0..20).map(|number| tokio::spawn(change(number))).collect();
    let mut done = 0;
    for tried in tries {
        done += usize::from(tried.await.unwrap() == 200);
    }
    assert_eq!(done, 1);
    assert_eq!(stage.published.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_absent_stays_and_null_takes_away() {
    let stage = stage().await;
    let app = stage.operator().await;
    let path = format!("/admin/v1/organisations/{ORG}/limits");
    let any = [("if-match", "*")];
    let patch = |body| check_with(&app, "PATCH", &path, body, &any, 200);
    patch(json!({"requests_per_minute": 5, "budget_ever": "10", "tokens_per_minute": 0})).await;
    let limits = patch(json!({"requests_per_minute": null, "budget_day": "1.000000001"})).await.json();
    assert_eq!(limits, json!({"tokens_per_minute": 0, "budget_day": "1.000000001", "budget_ever": "10"}));
    for wrong in [
        json!({"rpm": 5}),
        json!({"budget_day": "-1"}),
        json!({"budget_day": "much"}),
        json!({"budget_day": 5}),
        json!({"requests_per_minute": -1}),
        json!({"requests_per_minute": u64::MAX}),
    ] {
        check_with(&app, "PATCH", &path, wrong, &any, 400).await;
    }
    assert_eq!(check(&app, "GET", &path, Value::Null, 200).await.json(), limits);
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_for_a_while_and_a_revoked_one_none() {
    let stage = stage().await;
    let app = stage.operator().await;
    let key = stage.key(&[Scope::Inference]).await;
    let path = format!("/admin/v1/organisations/{ORG}/keys/{}", key.id);
    let rotated = check(&app, "POST", &format!("{path}/rotate"), json!({"grace_seconds": 60}), 201).await.json();
    assert!(rotated["previous_secret_until"].is_string() && rotated["secret"].is_string());
    check(&app, "POST", &format!("{path}/rotate"), json!({"grace_seconds": 1e9 as u64}), 400).await;
    let known = stage.store.key(ORG, key.id).await.unwrap().unwrap().key;
    let secret = account::ApiKey::parse(rotated["secret"].as_str().unwrap()).unwrap();
    for hash in [key.secret, stage.store.pepper().hash(&secret.hash())] {
        assert_eq!(known.check(&hash, store::now()), Ok(()));
    }
    let revoked = check(&app, "POST", &format!("{path}/revoke"), Value::Null, 200).await.json();
    let again = check(&app, "POST", &format!("{path}/revoke"), Value::Null, 200).await.json();
    assert_eq!((revoked["revoked_at"].is_string(), &revoked), (true, &again));
    let Some(Change::ChangeKey(last)) = stage.published.lock().unwrap().last().cloned() else {
        panic!("not published")
    };
    assert!(last.revoked.is_some());
}

#[tokio::test]
async fn lists_come_in_parts() {
    let stage = stage().await;
    let app = stage.operator().await;
    let projects = format!("/admin/v1/organisations/{ORG}/projects");
    for number in 0..5 {
        check(&app, "POST", &projects, json!({"name": format!("p{number}")}), 201).await;
    }
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let part = check(&app, "GET", &format!("{projects}?limit=4{after}"), Value::Null, 200).await.json();
        names.extend(part["data"].as_array().unwrap().iter().map(|project| project["name"].clone()));
        let Some(next) = part["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    names.sort_by_key(ToString::to_string);
    assert_eq!(json!(names), json!(["default", "p0", "p1", "p2", "p3", "p4"]));
    let named = check(&app, "GET", &format!("{projects}?name=p3"), Value::Null, 200).await.json();
    assert_eq!(named["data"].as_array().unwrap().len(), 1);
    for wrong in ["limit=0", "limit=1001", "limit=x", "after=x", "unknown=1"] {
        check(&app, "GET", &format!("{projects}?{wrong}"), Value::Null, 400).await;
    }
}

#[tokio::test]
async fn wrong_bodies_are_refused_by_name_and_change_nothing() {
    let stage = stage().await;
    let app = stage.operator().await;
    let keys = format!("/admin/v1/organisations/{ORG}/keys");
    let project = PROJECT.to_string();
    for (path, body, param) in [
        ("/admin/v1/organisations", json!({"name": ""}), json!("name")),
        ("/admin/v1/organisations", json!({"name": "a", "time_zone": "Mars/Olympus"}), json!("time_zone")),
        (&keys, json!({"project_id": "x", "name": "k"}), json!("project_id")),
        (&keys, json!({"project_id": project, "name": "k", "scopes": ["admin:*"]}), json!("scopes")),
        (&keys, json!({"project_id": project, "name": "k", "scopes": ["inference files"]}), json!("scopes")),
        (&keys, json!({"project_id": project, "name": "k", "models": [""]}), json!("models")),
        (&keys, json!({"project_id": project, "name": "k", "expires_at": "tomorrow"}), json!("expires_at")),
        (&keys, json!({"project_id": project, "name": "k", "limits": {"rpm": 1}}), json!("limits.rpm")),
        ("/admin/v1/prices", json!({"model": "", "input": "1", "output": "1"}), json!("model")),
        ("/admin/v1/prices", json!({"model": "m", "input": "1e3", "output": "1"}), json!("input")),
        (
            "/admin/v1/prices",
            json!({"model": "m", "input": "1", "output": "1", "from": "2001-01-01T00:00:00Z"}),
            json!("from"),
        ),
        ("/admin/v1/codes", json!({"amount": "0"}), json!("amount")),
    ] {
        let error = check(&app, "POST", path, body.clone(), 400).await.json();
        assert_eq!(error["error"]["param"], param, "{body}: {error}");
    }
    let huge = json!({"name": "x".repeat(100_000)});
    assert_eq!(check(&app, "POST", "/admin/v1/organisations", huge, 413).await.code(), "request_too_large");
    let request = axum::http::Request::post("/admin/v1/organisations").body(axum::body::Body::from("name=x")).unwrap();
    assert_eq!(send(&app, request).await.code(), "invalid_json");
    assert!(stage.published.lock().unwrap().is_empty());
}
