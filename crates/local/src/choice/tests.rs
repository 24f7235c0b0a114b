//! What is counted, over an engine that recites and the default model's tokenizer.

use std::sync::OnceLock;

use engine::{Config, Engine, Sampling, SequenceRequest};
use futures::StreamExt;
use inference::Usage;
use models::{Batch, Logits, Runner};
use proptest::prelude::*;
use text::Special;
use weights::Checkpoint;

use super::*;
use crate::answer;

/// A model that goes on with its text, whatever the prompt, from the place that the position says.
struct Reciter {
    vocabulary: usize,
    prompt: usize,
    text: Vec<u32>,
    logits: Vec<f32>,
}

impl Runner for Reciter {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn context_length(&self) -> usize {
        256
    }

    fn kv_blocks(&self) -> usize {
        64
    }

    fn forward(&mut self, batch: &Batch<'_>) -> &[f32] {
        self.logits.clear();
        for segment in batch.segments.iter().filter(|segment| segment.logits == Logits::Last) {
            let next = segment.position + segment.tokens.len() - self.prompt;
            let start = self.logits.len();
            self.logits.resize(start + self.vocabulary, 0.0);
            self.logits[start + self.text[next] as usize] = 1.0;
        }
        &self.logits
    }
}

fn tokenizer() -> Arc<Tokenizer> {
    static READ: OnceLock<Arc<Tokenizer>> = OnceLock::new();
    let read = || {
        let Ok(Checkpoint::Gguf(gguf)) = Checkpoint::open(&testkit::smollm2()) else { panic!("a GGUF") };
        Arc::new(Tokenizer::from_gguf(gguf.metadata()).expect("a tokenizer"))
    };
    Arc::clone(READ.get_or_init(read))
}

/// An engine that recites `text`, the model's end token behind it, after a prompt of `prompt` tokens.
fn reciting(text: &[u32], prompt: usize) -> Engine {
    let tokenizer = tokenizer();
    let text = text.iter().copied().chain([tokenizer.end_tokens()[0]]).collect();
    let runner = Reciter { vocabulary: tokenizer.vocabulary() as usize, prompt, text, logits: Vec::new() };
    Engine::start(Box::new(runner), Config::default())
}

/// All events of `choices` choices.
fn answer(engine: &Engine, prompt: usize, choices: u32, rules: &Rules, max_tokens: usize) -> Vec<Event> {
    let counts = Arc::new(Counts::new(prompt as u64));
    let choice = |index| {
        let tokens = engine.submit(SequenceRequest {
            prompt: vec![5; prompt],
            sampling: Sampling { temperature: 0.0, ..Sampling::default() },
            max_tokens,
            min_tokens: 0,
            end_tokens: rules.end_tokens.clone(),
            logprobs: rules.logprobs.then_some(0),
            prompt_logprobs: false,
            salt: 0,
            constraint: None,
            forcing: None,
        });
        Choice::new(index, tokens.expect("there is room"), tokenizer(), rules.clone(), Arc::clone(&counts))
    };
    let choices = (0..choices).map(choice).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(answer::events(choices, counts).collect())
}

fn rules(stop: Vec<String>, end_tokens: Vec<u32>) -> Rules {
    Rules { stop, min_tokens: 0, end_tokens, logprobs: false, echo: None, failure: Arc::default(), reading: None }
}

/// How many tokens of `text` are committed and delivered: up to the one that completes a stop, or else all, with the one
/// that ends the turn.
fn committed(text: &[u32], stop: &[String], max_tokens: usize) -> usize {
    let of = |tokens: &[u32]| {
        let bytes = tokens.iter().flat_map(|&token| tokenizer().token_bytes(token).unwrap_or_default().to_vec());
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    };
    let stopped = (1..=text.len()).find(|&end| stop.iter().any(|stop| of(&text[..end]).contains(stop.as_str())));
    stopped.unwrap_or(text.len() + 1).min(max_tokens)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn after_each_event_the_sum_is_what_was_committed_and_delivered(
        text in "[abc \n.ä🎉]{1,20}",
        stop in prop::option::of("[abc🎉]{1,3}"),
        choices in 1_u32..4,
        max_tokens in 1_usize..30,
        logprobs in any::<bool>(),
        echo in prop::option::of("[a-c]{0,3}"),
    ) {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode(&text, Special { add: false, parse: false }, &[]).expect("a text");
        let stop: Vec<String> = stop.into_iter().collect();
        let expected = committed(&tokens, &stop, max_tokens) as u64;
        let asked = Rules { logprobs, echo: echo.clone(), ..rules(stop, tokenizer.end_tokens().to_vec()) };
        let events = answer(&reciting(&tokens, 3), 3, choices, &asked, max_tokens);
        let mut sums = vec![0; choices as usize];
        let mut texts = vec![String::new(); choices as usize];
        for event in &events {
            match event {
                Event::Text { choice, text, tokens: count, logprobs: reported, .. } => {
                    let (sum, shown) = (&mut sums[*choice as usize], &mut texts[*choice as usize]);
                    *sum += count;
                    shown.push_str(text);
                    prop_assert!(*count <= 1, "each token is reported as it comes");
                    prop_assert!(reported.is_empty() || *count == 1);
                    // Nothing is shown of a token that is not counted yet.
                    let counted = tokenizer.decode(&tokens[..(*sum as usize).min(tokens.len())], true).expect("tokens");
                    let most = format!("{}{counted}", echo.as_deref().unwrap_or_default());
                    prop_assert!(most.starts_with(shown.as_str()), "{shown:?} is more than {most:?}");
                }
                Event::Finished { choice, .. } => prop_assert_eq!(sums[*choice as usize], expected),
                Event::Started { cached_tokens } => prop_assert_eq!(*cached_tokens, 0),
                Event::Done(usage) => {
                    let completion_tokens = sums.iter().sum();
                    prop_assert_eq!(*usage, Usage { prompt_tokens: 3, cached_tokens: 0, completion_tokens, reasoning_tokens: 0 });
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert!(matches!(events.last(), Some(Event::Done(_))));
        prop_assert_eq!(events.iter().filter(|event| matches!(event, Event::Started { .. })).count(), 1);
    }
}

#[test]
fn a_token_is_counted_though_its_text_waits_for_a_stop_string() {
    let tokens = tokenizer().encode("a.b", Special { add: false, parse: false }, &[]).expect("a text");
    assert_eq!(tokens.len(), 3);
    let events = answer(&reciting(&tokens, 1), 1, 1, &rules(vec![".bc".into()], Vec::new()), 3);
    let pieces: Vec<(&str, u64)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Text { text, tokens, .. } => Some((text.as_str(), *tokens)),
            _ => None,
        })
        .collect();
    assert_eq!(pieces, [("a", 1), ("", 1), ("", 1), (".b", 0)]);
}

#[test]
fn what_was_cached_is_known_before_the_first_token() {
    let engine = reciting(&[7; 10], 40);
    for cached in [0, 32] {
        let events = answer(&engine, 40, 2, &rules(Vec::new(), Vec::new()), 4);
        let text = events.iter().position(|event| matches!(event, Event::Text { choice: 0, .. }));
        let started = events.iter().position(|event| *event == Event::Started { cached_tokens: cached });
        assert!(started.expect("it began") < text.expect("it said something"), "{events:?}");
        let usage = Usage { prompt_tokens: 40, cached_tokens: cached, completion_tokens: 8, reasoning_tokens: 0 };
        assert_eq!(events.last(), Some(&Event::Done(usage)));
    }
}

/// An answer to a conversation with a tool `f`, read as the model's template has it.
fn conversation(text: &str, max_tokens: usize) -> Vec<Event> {
    let source = "{{ tools|tojson }}{% for m in messages %}{{ m.content }}{% endfor %}{# <think> <tool_call> #}";
    let chat = chat::Chat::new(source, None, None, Vec::new()).expect("a template");
    let conversation = chat::Conversation {
        messages: vec![chat::Message::new(chat::Role::User, "?")],
        tools: vec![chat::Tool { name: "f".into(), description: None, parameters: None, strict: false }],
        ..chat::Conversation::default()
    };
    let prompt = chat.render(&conversation, 0).expect("a prompt");
    let reading = Reading::new(prompt, &crate::reading::special_tokens(&tokenizer())).expect("a reading");
    let tokens = tokenizer().encode(text, Special { add: false, parse: false }, &[]).expect("a text");
    let end_tokens = tokenizer().end_tokens().to_vec();
    let asked = Rules { reading: Some(Arc::new(reading)), ..rules(Vec::new(), end_tokens) };
    answer(&reciting(&tokens, 3), 3, 1, &asked, max_tokens)
}

#[test]
fn what_the_text_of_a_conversation_means_is_told_as_it_comes() {
    let text = "<think>\nHmm.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"ü\"}}\n</tool_call>";
    let events = conversation(text, 100);
    let (mut said, mut thought, mut arguments) = (String::new(), String::new(), String::new());
    let mut running = Usage { prompt_tokens: 3, ..Usage::default() };
    let (done, rest) = events.split_last().expect("an end");
    for event in rest {
        running.count(event);
        match event {
            Event::Text { text, .. } => said.push_str(text),
            Event::Reasoning { text, .. } => thought.push_str(text),
            Event::Arguments { text, .. } => arguments.push_str(text),
            Event::ToolCall { id, name, .. } => assert!(id.starts_with("call_") && name == "f", "{id} {name}"),
            _ => {}
        }
    }
    assert_eq!((said.as_str(), thought.as_str(), arguments.as_str()), ("I look.", "Hmm.", r#"{"a":"ü"}"#));
    assert!(events.contains(&Event::Finished { choice: 0, reason: FinishReason::ToolCalls, stop: None }));
    assert_eq!(done, &Event::Done(running));
    assert!(events.iter().filter(|event| matches!(event, Event::Reasoning { .. })).count() > 1, "piece by piece");
    let cut = conversation(text, running.completion_tokens as usize - 8);
    assert!(cut.contains(&Event::Finished { choice: 0, reason: FinishReason::Length, stop: None }), "{cut:?}");
    assert!(cut.iter().any(|event| matches!(event, Event::ToolCall { .. })), "{cut:?}");
}

#[test]
fn a_token_is_reasoning_where_the_model_thinks_before_it_or_behind_it() {
    let call = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
    for text in [
        format!("<think>\nHmm, ä.\n</think>\n\n{call}"),
        "<think>\nHmm.</think> Hi. <think> is a tag.".to_owned(),
        format!("<think>One.</think>{call}<think>Two.</think>{call}"),
        "<think>never ends".to_owned(),
        "No thought.".to_owned(),
    ] {
        let tokens = tokenizer().encode(&text, Special { add: false, parse: false }, &[]).expect("a text");
        // The slow twin: what of the text is inside of the tags, where no text was said before them.
        let thinking = |end: usize| {
            let before = tokenizer().decode(&tokens[..end], true).expect("tokens").replace(call, "");
            let inside = before.rfind("<think>").is_some_and(|open| !before[open..].contains("</think>"));
            inside && !before.contains("Hi")
        };
        let expect = (0..tokens.len()).filter(|&at| thinking(at) || thinking(at + 1)).count() as u64;
        // Where the turn ends inside of it, the token that ends the turn is a part of it.
        let expect = expect + u64::from(text.ends_with("never ends"));
        for most in [100, tokens.len() / 2] {
            let events = conversation(&text, most);
            let (done, rest) = events.split_last().expect("an end");
            let mut running = Usage { prompt_tokens: 3, ..Usage::default() };
            rest.iter().for_each(|event| running.count(event));
            assert_eq!(done, &Event::Done(running), "the sum of the pieces");
            if most == 100 {
                assert_eq!(running.reasoning_tokens, expect, "{text}");
            }
        }
    }
}
