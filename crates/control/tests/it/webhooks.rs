//! Webhooks over the routes: made as wished, seen and changed by whoever runs the organisation, with a secret that is shown once.

use account::{EventId, Role};
use serde_json::{Value, json};
use store::Change;

use crate::stage::*;

const ANY: [(&str, &str); 1] = [("if-match", "*")];

fn webhooks() -> String {
    format!("/admin/v1/organisations/{ORG}/webhooks")
}

#[tokio::test]
async fn a_webhook_is_made_shown_changed_and_removed() {
    let stage = stage().await;
    let admin = stage.user("admin", Some(Role::Admin)).await;
    let app = stage.app_of_user(admin).await;
    let new = json!({"url": "https://example.org/hook?a=b"});
    let once = [("idempotency-key", "hook")];
    let made = check_with(&app, "POST", &webhooks(), new.clone(), &once, 201).await.json();
    assert_eq!(made["events"], json!(["budget.threshold", "credit.low", "credit.spent"]));
    assert_eq!((&made["thresholds"], &made["credit_low"]), (&json!([50, 80, 100]), &Value::Null));
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let again = check_with(&app, "POST", &webhooks(), new, &once, 201).await.json();
    assert_eq!((&again["id"], again.get("secret")), (&made["id"], None));

    let path = format!("{}/{}", webhooks(), made["id"].as_str().unwrap());
    let seen = check(&app, "GET", &path, Value::Null, 200).await;
    assert_eq!((seen.json()["url"].as_str(), seen.json().get("secret")), (Some("https://example.org/hook?a=b"), None));
    let change =
        json!({"events": ["credit.low"], "thresholds": [], "credit_low": "5", "enabled": false, "description": "d"});
    assert_eq!(check(&app, "PATCH", &path, change.clone(), 428).await.code(), "precondition_required");
    let tag = [("if-match", seen.tag())];
    let changed = check_with(&app, "PATCH", &path, change.clone(), &tag, 200).await.json();
    assert_eq!(
        (&changed["credit_low"], &changed["enabled"], &changed["description"]),
        (&json!("5"), &json!(false), &json!("d"))
    );
    assert_eq!(check_with(&app, "PATCH", &path, change, &tag, 412).await.code(), "precondition_failed");
    let back = check_with(&app, "PATCH", &path, json!({"credit_low": null}), &ANY, 200).await.json();
    assert_eq!((&back["credit_low"], &back["events"]), (&Value::Null, &json!(["credit.low"])));

    let rotated = check(&app, "POST", &format!("{path}/rotate"), json!({"grace_seconds": 60}), 201).await.json();
    assert!(rotated["secret"].as_str().unwrap() != secret && rotated["previous_secret_until"].is_string());
    let at_once = check(&app, "POST", &format!("{path}/rotate"), Value::Null, 201).await.json();
    assert_eq!(at_once["previous_secret_until"], Value::Null);
    check(&app, "POST", &format!("{path}/rotate"), json!({"grace_seconds": 10_000_000}), 400).await;

    let log = check(&app, "GET", &format!("/admin/v1/organisations/{ORG}/audit"), Value::Null, 200).await;
    for secret in [&made, &rotated, &at_once].map(|issued| issued["secret"].as_str().unwrap()) {
        assert!(!log.bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "a secret is in the audit log");
    }
    check(&app, "DELETE", &path, Value::Null, 204).await;
    check(&app, "GET", &path, Value::Null, 404).await;
    assert_eq!(check(&app, "GET", &webhooks(), Value::Null, 200).await.json(), json!({"data": []}));
}

#[tokio::test]
async fn webhooks_are_few_and_listed_in_parts() {
    let stage = stage().await;
    let app = stage.owner().await;
    for number in 0..10 {
        check(&app, "POST", &webhooks(), json!({"url": format!("https://example.org/{number}")}), 201).await;
    }
    let one_more = check(&app, "POST", &webhooks(), json!({"url": "https://example.org/10"}), 409).await;
    assert_eq!(one_more.code(), "too_many");
    let part = check(&app, "GET", &format!("{}?limit=7", webhooks()), Value::Null, 200).await.json();
    let rest = format!("{}?after={}", webhooks(), part["next"].as_str().unwrap());
    let rest = check(&app, "GET", &rest, Value::Null, 200).await.json();
    let urls =
        |part: &Value| part["data"].as_array().unwrap().iter().map(|hook| hook["url"].to_string()).collect::<Vec<_>>();
    let mut all = [urls(&part), urls(&rest)].concat();
    assert_eq!(all.len(), 10);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 10);
}

#[tokio::test]
async fn a_ping_is_among_the_deliveries() {
    let stage = stage().await;
    let app = stage.owner().await;
    let made = check(&app, "POST", &webhooks(), json!({"url": "https://example.org/"}), 201).await.json();
    let path = format!("{}/{}", webhooks(), made["id"].as_str().unwrap());
    let mut events = Vec::new();
    for _ in 0..3 {
        let ping = check(&app, "POST", &format!("{path}/ping"), Value::Null, 201).await.json();
        events.push(EventId::parse(ping["event_id"].as_str().unwrap()).unwrap().to_string());
    }
    events.reverse();
    let part = check(&app, "GET", &format!("{path}/deliveries?limit=2"), Value::Null, 200).await.json();
    let rest = format!("{path}/deliveries?after={}", part["next"].as_str().unwrap());
    let rest = check(&app, "GET", &rest, Value::Null, 200).await.json();
    let listed: Vec<&Value> = [&part, &rest].iter().flat_map(|part| part["data"].as_array().unwrap()).collect();
    let ids: Vec<_> = listed.iter().map(|one| one["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids, events, "newest first");
    assert!(listed.iter().all(|one| one["type"] == "ping" && one["status"] == "pending" && one["attempts"] == 0));
    assert!(matches!(stage.published.lock().unwrap().last(), Some(Change::PingWebhook { .. })));
    check_with(&app, "PATCH", &path, json!({"enabled": false}), &ANY, 200).await;
    check(&app, "POST", &format!("{path}/ping"), Value::Null, 400).await;
}

#[tokio::test]
async fn what_cannot_be_a_webhook_is_refused_by_name() {
    let stage = stage().await;
    let app = stage.owner().await;
    let long = format!("https://example.org/{}", "x".repeat(2048));
    let wrong_urls = [
        "http://example.org/",
        "ftp://example.org/",
        "example.org",
        "https://",
        "https:///path",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://example.org/#part",
        "https://exämple.org/",
        "https://example.org/a b",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "",
        &long,
    ];
    let wrong = wrong_urls.map(|url| (json!({"url": url}), "url"));
    let url = "https://example.org/";
    let made = check(&app, "POST", &webhooks(), json!({"url": url}), 201).await.json();
    let path = format!("{}/{}", webhooks(), made["id"].as_str().unwrap());
    let before = check(&app, "GET", &path, Value::Null, 200).await.json();
    let others = [
        (json!({"url": url, "events": ["ping"]}), "events"),
        (json!({"url": url, "events": ["budget"]}), "events"),
        (json!({"url": url, "thresholds": [0]}), "thresholds"),
        (json!({"url": url, "thresholds": [101]}), "thresholds"),
        (json!({"url": url, "thresholds": (1..=11).collect::<Vec<u8>>()}), "thresholds"),
        (json!({"url": url, "credit_low": "much"}), "credit_low"),
        (json!({"url": url, "description": "x".repeat(201)}), "description"),
    ];
    for (new, parameter) in wrong.into_iter().chain(others) {
        let refused = check(&app, "POST", &webhooks(), new.clone(), 400).await.json();
        assert_eq!(refused["error"]["param"], parameter, "{new}");
        // Nor does one that is sound become so.
        let refused = check_with(&app, "PATCH", &path, new.clone(), &ANY, 400).await.json();
        assert_eq!(refused["error"]["param"], parameter, "{new}");
    }
    check(&app, "POST", &webhooks(), json!({"url": url, "secret": "mine"}), 400).await;
    assert_eq!(check(&app, "GET", &webhooks(), Value::Null, 200).await.json(), json!({"data": [before]}));
}
