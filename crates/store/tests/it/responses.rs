//! Responses that are kept.

use std::time::Duration;

use account::{ProjectId, ResponseId, Tenant, Timestamp};
use store::{Change, Config, Error, MAX_RESPONSE_BYTES, Project, Store, StoredResponse};

use crate::stage::*;

const OTHER_PROJECT: ProjectId = ProjectId::from_bytes([13; 16]);

fn id(number: u8) -> ResponseId {
    ResponseId::from_bytes([number; 16])
}

fn kept(number: u8, previous: Option<u8>) -> StoredResponse {
    StoredResponse {
        id: id(number),
        org: ORG,
        project: PROJECT,
        previous: previous.map(id),
        created: NOW,
        expires: NOW.after(Duration::from_secs(60)),
        running: false,
        input: format!("[{number}]").into(),
        response: "{}".into(),
    }
}

async fn stage() -> (tempfile::TempDir, Store) {
    let (folder, store) = furnished(Config::default()).await;
    let name = account::Name::parse("another").unwrap();
    apply(&store, Change::AddProject(Project { id: OTHER_PROJECT, org: ORG, name })).await;
    (folder, store)
}

/// Everybody who must not learn that a response is there.
fn strangers() -> [Tenant; 2] {
    [Tenant { org: OTHER_ORG, ..TENANT }, Tenant { project: OTHER_PROJECT, ..TENANT }]
}

#[tokio::test]
async fn a_response_is_its_projects_alone() {
    let (folder, store) = stage().await;
    let response = StoredResponse { response: HOSTILE[0].into(), ..kept(1, None) };
    store.keep_response(response.clone()).await.unwrap();
    let changed = StoredResponse { running: true, response: HOSTILE[1].into(), ..response.clone() };
    for stranger in strangers() {
        assert_eq!(store.response(&stranger, id(1), NOW).await.unwrap(), None);
        assert_eq!(store.response_chain(&stranger, id(1), NOW).await.unwrap(), None);
        assert!(!store.delete_response(&stranger, id(1)).await.unwrap());
        let foreign = StoredResponse { org: stranger.org, project: stranger.project, ..changed.clone() };
        assert!(!store.change_response(foreign).await.unwrap());
    }
    store.close().await;
    let store = open(&folder).await;
    assert_eq!(store.response(&TENANT, id(1), NOW).await.unwrap(), Some(response));
    assert!(store.change_response(changed.clone()).await.unwrap());
    assert_eq!(store.response(&TENANT, id(1), NOW).await.unwrap(), Some(changed.clone()));
    assert_eq!(store.running_responses(9).await.unwrap(), std::slice::from_ref(&changed));
    assert!(store.delete_response(&TENANT, id(1)).await.unwrap());
    assert!(!store.delete_response(&TENANT, id(1)).await.unwrap());
    assert!(!store.change_response(changed).await.unwrap(), "what is deleted stays so");
    assert_eq!(store.response(&TENANT, id(1), NOW).await.unwrap(), None);
}

#[tokio::test]
async fn time_ends_what_is_kept_in_bounded_batches() {
    let (_folder, store) = stage().await;
    for number in 1..=5 {
        let expires = NOW.after(Duration::from_millis(number.into()));
        store.keep_response(StoredResponse { expires, ..kept(number, None) }).await.unwrap();
    }
    let at = |millis| Timestamp::from_millis(NOW.as_millis() + millis);
    assert!(store.response(&TENANT, id(2), at(1)).await.unwrap().is_some());
    assert!(store.response(&TENANT, id(2), at(2)).await.unwrap().is_none(), "it is gone before it is deleted");
    let mut deleted = Vec::new();
    for _ in 0..3 {
        deleted.push(store.delete_expired_responses(at(3), 2).await.unwrap());
    }
    assert_eq!(deleted, [2, 1, 0]);
    assert!(store.response(&TENANT, id(4), at(3)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_chain_is_read_from_its_beginning_as_far_as_it_is_there() {
    let (_folder, store) = stage().await;
    for (number, previous) in [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(2))] {
        store.keep_response(kept(number, previous)).await.unwrap();
    }
    let chain = async |last| store.response_chain(&TENANT, id(last), NOW).await.unwrap().unwrap();
    let ids = |chain: &store::Chain| chain.responses.iter().map(|response| response.id).collect::<Vec<_>>();
    let whole = chain(4).await;
    assert_eq!((ids(&whole), whole.complete), (vec![id(1), id(2), id(4)], true));
    store.delete_response(&TENANT, id(1)).await.unwrap();
    let broken = chain(3).await;
    assert_eq!((ids(&broken), broken.complete), (vec![id(2), id(3)], false));
    assert_eq!(store.response_chain(&TENANT, id(1), NOW).await.unwrap(), None);
    let large = "x".repeat(MAX_RESPONSE_BYTES / 2);
    for number in 10..13 {
        let response = StoredResponse { input: large.as_str().into(), ..kept(number, Some(number - 1)) };
        store.keep_response(response).await.unwrap();
    }
    let long = chain(12).await;
    assert_eq!((ids(&long), long.complete), (vec![id(12)], false), "what is read at once is bounded");
}

#[tokio::test]
async fn a_response_has_a_bound() {
    let (_folder, store) = stage().await;
    let most = kept(1, None);
    let exact = StoredResponse { input: "x".repeat(MAX_RESPONSE_BYTES - 2).into(), ..most.clone() };
    store.keep_response(exact.clone()).await.unwrap();
    let more = StoredResponse { response: "{ }".into(), ..exact };
    for refused in [store.change_response(more.clone()).await.map(drop), store.keep_response(more).await] {
        assert!(matches!(refused, Err(Error::TooLarge { limit: MAX_RESPONSE_BYTES, .. })), "{refused:?}");
    }
    let twice = store.keep_response(most).await;
    assert!(matches!(twice, Err(Error::Conflict { .. })), "{twice:?}");
}
