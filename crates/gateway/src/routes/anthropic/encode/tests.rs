//! A stream and a non-stream of one request say the same thing.

use inference::Error;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::*;

fn head() -> Head {
    Head { id: "msg_1".into(), model: "m".into(), request_id: "req_1".into() }
}

/// Name and data of every frame.
fn frames(events: &[Event], counts: inference::Usage) -> Vec<(String, Value)> {
    let mut encoder = MessageStream::new(head());
    let mut frames = Frames::default();
    encoder.begin(counts);
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
    assert_eq!(names[..3], ["message_start", "content_block_start", "ping"]);
    let deltas = names.len() - 6;
    assert!(names[3..3 + deltas].iter().all(|name| *name == "content_block_delta"), "{names:?}");
    assert_eq!(names[3 + deltas..], ["content_block_stop", "message_delta", "message_stop"]);
    let mut message = frames[0].1["message"].clone();
    assert_eq!(message["content"], json!([]));
    let mut block = frames[1].1["content_block"].clone();
    for (_, data) in &frames[3..3 + deltas] {
        assert_eq!((&data["index"], &data["delta"]["type"]), (&json!(0), &json!("text_delta")));
        let new = data["delta"]["text"].as_str().unwrap();
        assert!(!new.is_empty());
        block["text"] = format!("{}{new}", block["text"].as_str().unwrap()).into();
    }
    message["content"] = json!([block]);
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
        pieces in vec("\\PC{0,3}", 0..12),
        length in any::<bool>(),
        stop in option::of("[a-z]{1,4}"),
        cached_tokens in 0u64..9,
    ) {
        let counts = inference::Usage { prompt_tokens: 9, cached_tokens, completion_tokens: pieces.len() as u64 };
        let mut events: Vec<Event> =
            pieces.into_iter().map(|text| Event::Text { choice: 0, text, tokens: 1, logprobs: vec![] }).collect();
        let reason = if length && stop.is_none() { FinishReason::Length } else { FinishReason::Stop };
        events.extend([Event::Finished { choice: 0, reason, stop }, Event::Done(counts)]);
        let mut whole = Whole::new(1);
        events.iter().for_each(|event| whole.push(event.clone()));
        let whole = serde_json::to_value(message(head(), whole)).unwrap();
        prop_assert_eq!(accumulate(&frames(&events, counts)), whole);
    }
}

#[test]
fn usage_is_net_of_what_came_from_the_cache() {
    let counts = inference::Usage { prompt_tokens: 9, cached_tokens: 4, completion_tokens: 2 };
    let expect = json!({"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0,
        "output_tokens": 2});
    assert_eq!(serde_json::to_value(usage(counts)).unwrap(), expect);
    let events = [Event::Finished { choice: 0, reason: FinishReason::Stop, stop: None }, Event::Done(counts)];
    let frames = frames(&events, counts);
    let begin = json!({"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0,
        "output_tokens": 0});
    assert_eq!(frames[0].1["message"]["usage"], begin);
}

#[test]
fn a_failure_is_an_event_and_the_message_does_not_stop() {
    let events = [
        Event::Text { choice: 0, text: "Hi".into(), tokens: 1, logprobs: vec![] },
        Event::Failed { error: Error::Internal, usage: inference::Usage::default() },
    ];
    let frames = frames(&events, inference::Usage::default());
    let expect = json!({"type": "error", "request_id": "req_1",
        "error": {"type": "api_error", "message": Error::Internal.to_string()}});
    assert_eq!(frames.last().unwrap(), &("error".to_owned(), expect));
    assert!(frames.iter().all(|(name, _)| name != "message_stop"));
}

#[test]
fn choices_that_nobody_asked_for_are_not_passed_on() {
    let events = [
        Event::Text { choice: 1, text: "Hi".into(), tokens: 1, logprobs: vec![] },
        Event::Finished { choice: 1, reason: FinishReason::Stop, stop: None },
    ];
    assert!(frames(&events, inference::Usage::default()).is_empty());
}
