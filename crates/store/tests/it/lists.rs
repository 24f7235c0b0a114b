//! Lists in parts, and what administrators change.

use account::{
    ApiKey, CodeId, KeyId, LimitKind, Limits, ModelAccess, Name, Nano, Owner, PriceId, PriceVersion, ProjectId,
};
use store::{Applied, Change, Code, Config, Error, KeysOf, Made, Project};

use crate::stage::*;

/// Reads a list to its end, two at a time.
async fn all<T, Id: Copy, F: Future<Output = Result<Vec<T>, Error>>>(
    read: impl Fn(Option<Id>) -> F,
    id: impl Fn(&T) -> Id,
) -> Vec<Id> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = read(after).await.unwrap();
        assert!(page.len() <= 2);
        ids.extend(page.iter().map(&id));
        after = page.last().map(&id);
        if page.is_empty() {
            return ids;
        }
    }
}

#[tokio::test]
async fn a_list_read_in_parts_has_everything_once_and_nothing_of_others() {
    let (_folder, store) = furnished(Config::default()).await;
    for number in 10..15 {
        let name = Name::parse(&format!("p{number}")).unwrap();
        apply(&store, Change::AddProject(Project { id: ProjectId::from_bytes([number; 16]), org: ORG, name })).await;
        let mut key = key(&store, KeyId::from_bytes([number; 16]), "k", &ApiKey::generate().unwrap());
        key.models = ModelAccess::Only(["a".into(), "b".into()].into());
        apply(&store, Change::AddKey(key)).await;
        let version = PriceVersion { id: PriceId::from_bytes([number; 16]), from: NOW, price: price() };
        apply(&store, Change::AddPrice { model: format!("m{}", number % 2).into(), version }).await;
    }
    let store = &store;
    let projects = all(|after| store.project_page(ORG, None, after, 2), |made: &Made<Project>| made.what.id).await;
    assert_eq!(projects, [3, 10, 11, 12, 13, 14].map(|number| ProjectId::from_bytes([number; 16])));
    let keys =
        all(|after| store.key_page(ORG, KeysOf::default(), after, 2), |record: &store::KeyRecord| record.key.id).await;
    assert_eq!(keys, [4, 10, 11, 12, 13, 14].map(|number| KeyId::from_bytes([number; 16])));
    let named =
        store.key_page(ORG, KeysOf { project: Some(PROJECT), owner: None, name: Some("k") }, None, 100).await.unwrap();
    assert_eq!(named.len(), 5);
    assert_eq!(named[0].key.models, ModelAccess::Only(["a".into(), "b".into()].into()));
    let of = |model| all(move |after| store.price_page(model, after, 2), |(_, version)| version.id);
    assert_eq!(of(None).await, [10, 11, 12, 13, 14].map(|number| PriceId::from_bytes([number; 16])));
    assert_eq!(of(Some("m1")).await, [11, 13].map(|number| PriceId::from_bytes([number; 16])));
    let organisations = all(|after| store.organisation_page(None, after, 2), |made| made.what.id).await;
    assert_eq!(organisations, [ORG, OTHER_ORG]);
    assert_eq!(store.organisation_page(Some("other"), None, 2).await.unwrap()[0].what.id, OTHER_ORG);
    assert_eq!(store.project_page(OTHER_ORG, None, None, 2).await.unwrap(), []);
    assert_eq!(store.project(OTHER_ORG, PROJECT).await.unwrap(), None);
    assert_eq!(store.key(OTHER_ORG, KEY).await.unwrap(), None);
    assert_eq!(store.key_page(OTHER_ORG, KeysOf::default(), None, 2).await.unwrap(), []);
    let newest = store.audit(Some(ORG), None, 3).await.unwrap();
    let older = store.audit(Some(ORG), Some(newest[2].sequence), 100).await.unwrap();
    assert_eq!(newest.len() + older.len(), store.audit(Some(ORG), None, 100).await.unwrap().len());
    assert_eq!(store.audit(None, None, 100).await.unwrap().len(), 5, "prices are the installation's");
}

#[tokio::test]
async fn what_is_changed_is_read_changed() {
    let (_folder, store) = furnished(Config::default()).await;
    let mut organisation = organisation(ORG, "renamed");
    organisation.billing = account::Billing::Postpaid;
    apply(&store, Change::ChangeOrganisation(organisation.clone())).await;
    assert_eq!(store.organisation(ORG).await.unwrap().unwrap().what, organisation);
    let project = Project { id: PROJECT, org: ORG, name: Name::parse("renamed").unwrap() };
    apply(&store, Change::ChangeProject(project.clone())).await;
    assert_eq!(store.project(ORG, PROJECT).await.unwrap().unwrap().what, project);
    let mut key = store.key(ORG, KEY).await.unwrap().unwrap().key;
    for models in [ModelAccess::Only(["x".into()].into()), ModelAccess::Only([].into()), ModelAccess::All] {
        (key.name, key.models) = (Name::parse("renamed").unwrap(), models);
        apply(&store, Change::ChangeKey(key.clone())).await;
        assert_eq!(store.key(ORG, KEY).await.unwrap().unwrap().key, key);
    }
    store.note_use(vec![(KEY, NOW)]).await.unwrap();
    assert_eq!(store.key(ORG, KEY).await.unwrap().unwrap().last_used, Some(NOW));
    let limits = Limits::default().with(LimitKind::BudgetDay, 5);
    apply(&store, Change::SetLimits { org: ORG, owner: Owner::Key(KEY), limits }).await;
    assert_eq!(store.limits_of(ORG, &Owner::Key(KEY)).await.unwrap(), limits);
    assert_eq!(store.limits_of(OTHER_ORG, &Owner::Key(KEY)).await.unwrap(), Limits::default());

    let taken = Name::parse("other").unwrap();
    let conflicts = [
        Change::ChangeOrganisation(store::Organisation { name: taken, ..organisation }),
        Change::ChangeProject(Project { org: OTHER_ORG, ..project }),
    ];
    for change in conflicts {
        let error = store.apply(change, act(), None).await.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. } | Error::NotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn changes_that_belong_together_are_all_made_or_none() {
    let (_folder, store) = furnished(Config::default()).await;
    let added = key(&store, KeyId::from_bytes([7; 16]), "k", &ApiKey::generate().unwrap());
    let limits = |org| Change::SetLimits { org, owner: Owner::Key(added.id), limits: Limits::default() };
    let refused = store.apply_all(vec![(Change::AddKey(added.clone()), act()), (limits(OTHER_ORG), act())], None).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
    assert_eq!(store.key(ORG, added.id).await.unwrap(), None);
    store.apply_all(vec![(Change::AddKey(added.clone()), act()), (limits(ORG), act())], None).await.unwrap();
    assert_eq!(store.key(ORG, added.id).await.unwrap().unwrap().key, added);
}

#[tokio::test]
async fn a_code_is_redeemed_by_whoever_is_first() {
    let (_folder, store) = furnished(Config::default()).await;
    let hash = store.pepper().hash(&ApiKey::generate().unwrap().hash());
    let (id, amount) = (CodeId::from_bytes([1; 16]), Nano::new(50));
    let code = Code { id, hash, amount, expires: Some(NOW.after(std::time::Duration::from_secs(1))) };
    apply(&store, Change::AddCode(code.clone())).await;
    assert_eq!(store.code(&hash).await.unwrap().unwrap().code, code);
    let redeem = |org| Change::RedeemCode { org, code: id, amount };
    let mut late = act();
    late.at = NOW.after(std::time::Duration::from_secs(1));
    assert!(store.apply(redeem(ORG), late, None).await.is_err(), "its time is over");
    let tries = (0..20).map(|number| store.apply(redeem(if number % 2 == 0 { ORG } else { OTHER_ORG }), act(), None));
    let tries = futures::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|tried| matches!(tried, Ok(Applied::Now))).count(), 1);
    let balances = [store.head(ORG).await.unwrap().balance, store.head(OTHER_ORG).await.unwrap().balance];
    assert_eq!(balances.into_iter().sum::<Nano>(), amount);
    let record = &store.codes(None, 10).await.unwrap()[0];
    assert_eq!(record.redeemed.map(|(_, at)| at), Some(NOW));
    assert_eq!(store.codes(Some(id), 10).await.unwrap(), []);
}
