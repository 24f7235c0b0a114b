//! Answers that are held to a form, by the real model.

use serde_json::{Value, json};

use crate::server::{MODEL, Server, sse, streamed_text};

fn ask(extra: Value) -> Value {
    let question = "Describe a person as JSON with a name, an age and hobbies.";
    let mut body = json!({
        "model": MODEL, "temperature": 0.8, "seed": 11, "max_tokens": 200,
        "messages": [{"role": "user", "content": question}],
    });
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    body
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "hobbies": {"type": "array", "items": {"enum": ["chess", "tennis", "reading"]}, "maxItems": 3},
        },
        "required": ["name", "age", "hobbies"],
        "additionalProperties": false,
    })
}

fn format(schema: Value, strict: bool) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "person", "strict": strict, "schema": schema}})
}

/// The answer's text, whole and streamed, which say the same; and how it ended.
async fn both(server: &Server, extra: Value) -> (String, Value) {
    let body = ask(extra);
    let whole = server.ask("/v1/chat/completions", &body).await;
    let text = whole["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
    let mut stream = body.clone();
    stream["stream"] = json!(true);
    let answer = server.post("/v1/chat/completions", &stream).await;
    assert_eq!(answer.status(), 200);
    let (chunks, done) = sse(&answer.text().await.expect("a body"));
    assert!(done, "the stream ends with [DONE]");
    assert_eq!(streamed_text(&chunks), text);
    (text, whole["choices"][0]["finish_reason"].clone())
}

fn is_person(value: &Value) -> bool {
    let hobbies = value["hobbies"].as_array().map_or(&[][..], Vec::as_slice);
    value["name"].as_str().is_some_and(|name| name.chars().count() <= 20)
        && value["age"].as_u64().is_some_and(|age| age <= 150)
        && hobbies.len() <= 3
        && hobbies.iter().all(|hobby| ["chess", "tennis", "reading"].iter().any(|known| hobby == known))
        && value.as_object().is_some_and(|map| map.len() == 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_form_that_is_asked_for() {
    let server = Server::start(&[]).await;
    for strict in [true, false] {
        let (text, finish) = both(&server, json!({"response_format": format(person(), strict)})).await;
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(is_person(&value), "{text}");
        assert_eq!(finish, "stop");
    }
    let (text, finish) = both(&server, json!({"response_format": {"type": "json_object"}})).await;
    match finish.as_str() {
        Some("stop") => assert!(serde_json::from_str::<Value>(&text).expect("JSON").is_object(), "{text}"),
        _ => assert!(finish == "length" && text.starts_with('{'), "{finish}: {text}"),
    }
    let (text, _) = both(&server, json!({"guided_choice": ["yes", "no"]})).await;
    assert!(text == "yes" || text == "no", "{text}");
    let (text, _) = both(&server, json!({"structured_outputs": {"regex": "[0-9]{3}-[0-9]{4}"}})).await;
    assert!(text.len() == 8 && text.as_bytes()[3] == b'-', "{text}");
    let (text, _) = both(&server, json!({"grammar": "root ::= \"<\" [a-z]{2,5} \">\""})).await;
    assert!(text.starts_with('<') && text.ends_with('>') && text.len() <= 7, "{text}");
    let cut = both(&server, json!({"response_format": format(person(), true), "max_tokens": 4})).await;
    assert_eq!(cut.1, "length", "{}", cut.0);
    server.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn choices_are_each_held_to_the_form() {
    let server = Server::start(&[]).await;
    let body =
        ask(json!({"response_format": format(person(), true), "n": 3, "logprobs": true, "logit_bias": {"5": 1}}));
    let answer = server.ask("/v1/chat/completions", &body).await;
    for choice in answer["choices"].as_array().expect("choices") {
        let text = choice["message"]["content"].as_str().expect("text");
        assert!(is_person(&serde_json::from_str(text).expect("JSON")), "{text}");
        assert!(!choice["logprobs"]["content"].as_array().expect("logprobs").is_empty());
    }
    server.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_honoured_is_refused_by_name_and_hurts_nobody() {
    let server = Server::start(&[]).await;
    for (extra, parameter, word) in [
        (json!({"response_format": format(json!({"not": {}}), true)}), "response_format.json_schema.schema", "`not`"),
        (json!({"guided_regex": "(?=a)b"}), "guided_regex", "guided_regex"),
        (json!({"guided_grammar": "start: nothing"}), "guided_grammar", "nothing"),
        (json!({"guided_choice": [""]}), "guided_choice", "empty"),
        (json!({"response_format": {"type": "json_object"}, "ignore_eos": true}), "ignore_eos", "end tokens"),
    ] {
        for stream in [false, true] {
            let mut body = ask(extra.clone());
            body["stream"] = json!(stream);
            let answer = server.post("/v1/chat/completions", &body).await;
            assert_eq!(answer.status(), 400, "{extra}");
            let error: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
            assert_eq!(error["error"]["param"], parameter, "{error}");
            assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains(word)), "{error}");
        }
    }
    let (text, _) = both(&server, json!({"response_format": format(person(), true)})).await;
    assert!(is_person(&serde_json::from_str(&text).expect("JSON")), "{text}");
    server.wait_until_idle().await;
}
