use std::time::Duration;

use account::{Cause, Counts};
use store::{Change, Config, Retention};

use crate::stage::*;

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_time_is_over_go_while_requests_are_settled_and_sums_and_bills_stay() {
    let (_folder, store) = furnished(Config::default()).await;
    let old: Vec<_> = (0..2600).map(|_| usage(Cause::Finished, Counts::tokens(3, 1, 2))).collect();
    for settled in futures::future::join_all(old.iter().map(|row| settle(&store, row.clone()))).await {
        settled.unwrap();
    }
    apply(&store, Change::SetRetention(Retention { org: None, days: Some(7) })).await;
    let now = NOW.after(Duration::from_secs(8 * 86_400));
    let settling = async {
        let mut new = Vec::new();
        for _ in 0..50 {
            let mut row = usage(Cause::Finished, Counts::tokens(3, 1, 2));
            (row.settlement.admitted, row.ended) = (now, now);
            settle(&store, row.clone()).await.unwrap();
            new.push(row);
        }
        new
    };
    let (deleted, new) = tokio::join!(store.delete_expired(now), settling);
    assert_eq!(deleted.unwrap(), 2600);
    assert_eq!(store.delete_expired(now).await.unwrap(), 0);
    for row in &old {
        assert!(store.request(ORG, row.request).await.unwrap().is_none());
    }
    for row in &new {
        assert!(store.request(ORG, row.request).await.unwrap().is_some());
    }
    let sums = sums(&store).await;
    assert_eq!(sums.iter().map(|sum| sum.rows).collect::<Vec<_>>(), [2600, 50]);
    assert_eq!(verified(&store, ORG).await.number, 2650);
    let charged: account::Nano = sums.iter().map(|sum| sum.charge).sum();
    assert_eq!(charged.negated(), Ok(store.head(ORG).await.unwrap().balance));
}
