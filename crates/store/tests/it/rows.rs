use std::{collections::BTreeSet, time::Duration};

use account::{
    ApiKey, KeyId, Labels, LimitKind, Limits, ModelAccess, Name, Nano, Owner, Period, PriceId, PriceVersion, ProjectId,
    Role, Timestamp, UserId, Zone, ledger::CreditSource,
};
use store::{Apart, Applied, Bucket, Change, Config, Credit, Error, Once, Part, Project, User};

use crate::stage::*;

#[tokio::test]
async fn what_was_written_is_there_after_the_next_start() {
    let (folder, store) = furnished(Config::default()).await;
    let user = User { id: UserId::from_bytes([9; 16]), email: "a@example.org".into(), operator: true };
    apply(&store, Change::AddUser(user.clone())).await;
    apply(&store, Change::SetMember { org: ORG, user: user.id, role: Some(Role::Viewer) }).await;
    apply(&store, Change::SetMember { org: ORG, user: user.id, role: Some(Role::Owner) }).await;
    let mut changed = key(&store, KeyId::from_bytes([7; 16]), "second", &ApiKey::generate().unwrap());
    changed.models = ModelAccess::Only(BTreeSet::from(["a".into(), "b".into()]));
    apply(&store, Change::AddKey(changed.clone())).await;
    changed.owner = Some(user.id);
    changed.rotate(store.pepper().hash(&ApiKey::generate().unwrap().hash()), NOW, Duration::from_secs(60));
    changed.expires = Some(NOW.after(Duration::from_secs(1)));
    changed.revoke(NOW);
    apply(&store, Change::ChangeKey(changed.clone())).await;
    let limits = Limits::default().with(LimitKind::RequestsPerMinute, 0).with(LimitKind::BudgetDay, 5);
    apply(&store, Change::SetLimits { org: ORG, owner: Owner::Key(KEY), limits }).await;
    let owner = Owner::Organisation(ORG);
    apply(&store, Change::SetLimits { org: ORG, owner, limits: Limits::default().with(LimitKind::BudgetEver, 1) })
        .await;
    apply(&store, Change::SetLimits { org: ORG, owner, limits: Limits::default() }).await;
    for (id, from) in [(1, 100), (2, 50), (3, 100)] {
        let from = Timestamp::from_millis(from);
        let version = PriceVersion { id: PriceId::from_bytes([id; 16]), from, price: price() };
        apply(&store, Change::AddPrice { model: "m".into(), version }).await;
    }
    store.close().await;

    let store = open(&folder).await;
    let names: Vec<String> = store.organisations().await.unwrap().iter().map(|org| org.name.to_string()).collect();
    assert_eq!(names, ["one", "other"]);
    assert_eq!(store.projects(ORG).await.unwrap().len(), 1);
    assert_eq!(store.member_page(ORG, None, None, 100).await.unwrap(), [(user, Role::Owner)]);
    let keys = store.keys().await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys.iter().find(|key| key.id == changed.id), Some(&changed));
    assert!(store.keys_of(UserId::from_bytes([9; 16])).await.unwrap().is_empty(), "it was revoked");
    assert_eq!(store.limits().await.unwrap(), [(Owner::Key(KEY), limits)]);
    let prices = &store.prices().await.unwrap()["m"];
    assert_eq!(prices.at(Timestamp::from_millis(99)).unwrap().id, PriceId::from_bytes([2; 16]));
    assert_eq!(prices.at(Timestamp::from_millis(100)).unwrap().id, PriceId::from_bytes([3; 16]));
    assert_eq!(prices.at(NOW).unwrap().price, price());
    let log: Vec<_> = store.audit(Some(ORG), None, 100).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(log[0], "limits.set".into());
    assert_eq!(log.len(), 10, "{log:?}");
    assert_eq!(store.audit(Some(OTHER_ORG), None, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_there_or_nowhere_is_refused_and_changes_nothing() {
    let (_folder, store) = furnished(Config::default()).await;
    let secret = ApiKey::generate().unwrap();
    apply(&store, Change::AddKey(key(&store, KeyId::from_bytes([7; 16]), "k", &secret))).await;
    let log = store.audit(Some(ORG), None, 100).await.unwrap();
    let mut of_another = store.keys().await.unwrap().remove(0);
    of_another.org = OTHER_ORG;
    let refused = [
        Change::AddOrganisation(organisation(account::OrgId::from_bytes([77; 16]), "one")),
        Change::AddProject(Project { id: ProjectId::from_bytes([8; 16]), org: ORG, name: Name::default_name() }),
        Change::AddKey(key(&store, KeyId::from_bytes([8; 16]), "the same secret", &secret)),
        Change::ChangeKey(of_another),
        Change::SetLimits { org: OTHER_ORG, owner: Owner::Key(KEY), limits: Limits::default() },
        Change::SetLimits { org: OTHER_ORG, owner: Owner::Project(PROJECT), limits: Limits::default() },
        Change::SetLimits { org: OTHER_ORG, owner: Owner::Organisation(ORG), limits: Limits::default() },
    ];
    for change in refused {
        let error = store.apply(change.clone(), act(), None).await.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. } | Error::NotFound { .. }), "{change:?}: {error}");
    }
    assert_eq!(store.keys().await.unwrap().len(), 2);
    assert_eq!(store.audit(Some(ORG), None, 100).await.unwrap(), log);
    assert_eq!(store.organisations().await.unwrap().len(), 2);
}

#[tokio::test]
async fn hostile_texts_are_texts() {
    let (_folder, store) = furnished(Config::default()).await;
    for (place, text) in HOSTILE.iter().enumerate() {
        let id = [100 + place as u8; 16];
        let name = Name::parse(text).unwrap();
        let project = Project { id: ProjectId::from_bytes(id), org: ORG, name: name.clone() };
        apply(&store, Change::AddProject(project.clone())).await;
        assert!(store.projects(ORG).await.unwrap().contains(&project));
        let mut added = key(&store, KeyId::from_bytes(id), text, &ApiKey::generate().unwrap());
        added.models = ModelAccess::Only(BTreeSet::from([(*text).into()]));
        apply(&store, Change::AddKey(added.clone())).await;
        assert!(store.keys().await.unwrap().contains(&added));
        let user = User { id: UserId::from_bytes(id), email: (*text).into(), operator: false };
        apply(&store, Change::AddUser(user.clone())).await;
        apply(&store, Change::SetMember { org: ORG, user: user.id, role: Some(Role::Member) }).await;
        assert!(store.member_page(ORG, None, None, 100).await.unwrap().contains(&(user, Role::Member)));
        let version = PriceVersion { id: PriceId::from_bytes(id), from: NOW, price: price() };
        apply(&store, Change::AddPrice { model: (*text).into(), version }).await;
        assert!(store.prices().await.unwrap().contains_key(*text));
        let credit = Credit { org: ORG, source: CreditSource::Code, external_id: (*text).into(), amount: Nano::new(1) };
        let once = Once {
            caller: (*text).into(),
            route: (*text).into(),
            key: (*text).into(),
            body_hash: [0; 32],
            status: 201,
            answer: (*text).into(),
        };
        let mut act = act();
        (act.actor, act.after, act.address) = ((*text).into(), Some((*text).into()), Some((*text).into()));
        let change = Change::AddCredit(credit);
        assert_eq!(store.apply(change.clone(), act.clone(), Some(once.clone())).await.unwrap(), Applied::Now);
        let replayed = Applied::Replayed { status: 201, answer: (*text).into() };
        assert_eq!(store.apply(change, act, Some(once)).await.unwrap(), replayed);
        assert_eq!(&*store.audit(Some(ORG), None, 1).await.unwrap()[0].actor, *text);
        let mut row = usage(account::Cause::Finished, account::Counts::tokens(1, 0, 1));
        row.model = (*text).into();
        row.labels = Labels::new(Some(text), [((*text).into(), (*text).into())].into()).unwrap();
        settle(&store, row.clone()).await.unwrap();
        let record = store.request(ORG, row.request).await.unwrap().unwrap();
        assert_eq!((&*record.model, record.labels), (*text, row.labels));
        for apart in [Apart::EndUser, Apart::Tag(text)] {
            let sums = used(&store, Zone::UTC, Bucket::Month, apart).await;
            assert!(sums.iter().any(|sum| sum.part == Part::Value(Some((*text).into()))), "{text}");
        }
    }
    verified(&store, ORG).await;
}

#[tokio::test]
async fn a_payment_credits_once_however_often_and_by_whomever_it_is_told() {
    let (_folder, store) = furnished(Config::default()).await;
    let credit = |org, amount| {
        let amount = Nano::new(amount);
        Change::AddCredit(Credit { org, source: CreditSource::Grant, external_id: "payment 1".into(), amount })
    };
    let told = (0..20).map(|_| apply(&store, credit(ORG, 100)));
    let told = futures::future::join_all(told).await;
    assert_eq!(told.iter().filter(|applied| **applied == Applied::Now).count(), 1);
    for other in [credit(ORG, 101), credit(OTHER_ORG, 100)] {
        let error = store.apply(other, act(), None).await.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
    }
    let head = verified(&store, ORG).await;
    assert_eq!((head.number, head.balance), (1, Nano::new(100)));
    assert_eq!(store.head(OTHER_ORG).await.unwrap().number, 0);
}

#[tokio::test]
async fn a_change_that_is_sent_again_is_done_once_for_a_day() {
    let (_folder, store) = furnished(Config::default()).await;
    let project = |number: u8, name: &str| {
        let name = Name::parse(name).unwrap();
        Change::AddProject(Project { id: ProjectId::from_bytes([number; 16]), org: ORG, name })
    };
    let once = |caller: &str, body| Once {
        caller: caller.into(),
        route: "POST /admin/v1/projects".into(),
        key: "k".into(),
        body_hash: [body; 32],
        status: 201,
        answer: "{}".into(),
    };
    let sent = (10..30).map(|number| store.apply(project(number, "p"), act(), Some(once("a", 1))));
    let sent: Vec<Applied> = futures::future::join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(sent.iter().filter(|applied| **applied == Applied::Now).count(), 1);
    let error = store.apply(project(40, "q"), act(), Some(once("a", 2))).await.unwrap_err();
    assert!(matches!(error, Error::OtherBody), "{error}");
    assert_eq!(store.apply(project(41, "r"), act(), Some(once("b", 2))).await.unwrap(), Applied::Now);
    let mut later = act();
    later.at = NOW.after(Duration::from_secs(24 * 60 * 60 + 1));
    assert_eq!(store.apply(project(42, "s"), later, Some(once("a", 2))).await.unwrap(), Applied::Now);
    assert_eq!(store.projects(ORG).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_change_that_is_refused_is_not_remembered() {
    let (_folder, store) = furnished(Config::default()).await;
    let once = Once {
        caller: "a".into(),
        route: "r".into(),
        key: "k".into(),
        body_hash: [0; 32],
        status: 201,
        answer: "".into(),
    };
    let taken =
        Change::AddProject(Project { id: ProjectId::from_bytes([8; 16]), org: ORG, name: Name::default_name() });
    for _ in 0..2 {
        assert!(matches!(store.apply(taken.clone(), act(), Some(once.clone())).await, Err(Error::Conflict { .. })));
    }
}

#[tokio::test]
async fn sums_by_owner_are_of_the_period_alone() {
    let (_folder, store) = furnished(Config::default()).await;
    let day = |days: i64| Timestamp::from_millis(NOW.as_millis() + days * 86_400_000);
    for days in [-1, 0, 1] {
        let mut row = usage(account::Cause::Finished, account::Counts::tokens(10, 0, 0));
        row.settlement.admitted = day(days);
        settle(&store, row).await.unwrap();
    }
    let period = Zone::UTC.day(NOW);
    for owner in [Owner::Organisation(ORG), Owner::Project(PROJECT), Owner::Key(KEY)] {
        assert_eq!(store.spent(ORG, period).await.unwrap()[&owner], Nano::new(17), "{owner}");
        assert_eq!(store.spent(ORG, Period::EVER).await.unwrap()[&owner], Nano::new(51), "{owner}");
    }
    assert!(store.spent(OTHER_ORG, Period::EVER).await.unwrap().is_empty());
}
