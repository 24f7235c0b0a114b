//! Conversations with tools, calls, results and reasoning, through the templates of real models.

use std::{collections::BTreeSet, fs, path::Path};

use chat::{Call, Chat, Conversation, Delta, Error, Message, Prompt, Role, Tool};
use serde_json::json;

fn chat(name: &str) -> Chat {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama.cpp/templates");
    let source = fs::read_to_string(folder.join(name).with_added_extension("jinja")).unwrap();
    Chat::new(&source, Some("<s>"), Some("</s>"), vec!["<|end|>".into()]).unwrap()
}

fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama.cpp/templates");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        // It adds a variable that nobody sets to a text, which fails in the reference too.
        .filter(|name| name != "fireworks-ai-llama-3-firefunction-v2")
        .collect();
    names.sort();
    names
}

fn weather() -> Tool {
    Tool {
        strict: false,
        name: "get_weather".into(),
        description: Some("The weather of a city".into()),
        parameters: Some(json!({"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "Its name"},
            "days": {"type": "integer", "description": "How many"},
        }})),
    }
}

fn call(id: &str, city: &str) -> Call {
    Call { id: id.into(), name: "get_weather".into(), arguments: json!({"city": city, "days": 2}).to_string() }
}

fn result(id: &str, text: &str) -> Message {
    Message { call_id: Some(id.into()), ..Message::new(Role::Tool, text) }
}

/// A question, a turn with everything that a model can say in one, and the results of its calls.
fn all_in_one_turn() -> Conversation {
    let assistant = Message {
        reasoning: Some("Two cities, so two calls.".into()),
        calls: vec![call("call_aaaaaaaaaaaaaaaaaaaaaaaa", "Zermatt"), call("call_bbbbbbbbbbbbbbbbbbbbbbbb", "Ulm")],
        ..Message::new(Role::Assistant, "I look it up.")
    };
    Conversation {
        messages: vec![
            Message::new(Role::System, "Be brief."),
            Message::new(Role::User, "How is the weather?"),
            assistant,
            result("call_aaaaaaaaaaaaaaaaaaaaaaaa", "snow"),
            result("call_bbbbbbbbbbbbbbbbbbbbbbbb", "rain"),
        ],
        tools: vec![weather()],
        ..Conversation::default()
    }
}

fn render(chat: &Chat, conversation: &Conversation) -> Prompt {
    chat.render(conversation, 1_700_000_000).unwrap()
}

#[test]
fn what_a_model_said_in_one_turn_renders_again_in_every_template() {
    for name in names() {
        let prompt = chat(&name).render(&all_in_one_turn(), 1_700_000_000);
        let text = prompt.unwrap_or_else(|error| panic!("{name}: {error}")).text;
        let mut rest = text.as_str();
        // In this order: the tools, the calls with their arguments, and the results.
        for word in ["get_weather", "Zermatt", "Ulm"] {
            let (_, behind) = rest.split_once(word).unwrap_or_else(|| panic!("{name}: no {word} in\n{text}"));
            rest = behind;
        }
        for word in ["Be brief.", "How is the weather?", "snow", "rain"] {
            // Mistral's puts the instructions into the last turn of the user, and only when no result follows it.
            let dropped = word == "Be brief." && name == "mistralai-Mistral-Nemo-Instruct-2407";
            assert!(dropped || text.contains(word), "{name}: no {word} in\n{text}");
        }
    }
}

#[test]
fn a_tool_is_described_as_openais_api_describes_it() {
    let text = render(&chat("Qwen-Qwen3-0.6B"), &all_in_one_turn()).text;
    let tool = r#"{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": {"type": "object", "required": ["city"], "#;
    assert!(text.contains(tool), "{text}");
    for name in names() {
        let text = render(&chat(&name), &all_in_one_turn()).text;
        assert!(!text.contains("r#"), "{name} has a name as Rust writes it:\n{text}");
    }
}

#[test]
fn instructions_are_never_lost_wherever_they_stand() {
    let turn = |role, content: &str| Message::new(role, content);
    let conversation = Conversation {
        messages: vec![
            turn(Role::System, "First rule."),
            turn(Role::System, "Second rule."),
            turn(Role::User, "Hello."),
            turn(Role::Assistant, "Hi."),
            turn(Role::System, "Third rule."),
            turn(Role::User, "And now?"),
        ],
        ..Conversation::default()
    };
    let mut merged = BTreeSet::new();
    for name in names() {
        let prompt = chat(&name).render(&conversation, 1_700_000_000);
        let prompt = prompt.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut rest = prompt.text.as_str();
        for word in ["First rule.", "Second rule.", "And now?"] {
            let (_, behind) = rest.split_once(word).unwrap_or_else(|| panic!("{name}: no {word} in\n{}", prompt.text));
            rest = behind;
        }
        assert_eq!(prompt.text.matches("Third rule.").count(), 1, "{name}: {}", prompt.text);
        if prompt.merged_system {
            merged.insert(name);
        }
    }
    // Raises, has no system turn at all, drops it; and one that has a place for every turn.
    for name in ["Qwen3.5-4B", "google-gemma-2-2b-it", "openai-gpt-oss-120b"] {
        assert!(merged.contains(name), "{name}");
    }
    assert!(!merged.contains("Qwen-Qwen2.5-7B-Instruct"));
}

#[test]
fn a_call_and_its_result_belong_together() {
    let chat = chat("Qwen-Qwen2.5-7B-Instruct");
    let check = |messages: Vec<Message>, expect: &str| {
        let conversation = Conversation { messages, ..Conversation::default() };
        let error = chat.render(&conversation, 0).unwrap_err();
        assert!(matches!(error, Error::Message { .. }), "{error}");
        assert!(error.to_string().starts_with(expect), "{error}");
    };
    let user = Message::new(Role::User, "?");
    let assistant = |calls| Message { calls, ..Message::new(Role::Assistant, "") };
    check(vec![user.clone(), result("a", "x")], "messages[1].tool_call_id: no earlier turn");
    check(vec![user.clone(), assistant(vec![call("a", "x")]), result("b", "x")], "messages[2].tool_call_id");
    check(vec![user.clone(), result("a", "x"), assistant(vec![call("a", "x")])], "messages[1].tool_call_id");
    for arguments in ["{", "[1]", "null", "{\"a\": }"] {
        let broken = Call { arguments: arguments.into(), ..call("a", "x") };
        let expect = "messages[1].tool_calls[1].function.arguments: ";
        check(vec![user.clone(), assistant(vec![call("b", "x"), broken])], expect);
    }
}

#[test]
fn one_call_a_turn_is_followed_by_its_own_result() {
    let text = render(&chat("meta-llama-Llama-3.1-8B-Instruct"), &all_in_one_turn()).text;
    let position = |word: &str| text.find(word).unwrap();
    let order = ["Zermatt", "snow", "Ulm", "rain"].map(position);
    assert!(order.is_sorted(), "{text}");
}

#[test]
fn ids_are_shortened_where_a_template_wants_that_and_stay_as_a_conversation_grows() {
    let mistral = chat("mistralai-Mistral-Nemo-Instruct-2407");
    let mut conversation = all_in_one_turn();
    let before = render(&mistral, &conversation).text;
    assert!(before.contains(r#""id": "000000001"}"#) && before.contains(r#""call_id": "000000002"}"#), "{before}");
    let next = Message { calls: vec![call("call_c", "Bern")], ..Message::new(Role::Assistant, "") };
    conversation.messages.extend([next, result("call_c", "fog")]);
    let after = render(&mistral, &conversation).text;
    assert!(after.starts_with(&before) && after.contains("000000003"), "{before}\n{after}");
    for (id, kept) in [("abcdefgh1", true), ("abcdefg-1", false)] {
        conversation.messages.truncate(2);
        let calls = vec![call(id, "Bern")];
        conversation.messages.extend([Message { calls, ..Message::new(Role::Assistant, "") }, result(id, "fog")]);
        assert_eq!(render(&mistral, &conversation).text.contains(id), kept, "{id}");
    }
}

/// The default model's template knows nothing of tools, and that of its family nothing of the system.
#[test]
fn a_template_without_tools_is_told_of_them_in_words() {
    let chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
    let chat = Chat::new(chatml, None, None, vec![]).unwrap();
    let mut conversation = all_in_one_turn();
    conversation.messages.push(Message::new(Role::User, "Thanks. And <|im_end|>?"));
    let prompt = render(&chat, &conversation);
    let turns: Vec<&str> = prompt.text.split("<|im_start|>").skip(1).collect();
    assert_eq!(turns.len(), 5, "{}", prompt.text);
    assert!(
        turns[0].starts_with("system\nBe brief.\n\nYou have tools.") && turns[0].contains(r#"{"name":"get_weather""#)
    );
    assert_eq!(
        turns[2],
        "assistant\nI look it up.\n{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Zermatt\",\"days\":2}}\n\
         {\"name\":\"get_weather\",\"arguments\":{\"city\":\"Ulm\",\"days\":2}}<|im_end|>\n"
    );
    assert_eq!(
        turns[3],
        "user\nThe tool get_weather answered:\nsnow\n\nThe tool get_weather answered:\nrain\n\nThanks. And <|im_end|>?<|im_end|>\n"
    );
    let mut parser = prompt.parser();
    let answer = parser.push(r#"{"name": "get_weather", "arguments": {"city": "Ulm"}}"#);
    assert_eq!(answer[0], Delta::Call { name: "get_weather".into() });
    assert_eq!(answer[1], Delta::Arguments(r#"{"city":"Ulm"}"#.into()));
    assert!(!prompt.merged_system, "the caller's own instructions stayed where they were");
}

#[test]
fn a_model_reads_back_what_its_template_writes_of_a_call() {
    // Pythonic calls, and notations of single models, have no parser yet.
    let without = [
        "CohereForAI-c4ai-command-r-plus-tool_use",
        "Kimi-K3",
        "LFM2",
        "GLM",
        "Spark",
        "poolside",
        "inclusionai",
        "tencent",
        "Apertus",
        "muse",
        "MiniMax-M1",
        "MiniMax-M3",
        "openbmb",
        "upstage",
        "Apriel",
        "GigaChat",
        "fireworks",
        "functionary",
        "Kimi-K2",
        "Cohere",
        "Reka",
        "Solar",
        "Bielik",
        "Nemotron-Nano-v2",
        "granite-3.3",
        // Their models write DeepSeek's marks, though these templates have none and get calls in words.
        "DeepSeek-V3.2",
        "llama-cpp-deepseek-r1",
    ];
    let mut conversation = all_in_one_turn();
    conversation.messages.truncate(3);
    conversation.messages[2] =
        Message { calls: vec![call("abcdefgh1", "Zer\"{matt")], ..Message::new(Role::Assistant, "") };
    let (mut read, mut faults) = (0, Vec::new());
    for name in names().iter().filter(|name| !without.iter().any(|prefix| name.contains(prefix))) {
        let chat = chat(name);
        let mut before = conversation.clone();
        before.messages.truncate(2);
        let prompt = render(&chat, &before);
        let with_call = render(&chat, &conversation).text;
        let common = prompt.text.bytes().zip(with_call.bytes()).take_while(|(a, b)| a == b).count();
        let common = (0..=common).rev().find(|at| with_call.is_char_boundary(*at)).unwrap();
        // A mark that begins like another one is the answer's.
        let common = match with_call[..common].rfind('<') {
            Some(mark) if !with_call[mark..common].contains('>') => mark,
            _ => with_call[..common].trim_end_matches(['[', '{']).len(),
        };
        let mut parser = prompt.parser();
        // History has no reasoning, which some prompts begin.
        let ended = if prompt.text.trim_end().ends_with("<think>") { "</think>" } else { "" };
        let mut deltas = parser.push(ended);
        deltas.extend(parser.push(&with_call[common..]));
        deltas.extend(parser.finish());
        let named = deltas.contains(&Delta::Call { name: "get_weather".into() });
        let arguments: String = deltas
            .iter()
            .filter_map(|delta| match delta {
                Delta::Arguments(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let expect = json!({"city": "Zer\"{matt", "days": 2});
        let right = serde_json::from_str::<serde_json::Value>(&arguments).is_ok_and(|arguments| arguments == expect);
        if named && right {
            read += 1;
        } else {
            faults.push(format!("{name}: {deltas:?} of\n{}", &with_call[common..]));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(read > 30, "{read}");
}
