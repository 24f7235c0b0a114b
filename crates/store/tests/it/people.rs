//! People, sessions and tokens that work once, as rows.

use std::time::Duration;

use account::{IdentityId, InviteId, KeyedHash, OrgId, PasswordHash, Role, Session, Timestamp, UserId};
use store::{Applied, Change, Config, Error, ExternalIdentity, Invite, Reset, Store, User};

use crate::stage::*;

const ANN: UserId = UserId::from_bytes([1; 16]);
const BEN: UserId = UserId::from_bytes([2; 16]);

async fn people() -> (tempfile::TempDir, Store) {
    let (folder, store) = furnished(Config::default()).await;
    for (id, email) in [(ANN, "ann@example.org"), (BEN, "ben@example.org")] {
        apply(&store, Change::AddUser(User { id, email: email.into(), operator: false })).await;
    }
    (folder, store)
}

fn at(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn session(number: u8, user: UserId, begun: Timestamp) -> Session {
    Session { hash: KeyedHash::from_bytes([number; 32]), user, begun, seen: begun }
}

async fn sessions(store: &Store) -> Vec<Session> {
    let mut sessions = store.sessions().await.unwrap();
    sessions.sort_by_key(|session| session.hash);
    sessions
}

fn invite(number: u8, org: OrgId, expires: Timestamp) -> Invite {
    let (id, hash) = (InviteId::from_bytes([number; 16]), KeyedHash::from_bytes([number; 32]));
    Invite { id, org, hash, email: "new@example.org".into(), role: Role::Member, expires }
}

fn identity(number: u8, user: UserId, issuer: &str, subject: &str) -> ExternalIdentity {
    let id = IdentityId::from_bytes([number; 16]);
    ExternalIdentity { id, user, issuer: issuer.into(), subject: subject.into(), verified: number.is_multiple_of(2) }
}

#[tokio::test]
async fn a_person_is_read_back_with_all_that_they_are_and_gone_without_a_trace() {
    let (folder, store) = people().await;
    apply(&store, Change::AddMember { org: ORG, user: ANN, role: Role::Viewer }).await;
    apply(&store, Change::AddMember { org: OTHER_ORG, user: ANN, role: Role::Admin }).await;
    apply(&store, Change::SetPassword { user: ANN, hash: PasswordHash::new("hash") }).await;
    apply(&store, Change::AddReset(Reset { user: ANN, hash: KeyedHash::from_bytes([9; 32]), expires: at(9) })).await;
    apply(&store, Change::LinkIdentity(identity(1, ANN, "https://a.example", "s"))).await;
    apply(&store, Change::AddSession(session(1, ANN, NOW))).await;
    store.close().await;
    let store = open(&folder).await;
    let person = store.person(ANN).await.unwrap().unwrap();
    assert_eq!(person.roles, [(ORG, Role::Viewer), (OTHER_ORG, Role::Admin)].into());
    assert_eq!(store.people().await.unwrap()[0], person);
    let known = store.credentials("ann@example.org").await.unwrap().unwrap();
    assert_eq!((known.user, known.password.as_ref().unwrap().as_str()), (ANN, "hash"));
    assert_eq!(store.credentials_of(ANN).await.unwrap(), Some(known));
    assert_eq!(store.credentials_of(BEN).await.unwrap().unwrap().password, None);
    let organisations = store.organisation_page_of(ANN, None, None, 9).await.unwrap();
    let names: Vec<_> = organisations.iter().map(|(made, role)| (made.what.name.as_str(), *role)).collect();
    assert_eq!(names, [("one", Role::Viewer), ("other", Role::Admin)]);
    let behind = store.organisation_page_of(ANN, None, Some(ORG), 9).await.unwrap();
    assert_eq!((behind.len(), behind[0].0.what.id), (1, OTHER_ORG));
    assert_eq!(store.user_page(None, Some(ANN), 9).await.unwrap()[0].what.id, BEN);

    apply(&store, Change::RemoveUser(ANN)).await;
    assert_eq!(store.person(ANN).await.unwrap(), None);
    assert_eq!(store.credentials("ann@example.org").await.unwrap(), None);
    assert!(sessions(&store).await.is_empty());
    assert_eq!(store.reset(&KeyedHash::from_bytes([9; 32])).await.unwrap(), None);
    assert_eq!(store.identity("https://a.example", "s").await.unwrap(), None);
    assert_eq!(store.member_page(OTHER_ORG, None, None, 9).await.unwrap(), []);
    let error = store.apply(Change::RemoveUser(ANN), act(), None).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn an_owner_who_is_the_last_one_stays_and_nothing_else_is_changed_either() {
    let (_folder, store) = people().await;
    apply(&store, Change::AddMember { org: ORG, user: ANN, role: Role::Owner }).await;
    apply(&store, Change::AddMember { org: OTHER_ORG, user: ANN, role: Role::Member }).await;
    apply(&store, Change::AddMember { org: OTHER_ORG, user: BEN, role: Role::Owner }).await;
    apply(&store, Change::AddSession(session(1, ANN, NOW))).await;
    let log = store.audit(Some(ORG), None, 100).await.unwrap();
    for change in [
        Change::SetMember { org: ORG, user: ANN, role: None },
        Change::SetMember { org: ORG, user: ANN, role: Some(Role::Admin) },
        Change::RemoveUser(ANN),
    ] {
        let error = store.apply(change.clone(), act(), None).await.unwrap_err();
        assert!(matches!(error, Error::LastOwner), "{change:?}: {error}");
        assert_eq!(store.person(ANN).await.unwrap().unwrap().roles.len(), 2);
        assert_eq!(sessions(&store).await.len(), 1);
    }
    assert_eq!(store.audit(Some(ORG), None, 100).await.unwrap(), log);
    let again = Change::AddMember { org: ORG, user: ANN, role: Role::Viewer };
    assert!(matches!(store.apply(again, act(), None).await, Err(Error::Conflict { .. })));
    apply(&store, Change::AddMember { org: ORG, user: BEN, role: Role::Owner }).await;
    apply(&store, Change::SetMember { org: ORG, user: ANN, role: Some(Role::Admin) }).await;
    assert!(sessions(&store).await.is_empty());
}

#[tokio::test]
async fn sessions_are_few_for_each_person_and_end_with_what_they_were_begun_for() {
    let (_folder, store) = people().await;
    for number in 0..=Session::MOST as u8 {
        apply(&store, Change::AddSession(session(number, ANN, at(u64::from(number))))).await;
    }
    apply(&store, Change::AddSession(session(100, BEN, at(60)))).await;
    let hashes: Vec<_> = sessions(&store).await.into_iter().map(|session| session.hash).collect();
    let expect = (1..=Session::MOST as u8).chain([100]).map(|number| KeyedHash::from_bytes([number; 32]));
    assert_eq!(hashes, expect.collect::<Vec<_>>(), "the oldest is gone");
    store.note_sessions(vec![(KeyedHash::from_bytes([3; 32]), at(3600))]).await.unwrap();
    let later = at(60).after(Session::IDLE);
    apply(&store, Change::AddSession(session(101, BEN, later))).await;
    let left: Vec<_> = sessions(&store).await.into_iter().map(|session| (session.hash, session.seen)).collect();
    assert_eq!(left, [(KeyedHash::from_bytes([3; 32]), at(3600)), (KeyedHash::from_bytes([101; 32]), later)]);
    apply(&store, Change::EndSession(session(101, BEN, later))).await;
    apply(&store, Change::SetPassword { user: ANN, hash: PasswordHash::new("x") }).await;
    assert!(sessions(&store).await.is_empty());
}

#[tokio::test]
async fn a_token_works_once_in_its_time_and_for_its_organisation() {
    let (_folder, store) = people().await;
    apply(&store, Change::AddInvite(invite(1, ORG, at(10)))).await;
    apply(&store, Change::AddInvite(invite(2, ORG, at(10)))).await;
    let accept = |number, org, user| Change::AcceptInvite { org, invite: InviteId::from_bytes([number; 16]), user };
    let mut late = act();
    late.at = at(10);
    assert!(matches!(store.apply(accept(1, ORG, ANN), late.clone(), None).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.apply(accept(1, OTHER_ORG, ANN), act(), None).await, Err(Error::NotFound { .. })));
    let tries = (0..20).map(|number| store.apply(accept(1, ORG, if number % 2 == 0 { ANN } else { BEN }), act(), None));
    let tries = futures::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|tried| matches!(tried, Ok(Applied::Now))).count(), 1);
    let record = store.invite(&KeyedHash::from_bytes([1; 32])).await.unwrap().unwrap();
    assert!(record.accepted.is_some() && record.invite == invite(1, ORG, at(10)));
    let remove = |number, org| Change::RemoveInvite { org, invite: InviteId::from_bytes([number; 16]) };
    for change in [remove(1, ORG), remove(2, OTHER_ORG)] {
        assert!(matches!(store.apply(change, act(), None).await, Err(Error::NotFound { .. })));
    }
    apply(&store, remove(2, ORG)).await;
    assert_eq!(store.invite_page(ORG, None, 9).await.unwrap().len(), 1);
    assert_eq!(store.invite_page(OTHER_ORG, None, 9).await.unwrap().len(), 0);

    let hash = |number| KeyedHash::from_bytes([number; 32]);
    for number in [1, 2] {
        apply(&store, Change::AddReset(Reset { user: ANN, hash: hash(number), expires: at(10) })).await;
    }
    assert_eq!(store.reset(&hash(1)).await.unwrap(), None, "it was replaced");
    let using = |number, user| Change::UseReset { user, hash: hash(number) };
    assert!(store.apply(using(2, ANN), late, None).await.is_err());
    for change in [using(1, ANN), using(2, BEN)] {
        assert!(matches!(store.apply(change, act(), None).await, Err(Error::NotFound { .. })));
    }
    let tries = futures::future::join_all((0..20).map(|_| store.apply(using(2, ANN), act(), None))).await;
    assert_eq!(tries.iter().filter(|tried| tried.is_ok()).count(), 1);
}

#[tokio::test]
async fn an_account_at_a_provider_is_one_persons_until_it_is_taken_away() {
    let (_folder, store) = people().await;
    let (a, b) = ("https://a.example", "https://b.example");
    let linked =
        [identity(1, ANN, a, "s"), identity(2, ANN, b, "s"), identity(3, BEN, a, "S"), identity(4, BEN, a, HOSTILE[0])];
    for identity in &linked {
        apply(&store, Change::LinkIdentity(identity.clone())).await;
    }
    for identity in &linked {
        assert_eq!(store.identity(&identity.issuer, &identity.subject).await.unwrap().as_ref(), Some(identity));
    }
    for (issuer, subject) in [(b, "S"), (a, ""), ("https://A.example", "s"), (a, "x' OR '1'='1")] {
        assert_eq!(store.identity(issuer, subject).await.unwrap(), None, "{issuer} {subject}");
    }
    let taken = Change::LinkIdentity(identity(5, BEN, a, "s"));
    assert!(matches!(store.apply(taken, act(), None).await, Err(Error::Conflict { .. })));
    let page = store.identity_page(ANN, None, 1).await.unwrap();
    assert_eq!((&page[0].what, page[0].created), (&linked[0], NOW));
    assert_eq!(store.identity_page(ANN, Some(linked[0].id), 9).await.unwrap()[0].what, linked[1]);

    apply(&store, Change::AddSession(session(1, ANN, NOW))).await;
    apply(&store, Change::AddSession(session(2, BEN, NOW))).await;
    let foreign = Change::UnlinkIdentity { user: BEN, identity: linked[0].id };
    assert!(matches!(store.apply(foreign, act(), None).await, Err(Error::NotFound { .. })));
    apply(&store, Change::UnlinkIdentity { user: ANN, identity: linked[0].id }).await;
    assert_eq!(store.identity(a, "s").await.unwrap(), None);
    assert_eq!(sessions(&store).await, [session(2, BEN, NOW)], "nobody else is signed out");
    apply(&store, Change::LinkIdentity(identity(6, BEN, a, "s"))).await;
}

#[tokio::test]
async fn a_password_is_dropped_with_all_that_it_opens_and_could_set_it_anew() {
    let (_folder, store) = people().await;
    for (number, user) in [(1, ANN), (2, BEN)] {
        let hash = KeyedHash::from_bytes([number; 32]);
        apply(&store, Change::SetPassword { user, hash: PasswordHash::new("x") }).await;
        apply(&store, Change::AddReset(Reset { user, hash, expires: at(9) })).await;
        apply(&store, Change::AddSession(session(number, user, NOW))).await;
    }
    apply(&store, Change::DropPassword(ANN)).await;
    apply(&store, Change::DropPassword(ANN)).await;
    assert_eq!(store.credentials_of(ANN).await.unwrap().unwrap().password, None);
    assert_eq!(store.reset(&KeyedHash::from_bytes([1; 32])).await.unwrap(), None);
    assert_eq!(sessions(&store).await, [session(2, BEN, NOW)]);
    assert!(store.credentials_of(BEN).await.unwrap().unwrap().password.is_some());
    assert!(store.reset(&KeyedHash::from_bytes([2; 32])).await.unwrap().is_some());
}

#[tokio::test]
async fn a_sign_in_is_used_once_and_remembered_as_long_as_it_could_be_sent_again() {
    let (_folder, store) = people().await;
    let hash = |number| KeyedHash::from_bytes([number; 32]);
    let used = |number| Change::UseSignIn { user: ANN, hash: hash(number), expires: at(10) };
    let tries = futures::future::join_all((0..20).map(|_| store.apply(used(1), act(), None))).await;
    assert_eq!(tries.iter().filter(|tried| tried.is_ok()).count(), 1);
    assert!(tries.iter().all(|tried| matches!(tried, Ok(Applied::Now) | Err(Error::Conflict { .. }))));
    assert!(store.is_sign_in_used(&hash(1)).await.unwrap() && !store.is_sign_in_used(&hash(2)).await.unwrap());
    let mut late = act();
    late.at = at(9);
    store.apply(used(2), late.clone(), None).await.unwrap();
    assert!(store.is_sign_in_used(&hash(1)).await.unwrap());
    late.at = at(10);
    store.apply(used(3), late, None).await.unwrap();
    assert!(!store.is_sign_in_used(&hash(1)).await.unwrap(), "it is over");
}
