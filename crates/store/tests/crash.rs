//! `kill -9` at random moments while settlements are written.
//!
//! The test starts itself as a child that settles as fast as it can and says which settlements were acknowledged. After
//! each kill, everything acknowledged is there exactly once, nothing is double, and the chain verifies.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use account::{
    ApiKey, Billing, Cause, Class, Counts, Key, KeyId, Labels, ModelAccess, Name, Nano, OrgId, PerClass, Price,
    PriceId, ProjectId, RequestId, Scopes, Service, Settlement, Tenant, Timestamp, Zone,
};
use store::{Act, Apart, Bucket, Change, Config, OpenRequest, Organisation, Project, Slot, Store, UsageOf, UsageRow};

const ORG: OrgId = OrgId::from_bytes([1; 16]);
const TENANT: Tenant = Tenant { org: ORG, project: ProjectId::from_bytes([2; 16]), key: KeyId::from_bytes([3; 16]) };
const NOW: Timestamp = Timestamp::from_millis(1_764_086_400_000);

/// Kills of one run.
const ROUNDS: u64 = 12;

/// Requests that the child has under way at a time.
const PARALLEL: u64 = 24;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match std::env::args().collect::<Vec<_>>().as_slice() {
        [_, word, folder] if word == "settle-until-killed" => runtime.block_on(child(Path::new(folder))),
        _ => runtime.block_on(parent()),
    }
}

async fn child(folder: &Path) {
    let store = Store::open(folder, Config::default()).await.unwrap();
    let workers = (0..PARALLEL).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut current = begin(&store);
            loop {
                // One more has always begun when one ends, so that a kill finds requests that have not.
                let (slot, row) = std::mem::replace(&mut current, begin(&store));
                let request = row.request;
                slot.settle(row).await.unwrap().unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "{request}").unwrap();
                out.flush().unwrap();
            }
        })
    });
    futures::future::join_all(workers).await;
}

fn begin(store: &Store) -> (Slot, UsageRow) {
    let row = usage();
    let mut slot = store.reserve().unwrap();
    slot.open(OpenRequest { request: row.request, tenant: TENANT, model: row.model.clone(), admitted: NOW });
    (slot, row)
}

fn usage() -> UsageRow {
    let price = Price::new(PerClass([1_000_000, 1_000_000, 1_000_000, 0, 0, 0].map(Nano::new)), 1000).unwrap();
    let counts = Counts::tokens(10, 3, 20);
    let charge = price.cost(&counts, Service::Standard).unwrap();
    UsageRow {
        request: RequestId::generate().unwrap(),
        tenant: TENANT,
        model: "m".into(),
        service: Service::Standard,
        price: Some((PriceId::from_bytes([4; 16]), price)),
        settlement: Settlement { cause: Cause::Finished, admitted: NOW, counts, charge },
        ended: NOW,
        route: None,
        queued: None,
        first_output: None,
        labels: Labels::default(),
    }
}

async fn parent() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path()).await;
    let mut acknowledged: Vec<RequestId> = Vec::new();
    let mut left_open = 0;
    // The moments are chosen by a generator with a fixed seed, in settlements; what else goes on then is chance.
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let before = acknowledged.len();
        acknowledged.extend(kill_after(folder.path(), random % 400));
        let resolved = check(folder.path(), &acknowledged).await;
        left_open += resolved;
        eprintln(&format!("round {round}: {} acknowledged, {resolved} left open", acknowledged.len() - before));
    }
    assert!(acknowledged.len() as u64 > ROUNDS * 50);
    assert!(left_open > 0, "no kill found a request that had begun");
}

/// Starts the child, lets it settle so many requests and kills it. Returns everything that it acknowledged.
fn kill_after(folder: &Path, settlements: u64) -> Vec<RequestId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("settle-until-killed")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while (acknowledged.len() as u64) < settlements {
        acknowledged.push(lines.next().expect("the child settles on").unwrap());
    }
    // SIGKILL on Unix.
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died was acknowledged, too; a last line without an end was not.
    acknowledged.extend(lines.map_while(Result::ok));
    acknowledged.iter().filter_map(|text| RequestId::parse(text).ok()).collect()
}

async fn furnish(folder: &Path) {
    let store = Store::open(folder, Config::default()).await.unwrap();
    let name = Name::default_name;
    let secret = store.pepper().hash(&ApiKey::generate().unwrap().hash());
    let Tenant { org, project, key } = TENANT;
    let key = Key {
        id: key,
        org,
        project,
        name: name(),
        scopes: Scopes::all(),
        models: ModelAccess::All,
        expires: None,
        revoked: None,
        secret,
        owner: None,
        previous: None,
    };
    for change in [
        Change::AddOrganisation(Organisation { id: org, name: name(), zone: Zone::UTC, billing: Billing::Postpaid }),
        Change::AddProject(Project { id: project, org, name: name() }),
        Change::AddKey(key),
    ] {
        let act = Act { actor: "test".into(), at: NOW, before: None, after: None, address: None };
        store.apply(change, act, None).await.unwrap();
    }
    store.close().await;
}

/// Returns how many requests had begun and not ended.
async fn check(folder: &Path, acknowledged: &[RequestId]) -> usize {
    let store = Store::open(folder, Config::default()).await.unwrap();
    let resolved = store.resolve_open_requests(NOW).await.unwrap();
    let mut lines = std::collections::HashSet::new();
    for request in acknowledged {
        let record = store.request(ORG, *request).await.unwrap().expect("an acknowledged settlement is there");
        assert_eq!((record.cause, record.charge), (Cause::Finished, Nano::new(30)));
        assert!(lines.insert(record.line.expect("it has a line")), "a line is for one request");
    }
    let text = store.lines(ORG, 1, u32::MAX).await.unwrap();
    let head = account::ledger::verify(ORG, text.iter().map(String::as_str)).unwrap();
    let requests: std::collections::HashSet<&str> =
        text.iter().map(|line| line.split(' ').find(|word| word.starts_with("request=")).unwrap()).collect();
    assert_eq!(requests.len(), text.len(), "no request has two lines");
    let sums = store
        .usage(UsageOf {
            org: ORG,
            zone: Zone::UTC,
            from: Timestamp::from_millis(0),
            until: Timestamp::from_millis(i64::MAX),
            bucket: Bucket::Month,
            apart: Apart::Key,
            most: 10_000,
        })
        .await
        .unwrap();
    let charges: Nano = sums.iter().map(|sum| sum.charge).sum();
    assert_eq!(charges.negated(), Ok(head.balance), "sums equal the ledger");
    assert_eq!(sums.iter().map(|sum| sum.counts.of(Class::Output)).sum::<u64>(), 20 * head.number);
    store.close().await;
    resolved
}

#[expect(clippy::print_stderr, reason = "what a test without a harness has to say")]
fn eprintln(text: &str) {
    eprintln!("{text}");
}
