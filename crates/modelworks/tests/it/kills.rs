//! `kill -9` of the real binary under load.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex},
};

use account::{Cause, Nano, OrgId, RequestId, Timestamp, Zone};
use rustix::process::Signal;
use serde_json::json;
use store::{Apart, Bucket, Store, UsageOf};
use tokio::sync::{oneshot, watch};

use crate::server::{MODEL, Server, data_with_model, link, modelworks};

/// Kills of a usual run. `MODELWORKS_TEST_KILLS` sets another number: 200 take some minutes.
const KILLS: u64 = 8;

/// Clients that ask at a time.
const CLIENTS: usize = 8;

/// What clients know of their requests.
#[derive(Default)]
struct Known {
    /// Ids of all that a status line came for.
    begun: Mutex<HashSet<RequestId>>,
    /// Ids of those whose last frame came.
    whole: Mutex<HashSet<RequestId>>,
    /// How many those are, to wait for.
    count: watch::Sender<u64>,
}

/// Asks one request after the other until the server is gone.
async fn ask(client: reqwest::Client, base: String, known: Arc<Known>, stream: bool) {
    loop {
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": stream,
            "max_tokens": 3, "ignore_eos": true});
        let request = client.post(format!("{base}/v1/chat/completions")).body(body.to_string());
        let Ok(answer) = request.send().await else { return };
        assert_eq!(answer.status(), 200);
        let id = answer.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
        let id = RequestId::parse(&id).expect("an id of ours");
        known.begun.lock().unwrap().insert(id);
        let Ok(text) = answer.text().await else { return };
        let is_whole = if stream { text.ends_with("data: [DONE]\n\n") } else { text.ends_with('}') };
        if !is_whole {
            return;
        }
        known.whole.lock().unwrap().insert(id);
        known.count.send_modify(|count| *count += 1);
    }
}

/// Asks for an answer that is longer than any round, says when it has begun, and reads it until the server is gone.
async fn ask_long(client: reqwest::Client, base: String, known: Arc<Known>, has_begun: oneshot::Sender<()>) {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": true,
        "max_tokens": 400, "ignore_eos": true});
    let request = client.post(format!("{base}/v1/chat/completions")).body(body.to_string());
    let answer = request.send().await.expect("the server is not killed before this began");
    assert_eq!(answer.status(), 200);
    let id = answer.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
    known.begun.lock().unwrap().insert(RequestId::parse(&id).expect("an id of ours"));
    has_begun.send(()).expect("the round waits");
    answer.text().await.expect_err("it is cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_kill_what_was_answered_is_settled_once_and_the_rest_has_a_reason() {
    let kills = std::env::var("MODELWORKS_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    link(data_with_model(), folder.path());
    let known = Arc::new(Known::default());
    // The moments are chosen by a generator with a fixed seed, in answers; what else goes on then is chance.
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..kills {
        let server = Server::start_in(folder.path(), &["--context", "512"]).await;
        if round == 0 {
            let price = ["price", "set", MODEL, "--input", "1", "--output", "2", "--data-dir"];
            let set = modelworks().args(price).arg(folder.path()).output().expect("the binary starts");
            assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
        }
        let (has_begun, begun) = oneshot::channel();
        let long = tokio::spawn(ask_long(server.client.clone(), server.base.clone(), Arc::clone(&known), has_begun));
        begun.await.expect("the long answer begins");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                tokio::spawn(ask(server.client.clone(), server.base.clone(), Arc::clone(&known), number % 2 == 0))
            })
            .collect();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let enough = *known.count.borrow() + random % 20;
        known.count.subscribe().wait_for(|count| *count >= enough).await.expect("the sender lives");
        server.signal(Signal::KILL);
        drop(server);
        for client in clients.into_iter().chain([long]) {
            client.await.expect("a client does not panic");
        }
    }
    check(folder.path(), &known, kills).await;
}

async fn check(data: &Path, known: &Known, kills: u64) {
    let store = Store::open(data, store::Config::default()).await.expect("the rows open");
    store.resolve_open_requests(store::now()).await.expect("rows");
    assert_eq!(store.resolve_open_requests(store::now()).await.expect("rows"), 0, "none is left open");
    let org: OrgId = store.organisations().await.expect("rows")[0].id;
    let text = store.lines(org, 1, u32::MAX).await.expect("rows");
    let head = account::ledger::verify(org, text.iter().map(String::as_str)).expect("the chain verifies");
    let charged: HashSet<&str> =
        text.iter().map(|line| line.split(' ').find(|word| word.starts_with("request=")).expect("a charge")).collect();
    assert_eq!(charged.len(), text.len(), "no request has two lines");

    let (begun, whole) = (known.begun.lock().unwrap().clone(), known.whole.lock().unwrap().clone());
    let (mut lines, mut crashed) = (HashSet::new(), 0_u64);
    for id in &begun {
        let record = store.request(org, *id).await.expect("rows");
        if whole.contains(id) {
            let record = record.expect("what got its last frame is settled");
            assert_eq!((record.cause, record.counts.of(account::Class::Output)), (Cause::Length, 3));
            assert!(lines.insert(record.line.expect("it has a line")), "a line is for one request");
        } else if let Some(record) = record {
            // Settled while its last frame was on the way, or found at the next start.
            assert!(matches!(record.cause, Cause::Length | Cause::Crashed), "{record:?}");
            assert_eq!(record.cause == Cause::Crashed, record.line.is_none());
            crashed += u64::from(record.cause == Cause::Crashed);
        }
    }
    let sums = store
        .usage(UsageOf {
            org,
            zone: Zone::UTC,
            from: Timestamp::from_millis(0),
            until: Timestamp::from_millis(i64::MAX),
            bucket: Bucket::Month,
            apart: Apart::Key,
            most: 10_000,
        })
        .await
        .expect("rows");
    let charges: Nano = sums.iter().map(|sum| sum.charge).sum();
    assert_eq!(charges.negated(), Ok(head.balance), "sums equal the ledger");
    store.close().await;
    assert!(whole.len() as u64 > kills, "there was load");
    assert!(crashed >= kills, "a request that had begun was forgotten: {crashed} crashed in {kills} kills");
}
