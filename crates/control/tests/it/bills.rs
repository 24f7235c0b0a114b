//! Statements, exports, charges that are computed again, and what is kept for how long.

use std::time::Duration;

use account::{
    Cause, Class, Counts, KeyId, Labels, Nano, PerClass, Price, PriceId, PriceVersion, RequestId, Service, Settlement,
    Tenant, Timestamp, ledger,
};
use axum::Router;
use serde_json::{Value, json};
use store::{Change, Store, UsageRow};

use crate::stage::*;

const WRONG: PriceId = PriceId::from_bytes([5; 16]);

fn price(rate: i64) -> Price {
    Price::new(PerClass([rate, rate / 2, rate * 2, 0, 0, 0].map(Nano::new)), 500).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A request of the first organisation that ended at a moment.
async fn charge(store: &Store, model: &str, ended: Timestamp, counts: Counts) -> RequestId {
    let price = price(1_000_000_000);
    let charge = price.cost(&counts, Service::Standard).unwrap();
    let row = UsageRow {
        request: RequestId::generate().unwrap(),
        tenant: Tenant { org: ORG, project: PROJECT, key: KeyId::from_bytes([9; 16]) },
        model: model.into(),
        service: Service::Standard,
        price: Some((WRONG, price)),
        settlement: Settlement { cause: Cause::Finished, admitted: ended, counts, charge },
        ended,
        route: None,
        queued: None,
        first_output: None,
        labels: Labels::new(Some("alice"), [("mail".into(), "alice@example.org".into())].into()).unwrap(),
    };
    let request = row.request;
    store.reserve().unwrap().settle(row).await.unwrap().unwrap();
    request
}

async fn get(app: &Router, path: &str) -> Value {
    check(app, "GET", &format!("/admin/v1/organisations/{ORG}{path}"), Value::Null, 200).await.json()
}

#[tokio::test]
async fn statements_follow_each_other_and_add_up() {
    let stage = stage().await;
    let app = stage.operator().await;
    let tokens = Counts::tokens(100, 40, 10);
    charge(&stage.store, "m", at("2026-01-31T23:59:59.999Z"), tokens).await;
    for day in 1..=3 {
        charge(&stage.store, "m", at(&format!("2026-02-0{day}T00:00:00Z")), tokens).await;
    }
    charge(&stage.store, "<script>alert(1)</script>", at("2026-02-28T23:59:59Z"), tokens).await;
    charge(&stage.store, "m", at("2026-03-01T00:00:00Z"), tokens).await;

    let [january, february, march] = ["2026-01", "2026-02", "2026-03"].map(|month| format!("/statements/{month}"));
    let (january, february, march) = (get(&app, &january).await, get(&app, &february).await, get(&app, &march).await);
    assert_eq!(january["opening"], json!({"line": 0, "balance": "0", "head": "0".repeat(64)}));
    assert_eq!((&january["closing"], &february["closing"]), (&february["opening"], &march["opening"]));
    assert_eq!((&february["opening"]["line"], &february["closing"]["line"]), (&json!(1), &json!(5)));
    assert_eq!(
        (&february["closed"], &february["charged"], &february["due"]),
        (&json!(true), &json!("-0.0004"), &json!("0.0005"))
    );
    let m = &february["charges"][1];
    let classes = json!([
        {"class": "input", "units": 180, "price": "1", "share": 1000, "amount": "-0.00018"},
        {"class": "cached_input", "units": 120, "price": "0.5", "share": 1000, "amount": "-0.00006"},
        {"class": "output", "units": 30, "price": "2", "share": 1000, "amount": "-0.00006"},
        {"class": "requests", "units": 3, "price": "0", "share": 1000, "amount": "0"},
    ]);
    assert_eq!((&m["model"], &m["requests"], &m["classes"]), (&json!("m"), &json!(3), &classes));
    assert_eq!((&m["rounding"], &m["amount"]), (&json!("0"), &json!("-0.0003")));
    let nothing = get(&app, "/statements/2025-12").await;
    assert_eq!((&nothing["opening"], &nothing["charges"]), (&nothing["closing"], &json!([])));

    let path = format!("/admin/v1/organisations/{ORG}/statements/2026-02");
    let page = check_with(&app, "GET", &path, Value::Null, &[("accept", "text/html,*/*")], 200).await;
    let text = std::str::from_utf8(&page.bytes).unwrap();
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script"), "{text}");
    assert!(text.contains(february["closing"]["head"].as_str().unwrap()));
    for wrong in ["2026-13", "2026", "now"] {
        let path = format!("/admin/v1/organisations/{ORG}/statements/{wrong}");
        check(&app, "GET", &path, Value::Null, 400).await;
    }
}

#[tokio::test]
async fn an_export_has_every_line_and_no_formula() {
    let stage = stage().await;
    let app = stage.operator().await;
    for _ in 0..1203 {
        charge(&stage.store, "=cmd|'/c calc'!A1", at("2026-02-01T00:00:00Z"), Counts::tokens(10, 0, 1)).await;
    }
    let credits = format!("/admin/v1/organisations/{ORG}/credits");
    check(&app, "POST", &credits, json!({"amount": "5", "external_id": "x"}), 201).await;
    let path = format!("/admin/v1/organisations/{ORG}/ledger");
    let export = check(&app, "GET", &format!("{path}?format=csv"), Value::Null, 200).await;
    let text = std::str::from_utf8(&export.bytes).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1205);
    let cells = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| cells(line) == cells(lines[0])), "{} and {}", lines[0], lines[1204]);
    assert!(lines[1].contains(",\"'=cmd|'/c calc'!A1\",finished,standard,"), "{}", lines[1]);
    let head = get(&app, "/balance").await["head"].as_str().unwrap().to_owned();
    assert!(lines[1204].starts_with("1204,") && lines[1204].ends_with(&head), "{}", lines[1204]);
    let path = format!("{path}?after=1200&limit=2");
    let part = check_with(&app, "GET", &path, Value::Null, &[("accept", "text/csv")], 200).await;
    assert_eq!(std::str::from_utf8(&part.bytes).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn charges_under_a_wrong_price_are_corrected_once_as_they_were_shown() {
    let stage = stage().await;
    let app = stage.operator().await;
    let right = PriceVersion { id: PriceId::from_bytes([6; 16]), from: store::now(), price: price(250_000_000) };
    apply(&stage.store, Change::AddPrice { model: "m".into(), version: right.clone() }).await;
    let tokens = Counts::tokens(100, 0, 50);
    charge(&stage.store, "m", at("2026-01-31T00:00:00Z"), tokens).await;
    for number in 0..1100 {
        let model = if number % 2 == 0 { "m" } else { "n" };
        charge(&stage.store, model, at("2026-02-01T00:00:00Z").after(Duration::from_secs(number)), tokens).await;
    }
    // On this one somebody agreed.
    let agreed = store::Correction { org: ORG, corrects: 2, terms: None, amount: Nano::new(1) };
    apply(&stage.store, Change::Correct(agreed)).await;
    let path = format!("/admin/v1/organisations/{ORG}/reratings");
    let mut body = json!({"model": "m", "from": "2026-02-01T00:00:00Z", "wrong_price_id": WRONG.to_string(), "price_id": right.id.to_string()});
    let before = stage.store.head(ORG).await.unwrap();
    let seen = check(&app, "POST", &path, body.clone(), 200).await.json();
    let expect = json!({"applied": false, "charges": 550, "corrected": 549, "agreed": 1, "before": "-0.1098", "after": "-0.02745",
        "difference": "0.08235", "line": 1102});
    assert_eq!((seen.clone(), stage.store.head(ORG).await.unwrap()), (expect, before));

    body["difference"] = "0.08".into();
    let error = check(&app, "POST", &path, body.clone(), 400).await.json();
    assert!(error["error"]["message"].as_str().unwrap().contains("0.08235"), "{error}");
    body["difference"] = seen["difference"].clone();
    let done = check(&app, "POST", &path, body.clone(), 200).await.json();
    assert_eq!((&done["applied"], &done["corrected"], &done["line"]), (&json!(true), &json!(549), &json!(1651)));
    let told: i64 = stage
        .published
        .lock()
        .unwrap()
        .iter()
        .map(|change| match change {
            Change::Correct(correction) => correction.amount.get(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(told, 82_350_000, "what runs has the credit");
    // Sent again it is refused, for there is nothing left that comes to this; what is left is nothing.
    check(&app, "POST", &path, body.clone(), 400).await;
    body["difference"] = "0".into();
    assert_eq!(check(&app, "POST", &path, body.clone(), 200).await.json()["corrected"], 0);
    let lines = stage.store.lines(ORG, 1, u32::MAX).await.unwrap();
    let head = ledger::verify(ORG, lines.iter().map(String::as_str)).unwrap();
    assert_eq!((head.number, head.balance.get() - before.balance.get()), (1651, 82_350_000));
    let last = ledger::Line::parse(lines.last().unwrap()).unwrap();
    let ledger::Entry::Correction { corrects: 1100, terms: Some(terms) } = last.entry else { panic!("{last:?}") };
    assert_eq!((terms.price, terms.counts.of(Class::Output)), (right.id, 50));

    body["price_id"] = PriceId::from_bytes([7; 16]).to_string().into();
    assert_eq!(check(&app, "POST", &path, body, 400).await.json()["error"]["param"], "price_id");
    let log = get(&app, "/audit").await;
    assert_eq!(log["data"][0]["action"], "ledger.rerate");
}

#[tokio::test]
async fn an_end_user_is_erased_by_whoever_runs_the_organisation() {
    let stage = stage().await;
    let request = charge(&stage.store, "m", at("2026-02-01T00:00:00Z"), Counts::tokens(1, 0, 1)).await;
    let app = stage.owner().await;
    let path = format!("/admin/v1/organisations/{ORG}/erasures");
    for wrong in ["", &"x".repeat(513)] {
        check(&app, "POST", &path, json!({"end_user": wrong}), 400).await;
    }
    let erased = check(&app, "POST", &path, json!({"end_user": "alice"}), 200).await.json();
    assert_eq!(erased, json!({"requests": 1}));
    assert_eq!(stage.store.request(ORG, request).await.unwrap().unwrap().labels, Labels::default());
    let log = get(&app, "/audit").await.to_string();
    assert!(log.contains("end_user.erase") && !log.contains("alice"), "{log}");
}

#[tokio::test]
async fn a_value_of_a_tag_is_erased_by_whoever_runs_the_organisation() {
    let stage = stage().await;
    let request = charge(&stage.store, "m", at("2026-02-01T00:00:00Z"), Counts::tokens(1, 0, 1)).await;
    let app = stage.owner().await;
    let path = format!("/admin/v1/organisations/{ORG}/erasures");
    let tag = |name: &str, value: &str| json!({"tag": {"name": name, "value": value}});
    let both = json!({"end_user": "alice", "tag": {"name": "env", "value": "prod"}});
    for wrong in
        [tag("", "x"), tag(&"x".repeat(65), "x"), tag("env", &"x".repeat(513)), both, json!({}), json!({"tag": {}})]
    {
        check(&app, "POST", &path, wrong, 400).await;
    }
    let before = stage.store.request(ORG, request).await.unwrap().unwrap().labels;
    let (name, value) = before.tags().first_key_value().expect("it is tagged");
    let erased = check(&app, "POST", &path, tag(name, value), 200).await.json();
    assert_eq!(erased, json!({"requests": 1}));
    let after = stage.store.request(ORG, request).await.unwrap().unwrap().labels;
    assert_eq!((after.end_user(), after.tags().get(name)), (before.end_user(), None));
    let log = get(&app, "/audit").await.to_string();
    assert!(log.contains("tag.erase") && !log.contains(&**value), "{log}");
}

#[tokio::test]
async fn rows_are_kept_as_long_as_the_organisation_or_the_installation_says() {
    let stage = stage().await;
    let (operator, owner) = (stage.operator().await, stage.owner().await);
    let all = "/admin/v1/retention";
    let own = format!("/admin/v1/organisations/{ORG}/retention");
    let tag = check(&operator, "GET", all, Value::Null, 200).await;
    let change = json!({"request_days": 30});
    check(&owner, "PATCH", all, change.clone(), 403).await;
    check(&operator, "PATCH", all, change.clone(), 428).await;
    check_with(&operator, "PATCH", all, change, &[("if-match", tag.tag())], 200).await;
    let old = charge(&stage.store, "m", at("2026-01-01T00:00:00Z"), Counts::tokens(1, 0, 1)).await;
    let new = charge(&stage.store, "m", at("2026-01-20T00:00:00Z"), Counts::tokens(1, 0, 1)).await;
    let now = at("2026-02-10T00:00:00Z");
    // The organisation's own setting goes first.
    check_with(&owner, "PATCH", &own, json!({"request_days": 400}), &[("if-match", "*")], 200).await;
    assert_eq!(stage.store.delete_expired(now).await.unwrap(), 0);
    check_with(&owner, "PATCH", &own, json!({"request_days": null}), &[("if-match", "*")], 200).await;
    assert_eq!(stage.store.delete_expired(now).await.unwrap(), 1);
    assert!(stage.store.request(ORG, old).await.unwrap().is_none());
    assert!(stage.store.request(ORG, new).await.unwrap().is_some());
    for wrong in [json!({"request_days": 0}), json!({"request_days": 36_501}), json!({"days": 1})] {
        check_with(&owner, "PATCH", &own, wrong, &[("if-match", "*")], 400).await;
    }
    let log = get(&operator, "/audit").await;
    assert_eq!(log["data"][0]["action"], "retention.set");
}
