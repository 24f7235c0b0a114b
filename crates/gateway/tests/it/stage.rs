//! A service over one scripted model, and the one `check` that asks it.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use account::{
    ApiKey, Key, KeyId, ModelAccess, Name, OrgId, Pepper, Price, PriceHistory, PriceId, PriceVersion, ProjectId,
    RequestId, ResponseId, Scopes, Tenant, Timestamp,
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request as HttpRequest, StatusCode},
};
use catalog::Catalog;
use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use gateway::{Config, Journal, Place, ResponseStore, Service, Tenancy, router};
use http_body_util::BodyExt;
use inference::{
    Backend, Capabilities, Error, Event, EventStream, FinishReason, Load, Prepared, Request, TokenizeOptions, Usage,
};
use serde_json::Value;
use store::{Apart, Chain, OpenRequest, Part, RequestRecord, StoredResponse, UsageOf, UsageRow, UsageSum, now};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

pub const KEY: &str = "a-key-for-tests-0123456789abcdef";

/// What the backend does with a request.
pub enum Script {
    /// Refused by `prepare`.
    RefuseToPrepare(Error),
    /// Refused by `run`.
    RefuseToRun(Error),
    /// These events, all at once.
    Events(Vec<Event>),
    /// These events, and instructions of the system were moved.
    Merged(Vec<Event>),
    /// Events as the test sends them. The stream ends when the sender is dropped.
    Channel(mpsc::Receiver<Event>),
    /// Text without end.
    Endless,
    /// A panic when the first event is asked for.
    Panic,
}

/// A backend that follows a script, remembers what it was asked and counts its live streams.
pub struct Scripted {
    capabilities: Capabilities,
    script: Box<dyn Fn(&Request) -> Script + Send + Sync>,
    pub asked: Mutex<Vec<Request>>,
    pub live: watch::Sender<usize>,
    pub load: Mutex<Load>,
}

impl Scripted {
    pub fn new(script: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            capabilities: Capabilities {
                context_length: 100,
                vocabulary: 1000,
                chat: true,
                infill: true,
                task: inference::Task::Generate,
            },
            script: Box::new(script),
            asked: Mutex::default(),
            live: watch::Sender::new(0),
            load: Mutex::default(),
        })
    }

    /// Follows `script` for the first request; any other is a failure of the test.
    pub fn once(script: Script) -> Arc<Self> {
        let script = Mutex::new(Some(script));
        Self::new(move |_| script.lock().unwrap().take().expect("one request"))
    }

    /// Waits until `count` streams are live.
    pub async fn until_live(&self, count: usize) {
        self.live.subscribe().wait_for(|live| *live == count).await.unwrap();
    }
}

struct Checked {
    script: Script,
    max_tokens: u64,
    choices: u32,
    live: watch::Sender<usize>,
}

impl Backend for Scripted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, request: Request) -> BoxFuture<'_, Result<Box<dyn Prepared>, Error>> {
        let script = (self.script)(&request);
        let choices = request.choices;
        // What a script says is not cut; where all of it is known beforehand, it is what was asked for.
        let max_tokens = request.max_tokens.filter(|_| request.ignore_eos).map_or(1 << 40, u64::from);
        self.asked.lock().unwrap().push(request);
        let prepared = match script {
            Script::RefuseToPrepare(error) => Err(error),
            script => {
                Ok(Box::new(Checked { script, max_tokens, choices, live: self.live.clone() }) as Box<dyn Prepared>)
            }
        };
        ready(prepared).boxed()
    }

    fn tokenize(&self, text: String, options: TokenizeOptions) -> BoxFuture<'_, Result<Vec<u32>, Error>> {
        let mut tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        if options.add_special {
            tokens.insert(0, 900);
        }
        if options.parse_special {
            tokens.push(901);
        }
        ready(Ok(tokens)).boxed()
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, Error>> {
        let text = tokens.iter().map(|id| u8::try_from(*id).map(char::from));
        let text = text.collect::<Result<String, _>>().map_err(|_| Error::invalid("tokens", "no such token"));
        ready(text).boxed()
    }

    fn load(&self) -> Load {
        *self.load.lock().unwrap()
    }
}

impl Prepared for Checked {
    fn prompt_tokens(&self) -> u64 {
        7
    }

    fn max_tokens(&self) -> u64 {
        self.max_tokens
    }

    fn merged_system(&self) -> bool {
        matches!(self.script, Script::Merged(_))
    }

    fn run(self: Box<Self>) -> Result<EventStream, Error> {
        let Checked { script, choices, live, .. } = *self;
        let events: EventStream = match script {
            Script::RefuseToPrepare(error) | Script::RefuseToRun(error) => return Err(error),
            Script::Events(events) | Script::Merged(events) => stream::iter(events).boxed(),
            Script::Channel(mut events) => stream::poll_fn(move |cx| events.poll_recv(cx)).boxed(),
            Script::Endless => {
                let piece = move |count: u32| text(count % choices, &"x".repeat(1000));
                stream::iter((0..).map(piece)).boxed()
            }
            Script::Panic => stream::poll_fn(|_| panic!("as scripted")).boxed(),
        };
        live.send_modify(|live| *live += 1);
        Ok(Counted { events, live }.boxed())
    }
}

struct Counted {
    events: EventStream,
    live: watch::Sender<usize>,
}

impl Stream for Counted {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_next_unpin(cx)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.send_modify(|live| *live -= 1);
    }
}

/// A token with its text.
pub fn text(choice: u32, text: &str) -> Event {
    Event::Text { choice, text: text.into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] }
}

pub fn finished(choice: u32) -> Event {
    Event::Finished { choice, reason: FinishReason::Stop, stop: None }
}

pub fn done(prompt_tokens: u64, completion_tokens: u64) -> Event {
    Event::Done(Usage { prompt_tokens, cached_tokens: 0, completion_tokens, reasoning_tokens: 0 })
}

/// One choice that says `words`.
pub fn says(words: &str) -> Vec<Event> {
    vec![text(0, words), finished(0), done(7, 2)]
}

/// A service whose models `m` and `org/m` are `backend`.
pub fn service(config: Config, backend: Arc<Scripted>) -> Service {
    metered(config, backend, tenancy(Arc::default()))
}

/// The same for tenants of one's own.
pub fn metered(config: Config, backend: Arc<Scripted>, tenancy: Tenancy) -> Service {
    let catalog = Catalog::in_memory();
    catalog.register("m", backend.clone());
    catalog.register("org/m", backend);
    Service::new(config, catalog, tenancy)
}

pub const ORG: OrgId = OrgId::from_bytes([1; 16]);
pub const PROJECT: ProjectId = ProjectId::from_bytes([2; 16]);

/// The key of all tests, with every scope.
pub fn key(pepper: &Pepper) -> Key {
    Key {
        id: KeyId::from_bytes([3; 16]),
        org: ORG,
        project: PROJECT,
        name: Name::default_name(),
        scopes: Scopes::all(),
        models: ModelAccess::All,
        expires: None,
        revoked: None,
        secret: pepper.hash(&ApiKey::parse(KEY).unwrap().hash()),
        owner: None,
        previous: None,
    }
}

pub fn pepper() -> Pepper {
    Pepper::from_bytes(&[9; 32]).unwrap()
}

/// One key, and the models `m` and `org/m` for nothing.
pub fn tenancy(journal: Arc<Kept>) -> Tenancy {
    let tenancy = Tenancy::new(pepper(), journal);
    tenancy.set_key(key(&pepper()));
    set_price(&tenancy, Price::FREE);
    tenancy
}

pub fn set_price(tenancy: &Tenancy, price: Price) {
    let (id, from) = (PriceId::from_bytes([4; 16]), Timestamp::from_millis(0));
    let history = PriceHistory::new(vec![PriceVersion { id, from, price }]);
    tenancy.set_prices([("m".into(), history.clone()), ("org/m".into(), history)].into());
}

/// A journal in memory: the twin of the store.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Ledger>>);

#[derive(Default)]
struct Ledger {
    rows: Vec<UsageRow>,
    responses: BTreeMap<ResponseId, StoredResponse>,
    broken: bool,
    refuses_responses: bool,
}

impl Kept {
    pub fn rows(&self) -> Vec<UsageRow> {
        self.0.lock().unwrap().rows.clone()
    }

    /// Forgets what was settled and kept.
    pub fn forget(&self) {
        let mut ledger = self.0.lock().unwrap();
        ledger.rows.clear();
        ledger.responses.clear();
    }

    /// From now on no response is kept.
    pub fn refuse_responses(&self) {
        self.0.lock().unwrap().refuses_responses = true;
    }

    /// From now on nothing can be made durable.
    pub fn break_down(&self) {
        self.0.lock().unwrap().broken = true;
    }
}

impl Journal for Kept {
    fn reserve(&self) -> Option<Box<dyn Place>> {
        (!self.0.lock().unwrap().broken).then(|| Box::new(self.clone()) as Box<dyn Place>)
    }

    fn usage<'a>(&'a self, asked: UsageOf<'a>) -> BoxFuture<'a, Result<Vec<UsageSum>, store::Error>> {
        let UsageOf { org, zone, from, until, bucket, apart, .. } = asked;
        let first = bucket.of(from, &zone).start;
        let start = |row: &UsageRow| bucket.of(row.settlement.admitted, &zone).start;
        let within = |row: &UsageRow| row.tenant.org == org && (first..until).contains(&start(row));
        let value = |value: &str| Part::Value(Some(value.into()));
        let sum = |row: UsageRow| {
            let part = match apart {
                Apart::Key => Some(Part::Key(row.tenant.key)),
                Apart::EndUser => row.labels.end_user().map(value),
                Apart::Tag(name) => row.labels.tags().get(name).map(|tag| value(tag)),
            };
            Some(UsageSum {
                start: start(&row),
                project: row.tenant.project,
                part: part?,
                model: row.model,
                rows: 1,
                counts: row.settlement.counts,
                charge: row.settlement.charge,
            })
        };
        let sums: Vec<_> = self.rows().into_iter().filter(within).filter_map(sum).collect();
        ready(Ok(sums)).boxed()
    }

    fn request(&self, org: OrgId, request: RequestId) -> BoxFuture<'_, Option<Option<RequestRecord>>> {
        let row = self.rows().into_iter().find(|row| row.tenant.org == org && row.request == request);
        let record = row.map(|row| RequestRecord {
            request,
            tenant: row.tenant,
            model: row.model,
            admitted: row.settlement.admitted,
            ended: row.ended,
            route: row.route,
            queued_ms: row.queued.map(|queued| queued.as_millis() as u64),
            first_output_ms: row.first_output.map(|after| after.as_millis() as u64),
            cause: row.settlement.cause,
            service: row.service,
            price: row.price.map(|(id, _)| id),
            counts: row.settlement.counts,
            charge: row.settlement.charge,
            line: None,
            labels: row.labels,
        });
        ready(Some(record)).boxed()
    }

    fn responses(&self) -> &dyn ResponseStore {
        self
    }
}

impl ResponseStore for Kept {
    fn keep(&self, response: StoredResponse) -> BoxFuture<'_, Result<(), store::Error>> {
        let mut ledger = self.0.lock().unwrap();
        let broken = ledger.broken || ledger.refuses_responses;
        if !broken {
            assert!(ledger.responses.insert(response.id, response).is_none(), "an id is used once");
        }
        ready(if broken { Err(store::Error::NotDurable) } else { Ok(()) }).boxed()
    }

    fn change(&self, response: StoredResponse) -> BoxFuture<'_, Result<bool, store::Error>> {
        let mut ledger = self.0.lock().unwrap();
        let known = ledger.responses.get_mut(&response.id).map(|known| *known = response).is_some();
        ready(Ok(known)).boxed()
    }

    fn read<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: ResponseId,
    ) -> BoxFuture<'a, Result<Option<StoredResponse>, store::Error>> {
        let ledger = self.0.lock().unwrap();
        let found = ledger.responses.get(&id).filter(|found| found.expires > now());
        let found = found.filter(|found| (found.org, found.project) == (tenant.org, tenant.project));
        ready(Ok(found.cloned())).boxed()
    }

    fn chain<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<Option<Chain>, store::Error>> {
        async move {
            let (mut responses, mut next) = (Vec::new(), Some(id));
            while let Some(id) = next {
                let Some(found) = self.read(tenant, id).await? else { break };
                next = found.previous;
                responses.insert(0, found);
            }
            Ok((!responses.is_empty()).then_some(Chain { responses, complete: next.is_none() }))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<bool, store::Error>> {
        async move {
            let found = self.read(tenant, id).await?.is_some();
            if found {
                self.0.lock().unwrap().responses.remove(&id);
            }
            Ok(found)
        }
        .boxed()
    }
}

impl Place for Kept {
    fn open(&mut self, _: OpenRequest) {}

    fn settle(self: Box<Self>, row: UsageRow) -> BoxFuture<'static, bool> {
        let mut ledger = self.0.lock().unwrap();
        if !ledger.broken {
            ledger.rows.push(row);
        }
        ready(!ledger.broken).boxed()
    }
}

pub fn app(backend: Arc<Scripted>) -> Router {
    router(service(Config::default(), backend))
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {:?}", self.bytes))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

pub fn request(method: &str, path: &str, body: impl Into<Body>) -> HttpRequest<Body> {
    let request = HttpRequest::builder().method(method).uri(path);
    request.header("authorization", format!("Bearer {KEY}")).body(body.into()).unwrap()
}

pub async fn send(app: &Router, request: HttpRequest<Body>) -> Answer {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

/// Asks with the key and expects a status. A body that is null is not sent.
pub async fn check(app: &Router, method: &str, path: &str, body: Value, expect: u16) -> Answer {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let answer = send(app, request(method, path, body)).await;
    assert_eq!(answer.status, expect, "{method} {path}: {:?}", answer.bytes);
    if expect >= 400 && answer.status != StatusCode::SERVICE_UNAVAILABLE {
        let error = &answer.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
        assert_eq!(error["code"].is_string(), !path.starts_with("/v1/messages"), "{error}");
    }
    answer
}
