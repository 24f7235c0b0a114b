//! Vectors and rankings, over a scripted encoder.

use std::sync::{Arc, Mutex};

use account::{Cause, Counts, LimitKind, Limits, Nano, Owner, PerClass, Price};
use axum::{Router, body::Body};
use catalog::Catalog;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use gateway::{Config, Service, Tenancy, router};
use inference::{
    Backend, Capabilities, Dimensions, EmbedInput, EmbedRequest, Embedded, EmbeddingStream, Error, Load, Prepared,
    PreparedEmbedding, Request, Task, TokenizeOptions,
};
use serde_json::{Value, json};

use crate::stage::{Kept, PROJECT, Script, Scripted, app, check, key, pepper, request, set_price, tenancy};

/// Texts become `[bytes, 1]` (a pair one over its bytes); tokens of an input are its bytes or ids. An input of more than ten is
/// too long.
pub struct Encoder {
    capabilities: Capabilities,
    /// After so many answers the stream ends or hangs.
    most: usize,
    hangs: bool,
    asked: Mutex<Vec<EmbedRequest>>,
}

impl Encoder {
    fn new(task: Task) -> Self {
        let capabilities = Capabilities { context_length: 10, vocabulary: 100, chat: false, infill: false, task };
        Self { capabilities, most: usize::MAX, hangs: false, asked: Mutex::default() }
    }
}

fn length(input: &EmbedInput) -> u64 {
    match input {
        EmbedInput::Text(text) => text.len() as u64,
        EmbedInput::Tokens(tokens) => tokens.len() as u64,
        EmbedInput::Pair(one, other) => (one.len() + other.len()) as u64,
    }
}

impl Backend for Encoder {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, _: Request) -> BoxFuture<'_, Result<Box<dyn Prepared>, Error>> {
        panic!("an encoder was asked for text")
    }

    fn embed(&self, request: EmbedRequest) -> BoxFuture<'_, Result<Box<dyn PreparedEmbedding>, Error>> {
        let too_long = request.inputs.iter().position(|input| length(input) > 10);
        let refused = match (&self.capabilities.task, too_long) {
            (_, Some(at)) => Some(Error::InputTooLong {
                input: format!("{}[{at}]", request.parameter),
                tokens: length(&request.inputs[at]),
                limit: 10,
            }),
            (Task::Embed(dimensions), None) => dimensions.check(request.dimensions).err(),
            _ => None,
        };
        let prepared = Checked { inputs: request.inputs.clone(), most: self.most, hangs: self.hangs };
        self.asked.lock().unwrap().push(request);
        ready(refused.map_or_else(|| Ok(Box::new(prepared) as _), Err)).boxed()
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

struct Checked {
    inputs: Vec<EmbedInput>,
    most: usize,
    hangs: bool,
}

impl PreparedEmbedding for Checked {
    fn prompt_tokens(&self) -> u64 {
        self.inputs.iter().map(length).sum()
    }

    fn run(self: Box<Self>) -> Result<EmbeddingStream, Error> {
        let answer = |(index, input): (usize, &EmbedInput)| {
            let tokens = length(input);
            let vector = match input {
                EmbedInput::Pair(..) => vec![1.0 / tokens as f32],
                _ => vec![tokens as f32, 1.0],
            };
            Ok(Embedded { index, tokens, vector })
        };
        // Not in the order of the inputs.
        let answers: Vec<_> = self.inputs.iter().enumerate().map(answer).rev().take(self.most).collect();
        let end = if self.hangs { stream::pending().boxed() } else { stream::empty().boxed() };
        Ok(stream::iter(answers).chain(end).boxed())
    }
}

struct Stage {
    app: Router,
    tenancy: Tenancy,
    kept: Arc<Kept>,
    encoder: Arc<Encoder>,
}

/// One nano a token.
fn stage(encoder: Encoder) -> Stage {
    let (kept, encoder) = (Arc::new(Kept::default()), Arc::new(encoder));
    let tenancy = tenancy(kept.clone());
    set_price(&tenancy, Price::new(PerClass([1_000_000, 0, 0, 0, 0, 0].map(Nano::new)), 1000).unwrap());
    let catalog = Catalog::in_memory();
    catalog.register("m", encoder.clone());
    let app = router(Service::new(Config::default(), catalog, tenancy.clone()));
    Stage { app, tenancy, kept, encoder }
}

/// Vectors of two numbers, or one.
pub fn embeds() -> Encoder {
    Encoder::new(Task::Embed(Dimensions { full: 2, shorter: vec![1] }))
}

fn ask(input: Value) -> Value {
    json!({"model": "m", "input": input})
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_inputs_and_are_settled_once() {
    let stage = stage(embeds());
    let answer = check(&stage.app, "POST", "/v1/embeddings", ask(json!(["one", "three"])), 200).await;
    let expect = json!({
        "object": "list", "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8},
        "data": [
            {"object": "embedding", "index": 0, "embedding": [3.0, 1.0]},
            {"object": "embedding", "index": 1, "embedding": [5.0, 1.0]},
        ],
    });
    assert_eq!(answer.json(), expect);
    let row = &stage.kept.rows()[0];
    assert_eq!((row.settlement.cause, row.settlement.counts), (Cause::Finished, Counts::tokens(8, 0, 0)));
    assert_eq!(row.settlement.charge, Nano::new(8));
    assert_eq!(stage.tenancy.meter().open_requests(), 0);
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn base64_holds_the_same_numbers() {
    let stage = stage(embeds());
    let mut body = ask(json!("three"));
    body["encoding_format"] = "base64".into();
    let answer = check(&stage.app, "POST", "/v1/embeddings", body, 200).await.json();
    // 5.0 and 1.0, little-endian.
    assert_eq!(answer["data"][0]["embedding"], "AACgQAAAgD8=");
}

#[tokio::test]
async fn all_four_forms_of_input_reach_the_backend() {
    let text = |text: &str| EmbedInput::Text(text.into());
    let tokens = |ids: &[u32]| EmbedInput::Tokens(ids.to_vec());
    for (input, expect) in [
        (json!("a"), vec![text("a")]),
        (json!(["a", ""]), vec![text("a"), text("")]),
        (json!([1, 2]), vec![tokens(&[1, 2])]),
        (json!([[1], [2, 3]]), vec![tokens(&[1]), tokens(&[2, 3])]),
    ] {
        let stage = stage(embeds());
        // What is 0 bytes long has a vector, too.
        check(&stage.app, "POST", "/v1/embeddings", ask(input), 200).await;
        let asked = stage.encoder.asked.lock().unwrap().pop().unwrap();
        assert_eq!((asked.inputs, asked.truncate), (expect, false));
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name_and_costs_nothing() {
    let with = |mut body: Value, key: &str, value: Value| {
        body[key] = value;
        body
    };
    let cases = [
        (ask(json!([])), "input", "invalid_value"),
        (ask(json!([[]])), "input[0]", "invalid_value"),
        (ask(json!(["a", 1])), "input[1]", "invalid_value"),
        (ask(json!([1, -1])), "input[1]", "invalid_value"),
        (ask(json!(["a", "a text that is too long", "b"])), "input[1]", "context_length_exceeded"),
        (ask(json!(vec!["a"; 2049])), "input", "invalid_value"),
        (with(ask(json!("a")), "encoding_format", json!("hex")), "encoding_format", "invalid_value"),
        (with(ask(json!("a")), "dimensions", json!(0)), "dimensions", "invalid_value"),
        (with(ask(json!("a")), "dimensions", json!(3)), "dimensions", "invalid_value"),
    ];
    let stage = stage(embeds());
    for (body, param, code) in cases {
        let error = check(&stage.app, "POST", "/v1/embeddings", body, 400).await.json()["error"].clone();
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{error}");
    }
    assert!(stage.kept.rows().iter().all(|row| row.settlement.charge == Nano::ZERO));
    check(&stage.app, "POST", "/v1/embeddings", ask(json!(vec!["a"; 2048])), 200).await;
    check(&stage.app, "POST", "/v1/embeddings", with(ask(json!("a")), "dimensions", json!(1)), 200).await;
    assert_eq!(stage.tenancy.meter().open_requests(), 0);
}

#[tokio::test]
async fn a_model_that_is_for_something_else_says_so() {
    let chat = app(Scripted::new(|_| Script::Panic));
    for (path, body) in
        [("/v1/embeddings", ask(json!("a"))), ("/v1/rerank", json!({"model": "m", "query": "q", "documents": ["d"]}))]
    {
        let error = check(&chat, "POST", path, body, 400).await.json()["error"].clone();
        assert_eq!(error["param"], "model");
        assert!(error["message"].as_str().unwrap().contains("generates text"), "{error}");
    }
    let message = json!([{"role": "user", "content": "Hi"}]);
    for (encoder, says) in [(embeds(), "/v1/embeddings"), (Encoder::new(Task::Rank), "/v1/rerank")] {
        let stage = stage(encoder);
        for (path, body) in [
            ("/v1/chat/completions", json!({"model": "m", "messages": message})),
            ("/v1/completions", json!({"model": "m", "prompt": "a"})),
            ("/v1/messages", json!({"model": "m", "messages": message, "max_tokens": 5})),
        ] {
            let error = check(&stage.app, "POST", path, body, 400).await.json()["error"].clone();
            assert!(error["message"].as_str().unwrap().contains(says), "{error}");
        }
    }
}

#[tokio::test]
async fn who_leaves_pays_for_what_ran() {
    let stage = stage(Encoder { most: 2, hangs: true, ..embeds() });
    let body = ask(json!(["a", "bb", "ccc"])).to_string();
    {
        let asked = crate::stage::send(&stage.app, request("POST", "/v1/embeddings", Body::from(body)));
        assert!(asked.now_or_never().is_none(), "the third answer never comes");
    }
    let row = &stage.kept.rows()[0];
    // The answers to the last two had come.
    assert_eq!((row.settlement.cause, row.settlement.counts), (Cause::CancelledByClient, Counts::tokens(5, 0, 0)));
    assert_eq!(stage.tenancy.meter().open_requests(), 0);
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_vectors_and_rankings_and_pays_for_what_ran() {
    let ranking = json!({"model": "m", "query": "q", "documents": ["a", "bb", "ccc"]});
    for (path, body, encoder, ran) in [
        ("/v1/embeddings", ask(json!(["a", "bb", "ccc"])), embeds(), 5),
        ("/api/embed", ask(json!(["a", "bb", "ccc"])), embeds(), 5),
        ("/v1/rerank", ranking.clone(), embeds(), 4),
        ("/v1/rerank", ranking, Encoder::new(Task::Rank), 7),
    ] {
        let stage = stage(Encoder { most: 2, hangs: true, ..encoder });
        let asked = crate::stage::send(&stage.app, request("POST", path, Body::from(body.to_string())));
        let mut asked = std::pin::pin!(asked);
        assert!(asked.as_mut().now_or_never().is_none(), "the last answer never comes");
        let mut key = key(&pepper());
        key.revoke(account::Timestamp::from_millis(0));
        stage.tenancy.set_key(key);
        assert_eq!(asked.await.status, 401, "{path}");
        let row = &stage.kept.rows()[0];
        assert_eq!(
            (row.settlement.cause, row.settlement.counts),
            (Cause::KeyRevoked, Counts::tokens(ran, 0, 0)),
            "{path}"
        );
        assert_eq!(stage.tenancy.meter().open_requests(), 0);
    }
}

#[tokio::test]
async fn answers_that_end_too_soon_are_a_failure_of_ours_and_cost_nothing() {
    let stage = stage(Encoder { most: 1, ..embeds() });
    let answer = check(&stage.app, "POST", "/v1/embeddings", ask(json!(["a", "b"])), 500).await;
    assert_eq!(answer.json()["error"]["code"], "internal_error");
    let row = &stage.kept.rows()[0];
    assert_eq!((row.settlement.cause, row.settlement.charge), (Cause::FailedHere, Nano::ZERO));
}

#[tokio::test]
async fn a_budget_is_asked_before_anything_runs() {
    let stage = stage(embeds());
    let limits = Limits::default().with(LimitKind::BudgetDay, 7);
    stage.tenancy.meter().set_limits(Owner::Project(PROJECT), limits);
    let refused = check(&stage.app, "POST", "/v1/embeddings", ask(json!(["four", "four"])), 429).await;
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota", "{}", refused.text());
    check(&stage.app, "POST", "/v1/embeddings", ask(json!(["four", "one"])), 200).await;
}

#[tokio::test]
async fn documents_are_ranked_by_similarity_where_no_model_ranks_them() {
    let stage = stage(embeds());
    let documents = json!(["a", {"text": "five5"}, "three"]);
    let body = json!({"model": "m", "query": "seven77", "documents": documents, "return_documents": true,
        "user": "alice", "metadata": {"env": "prod"}});
    let answer = check(&stage.app, "POST", "/v1/rerank", body, 200).await.json();
    assert_eq!(answer["scored_by"], "embedding_similarity");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 18, "total_tokens": 18}));
    let results = answer["results"].as_array().unwrap();
    // Of equal ones the earlier first; a longer text points closer to where the query does.
    let order: Vec<_> = results.iter().map(|result| result["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 2, 0]);
    assert_eq!(results[0]["document"], json!({"text": "five5"}));
    let cosine = (5.0 * 7.0 + 1.0) / (26.0_f64 * 50.0).sqrt();
    assert!((results[0]["relevance_score"].as_f64().unwrap() - cosine).abs() < 1e-6);
    let row = stage.kept.rows().remove(0);
    assert_eq!(row.settlement.counts, Counts::tokens(18, 0, 0));
    assert_eq!((row.labels.end_user(), json!(row.labels.tags())), (Some("alice"), json!({"env": "prod"})));

    let too_long = |query: &str, document: &str| json!({"model": "m", "query": query, "documents": ["a", document]});
    for (body, param) in
        [(too_long("a query too long", "b"), "query"), (too_long("q", "a text too long"), "documents[1]")]
    {
        let error = check(&stage.app, "POST", "/v1/rerank", body, 400).await.json()["error"].clone();
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!("context_length_exceeded")), "{error}");
    }
}

#[tokio::test]
async fn a_model_that_ranks_reads_query_and_document_together() {
    let stage = stage(Encoder::new(Task::Rank));
    let mut body = json!({"model": "m", "query": "q", "documents": ["three", "a"], "top_n": 1});
    let answer = check(&stage.app, "POST", "/v1/rerank", body.clone(), 200).await.json();
    assert_eq!(answer["scored_by"], "cross_encoder");
    assert_eq!(answer["results"], json!([{"index": 1, "relevance_score": 0.5}]));
    let asked = stage.encoder.asked.lock().unwrap().pop().unwrap();
    assert_eq!(asked.inputs[0], EmbedInput::Pair("q".into(), "three".into()));
    for (key, value) in [
        ("documents", json!([])),
        ("documents", json!(vec!["a"; 1001])),
        ("top_n", json!(0)),
        ("user", json!("u".repeat(513))),
        ("metadata", json!({"n": 1})),
    ] {
        let kept = std::mem::replace(&mut body[key], value);
        let error = check(&stage.app, "POST", "/v1/rerank", body.clone(), 400).await.json()["error"].clone();
        assert_eq!(error["param"], key, "{error}");
        body[key] = kept;
    }
}
