//! Keys, limits, budgets and settlements, at the edge.

use std::{sync::Arc, time::Duration};

use account::{
    Billing, Cause, Class, Counts, LimitKind, Limits, Nano, Owner, PerClass, Price, Scope, Scopes, Timestamp, Zone,
};
use axum::{Router, body::Body};
use gateway::{Config, Tenancy, endpoints, router};
use serde_json::{Value, json};

use crate::stage::*;

struct Stage {
    app: Router,
    tenancy: Tenancy,
    kept: Arc<Kept>,
}

/// Answers of `tokens` tokens, one token an event, to a prompt of seven tokens.
fn stage(tokens: u64) -> Stage {
    let kept = Arc::new(Kept::default());
    let tenancy = tenancy(kept.clone());
    let backend = Scripted::new(move |_| {
        let pieces = (0..tokens).map(|_| text(0, "a"));
        Script::Events(pieces.chain([finished(0), done(7, tokens)]).collect())
    });
    Stage { app: router(metered(Config::default(), backend, tenancy.clone())), tenancy, kept }
}

/// One nano a token of the prompt, two a token of the answer.
fn price() -> Price {
    Price::new(PerClass([1_000_000, 1_000_000, 2_000_000, 0, 0, 0].map(Nano::new)), 1000).unwrap()
}

fn chat() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "x"}]})
}

fn project() -> Owner {
    Owner::Project(PROJECT)
}

#[tokio::test]
async fn a_finished_answer_is_settled_once_with_what_ran_and_what_it_costs() {
    let stage = stage(3);
    set_price(&stage.tenancy, price());
    for stream in [false, true] {
        let mut body = chat();
        body["stream"] = stream.into();
        check(&stage.app, "POST", "/v1/chat/completions", body, 200).await;
    }
    let rows = stage.kept.rows();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row.settlement.cause, Cause::Finished);
        assert_eq!(row.settlement.counts, Counts::tokens(7, 0, 3));
        assert_eq!(row.settlement.charge, Nano::new(13));
        assert_eq!((row.tenant.org, row.tenant.project), (ORG, PROJECT));
    }
    assert_eq!(stage.tenancy.meter().open_requests(), 0);
    let usage = check(&stage.app, "GET", "/v1/usage?bucket=month", Value::Null, 200).await.json();
    let sum = usage["data"].as_array().unwrap().iter().map(|sum| sum["cost_nano"].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum, 26);
}

#[tokio::test]
async fn an_answer_that_reaches_its_budget_ends_there_and_is_charged_exactly_what_it_got() {
    for stream in [false, true] {
        let stage = stage(1000);
        set_price(&stage.tenancy, price());
        let limits = Limits::default().with(LimitKind::BudgetDay, 7 + 2 * 300);
        stage.tenancy.meter().set_limits(project(), limits);
        let mut body = chat();
        body["stream"] = stream.into();
        let answer = check(&stage.app, "POST", "/v1/chat/completions", body, 200).await;
        if stream {
            let last = r#""finish_reason":"length","stopped_by":"budget""#;
            assert!(answer.text().contains(last), "{}", answer.text());
            assert!(answer.text().ends_with("data: [DONE]\n\n"));
            assert_eq!(answer.text().matches(r#""content":"a""#).count(), 300);
        } else {
            let answer = answer.json();
            assert_eq!(answer["choices"][0]["finish_reason"], "length");
            assert_eq!(answer["choices"][0]["stopped_by"], "budget");
            assert_eq!(answer["choices"][0]["message"]["content"].as_str().unwrap().len(), 300);
            assert_eq!(answer["usage"]["completion_tokens"], 300);
        }
        let row = &stage.kept.rows()[0];
        assert_eq!((row.settlement.cause, row.settlement.charge), (Cause::Budget, Nano::new(607)));
        assert_eq!(row.settlement.counts.of(Class::Output), 300);

        let refused = check(&stage.app, "POST", "/v1/chat/completions", chat(), 429).await;
        assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
        assert_eq!(refused.headers["x-should-retry"], "false");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("budget_day") && message.contains(&PROJECT.to_string()), "{message}");
        assert_eq!(stage.tenancy.meter().open_requests(), 0);
    }
}

#[tokio::test]
async fn anthropics_clients_are_told_of_a_budget_beside_the_reason_that_they_know() {
    for stream in [false, true] {
        let stage = stage(1000);
        set_price(&stage.tenancy, price());
        stage.tenancy.meter().set_limits(project(), Limits::default().with(LimitKind::BudgetDay, 7 + 2 * 300));
        let mut body = chat();
        (body["stream"], body["max_tokens"]) = (stream.into(), 1000.into());
        let answer = check(&stage.app, "POST", "/v1/messages", body, 200).await;
        if stream {
            let last = r#"{"stop_reason":"max_tokens","stop_sequence":null,"stopped_by":"budget"}"#;
            assert!(answer.text().contains(last), "{}", answer.text());
        } else {
            let answer = answer.json();
            assert_eq!((&answer["stop_reason"], &answer["stopped_by"]), (&json!("max_tokens"), &json!("budget")));
        }
    }
}

#[tokio::test]
async fn a_hundred_a_minute_are_a_hundred_of_two_hundred_at_once() {
    let stage = stage(1);
    stage.tenancy.meter().set_limits(project(), Limits::default().with(LimitKind::RequestsPerMinute, 100));
    let asked =
        (0..200).map(|_| send(&stage.app, request("POST", "/v1/chat/completions", Body::from(chat().to_string()))));
    let answers = futures::future::join_all(asked).await;
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(admitted, 100);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (429, &json!("rate_limit_exceeded")));
        let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=61).contains(&seconds));
    }
    assert_eq!(stage.kept.rows().len(), 100);
    let limits = check(&stage.app, "GET", "/v1/limits", Value::Null, 200).await.json();
    let limit = &limits["data"][0];
    assert_eq!(
        (&limit["limit"], &limit["used"], &limit["remaining"]),
        (&json!("requests_per_minute"), &json!(100), &json!(0))
    );
    assert_eq!((&limit["owner"], &limit["owner_id"]), (&json!("project"), &json!(PROJECT.to_string())));
}

#[tokio::test]
async fn a_budget_for_ten_requests_of_known_cost_runs_ten() {
    let stage = stage(50);
    set_price(&stage.tenancy, price());
    stage.tenancy.meter().set_limits(project(), Limits::default().with(LimitKind::BudgetEver, 10 * 107));
    let mut body = chat();
    (body["max_tokens"], body["ignore_eos"]) = (50.into(), true.into());
    let asked =
        (0..40).map(|_| send(&stage.app, request("POST", "/v1/chat/completions", Body::from(body.to_string()))));
    let answers = futures::future::join_all(asked).await;
    let whole = answers.iter().filter(|answer| answer.status == 200);
    assert!(whole.clone().all(|answer| answer.json()["usage"]["completion_tokens"] == 50));
    assert_eq!(whole.count(), 10);
    let charged: Nano = stage.kept.rows().iter().map(|row| row.settlement.charge).sum();
    assert_eq!(charged, Nano::new(10 * 107));
}

#[tokio::test]
async fn a_prepaid_organisation_without_credit_is_refused_and_a_free_model_is_not() {
    let stage = stage(1);
    stage.tenancy.meter().set_organisation(ORG, Zone::UTC, Billing::Prepaid);
    check(&stage.app, "POST", "/v1/chat/completions", chat(), 200).await;
    set_price(&stage.tenancy, price());
    let refused = check(&stage.app, "POST", "/v1/chat/completions", chat(), 429).await;
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    stage.tenancy.meter().credit(ORG, Nano::new(9));
    check(&stage.app, "POST", "/v1/chat/completions", chat(), 200).await;
    assert_eq!(stage.tenancy.meter().balance(ORG), (Nano::ZERO, Nano::ZERO));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_served() {
    let stage = stage(1);
    stage.kept.break_down();
    let refused = check(&stage.app, "POST", "/v1/chat/completions", chat(), 503).await;
    assert_eq!(refused.json()["error"]["code"], "storage_unavailable");
}

#[tokio::test]
async fn an_answer_whose_settlement_fails_has_no_last_frame() {
    let kept = Arc::new(Kept::default());
    let tenancy = tenancy(kept.clone());
    let (events, script) = tokio::sync::mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(script));
    let app = router(metered(Config::default(), backend.clone(), tenancy));
    let mut body = chat();
    body["stream"] = true.into();
    let asked = request("POST", "/v1/chat/completions", Body::from(body.to_string()));
    let script = async {
        events.send(text(0, "a")).await.unwrap();
        backend.until_live(1).await;
        kept.break_down();
        events.send(finished(0)).await.unwrap();
        events.send(done(7, 1)).await.unwrap();
    };
    let (answer, ()) = tokio::join!(send(&app, asked), script);
    assert!(!answer.text().contains("[DONE]"), "{}", answer.text());
    assert!(answer.text().contains("internal_error"), "{}", answer.text());
}

#[tokio::test]
async fn a_key_without_the_scope_of_a_route_is_forbidden_there() {
    let stage = stage(1);
    let mut key = key(&pepper());
    for scopes in [Scopes::NONE, Scopes::of(&[Scope::UsageRead]), Scopes::of(&[Scope::Inference, Scope::ModelsRead])] {
        key.scopes = scopes;
        stage.tenancy.set_key(key.clone());
        for endpoint in endpoints().into_iter().filter(|endpoint| !endpoint.public) {
            let allowed = match endpoint.path.as_str() {
                "/v1/limits" | "/v1/requests/{id}" | "/metrics" | "/openapi.json" | "/api/version" => true,
                "/v1/usage" => scopes.contains(Scope::UsageRead),
                "/v1/models" | "/v1/models/{id}" | "/api/tags" | "/api/ps" | "/api/show" => {
                    scopes.contains(Scope::ModelsRead)
                }
                "/api/pull" => false,
                _ => scopes.contains(Scope::Inference),
            };
            let path = endpoint.path.replace("{id}", "m");
            let answer = send(&stage.app, request(endpoint.method.as_str(), &path, Body::from("{}"))).await;
            assert_eq!(answer.status != 403, allowed, "{} {path} with {scopes}", endpoint.method);
        }
    }
}

#[tokio::test]
async fn a_key_that_has_ended_or_may_not_use_a_model_is_told_so() {
    let stage = stage(1);
    let mut key = key(&pepper());
    key.models = account::ModelAccess::Only(["org/m".into()].into());
    stage.tenancy.set_key(key.clone());
    let refused = check(&stage.app, "POST", "/v1/chat/completions", chat(), 403).await;
    assert_eq!(refused.json()["error"]["code"], "model_not_allowed");
    key.models = account::ModelAccess::All;
    key.expires = Some(Timestamp::from_millis(1));
    stage.tenancy.set_key(key.clone());
    let refused = check(&stage.app, "GET", "/v1/models", Value::Null, 401).await;
    assert!(refused.text().contains("expired"), "{}", refused.text());
    key.expires = None;
    key.revoke(Timestamp::from_millis(1));
    stage.tenancy.set_key(key);
    let refused = check(&stage.app, "GET", "/v1/models", Value::Null, 401).await;
    assert!(refused.text().contains("revoked"), "{}", refused.text());
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_and_an_unknown_one_is_unknown() {
    let stage = stage(1);
    stage.tenancy.set_prices(Default::default());
    let refused = check(&stage.app, "POST", "/v1/chat/completions", chat(), 403).await;
    assert_eq!(refused.json()["error"]["code"], "model_not_priced");
    let mut body = chat();
    body["model"] = "nobody".into();
    let refused = check(&stage.app, "POST", "/v1/chat/completions", body, 404).await;
    assert_eq!(refused.json()["error"]["code"], "model_not_found");
    assert_eq!(stage.tenancy.meter().open_requests(), 0);
}

#[tokio::test]
async fn after_a_rotation_both_secrets_share_the_counters() {
    let stage = stage(1);
    let other = account::ApiKey::generate().unwrap();
    let mut key = key(&pepper());
    let now = Timestamp::from_millis(i64::MAX / 4);
    key.rotate(pepper().hash(&other.hash()), now, Duration::from_secs(60));
    let owner = Owner::Key(key.id);
    stage.tenancy.set_key(key);
    stage.tenancy.meter().set_limits(owner, Limits::default().with(LimitKind::RequestsPerMinute, 2));
    for (secret, expect) in [(KEY, 200), (other.expose(), 200), (KEY, 429), (other.expose(), 429)] {
        let mut asked = request("POST", "/v1/chat/completions", Body::from(chat().to_string()));
        asked.headers_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
        assert_eq!(send(&stage.app, asked).await.status, expect);
    }
}

#[tokio::test]
async fn the_headers_of_an_answer_fall_by_exactly_its_usage() {
    let stage = stage(5);
    let limits = Limits::default().with(LimitKind::RequestsPerMinute, 3).with(LimitKind::TokensPerMinute, 1000);
    stage.tenancy.meter().set_limits(project(), limits);
    for (requests, tokens) in [(2, 988), (1, 976), (0, 964)] {
        let answer = check(&stage.app, "POST", "/v1/chat/completions", chat(), 200).await;
        let left = |name: &str| answer.headers[name].to_str().unwrap().parse::<i64>().unwrap();
        assert_eq!(left("x-ratelimit-remaining-requests"), requests);
        assert_eq!(left("x-ratelimit-remaining-tokens"), tokens);
        assert_eq!((left("x-ratelimit-limit-requests"), left("x-ratelimit-limit-tokens")), (3, 1000));
    }
    let refused = check(&stage.app, "POST", "/v1/chat/completions", chat(), 429).await;
    assert_eq!(refused.headers["x-ratelimit-remaining-requests"], "0");
    let seconds = |name: &str| refused.headers[name].to_str().unwrap().trim_end_matches('s').parse::<u64>().unwrap();
    let (all, one) = (seconds("x-ratelimit-reset-requests"), seconds("retry-after"));
    assert!((1..=all).contains(&one) && all <= 61, "one is back after {one} s, all after {all} s");
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_what_runs_with_it_and_is_charged_for_what_ran() {
    let kept = Arc::new(Kept::default());
    let tenancy = tenancy(kept.clone());
    set_price(&tenancy, price());
    let (events, script) = tokio::sync::mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(script));
    let app = router(metered(Config::default(), backend.clone(), tenancy.clone()));
    let mut body = chat();
    body["stream"] = true.into();
    let asked = request("POST", "/v1/chat/completions", Body::from(body.to_string()));
    let revoke = async {
        events.send(text(0, "a")).await.unwrap();
        backend.until_live(1).await;
        // The event is taken by now or lies in the channel; both are fine, for what was not taken did not run.
        let mut key = key(&pepper());
        key.revoke(Timestamp::from_millis(1));
        tenancy.set_key(key);
        backend.until_live(0).await;
    };
    let (answer, ()) = tokio::join!(send(&app, asked), revoke);
    let row = &kept.rows()[0];
    assert_eq!(row.settlement.cause, Cause::KeyRevoked);
    let output = row.settlement.counts.of(Class::Output);
    assert_eq!(row.settlement.charge, Nano::new(7 + 2 * output as i64));
    assert!(!answer.text().contains("[DONE]") && answer.text().contains("revoked"), "{}", answer.text());
    assert_eq!(tenancy.meter().open_requests(), 0);
}

#[tokio::test]
async fn a_budget_that_is_set_later_counts_what_was_spent_before() {
    let stage = stage(50);
    set_price(&stage.tenancy, price());
    check(&stage.app, "POST", "/v1/chat/completions", chat(), 200).await;
    let limits = Limits::default().with(LimitKind::BudgetDay, 107);
    stage.tenancy.apply(&store::Change::SetLimits { org: ORG, owner: project(), limits });
    check(&stage.app, "POST", "/v1/chat/completions", chat(), 429).await;
}

#[tokio::test]
async fn a_quote_bounds_what_the_request_then_costs() {
    let stage = stage(3);
    set_price(&stage.tenancy, price());
    stage.tenancy.meter().set_limits(project(), Limits::default().with(LimitKind::TokensPerMinute, 1000));
    let mut body = chat();
    (body["max_tokens"], body["ignore_eos"]) = (3.into(), true.into());
    let prompt = json!({"model": "m", "prompt": "x", "max_tokens": 3, "ignore_eos": true});
    for asked in [body.clone(), prompt] {
        let quote = check(&stage.app, "POST", "/v1/quote", asked, 200).await.json();
        assert_eq!((&quote["input_tokens"], &quote["most_output_tokens"]), (&json!(7), &json!(3)));
        assert_eq!((&quote["least_cost_nano"], &quote["most_cost_nano"]), (&json!(13), &json!(13)));
        assert_eq!(
            (&quote["limits"][0]["limit"], &quote["limits"][0]["most"]),
            (&json!("tokens_per_minute"), &json!(10))
        );
    }
    check(&stage.app, "POST", "/v1/chat/completions", body, 200).await;
    let charges: Vec<_> = stage.kept.rows().iter().map(|row| row.settlement.charge.get()).collect();
    assert_eq!(charges, [0, 0, 13], "a quote costs nothing");
    for wrong in [json!({"model": "m"}), json!({"model": "m", "messages": 7}), json!([])] {
        check(&stage.app, "POST", "/v1/quote", wrong, 400).await;
    }
    assert_eq!(stage.tenancy.meter().open_requests(), 0);
}

#[tokio::test]
async fn a_request_is_told_to_its_owner_and_to_nobody_else() {
    let stage = stage(3);
    set_price(&stage.tenancy, price());
    let answer = check(&stage.app, "POST", "/v1/chat/completions", chat(), 200).await;
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let path = format!("/v1/requests/{id}");
    let report = check(&stage.app, "GET", &path, Value::Null, 200).await.json();
    assert_eq!(
        (&report["cause"], &report["cost_nano"], &report["output_tokens"]),
        (&json!("finished"), &json!(13), &json!(3))
    );
    assert_eq!((&report["route"], &report["paid"]), (&json!("/v1/chat/completions"), &json!(true)));
    for nothing in [format!("/v1/requests/req_{}", "0".repeat(32)), "/v1/requests/x".into()] {
        check(&stage.app, "GET", &nothing, Value::Null, 404).await;
    }
    // The same secret, as a key of the same project that has another id.
    let mut other = key(&pepper());
    other.id = account::KeyId::from_bytes([8; 16]);
    for (scopes, expect) in [(Scopes::of(&[Scope::Inference]), 404), (Scopes::of(&[Scope::AdminRequests]), 200)] {
        other.scopes = scopes;
        stage.tenancy.set_key(other.clone());
        check(&stage.app, "GET", &path, Value::Null, expect).await;
    }
    other.org = account::OrgId::from_bytes([9; 16]);
    stage.tenancy.set_key(other);
    check(&stage.app, "GET", &path, Value::Null, 404).await;
}
