//! One conversation with thinking and tools, held by clients of three families: what the model says reaches each of them whole,
//! and what they send back is the same to the model, whoever sends it.
//!
//! `fixtures/transcripts` holds what goes over the wire, so that a change of it is seen; its README says how the files are
//! made.

use std::{fs, path::PathBuf, sync::Arc};

use axum::Router;
use inference::{ChatInput, Event, FinishReason, Input, Role, ToolCall, Usage};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::stage::{Script, Scripted, app, check, text};

const QUESTION: &str = "Weather in Ulm and in \"Köln\"?";
const INSTRUCTIONS: &str = "Be brief.";
const LATER: &str = "Thanks. And tomorrow?";
/// The id of a call, what came of it, and whether that is a failure.
type Outcome<'a> = (&'a str, &'a str, bool);
const RESULTS: [Outcome<'_>; 2] = [("call_1", "rain,\n12 °C 🌧", false), ("call_2", "no such city", true)];

/// What the model does in a turn: token by token, as the backend tells it.
fn turn(number: usize) -> Vec<Event> {
    let token = || text(0, "");
    let thought = || Event::Text { choice: 0, text: String::new(), tokens: 1, reasoning_tokens: 1, logprobs: vec![] };
    let think = |text: &str| vec![thought(), Event::Reasoning { choice: 0, text: text.into() }];
    let say = |words: &str| vec![text(0, words)];
    let call = |id: &str, pieces: &[&str]| {
        let piece = |text: &&str| vec![token(), Event::Arguments { choice: 0, text: (*text).into() }];
        let begin = vec![token(), Event::ToolCall { choice: 0, id: id.into(), name: "get_weather".into() }];
        [begin, pieces.iter().flat_map(piece).collect()].concat()
    };
    let (said, reason) = match number {
        0 => (
            vec![
                think("Two cities:\n"),
                think("\"Ulm\" and Köln."),
                vec![thought()],
                say("I "),
                say("look."),
                call("call_1", &["{\"city\":", "\"Ulm\"}"]),
                think("Now the other."),
                vec![thought()],
                say("And Köln."),
                call("call_2", &["{\"city\":\"Kö", "ln\",\"days\":1.5}"]),
            ],
            FinishReason::ToolCalls,
        ),
        1 => (vec![think("One failed."), vec![thought()], say("Rain 🌧 in Ulm."), say(" Köln?")], FinishReason::Stop),
        _ => (vec![say("I cannot know.")], FinishReason::Stop),
    };
    let mut events = vec![Event::Started { cached_tokens: number as u64 * 2 }];
    events.extend(said.concat());
    let mut usage = Usage { prompt_tokens: 7, ..Usage::default() };
    events.iter().for_each(|event| usage.count(event));
    events.push(Event::Finished { choice: 0, reason, stop: None });
    events.push(Event::Done(usage));
    events
}

/// A model that holds the conversation: its turn is told by how often it has spoken.
fn model() -> Arc<Scripted> {
    Scripted::new(|request| {
        let Input::Chat(chat) = &request.input else { panic!("{request:?}") };
        Script::Events(turn(chat.messages.iter().filter(|message| message.role == Role::Assistant).count()))
    })
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "number"}}, "required": ["city"]})
}

/// How a client of a family holds the conversation.
trait Client {
    const NAME: &'static str;
    const PATH: &'static str;
    /// The first request.
    fn begin() -> Value;
    /// Adds an answer to the request, as its SDK's users do.
    fn answered(request: &mut Value, answer: &Value);
    /// Adds what the tools gave.
    fn results(request: &mut Value, results: &[Outcome<'_>]);
    /// Adds what the user says.
    fn says(request: &mut Value, text: &str);
    /// The answer of a stream, put together as its SDK does.
    fn accumulate(events: Vec<Value>) -> Value;
}

fn list<'a>(request: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    request[key].as_array_mut().expect("a list")
}

/// Appends to a text that may not be there yet.
fn append(text: &mut Value, more: &Value) {
    let Some(more) = more.as_str() else { return };
    *text = json!(format!("{}{more}", text.as_str().unwrap_or_default()));
}

struct Chat;

impl Client for Chat {
    const NAME: &'static str = "chat";
    const PATH: &'static str = "/v1/chat/completions";

    fn begin() -> Value {
        let function = json!({"name": "get_weather", "description": "The weather", "parameters": schema()});
        json!({
            "model": "m", "max_completion_tokens": 2000, "tools": [{"type": "function", "function": function}],
            "messages": [{"role": "developer", "content": INSTRUCTIONS}, {"role": "user", "content": QUESTION}],
        })
    }

    fn answered(request: &mut Value, answer: &Value) {
        list(request, "messages").push(answer["choices"][0]["message"].clone());
    }

    fn results(request: &mut Value, results: &[Outcome<'_>]) {
        for &(id, text, failed) in results {
            let content = if failed { format!("Error: {text}") } else { text.to_owned() };
            list(request, "messages").push(json!({"role": "tool", "tool_call_id": id, "content": content}));
        }
    }

    fn says(request: &mut Value, text: &str) {
        list(request, "messages").push(json!({"role": "user", "content": text}));
    }

    fn accumulate(events: Vec<Value>) -> Value {
        let mut message = json!({"role": null, "content": null, "refusal": null});
        let (mut finish_reason, mut usage, mut calls) = (Value::Null, Value::Null, Vec::<Value>::new());
        let mut head = Map::new();
        for mut chunk in events {
            if let Some(counts) = chunk.get("usage").filter(|usage| !usage.is_null()) {
                usage = counts.clone();
            }
            let choice = chunk["choices"].get_mut(0).map(Value::take).unwrap_or_default();
            let delta = &choice["delta"];
            if !choice["finish_reason"].is_null() {
                finish_reason = choice["finish_reason"].clone();
            }
            if !delta["role"].is_null() {
                message["role"] = delta["role"].clone();
            }
            for key in ["content", "reasoning_content"].into_iter().filter(|key| delta[key].is_string()) {
                append(&mut message[key], &delta[key]);
            }
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = call["index"].as_u64().expect("an index") as usize;
                if calls.len() == index {
                    calls.push(
                        json!({"id": call["id"], "type": call["type"], "function": {"name": call["function"]["name"]}}),
                    );
                }
                append(&mut calls[index]["function"]["arguments"], &call["function"]["arguments"]);
            }
            head.extend(chunk.as_object().expect("a chunk").clone());
        }
        if !calls.is_empty() {
            if message["content"] == "" {
                message["content"] = Value::Null;
            }
            message["tool_calls"] = calls.into();
        }
        head.insert("object".into(), json!("chat.completion"));
        head.insert("usage".into(), usage);
        let choice = json!({"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": null});
        head.insert("choices".into(), json!([choice]));
        head.into()
    }
}

struct Messages;

impl Client for Messages {
    const NAME: &'static str = "messages";
    const PATH: &'static str = "/v1/messages";

    fn begin() -> Value {
        json!({
            "model": "m", "max_tokens": 2000, "system": INSTRUCTIONS,
            "tools": [{"name": "get_weather", "description": "The weather", "input_schema": schema()}],
            "messages": [{"role": "user", "content": QUESTION}],
        })
    }

    fn answered(request: &mut Value, answer: &Value) {
        list(request, "messages").push(json!({"role": answer["role"], "content": answer["content"]}));
    }

    fn results(request: &mut Value, results: &[Outcome<'_>]) {
        let result = |(id, text, failed): &Outcome<'_>| json!({"type": "tool_result", "tool_use_id": id, "content": text, "is_error": failed});
        let content: Vec<Value> = results.iter().map(result).collect();
        list(request, "messages").push(json!({"role": "user", "content": content}));
    }

    fn says(request: &mut Value, text: &str) {
        list(request, "messages").push(json!({"role": "user", "content": [{"type": "text", "text": text}]}));
    }

    fn accumulate(events: Vec<Value>) -> Value {
        let mut message = Value::Null;
        let mut inputs: Vec<Value> = Vec::new();
        for mut event in events {
            let index = event["index"].as_u64().unwrap_or_default() as usize;
            match event["type"].as_str().expect("a type") {
                "message_start" => message = event["message"].take(),
                "content_block_start" => {
                    let blocks = list(&mut message, "content");
                    assert_eq!(blocks.len(), index, "blocks come in order");
                    blocks.push(event["content_block"].take());
                    inputs.push(Value::Null);
                }
                "content_block_delta" => {
                    let (block, delta) = (&mut message["content"][index], &event["delta"]);
                    match delta["type"].as_str().expect("a type") {
                        "text_delta" => append(&mut block["text"], &delta["text"]),
                        "thinking_delta" => append(&mut block["thinking"], &delta["thinking"]),
                        "signature_delta" => append(&mut block["signature"], &delta["signature"]),
                        "input_json_delta" => append(&mut inputs[index], &delta["partial_json"]),
                        other => panic!("{other}"),
                    }
                }
                "content_block_stop" => {
                    if let Some(text) = inputs[index].as_str() {
                        message["content"][index]["input"] = serde_json::from_str(text).expect("JSON");
                    }
                }
                "message_delta" => {
                    for (key, value) in event["delta"].as_object().expect("an object") {
                        message[key] = value.clone();
                    }
                    message["usage"] = event["usage"].take();
                }
                "message_stop" | "ping" => {}
                other => panic!("{other}"),
            }
        }
        message
    }
}

struct Responses;

impl Client for Responses {
    const NAME: &'static str = "responses";
    const PATH: &'static str = "/v1/responses";

    fn begin() -> Value {
        json!({
            "model": "m", "max_output_tokens": 2000, "instructions": INSTRUCTIONS, "store": false,
            "tools": [{"type": "function", "name": "get_weather", "description": "The weather", "parameters": schema(), "strict": false}],
            "input": [{"role": "user", "content": QUESTION}],
        })
    }

    fn answered(request: &mut Value, answer: &Value) {
        let output = answer["output"].as_array().expect("a list").clone();
        list(request, "input").extend(output);
    }

    fn results(request: &mut Value, results: &[Outcome<'_>]) {
        for &(id, text, failed) in results {
            let output = if failed { format!("Error: {text}") } else { text.to_owned() };
            list(request, "input").push(json!({"type": "function_call_output", "call_id": id, "output": output}));
        }
    }

    fn says(request: &mut Value, text: &str) {
        let content = json!([{"type": "input_text", "text": text}]);
        list(request, "input").push(json!({"type": "message", "role": "user", "content": content}));
    }

    fn accumulate(events: Vec<Value>) -> Value {
        let mut output: Vec<Value> = Vec::new();
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number, "events are numbered");
            let index = event["output_index"].as_u64().unwrap_or_default() as usize;
            match event["type"].as_str().expect("a type") {
                "response.output_item.added" => output.push(event["item"].clone()),
                "response.content_part.added" => {
                    list(&mut output[index], "content").push(event["part"].clone());
                }
                "response.output_text.delta" | "response.reasoning_text.delta" => {
                    append(&mut output[index]["content"][0]["text"], &event["delta"]);
                }
                "response.function_call_arguments.delta" => append(&mut output[index]["arguments"], &event["delta"]),
                "response.output_item.done" => {
                    output[index]["status"] = json!("completed");
                    assert_eq!(output[index], event["item"], "the pieces make the whole");
                }
                "response.completed" => {
                    assert_eq!(event["response"]["output"], json!(output));
                    return event["response"].clone();
                }
                _ => {}
            }
        }
        panic!("the stream has no end");
    }
}

/// What reaches the model, in words of no family.
fn neutral(chat: &ChatInput) -> Value {
    let message = |message: &inference::Message| {
        let call = |call: &ToolCall| json!([call.id, call.name, call.arguments]);
        json!({
            "role": format!("{:?}", message.role), "content": message.content, "reasoning": message.reasoning,
            "calls": message.tool_calls.iter().map(call).collect::<Vec<_>>(), "answers": message.tool_call_id,
        })
    };
    let tool = |tool: &inference::Tool| json!([tool.name, tool.description, tool.parameters]);
    json!({
        "messages": chat.messages.iter().map(message).collect::<Vec<_>>(),
        "tools": chat.tools.iter().map(tool).collect::<Vec<_>>(),
    })
}

/// Templates of real models that know tools and thinking, with the names of their files here.
const TEMPLATES: [(&str, &str); 3] =
    [("Qwen-Qwen3-0.6B", "qwen3"), ("openai-gpt-oss-120b", "gpt-oss"), ("deepseek-ai-DeepSeek-V3.1", "deepseek")];

/// The prompt of a conversation by the template of a real model.
fn rendered(template: &str, chat: &ChatInput) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../chat/tests/fixtures/llama.cpp/templates");
    let source = fs::read_to_string(folder.join(format!("{template}.jinja"))).expect("a template");
    let message = |message: &inference::Message| chat::Message {
        role: match message.role {
            Role::System => chat::Role::System,
            Role::User => chat::Role::User,
            Role::Assistant => chat::Role::Assistant,
            Role::Tool => chat::Role::Tool,
        },
        content: message.content.clone(),
        name: message.name.clone(),
        reasoning: message.reasoning.clone(),
        calls: message
            .tool_calls
            .iter()
            .cloned()
            .map(|ToolCall { id, name, arguments }| chat::Call { id, name, arguments })
            .collect(),
        call_id: message.tool_call_id.clone(),
    };
    let tool = |tool: &inference::Tool| chat::Tool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: tool.parameters.as_ref().map(|schema| serde_json::from_str(schema).expect("a schema")),
        strict: tool.strict,
    };
    let conversation = chat::Conversation {
        messages: chat.messages.iter().map(message).collect(),
        tools: chat.tools.iter().map(tool).collect(),
        ..chat::Conversation::default()
    };
    let template = chat::Chat::new(&source, Some("<s>"), Some("</s>"), Vec::new()).expect("a template");
    template.render(&conversation, 1_700_000_000).expect("a prompt").text
}

/// Data of a stream's events.
fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

/// What differs from one run to the next, left out: ids of ours, and times.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hex = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let time = ["\"created\":", "\"created_at\":", "\"completed_at\":"].iter().find(|key| rest.starts_with(**key));
        if hex >= 24 {
            out.push('#');
            rest = &rest[hex..];
        } else if let Some(key) = time {
            out.push_str(key);
            rest = rest[key.len()..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            out.push_str(if rest.starts_with("null") { "" } else { "0" });
        } else {
            let length = hex.max(first.len_utf8());
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out
}

fn fixture(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts").join(file)
}

/// Compares with a stored file; `BLESS=1` writes it.
fn golden(file: &str, found: &str) {
    let (path, found) = (fixture(file), timeless(found));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &found).expect("the file can be written");
    }
    let expect = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(found == expect, "{file} differs:\n{found}");
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON") + "\n"
}

/// Asks whole and as a stream, which give the same; the answer, and the stream as it went over the wire.
async fn ask<C: Client>(app: &Router, request: &Value) -> (Value, String) {
    let whole = check(app, "POST", C::PATH, request.clone(), 200).await.json();
    let mut streamed = request.clone();
    streamed["stream"] = json!(true);
    if C::NAME == "chat" {
        streamed["stream_options"] = json!({"include_usage": true});
    }
    let stream = check(app, "POST", C::PATH, streamed, 200).await.text().to_owned();
    let same = |answer: &Value| timeless(&pretty(answer));
    let accumulated = C::accumulate(events(&stream));
    assert_eq!(sorted(&same(&accumulated)), sorted(&same(&whole)), "{}: the stream says the same", C::NAME);
    (accumulated, stream)
}

/// Without the order of keys, which is the client's affair.
fn sorted(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// What reached the model since the last look: the same with each request.
fn heard(model: &Scripted) -> ChatInput {
    let chat = |asked: inference::Request| match asked.input {
        Input::Chat(chat) => chat,
        other => panic!("{other:?}"),
    };
    let mut heard: Vec<ChatInput> = std::mem::take(&mut *model.asked.lock().unwrap()).into_iter().map(chat).collect();
    let last = heard.pop().expect("it was asked");
    assert!(heard.iter().all(|chat| *chat == last));
    last
}

async fn holds_the_conversation<C: Client>() {
    let model = model();
    let app = app(model.clone());
    let mut request = C::begin();
    let (mut answers, mut streams, mut reached) = (Vec::new(), String::new(), Vec::new());
    for number in 0..3 {
        let (answer, stream) = ask::<C>(&app, &request).await;
        reached.push(heard(&model));
        C::answered(&mut request, &answer);
        match number {
            0 => C::results(&mut request, &RESULTS),
            1 => C::says(&mut request, LATER),
            _ => {}
        }
        answers.push(answer);
        streams.push_str(&stream);
    }
    // One file for all families: this is what must not depend on them.
    golden("conversation.json", &pretty(&json!(reached.iter().map(neutral).collect::<Vec<_>>())));
    for (template, name) in TEMPLATES {
        let prompts: Vec<String> = reached.iter().map(|chat| rendered(template, chat)).collect();
        golden(&format!("{name}.txt"), &prompts.join("\n\n======== the next request\n\n"));
    }
    golden(&format!("{}.json", C::NAME), &pretty(&json!({"history": request, "answers": answers})));
    golden(&format!("{}.sse", C::NAME), &streams);
}

#[tokio::test]
async fn openais_chat_loses_nothing() {
    holds_the_conversation::<Chat>().await;
}

#[tokio::test]
async fn anthropics_messages_lose_nothing() {
    holds_the_conversation::<Messages>().await;
}

#[tokio::test]
async fn openais_responses_lose_nothing() {
    holds_the_conversation::<Responses>().await;
}

#[tokio::test]
async fn a_response_that_is_continued_by_its_id_reaches_the_model_as_its_whole_history_does() {
    let model = model();
    let app = app(model.clone());
    let mut request = Responses::begin();
    request["store"] = json!(true);
    for number in 0..3 {
        let answer = check(&app, "POST", Responses::PATH, request.clone(), 200).await.json();
        request["previous_response_id"] = answer["id"].clone();
        request["input"] = json!([]);
        match number {
            0 => Responses::results(&mut request, &RESULTS),
            _ => Responses::says(&mut request, LATER),
        }
    }
    let reached = std::mem::take(&mut *model.asked.lock().unwrap());
    let chat = |request: &inference::Request| match &request.input {
        Input::Chat(chat) => neutral(chat),
        other => panic!("{other:?}"),
    };
    golden("conversation.json", &pretty(&json!(reached.iter().map(chat).collect::<Vec<_>>())));
}

#[tokio::test]
async fn tokens_are_counted_alike_but_for_cached_ones_which_openai_counts_within_the_prompt_and_anthropic_beside_it() {
    let [chat, messages, responses] = [Chat::NAME, Messages::NAME, Responses::NAME].map(|name| {
        let path = fixture(&format!("{name}.json"));
        sorted(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    });
    for number in 0..3 {
        let cached = number as u64 * 2;
        let usage = |transcript: &Value| transcript["answers"][number]["usage"].clone();
        let (chat, messages, responses) = (usage(&chat), usage(&messages), usage(&responses));
        assert_eq!(
            (&chat["prompt_tokens"], &chat["prompt_tokens_details"]["cached_tokens"]),
            (&json!(7), &json!(cached))
        );
        assert_eq!(
            (&responses["input_tokens"], &responses["input_tokens_details"]["cached_tokens"]),
            (&json!(7), &json!(cached))
        );
        let input = (&messages["input_tokens"], &messages["cache_read_input_tokens"]);
        assert_eq!(input, (&json!(7 - cached), &json!(cached)));
        let output = (&chat["completion_tokens"], &messages["output_tokens"]);
        assert_eq!(output, (&responses["output_tokens"], &responses["output_tokens"]));
        let thought = [
            &chat["completion_tokens_details"]["reasoning_tokens"],
            &messages["output_tokens_details"]["thinking_tokens"],
            &responses["output_tokens_details"]["reasoning_tokens"],
        ];
        assert_eq!(thought, [&json!([5, 2, 0][number]); 3]);
    }
}

/// What reaches the model of what it did itself, once a client of the family has sent it back.
async fn remembered<C: Client>(events: Vec<Event>, results: &[Outcome<'_>]) -> ChatInput {
    let model = Scripted::new(move |_| Script::Events(events.clone()));
    let app = app(model.clone());
    let mut request = C::begin();
    let (answer, _) = ask::<C>(&app, &request).await;
    heard(&model);
    C::answered(&mut request, &answer);
    if !results.is_empty() {
        C::results(&mut request, results);
    }
    C::says(&mut request, LATER);
    ask::<C>(&app, &request).await;
    heard(&model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_a_model_does_in_whatever_order_every_family_remembers_alike(
        pieces in proptest::collection::vec((0..4, "[a-zä \n]{1,4}"), 0..9),
    ) {
        let call = |at: usize| format!("call_{at}");
        let event = |(at, (kind, piece)): (usize, &(i32, String))| match kind {
            0 => vec![text(0, piece)],
            1 => vec![text(0, ""), Event::Reasoning { choice: 0, text: piece.clone() }],
            2 => vec![Event::ToolCall { choice: 0, id: call(at), name: "get_weather".into() },
                Event::Arguments { choice: 0, text: json!({"city": piece}).to_string() }],
            _ => vec![text(0, "")],
        };
        let mut events: Vec<Event> = pieces.iter().enumerate().flat_map(event).collect();
        let calls: Vec<String> = (0..pieces.len()).filter(|at| pieces[*at].0 == 2).map(call).collect();
        let results: Vec<Outcome<'_>> = calls.iter().map(|id| (id.as_str(), "rain", false)).collect();
        let reason = if calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        let mut usage = Usage { prompt_tokens: 7, ..Usage::default() };
        events.iter().for_each(|event| usage.count(event));
        events.extend([Event::Finished { choice: 0, reason, stop: None }, Event::Done(usage)]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let [chat, messages, responses] = runtime.block_on(async {
            [
                remembered::<Chat>(events.clone(), &results).await,
                remembered::<Messages>(events.clone(), &results).await,
                remembered::<Responses>(events.clone(), &results).await,
            ]
        });
        prop_assert_eq!(neutral(&chat), neutral(&messages));
        prop_assert_eq!(neutral(&chat), neutral(&responses));
        for (template, _) in TEMPLATES {
            let prompt = rendered(template, &chat);
            prop_assert_eq!(&prompt, &rendered(template, &messages));
            prop_assert_eq!(&prompt, &rendered(template, &responses));
        }
    }
}
