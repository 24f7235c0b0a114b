use proptest::prelude::*;

use super::{twin::Twin, *};
use crate::{KeyId, PerClass, ProjectId, Rates};

const ORG: OrgId = OrgId::from_bytes([1; 16]);

/// One of four keys: two projects with two keys each, in one organisation.
fn tenant(number: u8) -> Tenant {
    let project = ProjectId::from_bytes([number / 2; 16]);
    Tenant { org: ORG, project, key: KeyId::from_bytes([number; 16]) }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn price(input: i64, cached: i64, output: i64) -> Price {
    let rates = [input, cached, output, 0, 0, 0].map(|nano| Nano::new(nano * 1_000_000));
    Price::new(PerClass(rates), 500).unwrap()
}

fn ask(price: Price, prompt: u64, output: Output) -> Ask {
    Ask { price, service: Service::Standard, fixed: Counts::tokens(prompt, 0, 0), output }
}

fn meter(limits: Limits) -> Meter {
    let mut meter = Meter::default();
    meter.set_limits(Owner::Project(tenant(0).project), limits);
    meter
}

#[test]
fn two_hundred_at_once_against_a_hundred_a_minute_admit_a_hundred() {
    let meter = meter(Limits { requests_per_minute: Some(100), ..Limits::default() });
    let meter = std::sync::Mutex::new(meter);
    let admitted = std::sync::Mutex::new(Vec::new());
    let refused = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..200 {
            let (meter, admitted, refused) = (&meter, &admitted, &refused);
            scope.spawn(move || match meter.lock().unwrap().enter(tenant(number % 2), at(59_500)) {
                Ok(ticket) => admitted.lock().unwrap().push(ticket),
                Err(refusal) => refused.lock().unwrap().push(refusal),
            });
        }
    });
    assert_eq!(admitted.lock().unwrap().len(), 100);
    for refusal in refused.into_inner().unwrap() {
        assert_eq!(refusal.standing.limit, LimitKind::RequestsPerMinute);
        assert_eq!(refusal.standing.owner, Owner::Project(tenant(0).project));
        assert_eq!(refusal.standing.resets, Resets::At(at(120_000)));
        assert!(refusal.is_spent());
    }
    let mut meter = meter.into_inner().unwrap();
    assert!(meter.enter(tenant(0), at(119_999)).is_err());
    assert!(meter.enter(tenant(0), at(120_000)).is_ok());
}

#[test]
fn a_budget_for_ten_requests_of_known_cost_runs_ten() {
    let price = price(1, 1, 2);
    let each = 10 + 2 * 1000;
    let mut meter = meter(Limits { budget_day: Some(Nano::new(10 * each)), ..Limits::default() });
    let mut tickets = Vec::new();
    for number in 0..30 {
        let ticket = meter.enter(tenant(0), at(0)).unwrap();
        match meter.lease(&ticket, ask(price, 10, Output::Exactly(1000)), at(0)) {
            Ok(granted) => {
                assert_eq!(granted, 1000);
                tickets.push(ticket);
            }
            Err(LeaseError::OverLimit(refusal)) => {
                assert!(!refusal.is_spent(), "{number}: {refusal}");
                assert_eq!(refusal.standing.resets, Resets::WhenRunningEnd);
                meter.settle(ticket, Cause::Refused, &Counts::default(), at(0));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(tickets.len(), 10);
    for ticket in tickets {
        let settlement = meter.settle(ticket, Cause::Length, &Counts::tokens(10, 0, 1000), at(0)).unwrap();
        assert_eq!(settlement.charge, Nano::new(each));
    }
    let ticket = meter.enter(tenant(0), at(0)).unwrap();
    let error = meter.lease(&ticket, ask(price, 1, Output::AtMost(1)), at(0)).unwrap_err();
    let LeaseError::OverLimit(refusal) = error else { panic!("{error}") };
    assert!(refusal.is_spent());
    assert_eq!(refusal.standing.resets, Resets::At(at(86_400_000)));
    meter.settle(ticket, Cause::Refused, &Counts::default(), at(0));
    assert_eq!(meter.open_requests(), 0);
}

#[test]
fn a_stream_gets_what_the_budget_holds_and_not_a_token_more() {
    let mut meter = meter(Limits { budget_ever: Some(Nano::new(10 + 2 * 300 + 1)), ..Limits::default() });
    let ticket = meter.enter(tenant(0), at(0)).unwrap();
    let asked = ask(price(1, 0, 2), 10, Output::AtMost(100_000));
    assert_eq!(meter.lease(&ticket, asked, at(0)), Ok(256));
    assert_eq!(meter.renew(&ticket, 200, at(0)), Ok(300));
    assert!(matches!(meter.renew(&ticket, 300, at(0)), Err(LeaseError::OverLimit(_))));
    // An engine that runs on is not paid for it.
    let settlement = meter.settle(ticket, Cause::Budget, &Counts::tokens(10, 0, 9999), at(0)).unwrap();
    assert_eq!(settlement.counts, Counts::tokens(10, 0, 300));
    assert_eq!(settlement.charge, Nano::new(610));
}

#[test]
fn what_the_installation_broke_is_free_and_what_the_client_left_is_not() {
    for cause in Cause::ALL {
        let mut meter = meter(Limits::default());
        meter.set_organisation(ORG, Zone::UTC, Billing::Prepaid);
        meter.credit(ORG, Nano::new(1000));
        let ticket = meter.enter(tenant(0), at(0)).unwrap();
        meter.lease(&ticket, ask(price(1, 1, 1), 10, Output::AtMost(90)), at(0)).unwrap();
        assert_eq!(meter.balance(ORG), (Nano::new(1000), Nano::new(100)));
        meter.settle(ticket, cause, &Counts::tokens(10, 5, 20), at(0));
        let expect = if cause.payer() == Payer::Caller { 970 } else { 1000 };
        assert_eq!(meter.balance(ORG), (Nano::new(expect), Nano::ZERO), "{cause:?}");
    }
}

#[test]
fn a_request_belongs_to_the_day_of_its_admission() {
    let mut meter = meter(Limits { budget_day: Some(Nano::new(100)), ..Limits::default() });
    let late = meter.enter(tenant(0), at(86_399_000)).unwrap();
    meter.lease(&late, ask(price(1, 1, 1), 40, Output::AtMost(10)), at(86_399_000)).unwrap();
    let tomorrow = at(86_401_000);
    let next = meter.enter(tenant(0), tomorrow).unwrap();
    assert_eq!(meter.lease(&next, ask(price(1, 1, 1), 90, Output::Exactly(10)), tomorrow), Ok(10));
    meter.settle(late, Cause::Finished, &Counts::tokens(40, 0, 10), tomorrow);
    meter.settle(next, Cause::Finished, &Counts::tokens(90, 0, 10), tomorrow);
    let standing = meter.standings(&tenant(0), tomorrow)[0];
    assert_eq!((standing.limit, standing.used, standing.held), (LimitKind::BudgetDay, 100, 0));
}

#[test]
fn remaining_falls_by_exactly_the_usage() {
    let limits = Limits { requests_per_minute: Some(10), tokens_per_minute: Some(1000), ..Limits::default() };
    let mut meter = meter(limits);
    let ticket = meter.enter(tenant(0), at(0)).unwrap();
    meter.lease(&ticket, ask(Price::FREE, 30, Output::AtMost(500)), at(0)).unwrap();
    assert_eq!(meter.standings(&tenant(0), at(0))[1].remaining(), 1000 - 30 - 256);
    meter.settle(ticket, Cause::Finished, &Counts::tokens(30, 8, 12), at(0));
    let remaining: Vec<i128> = meter.standings(&tenant(0), at(0)).iter().map(Standing::remaining).collect();
    assert_eq!(remaining, [9, 958]);
    // Its sibling key shares the project's limits; a key of another project does not.
    assert_eq!(meter.standings(&tenant(1), at(0))[1].remaining(), 958);
    assert!(meter.standings(&tenant(2), at(0)).is_empty());
}

#[test]
fn zero_is_none_and_absent_is_unlimited() {
    let mut meter = meter(Limits { concurrent_requests: Some(0), ..Limits::default() });
    let refusal = meter.enter(tenant(0), at(0)).unwrap_err();
    assert_eq!(refusal.standing.resets, Resets::Never);
    let ticket = meter.enter(tenant(2), at(0)).unwrap();
    assert_eq!(meter.lease(&ticket, ask(price(1, 1, 1), 1 << 40, Output::Exactly(1 << 40)), at(0)), Ok(1 << 40));
}

#[test]
fn a_cost_beyond_all_amounts_is_an_error_before_it_runs() {
    let dear = Price::new(Rates::default().with(Class::Output, Nano::MAX), 1000).unwrap();
    let mut meter = meter(Limits::default());
    let ticket = meter.enter(tenant(0), at(0)).unwrap();
    let lease = meter.lease(&ticket, ask(dear, 1, Output::Exactly(2_000_000)), at(0));
    assert_eq!(lease, Err(LeaseError::Overflow(AmountOverflow)));
    meter.settle(ticket, Cause::Refused, &Counts::default(), at(0));
    assert_eq!(meter.balance(ORG), (Nano::ZERO, Nano::ZERO));
}

/// One step of the random interleavings.
#[derive(Debug, Clone)]
enum Step {
    Enter(u8),
    Lease { which: usize, prompt: u64, output: Output, price: Price, batch: bool },
    Renew { which: usize, produced: u64 },
    Produce { which: usize, prompt: u64, output: u64 },
    Settle { which: usize, cause: Cause, prompt: u64, cached: u64, output: u64 },
    Wait(i64),
    Credit(i64),
    Limit { owner: u8, limits: Limits },
}

fn limits() -> impl Strategy<Value = Limits> {
    let of = |most: u64| prop::option::weighted(0.3, 0..most);
    let money = |most: i64| prop::option::weighted(0.3, (0..most).prop_map(Nano::new));
    let counts = (of(6), of(300), of(900), of(900), of(5));
    (counts, money(4000), money(9000), money(20_000)).prop_map(|(counts, budget_day, budget_month, budget_ever)| {
        Limits {
            requests_per_minute: counts.0,
            input_tokens_per_minute: counts.1,
            output_tokens_per_minute: counts.2,
            tokens_per_minute: counts.3,
            concurrent_requests: counts.4,
            budget_day,
            budget_month,
            budget_ever,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let output = prop_oneof![(0_u64..700).prop_map(Output::AtMost), (0_u64..400).prop_map(Output::Exactly)];
    let price = (0_i64..3, 0_i64..4, 0_i64..5).prop_map(|(input, cached, output)| price(input, cached, output));
    let which = 0_usize..8;
    prop_oneof![
        4 => (0_u8..4).prop_map(Step::Enter),
        4 => (which.clone(), 0_u64..200, output, price, any::<bool>())
            .prop_map(|(which, prompt, output, price, batch)| Step::Lease { which, prompt, output, price, batch }),
        4 => (which.clone(), 0_u64..600).prop_map(|(which, produced)| Step::Renew { which, produced }),
        2 => (which.clone(), 0_u64..300, 0_u64..600)
            .prop_map(|(which, prompt, output)| Step::Produce { which, prompt, output }),
        3 => (which, prop::sample::select(Cause::ALL.to_vec()), 0_u64..300, 0_u64..300, 0_u64..700)
            .prop_map(|(which, cause, prompt, cached, output)| Step::Settle { which, cause, prompt, cached, output }),
        2 => prop_oneof![0_i64..3000, 20_000_i64..70_000, 30_000_000_i64..90_000_000].prop_map(Step::Wait),
        1 => (0_i64..5000).prop_map(Step::Credit),
        1 => (0_u8..7, limits()).prop_map(|(owner, limits)| Step::Limit { owner, limits }),
    ]
}

/// Keys, projects, the organisation.
fn owner(number: u8) -> Owner {
    match number {
        0..4 => Owner::Key(tenant(number).key),
        4..6 => Owner::Project(tenant((number - 4) * 2).project),
        _ => Owner::Organisation(ORG),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Any interleaving of enter, lease, renew, produce, settle, credit and new limits: the meter decides as the twin
    /// that sums over everything that ever happened, and credits − charges − held never falls below zero.
    #[test]
    fn every_interleaving_decides_as_the_twin_does(steps in prop::collection::vec(step(), 1..80), start in 0_i64..1 << 40) {
        let (mut meter, mut twin, mut now) = (Meter::default(), Twin::default(), start);
        let zone = Zone::parse("Europe/Berlin").unwrap();
        meter.set_organisation(ORG, zone.clone(), Billing::Prepaid);
        twin.orgs.insert(ORG, (zone, Billing::Prepaid));
        let mut open: Vec<(Ticket, usize, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Enter(number) => {
                    let (mine, theirs) = (meter.enter(tenant(number), at(now)), twin.enter(tenant(number), at(now)));
                    prop_assert_eq!(mine.is_ok(), theirs.is_some());
                    if let (Ok(ticket), Some(place)) = (mine, theirs) {
                        open.push((ticket, place, false));
                    }
                }
                Step::Lease { which, prompt, output, price, batch } => {
                    let count = open.len();
                    let Some((ticket, place, leased)) = open.get_mut(which % count.max(1)).filter(|open| !open.2) else { continue };
                    let service = if batch { Service::Batch } else { Service::Standard };
                    let ask = Ask { service, ..ask(price, prompt, output) };
                    let (mine, theirs) = (meter.lease(ticket, ask, at(now)), twin.lease(*place, ask, at(now)));
                    prop_assert_eq!(mine.ok(), theirs);
                    *leased = theirs.is_some();
                }
                Step::Renew { which, produced } => {
                    let count = open.len();
                    let Some((ticket, place, _)) = open.get(which % count.max(1)) else { continue };
                    prop_assert_eq!(meter.renew(ticket, produced, at(now)).ok(), twin.renew(*place, produced, at(now)));
                }
                Step::Produce { which, prompt, output } => {
                    let count = open.len();
                    let Some((ticket, place, _)) = open.get(which % count.max(1)) else { continue };
                    meter.produce(ticket, prompt, output, at(now));
                    twin.produce(*place, prompt, output, at(now));
                }
                Step::Settle { which, cause, prompt, cached, output } => {
                    if open.is_empty() {
                        continue;
                    }
                    let (ticket, place, _) = open.remove(which % open.len());
                    let counts = Counts::tokens(prompt, cached, output);
                    let mine = meter.settle(ticket, cause, &counts, at(now)).unwrap();
                    prop_assert_eq!(mine.charge, twin.settle(place, cause, &counts, at(now)));
                }
                Step::Wait(millis) => now += millis,
                Step::Credit(amount) => {
                    meter.credit(ORG, Nano::new(amount));
                    *twin.credits.entry(ORG).or_default() += i128::from(amount);
                }
                Step::Limit { owner: number, limits } => {
                    meter.set_limits(owner(number), limits);
                    twin.limits.insert(owner(number), limits);
                }
            }
            let (balance, held) = meter.balance(ORG);
            prop_assert_eq!((i128::from(balance.get()), i128::from(held.get())), twin.balance(ORG));
            prop_assert!(balance >= held);
        }
        for (ticket, ..) in open {
            meter.settle(ticket, Cause::ShutDown, &Counts::default(), at(now));
        }
        prop_assert_eq!(meter.balance(ORG).1, Nano::ZERO);
        prop_assert_eq!(meter.open_requests(), 0);
        for number in 0..4 {
            for standing in meter.standings(&tenant(number), at(now)) {
                prop_assert_eq!(standing.held, 0);
            }
        }
    }
}
