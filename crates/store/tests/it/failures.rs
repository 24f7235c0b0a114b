use std::time::Duration;

use account::{Cause, Counts};
use sqlx::{ConnectOptions, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use store::{Change, Config, Error, Store};
use tempfile::TempDir;

use crate::stage::*;

/// Another program that has the file open.
async fn stranger(folder: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.path().join("modelworks.db")).connect().await.unwrap()
}

fn impatient() -> Config {
    let (busy_timeout, durable_within) = (Duration::from_millis(1), Duration::from_millis(1));
    Config { busy_timeout, durable_within, ..Config::default() }
}

/// Waits for the writer by asking it: each question is an attempt of its own.
async fn until_writable(store: &Store) {
    let mut number = 0_u64;
    loop {
        number += 1;
        let user = store::User {
            id: account::UserId::generate().unwrap(),
            email: format!("{number}@example.org").into(),
            operator: false,
        };
        match store.apply(Change::AddUser(user), act(), None).await {
            Ok(_) => return,
            Err(Error::NotDurable) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_locked_nothing_is_acknowledged_and_afterwards_all_is_there() {
    let (folder, store) = furnished(impatient()).await;
    let row = usage(Cause::Finished, Counts::tokens(10, 0, 10));
    let slot = store.reserve().unwrap();
    let mut stranger = stranger(&folder).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut stranger).await.unwrap();

    let answer = slot.settle(row.clone()).await.unwrap();
    assert!(matches!(answer, Err(Error::NotDurable)), "{answer:?}");
    assert!(matches!(store.reserve().map(drop), Err(Error::NotDurable)), "no new request begins unmetered");
    assert_eq!(store.request(ORG, row.request).await.unwrap(), None);

    sqlx::raw_sql("ROLLBACK").execute(&mut stranger).await.unwrap();
    until_writable(&store).await;
    assert!(store.request(ORG, row.request).await.unwrap().is_some(), "the settlement was kept and written");
    assert!(store.reserve().is_ok());
    verified(&store, ORG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_it_is_found_that_all_can_be_written_again_though_nobody_asks() {
    let (folder, store) = furnished(impatient()).await;
    let mut stranger = stranger(&folder).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut stranger).await.unwrap();
    let user = store::User { id: account::UserId::from_bytes([1; 16]), email: "a".into(), operator: false };
    assert!(matches!(store.apply(Change::AddUser(user), act(), None).await, Err(Error::NotDurable)));
    // Whoever asked hears of it a moment before everybody does.
    while store.reserve().is_ok() {
        tokio::task::yield_now().await;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut stranger).await.unwrap();
    while store.reserve().is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = open(&folder).await;
        apply(&store, Change::AddOrganisation(organisation(ORG, "one"))).await;
        store.close().await;
    }
    let counted = sqlx::query("PRAGMA page_count").fetch_one(&mut stranger(&folder).await).await.unwrap();
    let max_pages = Some(counted.get::<u32, _>(0) + 30);
    let full = Config { max_pages, durable_within: Duration::from_millis(1), ..Config::default() };
    let store = Store::open(folder.path(), full).await.unwrap();
    let mut acknowledged = Vec::new();
    let refused = loop {
        let rows: Vec<_> = (0..50).map(|_| usage(Cause::Finished, Counts::tokens(10, 0, 10))).collect();
        let answers = rows.iter().map(|row| settle(&store, row.clone()));
        let answers = futures::future::join_all(answers).await;
        let mut error = None;
        for (row, answer) in rows.into_iter().zip(answers) {
            match answer {
                Ok(_) => acknowledged.push(row),
                Err(refused) => error = Some(refused),
            }
        }
        if let Some(error) = error {
            break error;
        }
    };
    assert!(matches!(refused, Error::NotDurable), "{refused}");
    assert!(acknowledged.len() >= 50);
    // It can still be read.
    verified(&store, ORG).await;
    store.close().await;

    let store = open(&folder).await;
    for row in &acknowledged {
        assert!(store.request(ORG, row.request).await.unwrap().is_some());
    }
    settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 1))).await.unwrap();
    assert!(verified(&store, ORG).await.number > acknowledged.len() as u64);
}

#[tokio::test]
async fn rows_of_a_newer_version_are_refused_and_left_alone() {
    let (folder, store) = furnished(Config::default()).await;
    store.close().await;
    let mut stranger = stranger(&folder).await;
    sqlx::raw_sql("INSERT INTO schema_version (version) VALUES (1000)").execute(&mut stranger).await.unwrap();
    let Err(error) = Store::open(folder.path(), Config::default()).await else { panic!("it was opened") };
    assert!(matches!(error, Error::NewerSchema { found: 1000, .. }), "{error}");
    assert!(error.to_string().contains("1000"), "{error}");
    sqlx::raw_sql("DELETE FROM schema_version WHERE version = 1000").execute(&mut stranger).await.unwrap();
    assert_eq!(open(&folder).await.organisations().await.unwrap().len(), 2);
}

#[tokio::test]
async fn lines_of_the_ledger_cannot_be_changed_or_removed_by_sql() {
    let (folder, store) = furnished(Config::default()).await;
    settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 1))).await.unwrap();
    let mut stranger = stranger(&folder).await;
    for sql in ["UPDATE ledger SET balance = 0", "DELETE FROM ledger"] {
        let error = sqlx::raw_sql(sql).execute(&mut stranger).await.unwrap_err();
        assert!(error.to_string().contains("only ever added to"), "{error}");
    }
    assert_eq!(verified(&store, ORG).await.number, 1);
}
