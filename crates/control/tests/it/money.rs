//! Prices, credit, codes and the ledger.

use account::ledger;
use serde_json::{Value, json};

use crate::stage::*;

#[tokio::test]
async fn prices_are_versions_that_are_listed_as_they_were_set() {
    let stage = stage().await;
    let app = stage.operator().await;
    let new = json!({"model": "m", "input": "0.50", "output": "1.5", "requests": "10", "batch_share": 500});
    let first = check(&app, "POST", "/admin/v1/prices", new, 201).await.json();
    assert_eq!(
        (&first["cached_input"], &first["seconds"], &first["batch_share"]),
        (&json!("0.5"), &json!("0"), &json!(500))
    );
    let later = json!({"model": "m", "input": "0", "cached_input": "0", "output": "0", "from": "2099-01-01T00:00:00Z"});
    check(&app, "POST", "/admin/v1/prices", later, 201).await;
    check(&app, "POST", "/admin/v1/prices", json!({"model": "n", "input": "0", "output": "0"}), 201).await;
    let list = check(&app, "GET", "/admin/v1/prices?model=m", Value::Null, 200).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert_eq!((&list["data"][0], &list["data"][1]["from"]), (&first, &json!("2099-01-01T00:00:00Z")));
    assert_eq!(stage.published.lock().unwrap().len(), 3);
    let log = check(&app, "GET", "/admin/v1/audit", Value::Null, 200).await.json();
    assert_eq!(log["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_payment_told_twice_credits_once() {
    let stage = stage().await;
    let app = stage.operator().await;
    let credits = format!("/admin/v1/organisations/{ORG}/credits");
    let payment = json!({"amount": "25.00", "external_id": "invoice 7"});
    check(&app, "POST", &credits, payment.clone(), 201).await;
    check(&app, "POST", &credits, payment, 200).await;
    let other = json!({"amount": "26", "external_id": "invoice 7"});
    assert_eq!(check(&app, "POST", &credits, other, 409).await.code(), "conflict");
    for wrong in [
        json!({"amount": "-1", "external_id": "x"}),
        json!({"amount": "1", "external_id": ""}),
        json!({"amount": "1", "external_id": "code_1"}),
    ] {
        check(&app, "POST", &credits, wrong, 400).await;
    }
    assert_eq!(stage.published.lock().unwrap().len(), 1, "what runs is told once");
    let balance = check(&app, "GET", &format!("/admin/v1/organisations/{ORG}/balance"), Value::Null, 200).await.json();
    assert_eq!((&balance["balance"], &balance["lines"]), (&json!("25"), &json!(1)));
}

#[tokio::test]
async fn a_code_is_worth_its_credit_once() {
    let stage = stage().await;
    let operator = stage.operator().await;
    let code = check(&operator, "POST", "/admin/v1/codes", json!({"amount": "5"}), 201).await.json();
    let secret = code["secret"].clone();
    let owner = stage.owner().await;
    let redeem = |org: account::OrgId| format!("/admin/v1/organisations/{org}/redeem");
    check(&owner, "POST", "/admin/v1/codes", json!({"amount": "5"}), 403).await;
    assert_eq!(
        check(&owner, "POST", &redeem(ORG), json!({"code": "mw-".repeat(20)}), 400).await.code(),
        "invalid_value"
    );
    let credited = check(&owner, "POST", &redeem(ORG), json!({"code": secret}), 201).await.json();
    assert_eq!((&credited["amount"], &credited["external_id"]), (&json!("5"), &code["id"]));
    check(&owner, "POST", &redeem(ORG), json!({"code": secret}), 409).await;
    check(&operator, "POST", &redeem(OTHER), json!({"code": secret}), 409).await;
    let codes = check(&operator, "GET", "/admin/v1/codes", Value::Null, 200).await.json();
    assert_eq!((&codes["data"][0]["redeemed_by"], codes["data"][0].get("secret")), (&json!(ORG.to_string()), None));
    assert_eq!(stage.store.head(ORG).await.unwrap().balance, account::Nano::new(5 * account::Nano::PER_UNIT));
}

#[tokio::test]
async fn the_ledger_comes_in_parts_and_verifies() {
    let stage = stage().await;
    let app = stage.operator().await;
    let base = format!("/admin/v1/organisations/{ORG}");
    for number in 0..5 {
        let credit = json!({"amount": "1", "external_id": format!("p{number}")});
        check(&app, "POST", &format!("{base}/credits"), credit, 201).await;
    }
    let (mut lines, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let part = check(&app, "GET", &format!("{base}/ledger?limit=2&after={after}"), Value::Null, 200).await.json();
        lines.extend(part["data"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()));
        let Some(next) = part["next"].as_str() else { break };
        after = next.to_owned();
    }
    let head = ledger::verify(ORG, lines.iter().map(String::as_str)).unwrap();
    let balance = check(&app, "GET", &format!("{base}/balance"), Value::Null, 200).await.json();
    assert_eq!((balance["head"].as_str(), head.number), (Some(head.hash.to_string().as_str()), 5));
}
