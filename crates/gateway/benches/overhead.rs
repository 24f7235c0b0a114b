//! What authentication, admission and metering add to a request: `cargo bench -p gateway --bench overhead`.
//!
//! Two servers answer the same stream at a fixed rate, in turns: the gateway with its real store, over a backend that has its
//! answer at once, and a direct one that reads the same body and sends the same bytes. The difference of their times to the
//! first byte is what a request pays for being metered. How long the last frame waits for its settlement stands beside what
//! the disk takes for a synchronised write. `OVERHEAD_SECONDS` and `OVERHEAD_RATE` set another length and rate.
//!
//! With `OVERHEAD_REQUESTS` it sends so many requests instead, as fast as they are answered, and says how much memory the process
//! has after each tenth of them.

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use account::{
    ApiKey, Billing, Key, KeyId, LimitKind, Limits, ModelAccess, Name, Nano, OrgId, Owner, PerClass, Price, PriceId,
    PriceVersion, ProjectId, Scopes, Timestamp, Zone,
};
use axum::{Router, body::Bytes, http::header, routing::post};
use catalog::Catalog;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use gateway::{Config, Service, Tenancy};
use inference::{
    Backend, Capabilities, Error, Event, EventStream, FinishReason, Load, Prepared, Request, Task, TokenizeOptions,
    Usage,
};
use store::{Act, Change, Organisation, Project, Store};
use tokio::net::TcpListener;

const KEY: &str = "a-key-for-benchmarks-0123456789abcdef";
const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}],"stream":true,"max_tokens":16}"#;

/// Connections, each with one request at a time.
const CONNECTIONS: u32 = 64;

/// How often each server is measured, in turns.
const TURNS: u32 = 3;

/// Answers at once.
struct Instantly(Capabilities);

struct Ready;

impl Backend for Instantly {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    fn prepare(&self, _: Request) -> BoxFuture<'_, Result<Box<dyn Prepared>, Error>> {
        ready(Ok(Box::new(Ready) as Box<dyn Prepared>)).boxed()
    }

    fn tokenize(&self, _: String, _: TokenizeOptions) -> BoxFuture<'_, Result<Vec<u32>, Error>> {
        ready(Ok(vec![])).boxed()
    }

    fn detokenize(&self, _: Vec<u32>) -> BoxFuture<'_, Result<String, Error>> {
        ready(Ok(String::new())).boxed()
    }

    fn load(&self) -> Load {
        Load::default()
    }
}

impl Prepared for Ready {
    fn prompt_tokens(&self) -> u64 {
        7
    }

    fn max_tokens(&self) -> u64 {
        16
    }

    fn run(self: Box<Self>) -> Result<EventStream, Error> {
        let text =
            |_| Event::Text { choice: 0, text: "word ".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] };
        let usage = Usage { prompt_tokens: 7, cached_tokens: 0, completion_tokens: 8, reasoning_tokens: 0 };
        let end = [Event::Finished { choice: 0, reason: FinishReason::Stop, stop: None }, Event::Done(usage)];
        Ok(stream::iter((0..8).map(text).chain(end)).boxed())
    }
}

#[expect(clippy::print_stdout, reason = "the result of a benchmark")]
fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let rate = number("OVERHEAD_RATE", 2000);
    let seconds = if is_test { 1 } else { number("OVERHEAD_SECONDS", 20) };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let metered = runtime.block_on(serve_metered(folder.path()));
    if let Ok(text) = std::env::var("OVERHEAD_REQUESTS") {
        return flood(metered, text.parse().expect("a number"));
    }
    let answer = whole_answer(metered);
    let direct = runtime.block_on(serve_direct(answer));
    let (mut first, mut last) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let turns = if is_test { 1 } else { TURNS };
    for _ in 0..turns {
        for (place, address) in [metered, direct].into_iter().enumerate() {
            let (firsts, lasts) = load(address, rate, seconds);
            first[place].extend(firsts);
            last[place].extend(lasts);
        }
    }
    let [metered_first, direct_first] = first.map(sorted);
    let [metered_last, direct_last] = last.map(sorted);
    println!("{} requests each at {rate} a second, {CONNECTIONS} connections", metered_first.len());
    for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
        let (with, without) = (at(&metered_first, share), at(&direct_first, share));
        let (with_last, without_last) = (at(&metered_last, share), at(&direct_last, share));
        println!(
            "{name:>6}: first byte {:6.3} ms metered, {:6.3} ms direct, {:+.3} ms; from it to the last {:6.3} ms metered, {:6.3} ms direct",
            with,
            without,
            with - without,
            with_last,
            without_last
        );
    }
    let synced = sorted(synchronised_writes(folder.path()));
    println!("a synchronised write of 4 KiB: p50 {:.3} ms, p99 {:.3} ms", at(&synced, 0.5), at(&synced, 0.99));
}

async fn serve_metered(data: &Path) -> SocketAddr {
    let store = Store::open(data, store::Config::default()).await.expect("a store");
    let (org, project) = (OrgId::from_bytes([1; 16]), ProjectId::from_bytes([2; 16]));
    let key = Key {
        id: KeyId::from_bytes([3; 16]),
        org,
        project,
        name: Name::default_name(),
        scopes: Scopes::all(),
        models: ModelAccess::All,
        expires: None,
        revoked: None,
        secret: store.pepper().hash(&ApiKey::parse(KEY).expect("a key").hash()),
        owner: None,
        previous: None,
    };
    let rates = PerClass([1_000_000, 1_000_000, 2_000_000, 0, 0, 0].map(Nano::new));
    let price = Price::new(rates, 1000).expect("a price");
    let version = PriceVersion { id: PriceId::from_bytes([4; 16]), from: Timestamp::from_millis(0), price };
    // Limits of every kind on every level, so that none is free to check.
    let limits =
        LimitKind::SETTABLE.into_iter().fold(Limits::default(), |limits, kind| limits.with(kind, i64::MAX / 4));
    let limits = |owner| Change::SetLimits { org, owner, limits };
    let owner = Owner::Key(key.id);
    for change in [
        Change::AddOrganisation(Organisation {
            id: org,
            name: Name::default_name(),
            zone: Zone::UTC,
            billing: Billing::Postpaid,
        }),
        Change::AddProject(Project { id: project, org, name: Name::default_name() }),
        Change::AddKey(key),
        Change::AddPrice { model: "m".into(), version },
        limits(Owner::Organisation(org)),
        limits(Owner::Project(project)),
        limits(owner),
    ] {
        let act = Act { actor: "bench".into(), at: store::now(), before: None, after: None, address: None };
        store.apply(change, act, None).await.expect("a change");
    }
    let tenancy = Tenancy::load(&store).await.expect("a tenancy");
    let catalog = Catalog::in_memory();
    catalog.register(
        "m",
        Arc::new(Instantly(Capabilities {
            context_length: 100,
            vocabulary: 1000,
            chat: true,
            infill: false,
            task: Task::Generate,
        })),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = Service::new(Config::default(), catalog, tenancy);
    tokio::spawn(gateway::serve(listener, service, std::future::pending()));
    address
}

/// Reads a body and sends `answer`, whoever asks.
async fn serve_direct(answer: Bytes) -> SocketAddr {
    let handler = move |body: Bytes| {
        let answer = answer.clone();
        async move {
            let _read: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            // As pieces, which a body without a length is sent in.
            let pieces = stream::iter([Ok::<_, std::convert::Infallible>(answer)]);
            ([(header::CONTENT_TYPE, "text/event-stream")], axum::body::Body::from_stream(pieces))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route("/v1/chat/completions", post(handler))).await },
    );
    address
}

/// Asks at a fixed rate. Returns the milliseconds to each first byte, and from there to each last.
fn load(address: SocketAddr, rate: u32, seconds: u32) -> (Vec<f64>, Vec<f64>) {
    let begin = Instant::now() + Duration::from_millis(50);
    let ask = |connection: u32| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for number in (connection..rate * seconds).step_by(CONNECTIONS as usize) {
            let due = begin + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
            let wait = due.saturating_duration_since(Instant::now());
            // One that is late because of the one before counts from when it was due.
            let late = wait.is_zero();
            std::thread::sleep(wait);
            let (sent, came, ended, _) = exchange(&mut stream, address);
            let since = if late { due } else { sent };
            first.push((came - since).as_secs_f64() * 1000.0);
            last.push((ended - came).as_secs_f64() * 1000.0);
        }
        (first, last)
    };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..CONNECTIONS).map(|connection| scope.spawn(move || ask(connection))).collect();
        for asked in asking {
            let (firsts, lasts) = asked.join().expect("no connection fails");
            first.extend(firsts);
            last.extend(lasts);
        }
    });
    (first, last)
}

/// Sends so many requests, one behind the other on each connection, and says what the process takes of memory meanwhile.
#[expect(clippy::print_stdout, reason = "the result of a benchmark")]
fn flood(address: SocketAddr, requests: u64) {
    let sent = AtomicU64::new(0);
    let begin = Instant::now();
    println!("{:>10} requests: {:7.1} MiB resident", 0, resident_mib());
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(address).expect("a connection");
                stream.set_nodelay(true).expect("no delay");
                loop {
                    let number = sent.fetch_add(1, Ordering::Relaxed) + 1;
                    if number > requests {
                        return;
                    }
                    exchange(&mut stream, address);
                    if number.is_multiple_of((requests / 10).max(1)) {
                        let seconds = begin.elapsed().as_secs_f64();
                        println!("{number:>10} requests: {:7.1} MiB resident, {seconds:6.1} s", resident_mib());
                    }
                }
            });
        }
    });
}

/// What of this process is in memory.
fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of the resident size");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// One request: when it was sent, when its first and when its last byte came, and the body as it was sent in pieces.
fn exchange(stream: &mut TcpStream, address: SocketAddr) -> (Instant, Instant, Instant, Vec<u8>) {
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let sent = Instant::now();
    stream.write_all(request.as_bytes()).expect("the server reads");
    let (mut answer, mut buffer, mut came) = (Vec::new(), [0; 16 << 10], None);
    // The end of a body in pieces (RFC 9112, section 7.1).
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let read = stream.read(&mut buffer).expect("the server answers");
        assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&answer));
        came.get_or_insert_with(Instant::now);
        answer.extend_from_slice(&buffer[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    (sent, came.unwrap_or(sent), Instant::now(), answer)
}

/// The text of an answer, to be sent by the direct server.
fn whole_answer(address: SocketAddr) -> Bytes {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let (_, _, _, answer) = exchange(&mut stream, address);
    let text = String::from_utf8(answer).expect("text");
    let events: Vec<&str> = text.lines().filter(|line| line.starts_with("data: ")).collect();
    assert!(text.contains("[DONE]") && events.len() > 8, "{text}");
    format!("{}\n\n", events.join("\n\n")).into()
}

/// What the disk takes for what a settlement needs at least.
fn synchronised_writes(folder: &Path) -> Vec<f64> {
    let mut file = File::create(folder.join("synchronised")).expect("a file");
    let mut write = || {
        let begin = Instant::now();
        file.write_all(&[7; 4096]).expect("room");
        file.sync_data().expect("a disk");
        begin.elapsed().as_secs_f64() * 1000.0
    };
    (0..200).map(|_| write()).collect()
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted[place.min(sorted.len() - 1)]
}
