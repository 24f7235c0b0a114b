//! Rows of earlier versions are taken over. What this version writes is the measure: the same rows, written by it and brought up
//! from an earlier schema, come to the same.

use std::path::Path;

use account::{Cause, Counts, Nano, Owner, Period, Service, Timestamp, Zone, ledger::Terms};
use sqlx::{ConnectOptions, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use store::{Apart, Bucket, Change, Config, Correction, Organisation, Store};

use crate::stage::*;

/// What led to each version that was released.
const STEPS: [&str; 5] = [
    include_str!("../../src/migrations/1.sql"),
    include_str!("../../src/migrations/2.sql"),
    include_str!("../../src/migrations/3.sql"),
    include_str!("../../src/migrations/4.sql"),
    include_str!("../../src/migrations/5.sql"),
];

/// The first version that sums by day and lists corrections.
const WITH_DAYS: usize = 5;

/// The file of a data folder as a version left it that knew so many steps.
async fn at_version(folder: &Path, version: usize) -> SqliteConnection {
    let file = SqliteConnectOptions::new().filename(folder.join("modelworks.db")).create_if_missing(true);
    let mut connection = file.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE schema_version (version INTEGER NOT NULL)").execute(&mut connection).await.unwrap();
    for (place, step) in STEPS.iter().take(version).enumerate() {
        sqlx::raw_sql(*step).execute(&mut connection).await.unwrap();
        let noted = sqlx::query("INSERT INTO schema_version VALUES (?)").bind(place as i64 + 1);
        noted.execute(&mut connection).await.unwrap();
    }
    connection
}

/// All rows of a query, as text, to be compared.
async fn rows(folder: &Path, query: &'static str) -> Vec<String> {
    let file = SqliteConnectOptions::new().filename(folder.join("modelworks.db"));
    let mut connection = file.connect().await.unwrap();
    let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

const DAYS: &str =
    "SELECT format('%s %d %s %s %s %d %d %d %d %d %d %d %d', hex(org), day, hex(project), hex(key), model, rows,
    input, cached_input, output, seconds, images, requests, charge) FROM days ORDER BY 1";
const CORRECTIONS: &str = "SELECT format('%s %d %d %d %d', hex(org), corrects, number, amount, agreed) FROM corrections
    ORDER BY 1";

/// Where days begin at 18:15 UTC, so that quarters of one UTC day, and one of its hours, belong to two days.
fn zone() -> Zone {
    Zone::parse("Asia/Kathmandu").unwrap()
}

/// A store with some days of usage and corrections, written by this version.
async fn written(folder: &Path) -> Store {
    let store = Store::open(folder, Config::default()).await.unwrap();
    apply(&store, Change::AddOrganisation(Organisation { zone: zone(), ..organisation(ORG, "one") })).await;
    apply(&store, Change::AddOrganisation(organisation(OTHER_ORG, "other"))).await;
    for number in 0..400_i64 {
        let counts = Counts::tokens(number.unsigned_abs(), number.unsigned_abs() / 3, 7);
        let mut row = usage(Cause::Finished, counts);
        row.settlement.admitted = Timestamp::from_millis(NOW.as_millis() + number * 450_000);
        row.model = format!("m{}", number % 3).into();
        if number % 10 == 0 {
            row.tenant.org = OTHER_ORG;
        }
        settle(&store, row).await.unwrap();
    }
    let terms = Terms::of(PRICE, &price(), Service::Standard, Counts::tokens(1, 0, 1));
    for (corrects, terms, amount) in
        [(3, None, 5), (4, Some(terms), -7), (3, Some(terms), 0), (361, None, i64::MIN / 4)]
    {
        let correction = Correction { org: ORG, corrects, terms, amount: Nano::new(amount) };
        apply(&store, Change::Correct(correction)).await;
    }
    let other = Correction { org: OTHER_ORG, corrects: 1, terms: None, amount: Nano::new(1) };
    apply(&store, Change::Correct(other)).await;
    store
}

#[tokio::test]
async fn usage_by_quarters_of_an_hour_is_summed_by_the_days_of_the_organisation_and_corrections_are_found_in_the_ledger()
 {
    let (new, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = written(new.path()).await;
    let reports = async |store: &Store| {
        let mut reports = Vec::new();
        for bucket in [Bucket::Hour, Bucket::Day, Bucket::Month] {
            reports.push(used(store, zone(), bucket, Apart::Key).await);
        }
        let spent = [store.spent(ORG, zone().day(NOW)).await.unwrap(), store.spent(ORG, Period::EVER).await.unwrap()];
        (reports, spent)
    };
    let expect = reports(&store).await;
    store.close().await;

    let mut connection = at_version(old.path(), WITH_DAYS - 1).await;
    let path = new.path().join("modelworks.db");
    sqlx::query("ATTACH ? AS written").bind(path.to_str().unwrap()).execute(&mut connection).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO organisations SELECT id, name, zone, billing, created FROM written.organisations;
         INSERT INTO rollups (org, quarter, project, key, model, rows, input, cached_input, output, seconds, images, requests,
                              charge)
             SELECT org, quarter, project, key, model, rows, input, cached_input, output, seconds, images, requests, charge
             FROM written.rollups;
         INSERT INTO ledger (org, number, line, hash, balance, at)
             SELECT org, number, line, hash, balance, at FROM written.ledger;",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    drop(connection);
    assert_eq!(rows(old.path(), "SELECT name FROM sqlite_schema WHERE name IN ('days', 'corrections')").await, [""; 0]);

    let store = Store::open(old.path(), Config::default()).await.unwrap();
    assert_eq!(reports(&store).await, expect);
    for (query, least) in [(DAYS, 8), (CORRECTIONS, 5)] {
        let taken_over = rows(old.path(), query).await;
        assert!(taken_over.len() >= least, "{taken_over:?}");
        assert_eq!(taken_over, rows(new.path(), query).await);
    }
    // What comes now is added to what was taken over.
    settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 1))).await.unwrap();
    let (_, [day, _]) = reports(&store).await;
    let more = day[&Owner::Organisation(ORG)].get() - expect.1[0][&Owner::Organisation(ORG)].get();
    assert_eq!(more, price().cost(&Counts::tokens(1, 0, 1), Service::Standard).unwrap().get());
}

/// From each version that was released, with the rows that every one of them has.
#[tokio::test]
async fn rows_of_every_released_schema_are_taken_over() {
    for version in 1..=STEPS.len() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = at_version(folder.path(), version).await;
        sqlx::raw_sql(
            "INSERT INTO organisations VALUES (x'01010101010101010101010101010101', 'one', 'UTC', 'prepaid', 5);
             INSERT INTO projects VALUES (x'03030303030303030303030303030303', x'01010101010101010101010101010101', 'p', 6);
             INSERT INTO keys (id, org, project, name, scopes, all_models, created)
                 VALUES (x'04040404040404040404040404040404', x'01010101010101010101010101010101',
                         x'03030303030303030303030303030303', 'k', 'inference', 1, 7);
             INSERT INTO secrets VALUES (zeroblob(32), x'04040404040404040404040404040404', NULL);
             INSERT INTO limits VALUES (x'01010101010101010101010101010101', 'key', x'04040404040404040404040404040404',
                                        'budget_day', 9);",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        drop(connection);
        let store = Store::open(folder.path(), Config::default()).await.unwrap();
        assert_eq!(store.organisation(ORG).await.unwrap().unwrap().what, organisation(ORG, "one"), "version {version}");
        let keys = store.keys().await.unwrap();
        assert_eq!((keys.len(), keys[0].id, keys[0].owner), (1, KEY, None), "version {version}");
        assert_eq!(store.limits().await.unwrap().len(), 1);
        assert_eq!(
            (store.codes(None, 10).await.unwrap(), store.webhook_page(ORG, None, 10).await.unwrap()),
            (vec![], vec![])
        );
        settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 1))).await.unwrap();
        verified(&store, ORG).await;
    }
}
