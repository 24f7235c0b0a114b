//! A store in a folder of its own, with one organisation, project and key.

use std::sync::atomic::{AtomicU64, Ordering};

use account::{
    ApiKey, Billing, Cause, Counts, Key, KeyId, Labels, ModelAccess, Name, Nano, OrgId, PerClass, Price, PriceId,
    ProjectId, RequestId, Scopes, Service, Settlement, Tenant, Timestamp, Zone,
};
use store::{Act, Apart, Bucket, Change, Config, Organisation, Project, Store, UsageOf, UsageRow, UsageSum};
use tempfile::TempDir;

pub const ORG: OrgId = OrgId::from_bytes([1; 16]);
pub const OTHER_ORG: OrgId = OrgId::from_bytes([2; 16]);
pub const PROJECT: ProjectId = ProjectId::from_bytes([3; 16]);
pub const KEY: KeyId = KeyId::from_bytes([4; 16]);
pub const TENANT: Tenant = Tenant { org: ORG, project: PROJECT, key: KEY };
pub const PRICE: PriceId = PriceId::from_bytes([5; 16]);

/// 2025-11-25T16:00:00Z.
pub const NOW: Timestamp = Timestamp::from_millis(1_764_086_400_000);

/// What injections into SQL look like, and what breaks careless text handling.
pub const HOSTILE: &[&str] = &[
    "Robert'); DROP TABLE keys; --",
    "' OR '1'='1",
    "\" OR \"\"=\"",
    "'; DELETE FROM ledger; --",
    "%' ESCAPE '\\",
    "?1 :name @p $1",
    "NULL",
    "x'00'",
    "ü–漢字 \u{202e}",
    "\\",
];

pub fn act() -> Act {
    Act { actor: "test".into(), at: NOW, before: None, after: None, address: None }
}

pub fn organisation(id: OrgId, name: &str) -> Organisation {
    Organisation { id, name: Name::parse(name).unwrap(), zone: Zone::UTC, billing: Billing::Prepaid }
}

pub fn key(store: &Store, id: KeyId, name: &str, secret: &ApiKey) -> Key {
    Key {
        id,
        org: ORG,
        project: PROJECT,
        name: Name::parse(name).unwrap(),
        scopes: Scopes::all(),
        models: ModelAccess::All,
        expires: None,
        revoked: None,
        secret: store.pepper().hash(&secret.hash()),
        owner: None,
        previous: None,
    }
}

pub async fn apply(store: &Store, change: Change) -> store::Applied {
    store.apply(change, act(), None).await.unwrap()
}

pub async fn open(folder: &TempDir) -> Store {
    Store::open(folder.path(), Config::default()).await.unwrap()
}

/// A new store with the organisation, its project and its key.
pub async fn furnished(config: Config) -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config).await.unwrap();
    apply(&store, Change::AddOrganisation(organisation(ORG, "one"))).await;
    apply(&store, Change::AddOrganisation(organisation(OTHER_ORG, "other"))).await;
    apply(&store, Change::AddProject(Project { id: PROJECT, org: ORG, name: Name::default_name() })).await;
    apply(&store, Change::AddKey(key(&store, KEY, "default", &ApiKey::generate().unwrap()))).await;
    (folder, store)
}

pub fn price() -> Price {
    Price::new(PerClass([1_000_000, 500_000, 3_000_000, 0, 0, 7_000_000].map(Nano::new)), 500).unwrap()
}

/// The end of a request that nobody has seen before.
pub fn usage(cause: Cause, counts: Counts) -> UsageRow {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let paid = cause.payer() == account::Payer::Caller;
    let charge = if paid { price().cost(&counts, Service::Standard).unwrap() } else { Nano::ZERO };
    UsageRow {
        request: RequestId::from_bytes(id),
        tenant: TENANT,
        model: "m".into(),
        service: Service::Standard,
        price: Some((PRICE, price())),
        settlement: Settlement { cause, admitted: NOW, counts, charge },
        ended: NOW,
        route: None,
        queued: None,
        first_output: None,
        labels: Labels::default(),
    }
}

/// Hands a settlement over and waits until it is durable.
pub async fn settle(store: &Store, row: UsageRow) -> Result<store::Settled, store::Error> {
    store.reserve()?.settle(row).await.expect("the writer answers")
}

/// All that the organisation used, in periods of its time zone.
pub async fn used(store: &Store, zone: Zone, bucket: Bucket, apart: Apart<'_>) -> Vec<UsageSum> {
    let (from, until) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    store.usage(UsageOf { org: ORG, zone, from, until, bucket, apart, most: 10_000 }).await.unwrap()
}

/// The same by hour and key.
pub async fn sums(store: &Store) -> Vec<UsageSum> {
    used(store, Zone::UTC, Bucket::Hour, Apart::Key).await
}

/// The ledger of an organisation, verified.
pub async fn verified(store: &Store, org: OrgId) -> account::ledger::Head {
    let lines = store.lines(org, 1, u32::MAX).await.unwrap();
    let head = account::ledger::verify(org, lines.iter().map(String::as_str)).unwrap();
    assert_eq!(head, store.head(org).await.unwrap());
    head
}
