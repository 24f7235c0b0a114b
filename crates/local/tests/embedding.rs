//! Encoders as backends: texts in, vectors and scores out.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use inference::{Backend, EmbedInput, EmbedRequest, Error, Input, Request, Task};
use local::{KvType, Options};
use serde_json::Value;

fn load(path: &Path) -> Arc<dyn Backend> {
    let options = Options {
        level: None,
        threads: 2,
        context_length: None,
        kv_bytes: None,
        kv_type: KvType::F16,
        max_sequences: 4,
        max_queue: 4,
        inter_token_latency: Duration::from_millis(50),
        speculation: false,
        available_bytes: 1 << 30,
    };
    local::load(path, &options, &|_, _| ()).unwrap_or_else(|error| panic!("{}: {error}", path.display())).backend
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(fixture(name)).expect("the fixture is there")).expect("JSON")
}

fn request(inputs: Vec<EmbedInput>) -> EmbedRequest {
    EmbedRequest { inputs, parameter: "input", dimensions: None, truncate: false }
}

fn texts(texts: &[&str]) -> EmbedRequest {
    request(texts.iter().map(|text| EmbedInput::Text((*text).into())).collect())
}

/// Tokens of all inputs, and the vectors in their order.
async fn embed(backend: &dyn Backend, request: EmbedRequest) -> Result<(u64, Vec<Vec<f32>>), Error> {
    let mut vectors = vec![Vec::new(); request.inputs.len()];
    let prepared = backend.embed(request).await?;
    let (counted, mut ran) = (prepared.prompt_tokens(), 0);
    let mut answers = prepared.run()?;
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        ran += answer.tokens;
        assert!(vectors[answer.index].is_empty(), "each input has one answer");
        vectors[answer.index] = answer.vector;
    }
    assert_eq!(ran, counted);
    Ok((counted, vectors))
}

#[tokio::test]
async fn texts_become_the_tokens_and_vectors_of_the_reference() {
    let backend = load(&testkit::minilm());
    let cases = json("minilm/texts.json");
    let texts = |field: fn(&Value) -> EmbedInput| request(cases.as_array().unwrap().iter().map(field).collect());
    let as_text = |case: &Value| EmbedInput::Text(case["text"].as_str().unwrap().into());
    let as_tokens = |case: &Value| {
        EmbedInput::Tokens(case["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect())
    };
    let (of_texts, of_tokens) =
        (embed(&*backend, texts(as_text)).await.unwrap(), embed(&*backend, texts(as_tokens)).await.unwrap());
    assert_eq!(of_texts, of_tokens);
    let bytes = fs::read(fixture("minilm/vectors.f32")).unwrap();
    let (numbers, _) = bytes.as_chunks();
    let expected: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    for (found, expected) in of_texts.1.iter().zip(expected.chunks(384)) {
        let cosine: f64 = found.iter().zip(expected).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!(cosine > 1.0 - 1e-4, "{cosine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_what_each_gets_alone() {
    let backend = load(&testkit::minilm());
    let words = ["one", "two words", "and three words", "a somewhat longer sentence of quite a few words"];
    let alone = embed(&*backend, texts(&words)).await.unwrap().1;
    let backend = &*backend;
    // Four run, or wait, at most; who finds the queue full comes again.
    let together = join_all(words.iter().map(|word| async move {
        loop {
            match embed(backend, texts(&[word])).await {
                Err(Error::Overloaded { .. }) => tokio::task::yield_now().await,
                answered => return answered.unwrap().1.remove(0),
            }
        }
    }));
    assert_eq!(together.await, alone);
    let load = backend.load();
    assert_eq!((load.sequences_running, load.sequences_waiting), (0, 0));
    assert!(load.steps > 0 && load.step_rows > load.steps);
}

#[tokio::test]
async fn what_is_too_long_or_unknown_is_refused_by_name_and_cut_on_request() {
    let backend = load(&testkit::minilm());
    let long = "word ".repeat(300);
    let refused = embed(&*backend, texts(&["short", &long])).await.unwrap_err();
    assert_eq!(refused, Error::InputTooLong { input: "input[1]".into(), tokens: 302, limit: 256 });
    let cut = EmbedRequest { truncate: true, ..texts(&["short", &long]) };
    let (tokens, vectors) = embed(&*backend, cut).await.unwrap();
    assert_eq!(tokens, 3 + 256);
    // As if it had been short enough, with what ends every text at its end.
    let fits = "word ".repeat(254);
    assert_eq!(embed(&*backend, texts(&[&fits])).await.unwrap().1[0], vectors[1]);

    for (input, says) in
        [(EmbedInput::Tokens(vec![101, 30_522, 102]), "30522"), (EmbedInput::Tokens(vec![]), "no token")]
    {
        let error = embed(&*backend, request(vec![EmbedInput::Text("x".into()), input])).await.unwrap_err();
        let Error::Invalid { parameter, message } = error else { panic!("{error:?}") };
        assert_eq!(parameter.as_deref(), Some("input[1]"));
        assert!(message.contains(says), "{message}");
    }
    let asked = EmbedRequest { dimensions: Some(128), ..texts(&["x"]) };
    assert!(
        matches!(embed(&*backend, asked).await, Err(Error::Invalid { parameter: Some(p), .. }) if p == "dimensions")
    );
    let generated = backend.prepare(Request::new(Input::Text("x".into()))).await;
    assert!(matches!(generated, Err(Error::Invalid { parameter: Some(p), .. }) if p == "model"));
}

#[tokio::test]
async fn special_tokens_in_a_text_are_text() {
    let backend = load(&testkit::minilm());
    let (tokens, _) = embed(&*backend, texts(&["[SEP]"])).await.unwrap();
    assert!(tokens > 3, "the separator stood for itself: {tokens} tokens");
}

#[tokio::test]
async fn pairs_are_put_together_and_scored_as_the_reference_does() {
    for name in ["bert-score", "xlm-roberta-score"] {
        let backend = load(&fixture(&format!("tiny/{name}/hf")));
        assert_eq!(backend.capabilities().task, Task::Rank);
        let cases = json(&format!("tiny/{name}/pairs.json"));
        let query = cases["query"].as_str().unwrap();
        let documents = cases["documents"].as_array().unwrap().iter();
        let pair = |document: &Value| EmbedInput::Pair(query.into(), document.as_str().unwrap().into());
        let (tokens, scores) = embed(&*backend, request(documents.map(pair).collect())).await.unwrap();
        let counts = cases["tokens"].as_array().unwrap().iter().map(|ids| ids.as_array().unwrap().len() as u64);
        assert_eq!(tokens, counts.sum::<u64>(), "{name}");
        for (score, expected) in scores.iter().zip(cases["scores"].as_array().unwrap()) {
            assert!(
                (f64::from(score[0]) - expected.as_f64().unwrap()).abs() < 2e-5,
                "{name}: {score:?}, not {expected}"
            );
        }
        // The query must be whole; the document is cut where that is asked for.
        let long = "a ".repeat(100);
        let refused = embed(&*backend, request(vec![EmbedInput::Pair(query.into(), long.clone())])).await;
        assert!(matches!(refused, Err(Error::InputTooLong { .. })));
        let cut = EmbedRequest { truncate: true, ..request(vec![EmbedInput::Pair(query.into(), long.clone())]) };
        assert_eq!(embed(&*backend, cut).await.unwrap().0, backend.capabilities().context_length);
        let cut = EmbedRequest { truncate: true, ..request(vec![EmbedInput::Pair(long, query.into())]) };
        assert!(matches!(embed(&*backend, cut).await, Err(Error::InputTooLong { .. })));
        // One text alone is nothing to rank.
        let alone = embed(&*backend, texts(&["x"])).await;
        assert!(matches!(alone, Err(Error::Invalid { parameter: Some(p), .. }) if p == "model"));
    }
}

#[tokio::test]
async fn who_has_gone_is_dropped_and_a_model_ends_with_its_last_handle() {
    let backend = load(&testkit::minilm());
    let many = request(vec![EmbedInput::Text("word ".repeat(200)); 500]);
    let prepared = backend.embed(many).await.unwrap();
    let mut answers = prepared.run().unwrap();
    answers.next().await.unwrap().unwrap();
    drop(answers);
    // The next request is answered long before the rest of that one could have been.
    embed(&*backend, texts(&["x"])).await.unwrap();
    let load = backend.load();
    assert!(load.step_rows < 50_000 && load.sequences_waiting == 0, "{load:?}");
}
