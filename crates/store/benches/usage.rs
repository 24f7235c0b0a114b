//! How long a usage report of ten million requests takes: `cargo bench -p store --bench usage`.
//!
//! One organisation's month: requests come by day and night as offices ask, most of them with few of the keys. Only sums are
//! filled in; `USAGE_REQUESTS` sets another number of requests. Every report is also checked: it has all requests.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use account::{Billing, Name, OrgId, Timestamp, Zone};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use store::{Act, Apart, Bucket, Change, Config, Organisation, Store, UsageOf};

const ORG: OrgId = OrgId::from_bytes([1; 16]);

/// 2026-01-31T23:00:00Z: a month begins in Berlin.
const START: i64 = 1_769_900_400_000;

const DAYS: u64 = 28;
const DAY: u64 = 86_400_000;
const KEYS: u64 = 60;
const PROJECTS: u64 = 12;
const MODELS: u64 = 5;
const END_USERS: u64 = 20_000;
const TAG_VALUES: u64 = 8;

/// Rows of one report are read so often; the median counts.
const TURNS: usize = 7;

/// Random numbers with a fixed seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Small numbers more often than large ones.
    fn skewed(&mut self, bound: u64) -> u64 {
        let first = self.below(bound);
        let second = self.below(bound);
        let third = self.below(bound);
        first.min(second).min(third)
    }

    /// A moment of a month, more often by day than by night.
    fn moment(&mut self) -> u64 {
        let (day, hour) = (self.below(DAYS), (self.below(24) + self.below(24) + 5) / 2 % 24);
        day * DAY + hour * 3_600_000 + self.below(3_600_000)
    }
}

#[derive(Default)]
struct Filled {
    /// By start of the quarter of an hour, key and model; and by day.
    quarters: HashMap<(u64, u64, u64), u64>,
    days: HashMap<(u64, u64, u64), u64>,
    /// By day, tag, value, project and model.
    labels: HashMap<(u64, bool, u64, u64, u64), u64>,
}

#[expect(clippy::print_stdout, reason = "the result of a benchmark")]
fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let usual = if is_test { 20_000 } else { 10_000_000 };
    let requests: u64 = std::env::var("USAGE_REQUESTS").map_or(usual, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(folder.path(), Config::default()).await.expect("a store");
        let zone = Zone::parse("Europe/Berlin").expect("a zone");
        let organisation =
            Organisation { id: ORG, name: Name::default_name(), zone: zone.clone(), billing: Billing::Postpaid };
        let act = Act { actor: "bench".into(), at: store::now(), before: None, after: None, address: None };
        store.apply(Change::AddOrganisation(organisation), act, None).await.expect("a change");
        let rows = fill(folder.path(), requests).await;
        println!(
            "{requests} requests of {DAYS} days in {} sums by quarter of an hour, {} by day, {} by label",
            rows[0], rows[1], rows[2]
        );
        let whole = Duration::from_millis(DAYS * DAY);
        let (day, tag) = (Duration::from_millis(DAY), Apart::Tag("env"));
        for (what, length, bucket, apart) in [
            ("the month by key and model", whole, Bucket::Month, Apart::Key),
            ("its days by key and model", whole, Bucket::Day, Apart::Key),
            ("a week's hours by key and model", day * 7, Bucket::Hour, Apart::Key),
            ("a day's hours by key and model", day, Bucket::Hour, Apart::Key),
            ("the month by a tag", whole, Bucket::Month, tag),
            ("its days by a tag", whole, Bucket::Day, tag),
            ("the month by end user", whole, Bucket::Month, Apart::EndUser),
            ("its days by end user", whole, Bucket::Day, Apart::EndUser),
        ] {
            let from = Timestamp::from_millis(START);
            let asked =
                UsageOf { org: ORG, zone: zone.clone(), from, until: from.after(length), bucket, apart, most: 200_000 };
            let mut times = Vec::new();
            let mut sums = Vec::new();
            for _ in 0..TURNS {
                let begin = Instant::now();
                sums = store.usage(asked.clone()).await.expect("a report");
                times.push(begin.elapsed());
            }
            let counted: u64 = sums.iter().map(|sum| sum.rows).sum();
            assert!(length < whole || counted == requests, "{counted} of {requests} requests are in the report");
            times.sort();
            println!("{what:>32}: {:7.1} ms, {} sums", times[TURNS / 2].as_secs_f64() * 1000.0, sums.len());
        }
        store.close().await;
    });
}

/// Fills in the sums of so many requests; returns how many sums there are.
async fn fill(folder: &Path, requests: u64) -> [usize; 3] {
    let (mut random, mut filled) = (Random(88_172_645_463_325_252), Filled::default());
    for _ in 0..requests {
        let (moment, key, model) = (random.moment(), random.skewed(KEYS), random.skewed(MODELS));
        let (day, project) = (moment / DAY, key % PROJECTS);
        *filled.quarters.entry((moment / 900_000, key, model)).or_default() += 1;
        *filled.days.entry((day, key, model)).or_default() += 1;
        // An end user belongs to a project and is one of the thousand that are told apart or of the rest.
        let user = (random.skewed(END_USERS / PROJECTS) * PROJECTS + project).min(1000);
        *filled.labels.entry((day, true, user, project, model)).or_default() += 1;
        *filled.labels.entry((day, false, random.skewed(TAG_VALUES), project, model)).or_default() += 1;
    }
    let file = SqliteConnectOptions::new().filename(folder.join("modelworks.db")).foreign_keys(false);
    let connection = &mut file.connect().await.expect("the file");
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await.expect("a transaction");
    write(connection, &filled).await.expect("rows");
    sqlx::raw_sql("COMMIT; ANALYZE").execute(connection).await.expect("a commit");
    [filled.quarters.len(), filled.days.len(), filled.labels.len()]
}

async fn write(connection: &mut SqliteConnection, filled: &Filled) -> Result<(), sqlx::Error> {
    let start = |number: u64, length: u64| START + (number * length) as i64;
    let id = |number: u64| vec![number as u8; 16];
    let name = |model: u64| format!("model-{model}");
    for ((quarter, key, model), rows) in &filled.quarters {
        sqlx::query(
            "INSERT INTO rollups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6 * 700, ?6 * 300, ?6 * 200, 0, 0, ?6, ?6 * 12345)",
        )
        .bind(&ORG.as_bytes()[..])
        .bind(start(*quarter, 900_000))
        .bind(id(key % PROJECTS))
        .bind(id(*key))
        .bind(name(*model))
        .bind(*rows as i64)
        .execute(&mut *connection)
        .await?;
    }
    for ((day, key, model), rows) in &filled.days {
        sqlx::query(
            "INSERT INTO days VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6 * 700, ?6 * 300, ?6 * 200, 0, 0, ?6, ?6 * 12345)",
        )
        .bind(&ORG.as_bytes()[..])
        .bind(start(*day, DAY))
        .bind(id(key % PROJECTS))
        .bind(id(*key))
        .bind(name(*model))
        .bind(*rows as i64)
        .execute(&mut *connection)
        .await?;
    }
    for ((day, of_user, value, project, model), rows) in &filled.labels {
        let (tag, text) = if *of_user { ("", format!("user-{value}")) } else { ("env", format!("value-{value}")) };
        sqlx::query("INSERT INTO labels (org, tag, day, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(&ORG.as_bytes()[..])
            .bind(tag)
            .bind(start(*day, DAY))
            .bind(&text)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "INSERT INTO label_days SELECT id, ?5, ?6, ?7, ?7 * 700, ?7 * 300, ?7 * 200, 0, 0, ?7, ?7 * 12345 FROM labels
             WHERE org = ?1 AND tag = ?2 AND day = ?3 AND value = ?4",
        )
        .bind(&ORG.as_bytes()[..])
        .bind(tag)
        .bind(start(*day, DAY))
        .bind(&text)
        .bind(id(*project))
        .bind(name(*model))
        .bind(*rows as i64)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
