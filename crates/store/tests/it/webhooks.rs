//! What webhooks are told of, and the outbox.

use std::time::Duration;

use account::{
    Cause, Class, Counts, EventKind, KeyId, LimitKind, Limits, Nano, Owner, Timestamp, WebhookId, ledger::CreditSource,
};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use store::{Attempt, Change, Config, Credit, DeliveryStatus, Store, UsageRow, Webhook};

use crate::stage::*;

fn webhook(number: u8) -> Webhook {
    Webhook {
        id: WebhookId::from_bytes([number; 16]),
        org: ORG,
        url: "https://example.org/hook".into(),
        description: "".into(),
        events: EventKind::CHOICE.into(),
        thresholds: [50, 80, 100].into(),
        credit_low: Some(Nano::new(40)),
        enabled: true,
        secret_version: 1,
        previous_until: None,
    }
}

/// A request of three billionths: one token of an answer, at the price of the stage.
fn costs_three() -> UsageRow {
    usage(Cause::Finished, Counts::default().with(Class::Output, 1))
}

async fn budget(store: &Store, owner: Owner, kind: LimitKind, allowed: i64) {
    let limits = Limits::default().with(kind, allowed);
    apply(store, Change::SetLimits { org: ORG, owner, limits }).await;
}

/// Kind and body of all that a webhook is to be told, oldest first.
async fn told(store: &Store, number: u8) -> Vec<(EventKind, serde_json::Value)> {
    let mut told = Vec::new();
    let id = WebhookId::from_bytes([number; 16]);
    let mut deliveries = store.deliveries(ORG, id, None, 1000).await.unwrap();
    deliveries.reverse();
    // One at a time is due; what was seen is delivered, so that the next one is.
    for delivery in deliveries {
        let due = store.due_deliveries(Timestamp::from_millis(i64::MAX)).await.unwrap();
        let Some(due) = due.into_iter().find(|due| due.webhook.id == id && due.delivery.event == delivery.event) else {
            continue;
        };
        store.note_attempt(ORG, due.delivery.sequence, Attempt::Arrived, NOW).await.unwrap();
        told.push((delivery.kind, serde_json::from_str(&due.body).unwrap()));
    }
    told
}

fn percents(told: &[(EventKind, serde_json::Value)]) -> Vec<u64> {
    told.iter().filter_map(|(_, body)| body["data"]["percent"].as_u64()).collect()
}

#[tokio::test]
async fn every_budget_above_a_request_is_told_of_once_under_load_and_over_restarts() {
    let (folder, mut store) = furnished(Config::default()).await;
    apply(&store, Change::AddWebhook(webhook(1))).await;
    let owners = [Owner::Key(KEY), Owner::Project(PROJECT), Owner::Organisation(ORG)];
    for (owner, kind) in owners.into_iter().zip([LimitKind::BudgetDay, LimitKind::BudgetMonth, LimitKind::BudgetEver]) {
        budget(&store, owner, kind, 3 * 400).await;
    }
    for _ in 0..4 {
        let rows = (0..100).map(|_| settle(&store, costs_three()));
        for settled in futures::future::join_all(rows).await {
            settled.unwrap();
        }
        store.close().await;
        store = open(&folder).await;
    }
    let told = told(&store, 1).await;
    for (owner, limit) in [("key", "budget_day"), ("project", "budget_month"), ("organisation", "budget_ever")] {
        let of: Vec<_> = told.iter().filter(|(_, body)| body["data"]["owner"]["type"] == owner).cloned().collect();
        assert_eq!(percents(&of), [50, 80, 100], "{owner}");
        assert!(of.iter().all(|(kind, body)| *kind == EventKind::BudgetThreshold && body["data"]["limit"] == limit));
    }
    assert_eq!(told.len(), 9);
    let body = &told[0].1;
    assert_eq!((&body["type"], &body["timestamp"]), (&"budget.threshold".into(), &NOW.to_string().into()));
    verified(&store, ORG).await;
}

#[tokio::test]
async fn a_new_day_is_a_new_budget_and_a_late_request_belongs_to_its_own() {
    let (_folder, store) = furnished(Config::default()).await;
    apply(&store, Change::AddWebhook(webhook(1))).await;
    budget(&store, Owner::Key(KEY), LimitKind::BudgetDay, 6).await;
    let on = |days: u64, ended: u64| {
        let mut row = costs_three();
        row.settlement.admitted = NOW.after(Duration::from_secs(days * 86_400));
        row.ended = NOW.after(Duration::from_secs(ended * 86_400));
        row
    };
    // The last one was let in on the first day and ends on the second.
    for row in [on(0, 0), on(1, 1), on(0, 1), on(1, 1)] {
        settle(&store, row).await.unwrap();
    }
    let told = told(&store, 1).await;
    assert_eq!(percents(&told), [50, 50, 80, 100, 80, 100]);
    let days: Vec<_> = told.iter().map(|(_, body)| body["data"]["from"].as_str().unwrap()[..10].to_owned()).collect();
    assert_eq!(days[0], "2025-11-25");
    assert_eq!(days, [&days[0], &days[1], &days[0], &days[0], &days[1], &days[1]].map(String::clone));
    assert_ne!(days[0], days[1]);
}

#[tokio::test]
async fn another_limit_tells_what_is_passed_by_it_and_nothing_that_was_before() {
    let (_folder, store) = furnished(Config::default()).await;
    for _ in 0..10 {
        settle(&store, costs_three()).await.unwrap();
    }
    // What was spent before anybody listened, and what a first limit finds.
    apply(&store, Change::AddWebhook(webhook(1))).await;
    let owner = Owner::Project(PROJECT);
    budget(&store, owner, LimitKind::BudgetMonth, 60).await;
    assert_eq!(percents(&told(&store, 1).await), [50]);
    budget(&store, owner, LimitKind::BudgetMonth, 36).await;
    assert_eq!(percents(&told(&store, 1).await), [80]);
    budget(&store, owner, LimitKind::BudgetMonth, 60).await;
    budget(&store, owner, LimitKind::BudgetMonth, 36).await;
    assert_eq!(percents(&told(&store, 1).await), [0; 0], "it was told of this limit");
    budget(&store, owner, LimitKind::BudgetMonth, 100).await;
    for _ in 0..8 {
        settle(&store, costs_three()).await.unwrap();
    }
    assert_eq!(percents(&told(&store, 1).await), [50], "54 of 100");
    for nothing in [0, 1000] {
        budget(&store, owner, LimitKind::BudgetMonth, nothing).await;
    }
    assert_eq!(percents(&told(&store, 1).await), [0; 0]);
    // Nobody else's limit is theirs.
    let other = Owner::Key(KeyId::from_bytes([7; 16]));
    let mut another = store.keys().await.unwrap().remove(0);
    another.id = KeyId::from_bytes([7; 16]);
    another.secret = account::KeyedHash::from_bytes([7; 32]);
    apply(&store, Change::AddKey(another)).await;
    budget(&store, other, LimitKind::BudgetEver, 1).await;
    apply(&store, Change::SetLimits { org: ORG, owner: Owner::Project(PROJECT), limits: Limits::default() }).await;
    settle(&store, costs_three()).await.unwrap();
    assert_eq!(percents(&told(&store, 1).await), [0; 0]);
}

#[tokio::test]
async fn what_is_spent_while_nobody_listens_counts_once_somebody_does() {
    let (_folder, store) = furnished(Config::default()).await;
    let first = webhook(1);
    apply(&store, Change::AddWebhook(first.clone())).await;
    budget(&store, Owner::Key(KEY), LimitKind::BudgetEver, 100).await;
    settle(&store, costs_three()).await.unwrap();
    apply(&store, Change::ChangeWebhook(Webhook { enabled: false, ..first.clone() })).await;
    for _ in 0..20 {
        settle(&store, costs_three()).await.unwrap();
    }
    assert!(told(&store, 1).await.is_empty());
    apply(&store, Change::ChangeWebhook(first)).await;
    for _ in 0..6 {
        settle(&store, costs_three()).await.unwrap();
    }
    assert_eq!(percents(&told(&store, 1).await), [80], "81 of 100; half was passed unheard");
}

#[tokio::test]
async fn a_limit_that_is_set_again_counts_what_was_spent_without_it() {
    let (_folder, store) = furnished(Config::default()).await;
    apply(&store, Change::AddWebhook(webhook(1))).await;
    let owner = Owner::Key(KEY);
    budget(&store, owner, LimitKind::BudgetEver, 100).await;
    settle(&store, costs_three()).await.unwrap();
    apply(&store, Change::SetLimits { org: ORG, owner, limits: Limits::default() }).await;
    for _ in 0..10 {
        settle(&store, costs_three()).await.unwrap();
    }
    budget(&store, owner, LimitKind::BudgetEver, 100).await;
    assert_eq!(percents(&told(&store, 1).await), [0; 0], "33 of 100");
    for _ in 0..6 {
        settle(&store, costs_three()).await.unwrap();
    }
    assert_eq!(percents(&told(&store, 1).await), [50], "51 of 100");
}

#[tokio::test]
async fn each_webhook_is_told_of_what_it_wants() {
    let (_folder, store) = furnished(Config::default()).await;
    let of = |number, events: &[EventKind], thresholds: &[u8]| Webhook {
        events: events.iter().copied().collect(),
        thresholds: thresholds.iter().copied().collect(),
        ..webhook(number)
    };
    apply(&store, Change::AddWebhook(of(1, &[EventKind::BudgetThreshold], &[90]))).await;
    apply(&store, Change::AddWebhook(of(2, &[EventKind::CreditSpent], &[90]))).await;
    apply(&store, Change::AddWebhook(of(3, &EventKind::CHOICE, &[]))).await;
    let theirs = Webhook { org: OTHER_ORG, ..webhook(4) };
    apply(&store, Change::AddWebhook(theirs)).await;
    credit(&store, 30).await;
    budget(&store, Owner::Key(KEY), LimitKind::BudgetEver, 30).await;
    for _ in 0..10 {
        settle(&store, costs_three()).await.unwrap();
    }
    assert_eq!(percents(&told(&store, 1).await), [90]);
    let kinds = |told: Vec<(EventKind, serde_json::Value)>| told.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(kinds(told(&store, 2).await), [EventKind::CreditSpent]);
    assert_eq!(kinds(told(&store, 3).await), [EventKind::CreditSpent], "there was never more than little");
    assert!(store.deliveries(OTHER_ORG, WebhookId::from_bytes([4; 16]), None, 9).await.unwrap().is_empty());
    assert!(store.deliveries(OTHER_ORG, WebhookId::from_bytes([1; 16]), None, 9).await.unwrap().is_empty());
}

async fn credit(store: &Store, amount: i64) {
    let external_id = format!("{amount} {}", store.head(ORG).await.unwrap().number).into();
    let credit = Credit { org: ORG, source: CreditSource::Grant, external_id, amount: Nano::new(amount) };
    apply(store, Change::AddCredit(credit)).await;
}

#[tokio::test]
async fn credit_that_runs_out_is_told_once_for_each_time_that_it_is_paid() {
    let (_folder, store) = furnished(Config::default()).await;
    apply(&store, Change::AddWebhook(webhook(1))).await;
    for _ in 0..2 {
        let rest = i64::from(store.head(ORG).await.unwrap().balance.get() as i32);
        credit(&store, 100 - rest).await;
        // 100 buys 33 at 3 each; with 1 left nothing more can be had.
        for _ in 0..33 {
            settle(&store, costs_three()).await.unwrap();
        }
        let told = told(&store, 1).await;
        let said: Vec<_> = told.iter().map(|(kind, body)| (*kind, body["data"]["balance"].clone())).collect();
        let nano = |amount: i64| serde_json::Value::from(Nano::new(amount).to_string());
        assert_eq!(said, [(EventKind::CreditLow, nano(37)), (EventKind::CreditSpent, nano(1))]);
    }
    // Who pays by statement has no credit that could run out.
    let mut organisation = store.organisation(ORG).await.unwrap().unwrap().what;
    organisation.billing = account::Billing::Postpaid;
    apply(&store, Change::ChangeOrganisation(organisation)).await;
    credit(&store, 99).await;
    for _ in 0..40 {
        settle(&store, costs_three()).await.unwrap();
    }
    assert!(told(&store, 1).await.is_empty());
}

#[tokio::test]
async fn a_webhook_that_cannot_be_read_holds_up_no_settlement() {
    let (folder, store) = furnished(Config::default()).await;
    apply(&store, Change::AddWebhook(webhook(1))).await;
    budget(&store, Owner::Key(KEY), LimitKind::BudgetEver, 6).await;
    let mut other = SqliteConnectOptions::new().filename(folder.path().join("modelworks.db")).connect().await.unwrap();
    sqlx::raw_sql("UPDATE webhooks SET events = 'unheard.of'").execute(&mut other).await.unwrap();
    settle(&store, costs_three()).await.unwrap();
    sqlx::raw_sql("UPDATE webhooks SET events = 'budget.threshold'").execute(&mut other).await.unwrap();
    settle(&store, costs_three()).await.unwrap();
    assert_eq!(percents(&told(&store, 1).await), [80, 100]);
    assert_eq!(verified(&store, ORG).await.number, 2);
}

#[tokio::test]
async fn of_each_webhook_one_delivery_is_due_and_what_fails_waits_or_ends() {
    let (_folder, store) = furnished(Config::default()).await;
    let ping = |number: u8, event: u8| Change::PingWebhook {
        org: ORG,
        webhook: WebhookId::from_bytes([number; 16]),
        event: account::EventId::from_bytes([event; 16]),
    };
    for number in [1, 2, 3] {
        apply(&store, Change::AddWebhook(Webhook { enabled: number != 3, ..webhook(number) })).await;
        for event in [1, 2] {
            apply(&store, ping(number, event)).await;
        }
        // What is noted again is the same.
        apply(&store, ping(number, 2)).await;
        assert_eq!(store.deliveries(ORG, WebhookId::from_bytes([number; 16]), None, 9).await.unwrap().len(), 2);
    }
    let at = |seconds: u64| NOW.after(Duration::from_secs(seconds));
    let due = async |now| {
        let due = store.due_deliveries(now).await.unwrap();
        due.into_iter().map(|due| (due.webhook.id.as_bytes()[0], due.delivery.event.as_bytes()[0])).collect::<Vec<_>>()
    };
    assert_eq!(due(NOW).await, [(1, 1), (2, 1)], "the third is disabled");
    let first = store.due_deliveries(NOW).await.unwrap().remove(0).delivery.sequence;
    let failed = Attempt::Failed { error: "no connection".into(), again: Some(at(60)) };
    store.note_attempt(OTHER_ORG, first, Attempt::Arrived, NOW).await.unwrap();
    store.note_attempt(ORG, first, failed, NOW).await.unwrap();
    assert_eq!(due(at(59)).await, [(1, 2), (2, 1)], "what waits lets others by");
    assert_eq!(due(at(60)).await, [(2, 1), (1, 1)]);
    store.note_attempt(ORG, first, Attempt::Failed { error: "gone".into(), again: None }, at(60)).await.unwrap();
    let ended = store.deliveries(ORG, WebhookId::from_bytes([1; 16]), None, 9).await.unwrap().pop().unwrap();
    assert_eq!((ended.status, ended.attempts, ended.due), (DeliveryStatus::Failed, 2, None));
    assert_eq!((ended.error.as_deref(), ended.ended), (Some("gone"), Some(at(60))));

    let day = 86_400;
    store.expire_deliveries(at(2 * day)).await.unwrap();
    assert_eq!(due(at(3 * day)).await.len(), 2);
    store.expire_deliveries(at(4 * day)).await.unwrap();
    assert!(due(at(4 * day)).await.is_empty());
    let given_up = store.deliveries(ORG, WebhookId::from_bytes([3; 16]), None, 9).await.unwrap();
    assert!(given_up.iter().all(|one| one.status == DeliveryStatus::Failed && one.error.is_some()));
    // What is forgotten could be told again, and a budget of a month is told of once in it.
    store.expire_deliveries(at((4 + 31) * day)).await.unwrap();
    assert_eq!(store.deliveries(ORG, WebhookId::from_bytes([3; 16]), None, 9).await.unwrap().len(), 2);
    store.expire_deliveries(at(40 * day)).await.unwrap();
    assert!(store.deliveries(ORG, WebhookId::from_bytes([3; 16]), None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_webhook_that_is_told_much_forgets_its_oldest_and_nobody_elses() {
    let (_folder, store) = furnished(Config::default()).await;
    let ping = |number: u8, event: u16| {
        let mut name = [0; 16];
        name[..2].copy_from_slice(&event.to_be_bytes());
        let (webhook, event) = (WebhookId::from_bytes([number; 16]), account::EventId::from_bytes(name));
        (Change::PingWebhook { org: ORG, webhook, event }, act())
    };
    for number in [1, 2] {
        apply(&store, Change::AddWebhook(webhook(number))).await;
    }
    let pings = [ping(2, 0)].into_iter().chain((0..=1000).map(|event| ping(1, event)));
    store.apply_all(pings.collect(), None).await.unwrap();
    let kept = store.deliveries(ORG, WebhookId::from_bytes([1; 16]), None, 2000).await.unwrap();
    assert_eq!((kept.len(), kept[999].event.as_bytes()[..2].to_vec()), (1000, vec![0, 1]));
    assert_eq!(store.deliveries(ORG, WebhookId::from_bytes([2; 16]), None, 2000).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_webhook_is_read_back_changed_and_removed_with_what_waits_for_it() {
    let (folder, store) = furnished(Config::default()).await;
    let mut first = webhook(1);
    apply(&store, Change::AddWebhook(first.clone())).await;
    apply(&store, Change::AddWebhook(webhook(2))).await;
    (first.url, first.credit_low, first.secret_version) = ("http://127.0.0.1/".into(), None, 2);
    (first.events, first.thresholds) = ([EventKind::CreditLow].into(), [].into());
    (first.enabled, first.previous_until) = (false, Some(NOW));
    apply(&store, Change::ChangeWebhook(first.clone())).await;
    store.close().await;
    let store = open(&folder).await;
    assert_eq!(store.webhook(ORG, first.id).await.unwrap().unwrap().what, first);
    assert_eq!(store.webhook(OTHER_ORG, first.id).await.unwrap(), None);
    let page: Vec<_> = store.webhook_page(ORG, Some(first.id), 9).await.unwrap();
    assert_eq!((page.len(), page[0].what.id), (1, WebhookId::from_bytes([2; 16])));
    let event = account::EventId::from_bytes([9; 16]);
    apply(&store, Change::PingWebhook { org: ORG, webhook: first.id, event }).await;
    let elsewhere = [
        Change::ChangeWebhook(Webhook { org: OTHER_ORG, ..first.clone() }),
        Change::RemoveWebhook { org: OTHER_ORG, webhook: first.id },
        Change::PingWebhook { org: OTHER_ORG, webhook: first.id, event },
    ];
    for change in elsewhere {
        assert!(matches!(store.apply(change, act(), None).await, Err(store::Error::NotFound { .. })));
    }
    apply(&store, Change::RemoveWebhook { org: ORG, webhook: first.id }).await;
    assert!(store.deliveries(ORG, first.id, None, 9).await.unwrap().is_empty());
    assert_eq!(store.webhook(ORG, first.id).await.unwrap(), None);
    // Its secrets, while both hold.
    let pepper = store.pepper();
    let exposed = |now: Timestamp| first.secrets(pepper, now).iter().map(|secret| secret.expose()).collect::<Vec<_>>();
    let (new, old) = (pepper.webhook_secret(first.id, 2).expose(), pepper.webhook_secret(first.id, 1).expose());
    assert_eq!(exposed(Timestamp::from_millis(NOW.as_millis() - 1)), [new.clone(), old]);
    assert_eq!(exposed(NOW), [new]);
}
