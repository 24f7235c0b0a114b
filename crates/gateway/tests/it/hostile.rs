//! Any body at all: no panic, no 5xx, and an error in the shape of the family that was asked.

use std::{
    fs,
    iter::repeat_n,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use catalog::Catalog;
use gateway::{Service, router};
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::{
    embeddings::embeds,
    exercise::{Exercise, PATHS, ask, talkative},
    stage::{Scripted, check, tenancy},
};

/// A route with a body that it takes, as rich as bodies are there.
fn seeds() -> Vec<(&'static str, Value)> {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false});
    let function = json!({"name": "f", "description": "does", "parameters": schema.clone(), "strict": true});
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    vec![
        (
            "/v1/chat/completions",
            json!({
                "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 9, "n": 2,
                "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["\n", "x"], "logprobs": true, "top_logprobs": 2,
                "presence_penalty": 0.1, "frequency_penalty": 0.1, "logit_bias": {"5": -1}, "user": "u",
                "metadata": {"team": "blue"},
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
                    {"role": "assistant", "content": null, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "c1", "content": "3"},
                ],
            }),
        ),
        (
            "/v1/chat/completions",
            json!({
                "model": "m", "messages": [{"role": "user", "content": "Hello"}], "tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
            }),
        ),
        (
            "/v1/chat/completions",
            json!({
                "model": "m", "messages": [{"role": "user", "content": "Hello"}], "reasoning_effort": "low",
                "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": true}},
            }),
        ),
        (
            "/v1/completions",
            json!({"model": "m", "prompt": ["Hello", "Bye"], "echo": true, "logprobs": 1, "n": 1, "stop": "x", "max_tokens": 3}),
        ),
        ("/v1/completions", json!({"model": "m", "prompt": [[1, 2], [3]], "stream": true})),
        (
            "/v1/responses",
            json!({
                "model": "m", "instructions": "Be brief.", "store": false, "stream": true, "max_output_tokens": 20,
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
                    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "3"},
                ],
                "tools": [{"type": "function", "name": "f", "parameters": schema, "strict": true}],
                "text": {"format": {"type": "text"}}, "reasoning": {"effort": "low"}, "metadata": {"a": "b"},
            }),
        ),
        (
            "/v1/messages",
            json!({
                "model": "m", "max_tokens": 20, "stream": true, "system": [{"type": "text", "text": "Be brief."}],
                "stop_sequences": ["x"], "temperature": 0.5, "metadata": {"user_id": "u"},
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
                    {"role": "assistant", "content": [
                        {"type": "text", "text": "Well"},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                    ]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "3"}]},
                ],
                "tools": [{"name": "f", "description": "does", "input_schema": schema}], "tool_choice": {"type": "auto"},
            }),
        ),
        ("/v1/messages/count_tokens", json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]})),
        (
            "/api/chat",
            json!({
                "model": "m", "messages": [{"role": "user", "content": "Hello"}], "format": schema, "keep_alive": "5m",
                "options": {"num_predict": 5, "temperature": 0.5, "stop": ["x"], "seed": 3},
            }),
        ),
        (
            "/api/generate",
            json!({"model": "m", "prompt": "Hello", "system": "Be brief.", "raw": false, "stream": false}),
        ),
        ("/api/embed", json!({"model": "org/m", "input": ["a", "b"], "truncate": true})),
        ("/api/embeddings", json!({"model": "org/m", "prompt": "a"})),
        ("/api/show", json!({"model": "m", "verbose": true})),
        (
            "/v1/embeddings",
            json!({"model": "org/m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 2}),
        ),
        ("/v1/rerank", json!({"model": "org/m", "query": "a", "documents": ["b", {"text": "c"}], "top_n": 1})),
        ("/v1/quote", json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5})),
        ("/tokenize", json!({"model": "m", "content": "Hello", "add_special": true})),
        ("/detokenize", json!({"model": "m", "tokens": [72, 101]})),
    ]
}

/// What bodies hold that nobody thought of.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(vec![0, 1, -1, 4_294_967_296, i64::MAX, i64::MIN]).prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        select(vec![0.5, -0.0, 1e308, -1e308, 5e-324, 1.5]).prop_map(Value::from),
        Just(json!(u64::MAX)),
        any::<String>().prop_map(Value::from),
        select(vec![
            "",
            "m",
            "\0",
            "<|im_start|>",
            "user",
            "tool",
            "function",
            "json_schema",
            "../../x",
            "ﷺ\u{202e}\u{1F468}\u{200d}"
        ])
        .prop_map(Value::from),
        (0..5_000_usize).prop_map(|length| Value::from("a".repeat(length))),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let field = prop_oneof![
            select(vec!["type", "role", "content", "text", "name", "$ref", "id"]).prop_map(String::from),
            any::<String>()
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((field, inner), 0..5).prop_map(|fields| Value::from(Map::from_iter(fields))),
        ]
    })
}

/// One change of a body.
#[derive(Debug, Clone)]
enum Change {
    /// Something else stands in a place.
    Replace(Index, Value),
    /// A place is no more.
    Remove(Index),
    /// What stands in one place stands in another too.
    Copy(Index, Index),
    /// A list in a place has its elements so many times.
    Repeat(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), anything()).prop_map(|(at, value)| Change::Replace(at, value)),
        2 => any::<Index>().prop_map(Change::Remove),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Copy(from, to)),
        1 => (any::<Index>(), 2..40_usize).prop_map(|(at, times)| Change::Repeat(at, times)),
    ]
}

/// The pointers (RFC 6901) of all that a value holds.
fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
        let mut visit = |step: &str, inner: &Value| {
            let at = format!("{at}/{}", step.replace('~', "~0").replace('/', "~1"));
            places.push(at.clone());
            walk(inner, &at, places);
        };
        match value {
            Value::Array(list) => list.iter().enumerate().for_each(|(index, inner)| visit(&index.to_string(), inner)),
            Value::Object(fields) => fields.iter().for_each(|(name, inner)| visit(name, inner)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

fn apply(body: &mut Value, change: &Change) {
    let places = places(body);
    if places.is_empty() {
        return;
    }
    let place = |at: &Index| at.get(&places).as_str();
    match change {
        Change::Replace(at, value) => *body.pointer_mut(place(at)).unwrap() = value.clone(),
        Change::Remove(at) => {
            let (parent, last) = place(at).rsplit_once('/').unwrap();
            match body.pointer_mut(parent).unwrap() {
                Value::Array(list) => drop(list.remove(last.parse().unwrap())),
                Value::Object(fields) => drop(fields.remove(&last.replace("~1", "/").replace("~0", "~"))),
                _ => unreachable!("what holds something is a list or an object"),
            }
        }
        Change::Copy(from, to) => {
            let copied = body.pointer(place(from)).unwrap().clone();
            *body.pointer_mut(place(to)).unwrap() = copied;
        }
        Change::Repeat(at, times) => {
            if let Value::Array(list) = body.pointer_mut(place(at)).unwrap() {
                *list = repeat_n(list.clone(), *times).flatten().collect();
            }
        }
    }
}

/// `m` writes, `org/m` embeds.
fn app(writer: Arc<Scripted>) -> Router {
    let catalog = Catalog::in_memory();
    catalog.register("m", writer);
    catalog.register("org/m", Arc::new(embeds()));
    router(Service::new(gateway::Config::default(), catalog, tenancy(Arc::default())))
}

#[test]
fn every_seed_is_one_that_its_route_knows() {
    let (runtime, app) = (Runtime::new().unwrap(), app(talkative()));
    for (path, body) in seeds() {
        runtime.block_on(check(&app, "POST", path, body, 200));
    }
}

#[test]
fn the_corpus_of_the_fuzzer_asks_every_route() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/requests");
    let (exercise, mut routes) = (Exercise::default(), [0; PATHS.len()]);
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let (path, status) = exercise.body(&bytes).expect("a route and a body");
        routes[PATHS.iter().position(|known| *known == path).unwrap()] += usize::from(status.is_success());
    }
    assert!(routes.iter().all(|files| *files > 0), "{routes:?}");
}

#[test]
fn no_body_whatever_makes_the_server_fail() {
    let (runtime, backend) = (Runtime::new().unwrap(), talkative());
    let app = app(backend.clone());
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cases = std::env::var("HOSTILE_CASES").map_or(4_000, |cases| cases.parse().expect("a number of cases"));
    let damage = prop::option::weighted(0.1, (any::<Index>(), any::<u8>()));
    let case = (select(seeds()), prop::collection::vec(change(), 1..4), damage);
    let tested = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) }).run(
        &case,
        |((path, mut body), changes, damage)| {
            changes.iter().for_each(|change| apply(&mut body, change));
            let mut bytes = body.to_string().into_bytes();
            if let Some((at, byte)) = damage {
                *at.get_mut(&mut bytes) = byte;
            }
            let status = runtime.block_on(ask(&app, path, bytes));
            if status.is_success() { &answered } else { &refused }.fetch_add(1, Ordering::Relaxed);
            Ok(())
        },
    );
    tested.unwrap_or_else(|failure| panic!("{failure}"));
    runtime.block_on(backend.until_live(0));
    // Both sides of every rule were tried.
    let (answered, refused) = (answered.into_inner() as u32, refused.into_inner() as u32);
    assert!(answered > cases / 20 && refused > cases / 20, "{answered} answered, {refused} refused");
}
