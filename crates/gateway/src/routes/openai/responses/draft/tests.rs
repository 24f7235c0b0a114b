//! A stream and a whole response of one request say the same, wherever the text was cut into pieces.

use inference::{Error, Event, FinishReason, TokenLogprob, Usage};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::*;
use crate::generation::{Part, Whole};

fn draft(logprobs: Option<u32>) -> Draft {
    Draft::new(blank(), logprobs)
}

/// A response of which nothing is known yet.
pub(in crate::routes::openai::responses) fn blank() -> ResponseObject {
    ResponseObject {
        id: "resp_7".into(),
        object: "response",
        created_at: 7,
        status: ResponseStatus::InProgress,
        completed_at: None,
        background: false,
        error: None,
        incomplete_details: None,
        instructions: None,
        max_output_tokens: None,
        model: "m".into(),
        output: Vec::new(),
        parallel_tool_calls: true,
        previous_response_id: None,
        reasoning: Default::default(),
        store: true,
        temperature: None,
        text: wire::openai::ResponseTextOptions { format: json!({"type": "text"}) },
        tool_choice: json!("auto"),
        tools: json!([]),
        top_logprobs: 0,
        top_p: None,
        truncation: "disabled",
        usage: None,
        user: None,
        metadata: Default::default(),
    }
}

fn whole(events: &[Event], logprobs: Option<u32>) -> Value {
    let mut draft = draft(logprobs);
    events.iter().for_each(|event| draft.push(event.clone(), None));
    serde_json::from_str(&serde_json::to_string(draft.response()).unwrap()).unwrap()
}

/// The data of every event of the stream; their names are checked on the way.
fn stream(events: &[Event], logprobs: Option<u32>) -> Vec<Value> {
    let (mut draft, mut frames) = (draft(logprobs), Frames::default());
    draft.begin(&mut frames);
    events.iter().for_each(|event| draft.push(event.clone(), Some(&mut frames)));
    draft.last(&mut frames);
    let text = String::from_utf8(frames.take().to_vec()).unwrap();
    let read = |(number, frame): (usize, &str)| {
        let (name, data) = frame.split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        assert_eq!(data["sequence_number"], number);
        data
    };
    text.split_terminator("\n\n").enumerate().map(read).collect()
}

/// Puts a response together again, as OpenAI's clients do, and checks what they check.
fn accumulate(events: &[Value]) -> Value {
    let mut output: Vec<Value> = Vec::new();
    let mut ended = 0;
    for event in events {
        let at = event["output_index"].as_u64().map(|at| at as usize);
        if let Some(id) = event.get("item_id") {
            assert_eq!(&output[at.unwrap()]["id"], id);
            assert_eq!(ended, at.unwrap(), "nothing comes to an item that has ended, or before it begins");
        }
        match event["type"].as_str().unwrap() {
            "response.created" | "response.in_progress" => assert_eq!(event["response"]["output"], json!([])),
            "response.output_item.added" => {
                assert_eq!(at, Some(output.len()));
                assert_eq!(event["item"]["status"], "in_progress");
                output.push(event["item"].clone());
            }
            "response.content_part.added" => {
                assert_eq!(event["part"]["text"], "");
                output[at.unwrap()]["content"].as_array_mut().unwrap().push(event["part"].clone());
            }
            kind @ ("response.output_text.delta" | "response.reasoning_text.delta") => {
                let part = &mut output[at.unwrap()]["content"][0];
                let expect = if kind.contains("output") { "output_text" } else { "reasoning_text" };
                assert_eq!(part["type"], expect);
                part["text"] = format!("{}{}", part["text"].as_str().unwrap(), event["delta"].as_str().unwrap()).into();
                if let Some(new) = event.get("logprobs") {
                    part["logprobs"].as_array_mut().unwrap().extend(new.as_array().unwrap().iter().cloned());
                }
            }
            "response.function_call_arguments.delta" => {
                let arguments = &mut output[at.unwrap()]["arguments"];
                *arguments = format!("{}{}", arguments.as_str().unwrap(), event["delta"].as_str().unwrap()).into();
            }
            "response.output_text.done" | "response.reasoning_text.done" => {
                assert_eq!(output[at.unwrap()]["content"][0]["text"], event["text"]);
            }
            "response.function_call_arguments.done" => {
                assert_eq!(output[at.unwrap()]["arguments"], event["arguments"]);
                assert_eq!(output[at.unwrap()]["name"], event["name"]);
            }
            "response.content_part.done" => assert_eq!(output[at.unwrap()]["content"][0], event["part"]),
            "response.output_item.done" => {
                let item = &mut output[at.unwrap()];
                item["status"] = event["item"]["status"].clone();
                assert_eq!(*item, event["item"]);
                assert_ne!(item["status"], "in_progress");
                ended += 1;
            }
            "response.completed" | "response.incomplete" | "response.failed" => {}
            other => panic!("no client knows {other}"),
        }
    }
    assert_eq!(ended, output.len(), "every item ends");
    let last = events.last().unwrap();
    assert_eq!(last["response"]["output"], json!(output));
    last["response"].clone()
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] }
}

fn reasoning(text: &str) -> Event {
    Event::Reasoning { choice: 0, text: text.into() }
}

fn finished(reason: FinishReason) -> Event {
    Event::Finished { choice: 0, reason, stop: None }
}

fn done(completion_tokens: u64) -> Event {
    Event::Done(Usage { prompt_tokens: 5, cached_tokens: 2, completion_tokens, reasoning_tokens: 0 })
}

fn token() -> impl Strategy<Value = TokenLogprob> {
    vec(any::<u8>(), 0..4).prop_map(|bytes| TokenLogprob { token: 0, bytes, logprob: Some(-1.0), top: vec![] })
}

fn pieces() -> impl Strategy<Value = Vec<Event>> {
    let piece = (0..6, "\\PC{0,3}", vec(token(), 0..3)).prop_map(|(kind, text, logprobs)| match kind {
        0 => Event::Reasoning { choice: 0, text },
        1 => Event::ToolCall { choice: 0, id: format!("call_{text}"), name: text },
        2 => Event::Arguments { choice: 0, text },
        _ => Event::Text { choice: 0, text, tokens: 1, reasoning_tokens: 0, logprobs },
    });
    vec(piece, 0..14)
}

proptest! {
    #[test]
    fn a_stream_says_what_the_whole_response_says(
        pieces in pieces(),
        logprobs in proptest::option::of(0u32..3),
        reason in prop::sample::select(vec![FinishReason::Stop, FinishReason::Length, FinishReason::ToolCalls, FinishReason::Budget]),
    ) {
        let tokens = pieces.len() as u64;
        let events: Vec<Event> = pieces.into_iter().chain([finished(reason), done(tokens)]).collect();
        let streamed = stream(&events, logprobs);
        prop_assert_eq!(accumulate(&streamed), whole(&events, logprobs));
    }

    /// The collector that the other families answer with is the slow twin.
    #[test]
    fn items_hold_what_the_choice_holds(pieces in pieces()) {
        let events: Vec<Event> = pieces.into_iter().chain([finished(FinishReason::Stop), done(1)]).collect();
        let mut collected = Whole::new(1);
        events.iter().for_each(|event| collected.push(event.clone()));
        let item = |part: &Part| match part {
            Part::Text(text) => ("message", text.clone()),
            Part::Reasoning(text) => ("reasoning", text.clone()),
            Part::Call { name, .. } => ("function_call", name.clone()),
        };
        let mut expect: Vec<(&str, String)> = collected.choices[0].parts.iter().map(item).collect();
        if expect.is_empty() {
            expect.push(("message", String::new()));
        }
        let response = whole(&events, None);
        let item = |item: &Value| {
            let text = if item["type"] == "function_call" { &item["name"] } else { &item["content"][0]["text"] };
            (item["type"].as_str().unwrap().to_owned(), text.as_str().unwrap().to_owned())
        };
        let found: Vec<(String, String)> = response["output"].as_array().unwrap().iter().map(item).collect();
        let expect: Vec<(String, String)> = expect.into_iter().map(|(kind, text)| (kind.to_owned(), text)).collect();
        prop_assert_eq!(found, expect);
    }

    #[test]
    fn it_does_not_matter_where_a_text_is_cut(said in "\\PC{1,12}", thought in "\\PC{1,12}", cut in 0usize..12) {
        let cut_in_two = |text: &str, event: fn(&str) -> Event| {
            let cut = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
            let (first, second) = text.split_at(cut);
            [event(first), event(second)]
        };
        let end = [finished(FinishReason::Stop), done(2)];
        let events: Vec<Event> =
            cut_in_two(&thought, reasoning).into_iter().chain(cut_in_two(&said, text)).chain(end.clone()).collect();
        let response = accumulate(&stream(&events, None));
        let once: Vec<Event> = [reasoning(&thought), text(&said)].into_iter().chain(end).collect();
        prop_assert_eq!(&response["output"], &whole(&once, None)["output"]);
    }
}

#[test]
fn a_stream_looks_as_clients_expect() {
    let call = Event::ToolCall { choice: 0, id: "call_1".into(), name: "f".into() };
    let arguments = Event::Arguments { choice: 0, text: "{}".into() };
    let events = [reasoning("hm"), text("Hi"), call, arguments, finished(FinishReason::ToolCalls), done(9)];
    let names: Vec<Value> = stream(&events, None).iter().map(|event| event["type"].clone()).collect();
    let of_part = |kind: &str| {
        ["output_item.added", "content_part.added"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("{kind}.delta"), format!("{kind}.done")])
            .chain(["content_part.done", "output_item.done"].map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let mut expect = vec!["created".to_owned(), "in_progress".to_owned()];
    expect.extend(of_part("reasoning_text"));
    expect.extend(of_part("output_text"));
    expect.extend(of_part("function_call_arguments").into_iter().filter(|name| !name.starts_with("content_part")));
    expect.push("completed".to_owned());
    assert_eq!(names, expect.iter().map(|name| format!("response.{name}")).collect::<Vec<_>>());
    let response = whole(&events, None);
    let id = |at: usize| response["output"][at]["id"].as_str().unwrap().to_owned();
    assert_eq!([id(0), id(1), id(2)], ["rs_7_0", "msg_7_1", "fc_7_2"]);
    let call = json!({"type": "function_call", "id": "fc_7_2", "status": "completed", "call_id": "call_1", "name": "f", "arguments": "{}"});
    assert_eq!(response["output"][2], call);
    let message = json!({"type": "message", "id": "msg_7_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}]});
    assert_eq!(response["output"][1], message);
    let usage = json!({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 14});
    assert_eq!((&response["usage"], &response["status"]), (&usage, &json!("completed")));
}

#[test]
fn tokens_of_reasoning_are_those_that_the_backend_counted() {
    let usage = Usage { prompt_tokens: 5, cached_tokens: 2, completion_tokens: 8, reasoning_tokens: 4 };
    for end in [Event::Done(usage), Event::Failed { error: Error::Internal, usage }] {
        let events = [reasoning("a"), text("Hi"), finished(FinishReason::Stop), end];
        assert_eq!(whole(&events, None)["usage"]["output_tokens_details"]["reasoning_tokens"], 4);
    }
}

#[test]
fn log_probabilities_are_of_the_texts_tokens_alone() {
    let token = |text: &str, byte: u8| Event::Text {
        choice: 0,
        text: text.into(),
        tokens: 1,
        reasoning_tokens: 0,
        logprobs: vec![TokenLogprob { token: 0, bytes: vec![byte], logprob: Some(-1.0), top: vec![] }],
    };
    let events = [
        token("", b'<'),
        reasoning("a"),
        token("", b'>'),
        token("", b'x'),
        token("Hi", b'y'),
        token("", b'z'),
        Event::ToolCall { choice: 0, id: "c".into(), name: "f".into() },
        token("", b'{'),
        finished(FinishReason::ToolCalls),
        done(6),
    ];
    let response = accumulate(&stream(&events, Some(0)));
    let tokens: Vec<&str> = response["output"][1]["content"][0]["logprobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["token"].as_str().unwrap())
        .collect();
    assert_eq!(tokens, ["y", "z"], "a token without text before a text belongs to the reasoning");
    assert_eq!(whole(&events, None)["output"][1]["content"][0]["logprobs"], json!([]));
}

#[test]
fn a_response_that_is_cut_says_what_is_incomplete() {
    let call = Event::ToolCall { choice: 0, id: "c".into(), name: "f".into() };
    let arguments = Event::Arguments { choice: 0, text: "{\"a".into() };
    for (reason, details) in [
        (FinishReason::Length, json!({"reason": "max_output_tokens"})),
        (FinishReason::Budget, json!({"reason": "max_output_tokens", "stopped_by": "budget"})),
    ] {
        let events = [text("Hi"), call.clone(), arguments.clone(), finished(reason), done(4)];
        let streamed = stream(&events, None);
        assert_eq!(streamed.last().unwrap()["type"], "response.incomplete");
        let response = accumulate(&streamed);
        let statuses = [&response["status"], &response["output"][0]["status"], &response["output"][1]["status"]];
        assert_eq!(statuses, ["incomplete", "completed", "incomplete"]);
        assert_eq!(response["incomplete_details"], details);
    }
}

#[test]
fn a_failure_ends_the_response_and_says_why() {
    let usage = Usage { prompt_tokens: 5, cached_tokens: 0, completion_tokens: 1, reasoning_tokens: 0 };
    let limit = Error::LimitReached { message: "no more".into(), spent: false, retry_after: None };
    for (error, code) in [
        (Error::Internal, "server_error"),
        (limit, "rate_limit_exceeded"),
        (Error::invalid("p", "no"), "invalid_prompt"),
        (Error::ShuttingDown, "server_error"),
        (Error::Revoked, "invalid_api_key"),
        (Error::SlowReader, "slow_reader"),
        (Error::ModelNotFound { model: "m".into() }, "model_not_found"),
    ] {
        let streamed = stream(&[text("Hi"), Event::Failed { error: error.clone(), usage }], None);
        assert_eq!(streamed.last().unwrap()["type"], "response.failed");
        let response = accumulate(&streamed);
        assert_eq!(response["error"], json!({"code": code, "message": error.to_string()}));
        assert_eq!((&response["status"], &response["output"][0]["status"]), (&json!("failed"), &json!("incomplete")));
        assert_eq!(response["usage"]["output_tokens"], 1);
    }
}

#[test]
fn choices_that_nobody_asked_for_are_not_passed_on() {
    let stranger = Event::Text { choice: 4, text: "Hi".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] };
    let response = whole(&[stranger, finished(FinishReason::Stop), done(1)], None);
    assert_eq!(response["output"].as_array().unwrap().len(), 1);
    assert_eq!(response["output"][0]["content"][0]["text"], "", "there is always an item to look at");
}
