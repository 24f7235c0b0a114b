use account::{Cause, Counts, Nano, Payer, ledger::CreditSource};
use proptest::prelude::*;
use store::{Change, Config, Credit, OpenRequest, Settled, UsageRow};

use crate::stage::*;

fn begun(row: &UsageRow) -> OpenRequest {
    OpenRequest { request: row.request, tenant: row.tenant, model: row.model.clone(), admitted: NOW }
}

#[tokio::test]
async fn a_request_is_settled_once_however_often_it_is_handed_over() {
    let (_folder, store) = furnished(Config::default()).await;
    let row = usage(Cause::Finished, Counts::tokens(10, 4, 20));
    let handed = (0..20).map(|_| settle(&store, row.clone()));
    let handed: Vec<Settled> = futures::future::join_all(handed).await.into_iter().map(Result::unwrap).collect();
    let written: Vec<_> = handed.iter().filter(|settled| **settled != Settled::Already).collect();
    assert_eq!(written, [&Settled::Written { line: Some(1) }]);
    assert_eq!(settle(&store, row.clone()).await.unwrap(), Settled::Already);
    assert_eq!(verified(&store, ORG).await.balance, Nano::new(-75));
    let sums = sums(&store).await;
    assert_eq!(sums.len(), 1);
    assert_eq!((sums[0].rows, sums[0].counts, sums[0].charge), (1, row.settlement.counts, Nano::new(75)));
    let record = store.request(ORG, row.request).await.unwrap().unwrap();
    assert_eq!((record.line, record.charge, record.cause), (Some(1), Nano::new(75), Cause::Finished));
    assert_eq!(store.request(OTHER_ORG, row.request).await.unwrap(), None, "it is nobody else's");
}

#[tokio::test]
async fn what_nobody_pays_has_a_row_and_no_line() {
    let (_folder, store) = furnished(Config::default()).await;
    for cause in Cause::ALL {
        let row = usage(cause, Counts::tokens(10, 0, 1));
        let settled = settle(&store, row.clone()).await.unwrap();
        let Settled::Written { line } = settled else { panic!("{settled:?}") };
        assert_eq!(line.is_some(), cause.payer() == Payer::Caller, "{cause:?}");
        assert_eq!(store.request(ORG, row.request).await.unwrap().unwrap().cause, cause);
    }
    // Such as a quote.
    let Settled::Written { line } = settle(&store, usage(Cause::Finished, Counts::default())).await.unwrap() else {
        panic!("it was there")
    };
    assert_eq!(line, None, "nothing was used");
    let paid = Cause::ALL.into_iter().filter(|cause| cause.payer() == Payer::Caller).count();
    assert_eq!(verified(&store, ORG).await.number, paid as u64);
}

#[tokio::test]
async fn a_settlement_that_the_ledger_cannot_take_does_not_stop_the_others() {
    let (_folder, store) = furnished(Config::default()).await;
    let lowest = Nano::new(i64::MIN);
    let debt = Credit { org: ORG, source: CreditSource::Grant, external_id: "debt".into(), amount: lowest };
    apply(&store, Change::AddCredit(debt)).await;
    let mut of_other = usage(Cause::Finished, Counts::tokens(1, 0, 0));
    of_other.tenant.org = OTHER_ORG;
    let (one, other) =
        tokio::join!(settle(&store, usage(Cause::Finished, Counts::tokens(1, 0, 0))), settle(&store, of_other));
    assert!(matches!(one, Err(store::Error::Ledger(_))), "{one:?}");
    assert_eq!(other.unwrap(), Settled::Written { line: Some(1) });
}

#[tokio::test]
async fn requests_that_a_crash_left_open_end_with_a_reason_and_nobody_pays() {
    let (folder, store) = furnished(Config::default()).await;
    let (left, done) =
        (usage(Cause::Finished, Counts::tokens(9, 0, 9)), usage(Cause::Finished, Counts::tokens(1, 0, 1)));
    let mut slot = store.reserve().unwrap();
    slot.open(begun(&left));
    let mut other = store.reserve().unwrap();
    other.open(begun(&done));
    // Whatever the writer does after this has both beginnings behind it.
    apply(
        &store,
        Change::AddUser(store::User { id: account::UserId::from_bytes([1; 16]), email: "a".into(), operator: false }),
    )
    .await;
    other.settle(done.clone()).await.unwrap().unwrap();
    drop(slot);
    store.close().await;

    let store = open(&folder).await;
    let later = NOW.after(std::time::Duration::from_secs(60));
    assert_eq!(store.resolve_open_requests(later).await.unwrap(), 1);
    assert_eq!(store.resolve_open_requests(later).await.unwrap(), 0);
    let record = store.request(ORG, left.request).await.unwrap().unwrap();
    assert_eq!((record.cause, record.charge, record.admitted, record.ended), (Cause::Crashed, Nano::ZERO, NOW, later));
    assert_eq!(settle(&store, left).await.unwrap(), Settled::Already);
    assert_eq!(verified(&store, ORG).await.number, 1);
}

#[tokio::test]
async fn places_are_bounded_and_come_back() {
    let (_folder, store) = furnished(Config { max_open_requests: 2, ..Config::default() }).await;
    let (one, other) = (store.reserve().unwrap(), store.reserve().unwrap());
    assert!(matches!(store.reserve().map(drop), Err(store::Error::NotDurable)));
    drop(one);
    let again = store.reserve().unwrap();
    assert!(store.reserve().is_err());
    other.settle(usage(Cause::Finished, Counts::tokens(1, 0, 1))).await.unwrap().unwrap();
    assert!(store.reserve().is_ok());
    drop(again);
}

fn any_end() -> impl Strategy<Value = UsageRow> {
    let cause = prop::sample::select(Cause::ALL.to_vec());
    (cause, 0_u64..1000, 0_u64..1000, 0_u64..1000, 0_i64..8, 0_u8..3).prop_map(
        |(cause, prompt, cached, output, quarters, model)| {
            let mut row = usage(cause, Counts::tokens(prompt, cached, output));
            row.settlement.admitted = account::Timestamp::from_millis(NOW.as_millis() + quarters * 450_000);
            row.model = format!("m{model}").into();
            row
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Sums are those of the rows, charges those of the ledger, and every line verifies: whatever is settled, in groups as
    /// they come, some of it twice.
    #[test]
    fn sums_equal_the_rows_and_the_ledger_equals_the_charges(
        ends in prop::collection::vec(any_end(), 1..120), again in prop::collection::vec(0_usize..120, 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, store) = furnished(Config::default()).await;
            let twice = again.iter().filter_map(|at| ends.get(*at));
            let all = ends.iter().chain(twice).map(|row| settle(&store, row.clone()));
            for settled in futures::future::join_all(all).await {
                settled.unwrap();
            }
            let charges: i64 = ends.iter().map(|row| row.settlement.charge.get()).sum();
            assert_eq!(verified(&store, ORG).await.balance, Nano::new(-charges));
            let sums = sums(&store).await;
            for sum in &sums {
                let until = sum.start.as_millis() + 3_600_000;
                let mine = ends.iter().filter(|row| {
                    let admitted = row.settlement.admitted.as_millis();
                    row.model == sum.model && (sum.start.as_millis()..until).contains(&admitted)
                });
                let counts = mine.clone().fold(Counts::default(), |sum, row| sum.plus(&row.settlement.counts));
                assert_eq!((sum.rows, sum.counts), (mine.clone().count() as u64, counts));
                assert_eq!(sum.charge, mine.map(|row| row.settlement.charge).sum());
            }
            assert_eq!(sums.iter().map(|sum| sum.rows).sum::<u64>(), ends.len() as u64);
        });
    }
}
