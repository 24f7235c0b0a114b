use std::collections::BTreeMap;

use account::{Cause, Counts, Labels, Nano, Timestamp, Zone};
use proptest::prelude::*;
use store::{Apart, Bucket, Change, Config, Organisation, Part, Store, UsageRow, UsageSum};

use crate::stage::*;

fn labels(end_user: Option<&str>, tags: &[(&str, &str)]) -> Labels {
    let tags = tags.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Labels::new(end_user, tags.collect()).unwrap()
}

fn labelled(labels: Labels) -> UsageRow {
    UsageRow { labels, ..usage(Cause::Finished, Counts::tokens(1, 0, 1)) }
}

/// Requests by value; the sums of what is not told apart are under `None`.
async fn rows_by(store: &Store, bucket: Bucket, apart: Apart<'_>) -> BTreeMap<Option<String>, u64> {
    let mut rows = BTreeMap::new();
    for sum in used(store, Zone::UTC, bucket, apart).await {
        let Part::Value(value) = sum.part else { panic!("a sum by key: {sum:?}") };
        *rows.entry(value.map(String::from)).or_default() += sum.rows;
    }
    rows
}

fn of(value: &str, rows: u64) -> (Option<String>, u64) {
    (Some(value.to_owned()), rows)
}

#[tokio::test]
async fn beyond_a_thousand_values_a_day_the_rest_is_one_sum() {
    let (_folder, store) = furnished(Config::default()).await;
    let rows = (0..1003).flat_map(|number| {
        let row = || labelled(labels(Some(&format!("u{number}")), &[("constant", "c")]));
        [row(), row()]
    });
    for settled in futures::future::join_all(rows.map(|row| settle(&store, row))).await {
        settled.unwrap();
    }
    for bucket in [Bucket::Hour, Bucket::Day] {
        let users = rows_by(&store, bucket, Apart::EndUser).await;
        assert_eq!((users.len(), users[&None], users.values().sum::<u64>()), (1001, 6, 2006));
        assert_eq!(rows_by(&store, bucket, Apart::Tag("constant")).await, [of("c", 2006)].into());
    }
    // Another day has its own thousand.
    let mut row = labelled(labels(Some("another"), &[]));
    row.settlement.admitted = NOW.after(std::time::Duration::from_secs(86_400));
    settle(&store, row).await.unwrap();
    assert_eq!(rows_by(&store, Bucket::Day, Apart::EndUser).await[&Some("another".into())], 1);
}

#[tokio::test]
async fn of_too_many_tags_a_day_the_rest_stays_with_the_requests() {
    let (_folder, store) = furnished(Config::default()).await;
    for first in (0..112).step_by(16) {
        let names: Vec<String> = (first..first + 16).map(|number| format!("t{number:03}")).collect();
        let tags: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
        let row = labelled(labels(Some("u"), &tags));
        settle(&store, row.clone()).await.unwrap();
        assert_eq!(store.request(ORG, row.request).await.unwrap().unwrap().labels, row.labels);
    }
    assert_eq!(rows_by(&store, Bucket::Day, Apart::Tag("t098")).await, [of("v", 1)].into());
    assert!(rows_by(&store, Bucket::Day, Apart::Tag("t111")).await.is_empty());
    assert_eq!(rows_by(&store, Bucket::Day, Apart::EndUser).await, [of("u", 7)].into());
}

#[tokio::test]
async fn who_is_erased_is_in_no_row_and_every_sum_stays() {
    let (_folder, store) = furnished(Config::default()).await;
    let mut rows: Vec<UsageRow> = (0..1200)
        .map(|number| {
            labelled(labels(Some("alice-of-nowhere"), &[("mail", "alice@example.org"), ("env", "prod")])).later(number)
        })
        .collect();
    rows.extend(
        (0..3)
            .map(|number| labelled(labels(Some("bob"), &[("mail", "bob@example.org"), ("env", "prod")])).later(number)),
    );
    rows.push(labelled(labels(None, &[("env", "test")])));
    for settled in futures::future::join_all(rows.iter().map(|row| settle(&store, row.clone()))).await {
        settled.unwrap();
    }
    let (head, before) = (verified(&store, ORG).await, sums(&store).await);
    assert_eq!(store.erase_end_user(OTHER_ORG, "alice-of-nowhere", act()).await.unwrap(), 0, "of another organisation");
    assert_eq!(store.erase_end_user(ORG, "alice-of-nowhere", act()).await.unwrap(), 1200);
    assert_eq!(store.erase_end_user(ORG, "alice-of-nowhere", act()).await.unwrap(), 0);

    assert_eq!(rows_by(&store, Bucket::Day, Apart::EndUser).await, [(None, 1200), of("bob", 3)].into());
    assert_eq!(
        rows_by(&store, Bucket::Hour, Apart::Tag("mail")).await,
        [(None, 1200), of("bob@example.org", 3)].into()
    );
    // What others are tagged with stays.
    assert_eq!(rows_by(&store, Bucket::Day, Apart::Tag("env")).await, [of("prod", 1203), of("test", 1)].into());
    let record = store.request(ORG, rows[0].request).await.unwrap().unwrap();
    assert_eq!((record.labels, record.charge), (Labels::default(), rows[0].settlement.charge));
    assert_eq!(store.request(ORG, rows[1200].request).await.unwrap().unwrap().labels, rows[1200].labels);
    assert_eq!((verified(&store, ORG).await, sums(&store).await), (head, before));
    let entry = &store.audit(Some(ORG), None, 1).await.unwrap()[0];
    assert_eq!(&*entry.action, "end_user.erase");
}

#[tokio::test]
async fn a_value_of_a_tag_is_erased_and_nothing_beside_it() {
    let (_folder, store) = furnished(Config::default()).await;
    let hostile = "na\"me' $.[0]";
    let mut rows: Vec<UsageRow> = (0..1100)
        .map(|number| {
            labelled(labels(Some("alice"), &[(hostile, "gone"), ("env", "gone"), ("Env", "x")])).later(number)
        })
        .collect();
    rows.push(labelled(labels(Some("bob"), &[(hostile, "kept")])));
    rows.push(labelled(labels(Some("bob"), &[(hostile, "gone")])));
    for settled in futures::future::join_all(rows.iter().map(|row| settle(&store, row.clone()))).await {
        settled.unwrap();
    }
    let (head, before) = (verified(&store, ORG).await, sums(&store).await);
    assert_eq!(store.erase_tag(OTHER_ORG, hostile, "gone", act()).await.unwrap(), 0, "of another organisation");
    assert_eq!(store.erase_tag(ORG, hostile, "gone", act()).await.unwrap(), 1101);
    assert_eq!(store.erase_tag(ORG, hostile, "gone", act()).await.unwrap(), 0);

    for bucket in [Bucket::Hour, Bucket::Day] {
        assert_eq!(rows_by(&store, bucket, Apart::Tag(hostile)).await, [(None, 1101), of("kept", 1)].into());
        // Another tag with the same value, and who the requests were for, stay.
        assert_eq!(rows_by(&store, bucket, Apart::Tag("env")).await, [of("gone", 1100)].into());
        assert_eq!(rows_by(&store, bucket, Apart::EndUser).await, [of("alice", 1100), of("bob", 2)].into());
    }
    let of_row = async |row: &UsageRow| store.request(ORG, row.request).await.unwrap().unwrap().labels;
    assert_eq!(of_row(&rows[0]).await, labels(Some("alice"), &[("env", "gone"), ("Env", "x")]));
    assert_eq!(of_row(&rows[1100]).await, rows[1100].labels);
    assert_eq!(of_row(&rows[1101]).await, labels(Some("bob"), &[]));
    assert_eq!((verified(&store, ORG).await, sums(&store).await), (head, before));
    let entry = &store.audit(Some(ORG), None, 1).await.unwrap()[0];
    assert_eq!(&*entry.action, "tag.erase");
    assert!(!format!("{entry:?}").contains("gone"));
}

trait Later {
    fn later(self, seconds: u64) -> Self;
}

impl Later for UsageRow {
    /// Let in so much later, over some days.
    fn later(mut self, number: u64) -> Self {
        self.settlement.admitted = NOW.after(std::time::Duration::from_secs(number * 200));
        self
    }
}

/// What tells a row apart from others; none leaves it out.
type PartOf = dyn Fn(&UsageRow) -> Option<Part>;

fn any_end() -> impl Strategy<Value = UsageRow> {
    let word = || prop::option::of(prop::sample::select(vec!["", "a", "b", "ü"]));
    (0_u64..1000, 0_u64..1000, 0_i64..400, 0_u8..3, word(), word(), word()).prop_map(
        |(prompt, output, quarters, model, end_user, one, other)| {
            let mut row = usage(Cause::Finished, Counts::tokens(prompt, prompt / 3, output));
            row.settlement.admitted = Timestamp::from_millis(NOW.as_millis() + quarters * 450_000);
            row.model = format!("m{model}").into();
            let tags: Vec<_> = [("one", one), ("other", other)]
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| (name, value)))
                .collect();
            row.labels = labels(end_user, &tags);
            row
        },
    )
}

/// The slow and obvious sums.
fn expected(
    rows: &[UsageRow],
    start: impl Fn(Timestamp) -> Timestamp,
    part: impl Fn(&UsageRow) -> Option<Part>,
) -> Vec<UsageSum> {
    let mut sums: BTreeMap<_, (u64, Counts, Nano)> = BTreeMap::new();
    for row in rows {
        let Some(part) = part(row) else { continue };
        let sum = sums.entry((start(row.settlement.admitted), part, row.model.clone())).or_default();
        let charge = [sum.2, row.settlement.charge].into_iter().sum();
        *sum = (sum.0 + 1, sum.1.plus(&row.settlement.counts), charge);
    }
    let sum = |((start, part, model), (rows, counts, charge))| UsageSum {
        start,
        project: PROJECT,
        part,
        model,
        rows,
        counts,
        charge,
    };
    sums.into_iter().map(sum).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Every sum, by hour, day and month of the organisation's time zone, over all requests and by label, is that of its rows.
    #[test]
    fn sums_equal_the_rows_in_every_period_and_part(ends in prop::collection::vec(any_end(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = open(&folder).await;
            let zone = Zone::parse("Asia/Kathmandu").unwrap();
            apply(&store, Change::AddOrganisation(Organisation { zone: zone.clone(), ..organisation(ORG, "one") })).await;
            for settled in futures::future::join_all(ends.iter().map(|row| settle(&store, row.clone()))).await {
                settled.unwrap();
            }
            let user = |row: &UsageRow| row.labels.end_user().map(|name| Part::Value(Some(name.into())));
            let tag = |row: &UsageRow| row.labels.tags().get("one").map(|value| Part::Value(Some(value.clone())));
            for bucket in [Bucket::Hour, Bucket::Day, Bucket::Month] {
                let parts: [(Apart<'_>, &PartOf); 3] =
                    [(Apart::Key, &|row| Some(Part::Key(row.tenant.key))), (Apart::EndUser, &user), (Apart::Tag("one"), &tag)];
                for (apart, part) in parts {
                    let sums = used(&store, zone.clone(), bucket, apart).await;
                    assert_eq!(sums, expected(&ends, |moment| bucket.of(moment, &zone).start, part), "{bucket:?} {apart:?}");
                }
            }
        });
    }
}
