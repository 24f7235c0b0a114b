//! A stream and a non-stream of one request say the same thing.

use inference::{Error, Event, FinishReason, TokenLogprob, Usage};
use proptest::{collection::vec, option, prelude::*};
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    generation::Whole,
    routes::openai::convert::{CountsIn, Render},
    sse::{Encode, Frames},
};

fn head() -> Head {
    Head { id: "x-1".into(), model: "m".into(), created: 7 }
}

fn whole(events: &[Event], render: Render) -> Whole {
    let mut whole = Whole::new(render.choices);
    events.iter().for_each(|event| whole.push(event.clone()));
    whole
}

/// An answer as a client reads it. By way of text, because numbers are rounded there.
fn written(answer: &impl Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(answer).unwrap()).unwrap()
}

/// The data of every frame, the last one being `[DONE]` or an error.
fn frames(mut encoder: impl Encode, events: &[Event]) -> Vec<String> {
    let mut frames = Frames::default();
    for event in events {
        encoder.push(event.clone(), &mut frames);
    }
    let text = String::from_utf8(frames.take().to_vec()).unwrap();
    let frame = |frame: &str| frame.strip_prefix("data: ").unwrap().to_owned();
    text.split_terminator("\n\n").map(frame).collect()
}

/// Checks what every complete stream has and puts the choices together again, the way a client does.
fn concatenate(frames: &[String], render: Render, text_of: fn(&Value) -> Option<&str>) -> Vec<Value> {
    let (done, chunks) = frames.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    let mut chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    let counts = |chunk: &Value, key: &str| chunk["usage"].pointer(key).and_then(Value::as_u64).unwrap();
    if render.counts == CountsIn::Nowhere {
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    } else {
        let last = chunks.pop().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert!(last["usage"].is_object());
        if render.counts == CountsIn::Last {
            assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
        } else {
            for key in ["/completion_tokens", "/completion_tokens_details/reasoning_tokens"] {
                let running: Vec<u64> = chunks.iter().map(|chunk| counts(chunk, key)).collect();
                assert!(running.is_sorted());
                assert_eq!(running.last(), Some(&counts(&last, key)), "nothing runs behind the end of all choices");
            }
        }
    }
    let mut choices = vec![json!({"text": "", "logprobs": null, "finish_reason": null}); render.choices as usize];
    for chunk in chunks {
        assert_eq!(chunk["choices"].as_array().unwrap().len(), 1);
        let part = &chunk["choices"][0];
        let choice = &mut choices[part["index"].as_u64().unwrap() as usize];
        assert!(choice["finish_reason"].is_null(), "nothing comes after a choice's end");
        let text = format!("{}{}", choice["text"].as_str().unwrap(), text_of(part).unwrap_or_default());
        choice["text"] = text.into();
        choice["finish_reason"] = part["finish_reason"].clone();
        append(&mut choice["logprobs"], &part["logprobs"]);
    }
    choices
}

/// Appends the lists of one object to those of another.
fn append(all: &mut Value, part: &Value) {
    let Value::Object(part) = part else { return };
    if all.is_null() {
        *all = part.clone().into();
        return;
    }
    for (name, list) in part {
        if let (Value::Array(all), Value::Array(list)) = (&mut all[name], list) {
            all.extend(list.iter().cloned());
        }
    }
}

fn check_chat(events: &[Event], render: Render, counts: Usage) {
    let whole = written(&chat_response(head(), render, whole(events, render)));
    assert_eq!(whole["usage"]["total_tokens"], counts.prompt_tokens + counts.completion_tokens);
    assert_eq!(whole["usage"]["completion_tokens_details"], json!({"reasoning_tokens": counts.reasoning_tokens}));
    let frames = frames(ChatStream::new(head(), render), events);
    let choices = concatenate(&frames, render, |part| {
        assert!(part["delta"]["role"].is_null() || part["delta"] == json!({"role": "assistant", "content": ""}));
        part["delta"]["content"].as_str()
    });
    for ((index, choice), whole) in choices.iter().enumerate().zip(whole["choices"].as_array().unwrap()) {
        let (message, extras) = (&whole["message"], extras(&frames, index));
        assert_eq!(choice["text"], message["content"].as_str().unwrap_or_default());
        assert_eq!(
            message["content"].is_null(),
            choice["text"] == "" && !extras.1.is_empty(),
            "null beside calls alone"
        );
        assert_eq!(extras.0, message["reasoning_content"].as_str().unwrap_or_default());
        assert_eq!(Value::from(extras.1), message.get("tool_calls").cloned().unwrap_or(json!([])));
        same_end(choice, whole);
    }
    let roles = frames.iter().filter(|frame| frame.contains("\"role\"")).count();
    assert_eq!(roles, render.choices as usize, "each choice says once who speaks");
}

/// Reasoning and tool calls of one choice, put together the way a client does.
fn extras(frames: &[String], choice: usize) -> (String, Vec<Value>) {
    let (mut reasoning, mut calls) = (String::new(), Vec::<Value>::new());
    for frame in &frames[..frames.len() - 1] {
        let chunk: Value = serde_json::from_str(frame).unwrap();
        let part = &chunk["choices"][0];
        if part["index"] != choice {
            continue;
        }
        reasoning.push_str(part["delta"]["reasoning_content"].as_str().unwrap_or_default());
        for call in part["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let mut call = call.clone();
            let index = call.as_object_mut().unwrap().remove("index").unwrap().as_u64().unwrap() as usize;
            if index == calls.len() {
                calls.push(call);
            } else {
                assert!(call.get("id").is_none() && call["function"].get("name").is_none());
                let arguments = &mut calls[index]["function"]["arguments"];
                let more = call["function"]["arguments"].as_str().unwrap();
                *arguments = format!("{}{more}", arguments.as_str().unwrap()).into();
            }
        }
    }
    (reasoning, calls)
}

fn check_completion(events: &[Event], render: Render, counts: Usage) {
    let whole = written(&completion_response(head(), render, whole(events, render)));
    assert_eq!(whole["usage"]["total_tokens"], counts.prompt_tokens + counts.completion_tokens);
    let frames = frames(CompletionStream::new(head(), render), events);
    let choices = concatenate(&frames, render, |part| part["text"].as_str());
    for (choice, whole) in choices.iter().zip(whole["choices"].as_array().unwrap()) {
        assert_eq!(choice["text"], whole["text"]);
        same_end(choice, whole);
    }
}

fn same_end(choice: &Value, whole: &Value) {
    assert_eq!(choice["finish_reason"], whole["finish_reason"]);
    // Where no token came there is no chunk that could carry an empty list.
    let empty = whole["logprobs"]
        .as_object()
        .is_some_and(|lists| lists.values().all(|list| list.as_array().is_none_or(Vec::is_empty)));
    if !empty {
        assert_eq!(choice["logprobs"], whole["logprobs"]);
    }
}

fn token() -> impl Strategy<Value = TokenLogprob> {
    let one = || (vec(any::<u8>(), 0..4), option::of(-20.0f32..0.0));
    (one(), vec(one(), 0..3)).prop_map(|((bytes, logprob), top)| {
        let top = top.into_iter().map(|(bytes, logprob)| TokenLogprob { token: 1, bytes, logprob, top: vec![] });
        TokenLogprob { token: 0, bytes, logprob, top: top.collect() }
    })
}

prop_compose! {
    /// Pieces for up to three choices in any order, each choice finished once, then `Done`.
    fn script()(
        logprobs in option::of(0u32..3),
        counts_in in prop_oneof![Just(CountsIn::Nowhere), Just(CountsIn::Last), Just(CountsIn::Every)],
        reasons in vec(any::<bool>(), 1..4),
    )(
        pieces in vec((0..reasons.len() as u32, 0..6, "\\PC{0,3}", vec(token(), 0..3)), 0..12),
        reasons in Just(reasons),
        logprobs in Just(logprobs),
        counts_in in Just(counts_in),
    ) -> (Vec<Event>, Render, Usage) {
        let mut counts = Usage { prompt_tokens: 5, cached_tokens: 2, ..Usage::default() };
        let mut events: Vec<Event> = pieces
            .into_iter()
            .map(|(choice, kind, text, tokens)| match kind {
                0 => Event::Reasoning { choice, text },
                1 => Event::ToolCall { choice, id: format!("call_{text}"), name: text },
                2 => Event::Arguments { choice, text },
                _ => {
                    let logprobs = if logprobs.is_some() { tokens } else { vec![] };
                    Event::Text { choice, text, tokens: 1, reasoning_tokens: u64::from(kind == 5), logprobs }
                }
            })
            .collect();
        events.iter().for_each(|event| counts.count(event));
        for (choice, stop) in reasons.iter().enumerate() {
            let reason = if *stop { FinishReason::Stop } else { FinishReason::Length };
            events.push(Event::Finished { choice: choice as u32, reason, stop: None });
        }
        events.push(Event::Done(counts));
        (events, Render { stream: true, counts: counts_in, choices: reasons.len() as u32, logprobs }, counts)
    }
}

proptest! {
    #[test]
    fn a_stream_says_what_the_whole_answer_says((events, render, counts) in script()) {
        check_chat(&events, render, counts);
        // A prompt that is continued has no other events.
        let of_completions = |event: &&Event| !matches!(event, Event::Reasoning { .. } | Event::ToolCall { .. });
        let events: Vec<Event> = events.iter().filter(of_completions).cloned().collect();
        check_completion(&events, render, counts);
    }
}

const PLAIN: Render = Render { stream: true, counts: CountsIn::Nowhere, choices: 1, logprobs: None };

#[test]
fn a_chat_stream_looks_as_clients_expect() {
    let events = [
        Event::Text { choice: 0, text: "Hi".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] },
        Event::Text { choice: 0, text: String::new(), tokens: 1, reasoning_tokens: 1, logprobs: vec![] },
        Event::Finished { choice: 0, reason: FinishReason::Stop, stop: None },
        Event::Done(Usage { prompt_tokens: 3, cached_tokens: 1, completion_tokens: 2, reasoning_tokens: 1 }),
    ];
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "x-1", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "system_fingerprint": FINGERPRINT, "choices": choices, "usage": usage})
    };
    let choice =
        |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
    let expect = [
        chunk(choice(json!({"role": "assistant", "content": ""}), json!(null)), json!(null)),
        chunk(choice(json!({"content": "Hi"}), json!(null)), json!(null)),
        chunk(choice(json!({}), json!("stop")), json!(null)),
        chunk(
            json!([]),
            json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 1}}),
        ),
    ];
    let found = frames(ChatStream::new(head(), Render { counts: CountsIn::Last, ..PLAIN }), &events);
    assert_eq!(found.last().unwrap(), "[DONE]");
    let found: Vec<Value> = found[..4].iter().map(|frame| serde_json::from_str(frame).unwrap()).collect();
    assert_eq!(found, expect);
    // The counts so far, where every chunk is to tell them.
    let found = frames(ChatStream::new(head(), Render { counts: CountsIn::Every, ..PLAIN }), &events);
    let tokens = |frame: &String| {
        let usage = &serde_json::from_str::<Value>(frame).unwrap()["usage"];
        json!([usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]])
    };
    let expect = [json!([1, 0]), json!([1, 0]), json!([2, 1]), json!([2, 1])];
    assert_eq!(found[..4].iter().map(tokens).collect::<Vec<_>>(), expect);
}

#[test]
fn a_failure_is_an_event_and_the_stream_is_not_done() {
    let events = [
        Event::Text { choice: 0, text: "Hi".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] },
        Event::Failed { error: Error::Internal, usage: Usage::default() },
    ];
    for found in
        [frames(ChatStream::new(head(), PLAIN), &events), frames(CompletionStream::new(head(), PLAIN), &events)]
    {
        let last: Value = serde_json::from_str(found.last().unwrap()).unwrap();
        assert_eq!(last["error"]["code"], "internal_error");
        assert_eq!(last["error"]["type"], "server_error");
    }
}

#[test]
fn choices_that_nobody_asked_for_are_not_passed_on() {
    let events = [
        Event::Text { choice: 4, text: "Hi".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] },
        Event::Finished { choice: 4, reason: FinishReason::Stop, stop: None },
    ];
    assert!(frames(ChatStream::new(head(), PLAIN), &events).is_empty());
    assert!(frames(CompletionStream::new(head(), PLAIN), &events).is_empty());
}
