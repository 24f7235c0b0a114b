//! Measures speculation: `cargo run --release -p local --example speculation -- MODEL [THREADS]`.
//!
//! `MODEL` is a GGUF file or a folder with a chat template. Each figure is the median over several runs of the tokens that
//! all streams generate in a second, the prompt's time included, without speculation and with it. The texts are the same.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::join_all};
use inference::{Backend, ChatInput, Event, Input, Message, Request, Role};

const RUNS: usize = 5;
const TOKENS: u32 = 160;

/// What is asked: answers that repeat their prompt, that repeat themselves, and that do neither.
const TASKS: [(&str, &str); 3] = [
    (
        "copy",
        "Repeat the following text word for word. The water of the upper lake flows through two long tunnels to the old \
         power station, where four turbines turn. Behind the station it flows through a canal to the lower lake, and from \
         the lower lake through the fields of seven villages to the sea.",
    ),
    ("list", "Count from one to sixty in words, one number a line."),
    ("story", "Tell me a story about a lighthouse."),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().expect("usage: speculation MODEL [THREADS]");
    let threads = arguments.get(1).map_or(2, |threads| threads.parse().expect("THREADS is a number"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let backends = [false, true].map(|speculation| load(path, threads, speculation));
    println!("{path}: {threads} threads, tokens/s without and with speculation");
    for (name, text) in TASKS {
        for streams in [1, 4] {
            let figures: Vec<(f64, String)> =
                backends.iter().map(|backend| runtime.block_on(measure(backend, text, streams))).collect();
            assert_eq!(figures[0].1, figures[1].1, "speculation changed a text");
            let gain = (figures[1].0 / figures[0].0 - 1.0) * 100.0;
            println!("{name}, {streams} streams: {:.1} and {:.1} ({gain:+.0} %)", figures[0].0, figures[1].0);
        }
    }
    let load = backends[1].load();
    println!("{} tokens were proposed, {} of them were right", load.tokens_drafted, load.tokens_accepted);
}

fn load(path: &str, threads: usize, speculation: bool) -> Arc<dyn Backend> {
    let options = local::Options {
        level: None,
        threads,
        context_length: Some(2048),
        kv_bytes: None,
        kv_type: local::KvType::F16,
        max_sequences: 8,
        max_queue: 8,
        inter_token_latency: Duration::from_millis(50),
        speculation,
        available_bytes: 4 << 30,
    };
    match local::load(Path::new(path), &options, &|_, _| ()) {
        Ok(loaded) => loaded.backend,
        Err(error) => panic!("loading {path}: {error}"),
    }
}

/// The median of tokens a second, and the text of the first stream.
async fn measure(backend: &Arc<dyn Backend>, text: &str, streams: usize) -> (f64, String) {
    let (mut figures, mut first) = (Vec::new(), String::new());
    for _ in 0..RUNS {
        let start = Instant::now();
        let answers = join_all((0..streams).map(|_| answer(backend, text))).await;
        let tokens: u64 = answers.iter().map(|(tokens, _)| tokens).sum();
        figures.push(tokens as f64 / start.elapsed().as_secs_f64());
        first = answers.into_iter().next().map(|(_, text)| text).unwrap_or_default();
    }
    figures.sort_by(f64::total_cmp);
    (figures[RUNS / 2], first)
}

/// Tokens and text of one answer.
async fn answer(backend: &Arc<dyn Backend>, text: &str) -> (u64, String) {
    let messages = vec![Message::new(Role::User, text)];
    let mut request = Request::new(Input::Chat(ChatInput { messages, ..ChatInput::default() }));
    request.sampling.temperature = Some(0.0);
    request.max_tokens = Some(TOKENS);
    request.ignore_eos = true;
    let prepared = backend.prepare(request).await.expect("a request that fits");
    let mut events = prepared.run().expect("a place");
    let mut answer = String::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Text { text, .. } => answer.push_str(&text),
            Event::Done(usage) => return (usage.completion_tokens, answer),
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
    panic!("the answer broke off");
}
