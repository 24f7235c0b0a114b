//! A stream and a non-stream of one request say the same thing.

use inference::Error;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::*;

fn head() -> Head {
    Head { id: "msg_1".into(), model: "m".into(), request_id: "req_1".into(), shows_thinking: true }
}

/// Name and data of every frame.
fn frames(head: Head, events: &[Event], counts: inference::Usage) -> Vec<(String, Value)> {
    let mut encoder = MessageStream::new(head);
    let mut frames = Frames::default();
    encoder.begin(Beginning { counts, ..Beginning::default() });
    events.iter().for_each(|event| encoder.push(event.clone(), &mut frames));
    let text = String::from_utf8(frames.take().to_vec()).unwrap();
    let frame = |frame: &str| {
        let (name, data) = frame.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    };
    text.split_terminator("\n\n").map(frame).collect()
}

/// Checks the order of a complete stream and puts the message together again, the way a client does.
fn accumulate(frames: &[(String, Value)]) -> Value {
    for (name, data) in frames {
        assert_eq!(data["type"], name.as_str());
    }
    let names: Vec<&str> = frames.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["message_start", "ping"]);
    assert_eq!(names[names.len() - 2..], ["message_delta", "message_stop"]);
    let mut message = frames[0].1["message"].clone();
    assert_eq!(message["content"], json!([]));
    let mut blocks: Vec<Value> = Vec::new();
    let mut open = false;
    for (name, data) in &frames[2..frames.len() - 2] {
        match name.as_str() {
            "content_block_start" => {
                assert!(!std::mem::replace(&mut open, true) && data["index"] == blocks.len());
                blocks.push(data["content_block"].clone());
            }
            "content_block_stop" => {
                assert!(std::mem::replace(&mut open, false) && data["index"] == blocks.len() - 1);
                let block = blocks.last_mut().unwrap();
                if let Some(json) = block.as_object_mut().unwrap().remove("json") {
                    block["input"] =
                        serde_json::from_str(arguments::object(json.as_str().unwrap().into()).get()).unwrap();
                }
            }
            _ => {
                assert!(open && data["index"] == blocks.len() - 1);
                let block = blocks.last_mut().unwrap();
                let (kind, from, to) = match data["delta"]["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text", "text"),
                    "thinking_delta" => ("thinking", "thinking", "thinking"),
                    "signature_delta" => ("thinking", "signature", "signature"),
                    "input_json_delta" => ("tool_use", "partial_json", "json"),
                    other => panic!("{other}"),
                };
                assert_eq!(block["type"], kind);
                let new = data["delta"][from].as_str().unwrap();
                assert!(!new.is_empty());
                block[to] = format!("{}{new}", block[to].as_str().unwrap_or_default()).into();
            }
        }
    }
    assert!(!open);
    message["content"] = blocks.into();
    let end = &frames[frames.len() - 2].1;
    for name in ["stop_reason", "stop_sequence"] {
        message[name] = end["delta"][name].clone();
    }
    message["usage"] = end["usage"].clone();
    message
}

proptest! {
    #[test]
    fn a_stream_says_what_the_whole_answer_says(
        pieces in vec((0u32..6, "\\PC{0,3}"), 0..12),
        length in any::<bool>(),
        stop in option::of("[a-z]{1,4}"),
        cached_tokens in 0u64..9,
        shows_thinking in any::<bool>(),
    ) {
        let head = || Head { shows_thinking, ..head() };
        let counts = inference::Usage { prompt_tokens: 9, cached_tokens, completion_tokens: pieces.len() as u64, reasoning_tokens: 3 };
        let event = |(kind, text): (u32, String)| match kind {
            0 => Event::Reasoning { choice: 0, text },
            1 => Event::ToolCall { choice: 0, id: format!("call_{text}"), name: text },
            2 => Event::Arguments { choice: 0, text: json!({ "a": text }).to_string() },
            _ => Event::Text { choice: 0, text, tokens: 1, reasoning_tokens: 0, logprobs: vec![] },
        };
        // Arguments belong to the call before them, and come with it.
        let follows = |pieces: &[(u32, String)], index: usize| {
            pieces[index].0 != 2 || index.checked_sub(1).is_some_and(|before| pieces[before].0 == 1)
        };
        let kept: Vec<usize> = (0..pieces.len()).filter(|index| follows(&pieces, *index)).collect();
        let mut events: Vec<Event> = kept.into_iter().map(|index| event(pieces[index].clone())).collect();
        let reason = if length && stop.is_none() { FinishReason::Length } else { FinishReason::Stop };
        events.extend([Event::Finished { choice: 0, reason, stop }, Event::Done(counts)]);
        let mut whole = Whole::new(1);
        events.iter().for_each(|event| whole.push(event.clone()));
        let whole = serde_json::to_value(message(head(), whole)).unwrap();
        let thoughts = whole["content"].as_array().unwrap().iter().filter(|block| block["type"] == "thinking");
        prop_assert!(thoughts.clone().all(|block| (block["thinking"] != "") == shows_thinking));
        prop_assert_eq!(accumulate(&frames(head(), &events, counts)), whole);
    }
}

#[test]
fn usage_is_net_of_what_came_from_the_cache() {
    let counts = inference::Usage { prompt_tokens: 9, cached_tokens: 4, completion_tokens: 2, reasoning_tokens: 1 };
    let expect = json!({"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0,
        "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}});
    assert_eq!(serde_json::to_value(usage(counts)).unwrap(), expect);
    let events = [Event::Finished { choice: 0, reason: FinishReason::Stop, stop: None }, Event::Done(counts)];
    let frames = frames(head(), &events, counts);
    let begin = json!({"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0,
        "output_tokens": 0, "output_tokens_details": {"thinking_tokens": 0}});
    assert_eq!(frames[0].1["message"]["usage"], begin);
}

#[test]
fn a_failure_is_an_event_and_the_message_does_not_stop() {
    let events = [
        Event::Text { choice: 0, text: "Hi".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] },
        Event::Failed { error: Error::Internal, usage: inference::Usage::default() },
    ];
    let frames = frames(head(), &events, inference::Usage::default());
    let expect = json!({"type": "error", "request_id": "req_1",
        "error": {"type": "api_error", "message": Error::Internal.to_string()}});
    assert_eq!(frames.last().unwrap(), &("error".to_owned(), expect));
    assert!(frames.iter().all(|(name, _)| name != "message_stop"));
}

#[test]
fn choices_that_nobody_asked_for_are_not_passed_on() {
    let events = [
        Event::Text { choice: 1, text: "Hi".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] },
        Event::Finished { choice: 1, reason: FinishReason::Stop, stop: None },
    ];
    assert!(frames(head(), &events, inference::Usage::default()).is_empty());
}
