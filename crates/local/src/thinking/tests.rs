//! Budgets of thinking, of choices driven by hand and of a whole backend whose model babbles.

use chat::{Chat, Conversation, Message, Role, Tool};
use futures::{FutureExt, StreamExt};
use inference::{Backend, ChatInput, Constraint, Event, FinishReason, Form, Input, Request};

use super::*;
use crate::{
    babbler::{babbling, tokenizer},
    backend::LocalBackend,
    reading::special_tokens,
};

fn encode(text: &str) -> Vec<u32> {
    tokenizer().encode(text, Special { add: false, parse: true }, &[]).expect("a text")
}

/// How a model's answers are read whose template ends in `template` and holds the marks of its family.
fn reading(template: &str, tools: bool) -> Arc<Reading> {
    let source = format!("{{{{ tools|tojson }}}}{{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}{template}");
    let chat = Chat::new(&source, None, None, Vec::new()).expect("a template");
    let tool = Tool { name: "f".into(), description: None, parameters: None, strict: false };
    let messages = vec![Message::new(Role::User, "?")];
    let tools = if tools { vec![tool] } else { Vec::new() };
    let prompt = chat.render(&Conversation { messages, tools, ..Conversation::default() }, 0).expect("a prompt");
    Arc::new(Reading::new(prompt, &special_tokens(&tokenizer())).expect("a reading"))
}

/// What comes of a model that would say `script`, token by token.
fn answer(reading: &Arc<Reading>, most: u32, held: bool, script: &str) -> String {
    let budget = Budget::new(most, reading, &tokenizer(), held).expect("a closing").expect("it thinks");
    let (mut thinking, mut own) = (budget.begin(), encode(script).into_iter());
    let mut said = Vec::new();
    while let Some(token) = thinking.forced().or_else(|| own.next()) {
        thinking.accept(token);
        said.push(token);
    }
    tokenizer().decode(&said, true).expect("tokens")
}

/// Ten tokens.
const WORDS: &str = " one two three four five six seven eight nine ten";

#[test]
fn every_family_closes_its_thinking_where_the_budget_ends_it() {
    assert_eq!(encode(WORDS).len(), 10);
    for (template, open, closed) in [
        ("{# <think> #}", "<think>\n", "\n</think>\n\n"),
        ("<think>\n", "", "\n</think>\n\n"),
        ("{# </think> #}", "<think>", "\n</think>\n\n"),
        ("{# <|channel>thought\\n <channel|> #}", "<|channel>thought\n", "\n<channel|>"),
        ("{# [THINK] #}", "[THINK]", "[/THINK]"),
        ("{# <seed:think> #}", "<seed:think>", "</seed:think>"),
        ("{# <|START_THINKING|> #}", "<|START_THINKING|>", "<|END_THINKING|>"),
        (
            "{# <|channel|><|message|> #}",
            "<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ] {
        let reading = reading(template, false);
        let layout = usize::from(open == "<think>\n");
        for most in 1..10 {
            let words = tokenizer().decode(&encode(WORDS)[..most], true).expect("tokens");
            let rest = &WORDS[words.len()..];
            // White space behind a tag was chosen while the model was thinking, so it counts.
            let budget = (most + layout) as u32;
            let script = format!("{open}{WORDS}");
            assert_eq!(answer(&reading, budget, false, &script), format!("{open}{words}{closed}{rest}"), "{template}");
        }
        // Thinking that ends by itself, or is none, is left alone.
        for script in [format!("{open}{WORDS}{closed}{WORDS}"), WORDS.to_owned()] {
            if open.is_empty() && script == WORDS {
                continue;
            }
            assert_eq!(answer(&reading, 40, false, &script), script, "{template}");
        }
    }
}

#[test]
fn a_budget_of_nothing_closes_at_once() {
    assert_eq!(answer(&reading("<think>\n", false), 0, false, "Hi"), "\n</think>\n\nHi");
    assert_eq!(answer(&reading("{# <think> #}", false), 0, false, "<think>Hi"), "<think>\n</think>\n\nHi");
}

#[test]
fn what_begins_anew_is_closed_anew() {
    let script = format!("<think>{WORDS}<think>{WORDS}");
    let expect = "<think> one two\n</think>\n\n three four five six seven eight nine ten<think>";
    assert_eq!(answer(&reading("{# <think> #}", false), 2, false, &script), format!("{expect}{WORDS}"));
    let twice = "<think> one\n</think>\n\n<think>\n</think>\n\n two";
    let reading_ = reading("{# <think> #}", false);
    assert_eq!(answer(&reading_, 1, false, "<think> one<think> two"), twice);
    // Of calls and an answer the model may choose, once.
    let analysis = "<|channel|>analysis<|message|>";
    let script = format!("{analysis} one{analysis} two");
    let last = "<|end|><|start|>assistant<|channel|>final<|message|>";
    let with_tools = format!("{analysis} one<|end|><|start|>assistant{analysis}{last} two");
    assert_eq!(answer(&reading("{# <|channel|><|message|> #}", true), 1, false, &script), with_tools);
}

#[test]
fn before_a_form_nothing_but_the_closing_tag_is_written() {
    assert_eq!(answer(&reading("<think>\n", false), 1, true, " one{}"), " one\n</think>{}");
    let analysis = "<|channel|>analysis<|message|>";
    let script = format!("{analysis} one<|start|>");
    let expect = format!("{analysis} one<|end|><|start|>");
    assert_eq!(answer(&reading("{# <|channel|><|message|> #}", false), 1, true, &script), expect);
}

#[test]
fn a_character_is_not_cut_in_half() {
    let party = encode("🎉");
    assert!(party.len() > 2, "it takes several tokens");
    let said = answer(&reading("<think>\n", false), 1, false, "🎉 yes");
    assert_eq!(said, "🎉\n</think>\n\n yes");
    // Bytes that never become a character do not hold it up.
    let broken: Vec<u32> = std::iter::repeat_n(party[0], 9).collect();
    let budget = Budget::new(1, &reading("<think>\n", false), &tokenizer(), false).expect("a closing").expect("thinks");
    let (mut thinking, mut own) = (budget.begin(), broken.into_iter());
    let mut before = 0;
    while thinking.forced().is_none() {
        thinking.accept(own.next().expect("it is forced before"));
        before += 1;
    }
    assert_eq!(before, 1 + REST_OF_CHARACTER);
}

#[test]
fn a_model_that_does_not_think_has_no_use_for_a_budget() {
    assert!(Budget::new(1, &reading("", false), &tokenizer(), false).expect("no fault").is_none());
}

/// What one choice came to: reasoning, text, tokens before its text, and why it ended.
#[derive(Debug, Clone, Default, PartialEq)]
struct Outcome {
    reasoning: String,
    text: String,
    tokens: u64,
    ended: Option<FinishReason>,
}

async fn ask(backend: &LocalBackend, change: impl FnOnce(&mut Request, &mut ChatInput)) -> (Vec<Outcome>, u64) {
    let mut chat = ChatInput { thinking_budget: Some(20), ..ChatInput::default() };
    chat.messages = vec![inference::Message::new(inference::Role::User, "Why? ".repeat(20))];
    let mut request = Request { max_tokens: Some(60), ..Request::new(Input::Tokens(Vec::new())) };
    request.sampling.seed = Some(5);
    change(&mut request, &mut chat);
    request.input = Input::Chat(chat);
    let mut outcomes = vec![Outcome::default(); request.choices as usize];
    let prepared = Backend::prepare(backend, request).await.expect("it is fine");
    let mut events = prepared.run().expect("there is room");
    let mut completion = 0;
    while let Some(event) = events.next().await {
        match event {
            Event::Text { choice, text, tokens, .. } => {
                let outcome = &mut outcomes[choice as usize];
                outcome.text.push_str(&text);
                outcome.tokens += tokens;
            }
            Event::Reasoning { choice, text } => outcomes[choice as usize].reasoning.push_str(&text),
            Event::Finished { choice, reason, .. } => outcomes[choice as usize].ended = Some(reason),
            Event::Done(usage) => completion = usage.completion_tokens,
            Event::Started { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    (outcomes, completion)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn each_choice_thinks_as_much_as_it_may_and_then_answers() {
    run(async {
        let backend = babbling();
        let free = ask(&backend, |request, chat| {
            (request.choices, chat.thinking_budget) = (3, None);
        });
        let (free, _) = free.await;
        let (asked, completion) = ask(&backend, |request, _| request.choices = 3).await;
        assert_eq!((asked.len(), completion), (3, 180));
        for (free, outcome) in free.iter().zip(&asked) {
            assert_eq!((free.text.as_str(), free.ended), ("", Some(FinishReason::Length)), "it never stops by itself");
            let thought: Vec<u32> = encode(&outcome.reasoning);
            assert!(free.reasoning.starts_with(outcome.reasoning.trim_end()), "{free:?} {outcome:?}");
            assert!(!thought.is_empty() && !outcome.text.is_empty(), "{outcome:?}");
            assert_eq!((outcome.tokens, outcome.ended), (60, Some(FinishReason::Length)), "closing tokens count");
        }
        assert_ne!(asked[0], asked[1]);
        // The prompt is in the cache by now, and others run beside it.
        let again = || ask(&backend, |request, _| request.choices = 3);
        let (one, other) = futures::join!(again(), again());
        assert_eq!((&one.0, &other.0), (&asked, &asked));
        let held = ask(&backend, |request, _| {
            let form = Form::Choice(vec!["yes".into(), "no".into()]);
            request.constraint = Some(Constraint { form, parameter: "guided_choice".into() });
            request.choices = 2;
        });
        let (held, _) = held.await;
        for outcome in held {
            assert!(["yes", "no"].contains(&outcome.text.as_str()), "{outcome:?}");
            assert!(!outcome.reasoning.is_empty(), "{outcome:?}");
            assert_eq!(outcome.ended, Some(FinishReason::Stop));
        }
    });
}

#[test]
fn the_most_tokens_of_an_answer_are_for_thinking_too() {
    let asked = run(ask(&babbling(), |_, chat| chat.thinking_budget = Some(100)).map(|(outcomes, _)| outcomes));
    assert_eq!((asked[0].text.as_str(), asked[0].ended), ("", Some(FinishReason::Length)), "max_tokens came first");
}
