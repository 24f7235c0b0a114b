//! What callers say of their requests: end users and tags, from each family to the report.

use std::sync::Arc;

use account::Price;
use axum::{Router, body::Body};
use gateway::{Config, router};
use serde_json::{Value, json};

use crate::stage::*;

fn stage() -> (Router, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let tenancy = tenancy(kept.clone());
    set_price(&tenancy, Price::FREE);
    (router(metered(Config::default(), Scripted::new(|_| Script::Events(says("word"))), tenancy)), kept)
}

fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn chat() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5})
}

#[tokio::test]
async fn every_family_says_whom_a_request_is_for() {
    let tags = json!({"env": "prod", "=cmd": "ü"});
    let openai = json!({"user": "alice", "metadata": tags});
    let prompt = json!({"model": "m", "prompt": "Hi"});
    for (path, body, tagged) in [
        ("/v1/chat/completions", with(chat(), openai.clone()), true),
        ("/v1/chat/completions", with(chat(), json!({"safety_identifier": "alice", "user": "bob"})), false),
        ("/v1/completions", with(prompt, openai), true),
        ("/v1/messages", with(chat(), json!({"metadata": {"user_id": "alice"}})), false),
    ] {
        let (app, kept) = stage();
        let answer = check(&app, "POST", path, body, 200).await;
        let row = kept.rows().remove(0);
        assert_eq!(row.labels.end_user(), Some("alice"), "{path}");
        let expect = if tagged { tags.clone() } else { json!({}) };
        assert_eq!(json!(row.labels.tags()), expect, "{path}");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let report = check(&app, "GET", &format!("/v1/requests/{id}"), Value::Null, 200).await.json();
        assert_eq!((&report["end_user"], &report["tags"]), (&json!("alice"), &expect));
    }
}

#[tokio::test]
async fn labels_beyond_the_bounds_are_refused_by_name_and_ask_nothing() {
    let (app, kept) = stage();
    let many: serde_json::Map<String, Value> = (0..17).map(|number| (number.to_string(), json!("v"))).collect();
    for (path, more, param) in [
        ("/v1/chat/completions", json!({"user": "u".repeat(513)}), "user"),
        ("/v1/chat/completions", json!({"metadata": many}), "metadata"),
        ("/v1/chat/completions", json!({"metadata": {"n".repeat(65): "v"}}), "metadata"),
        ("/v1/chat/completions", json!({"metadata": {"n": "v".repeat(513)}}), "metadata"),
        ("/v1/chat/completions", json!({"metadata": {"n": 1}}), "metadata"),
        ("/v1/messages", json!({"metadata": {"user_id": "u".repeat(513)}}), "metadata.user_id"),
    ] {
        let error = check(&app, "POST", path, with(chat(), more), 400).await.json()["error"].clone();
        if path == "/v1/chat/completions" {
            assert_eq!(error["param"], param, "{error}");
        } else {
            assert!(error["message"].as_str().unwrap().contains(param), "{error}");
        }
    }
    assert!(kept.rows().is_empty());
    for quiet in [json!({"metadata": null, "user": null}), json!({"metadata": {}, "user": ""})] {
        check(&app, "POST", "/v1/chat/completions", with(chat(), quiet), 200).await;
    }
    check(&app, "POST", "/v1/messages", with(chat(), json!({"metadata": {"other": 1}})), 200).await;
    assert!(kept.rows().iter().all(|row| row.labels == account::Labels::default()));
}

#[tokio::test]
async fn usage_is_told_apart_by_end_user_and_by_each_tag() {
    let (app, _) = stage();
    for (user, env) in [("alice", "prod"), ("bob", "prod"), ("alice", "test")] {
        let labels = json!({"user": user, "metadata": {"env": env}});
        check(&app, "POST", "/v1/chat/completions", with(chat(), labels), 200).await;
    }
    check(&app, "POST", "/v1/chat/completions", chat(), 200).await;
    for (group, expect) in [
        ("end_user", vec!["alice", "alice", "bob"]),
        ("tag:env", vec!["prod", "prod", "test"]),
        ("tag:nothing", vec![]),
    ] {
        let report = check(&app, "GET", &format!("/v1/usage?group_by={group}"), Value::Null, 200).await.json();
        let sums = report["data"].as_array().unwrap();
        let mut values: Vec<_> = sums.iter().map(|sum| sum["value"].as_str().unwrap()).collect();
        values.sort_unstable();
        assert_eq!(values, expect, "{report}");
        assert!(sums.iter().all(|sum| sum["key_id"].is_null() && sum["other"].is_null()));
    }
    for (query, param) in [
        ("group_by=tag:", "group_by"),
        ("group_by=user", "group_by"),
        ("start_time=0&end_time=2851200&bucket=hour", "start_time"),
    ] {
        let error = check(&app, "GET", &format!("/v1/usage?{query}"), Value::Null, 400).await.json()["error"].clone();
        assert_eq!(error["param"], param, "{error}");
    }
}

#[tokio::test]
async fn a_report_for_spreadsheets_has_the_same_sums_and_no_formulas() {
    let (app, _) = stage();
    for user in ["alice", "=HYPERLINK(\"http://x\")"] {
        check(&app, "POST", "/v1/chat/completions", with(chat(), json!({"user": user})), 200).await;
    }
    let by_format = check(&app, "GET", "/v1/usage?group_by=end_user&format=csv", Value::Null, 200).await;
    assert_eq!(by_format.headers["content-type"], wire::csv::CONTENT_TYPE);
    let lines: Vec<_> = by_format.text().split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("\"start\",\"project_id\""), "{}", lines[0]);
    assert!(lines[1].contains(",\"alice\",false,\"m\",1,7,0,2,0,0"), "{}", lines[1]);
    assert!(lines[2].contains(",\"'=HYPERLINK(\"\"http://x\"\")\","), "{}", lines[2]);
    let mut asked = request("GET", "/v1/usage?group_by=end_user", Body::empty());
    asked.headers_mut().insert("accept", "text/csv".parse().unwrap());
    assert_eq!(send(&app, asked).await.bytes, by_format.bytes);
}
