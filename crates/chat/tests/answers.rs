//! What an answer's text means, whole and however it is cut into pieces.

mod exercise;

use std::{fs, path::Path};

use chat::Dialect;
use exercise::*;
use proptest::prelude::*;

#[test]
fn text_without_calls_is_text() {
    for template in ALL {
        for text in ["", " ", "Hello!", " a\n\n b ", "< | [ ` <tool <| [TOOL <｜ </ ;", "x {\"a\": 1}", "<b>{}</b>\n"]
        {
            // Harmony's answers begin inside of a header, where white space may stand.
            if template != HARMONY || !text.starts_with(' ') {
                model(template).check(text, &Answer::text(text));
            }
        }
    }
}

#[test]
fn hermes() {
    let check = |text: &str, expect: Answer| model(HERMES).check(text, &expect);
    let one = |arguments| Answer::called("", &[("f", arguments)]);
    check(r#"<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#, one(r#"{"a":1}"#));
    check("\n<tool_call>\n{\"arguments\": {}, \"id\": 5, \"name\": \"f\"}\n</tool_call>\n", one("{}"));
    check(
        "I look.\n\n<tool_call>\n{\"name\":\"f\",\"arguments\":{\"a\":\"}{\\\"</tool_call>\\\"\"}}\n</tool_call>\n<tool_call>{\"name\": \"get_weather\", \"parameters\": {\"b\": [{}]}}</tool_call>\n Done. ",
        Answer::called("I look.Done. ", &[("f", r#"{"a":"}{\"</tool_call>\""}"#), ("get_weather", r#"{"b":[{}]}"#)]),
    );
    // Without its end, without arguments, with arguments in a string.
    check(r#"<tool_call>{"name": "f", "arguments": {"a": 1}}"#, one(r#"{"a":1}"#));
    check(r#"<tool_call>{"name": "f"}</tool_call>"#, one("{}"));
    check(r#"<tool_call>{"name": "f", "arguments": null}</tool_call>"#, one("{}"));
    check(r#"<tool_call>{"name": "f", "arguments": "{\"a\": \"\\n\\\"é\"}"}</tool_call>"#, one(r#"{"a":"\n\"é"}"#));
    check(r#"<tool_call>{"name": "f", "arguments": ""}</tool_call>"#, one("{}"));
    check(
        r#"<tool_call>[{"name":"f","arguments":{}}, {"name":"g"}]</tool_call>"#,
        Answer::called("", &[("f", "{}"), ("g", "{}")]),
    );
}

#[test]
fn what_is_no_call_is_text() {
    for text in [
        "the <tool_call> tag",
        "<tool_call></tool_call>",
        "<tool_call>[]</tool_call>",
        "<tool_call>{\"name\": \"\"}",
        "<tool_call>{\"name\": 5}",
        "<tool_call>{\"arguments\": {}}</tool_call>",
        "a </tool_call> b",
        "<tool_call>{\"name\": \"a b\", \"arguments\": {}}",
        "<tool_call>{\"na",
        "<tool_call>{'name': 'f'}",
    ] {
        model(HERMES).check(text, &Answer::text(text));
    }
    model(HERMES).check("<tool_call><tool_call>{\"name\":\"f\"}", &Answer::called("<tool_call>", &[("f", "{}")]));
    for text in ["[TOOL_CALLS]", "[TOOL_CALLS] ]", "[TOOL_CALLS]a b{}", "[TOOL_CALLS]f[ARG]{}"] {
        model(MISTRAL).check(text, &Answer::text(text));
    }
    for text in [
        "{\"name\": \"unknown\", \"arguments\": {}}",
        "{\"name\": \"f\"}",
        "{\"name\": \"f\", \"age\": 3}",
        "[1, 2]",
        "[]",
        "```json\n{\"a\": 1}\n```",
        "{}",
    ] {
        model(PLAIN).check(text, &Answer::text(text));
    }
    for text in ["<|tool_call>f{}", "<|tool_call>call:{}", "<|tool_call>call"] {
        model(GEMMA).check(text, &Answer::text(text));
    }
    for text in ["<function", "<function=a b>", "<tool_call>x", "<function=f"] {
        model(QWEN).check(text, &Answer::text(text));
    }
    for text in ["<｜tool▁calls▁begin｜>x", "<｜tool▁call▁begin｜>x{}", "<｜tool▁calls▁begin｜>"] {
        model(DEEPSEEK).check(text, &Answer::text(text));
    }
}

/// Arguments are closed so that they are valid, and the rest is text.
#[test]
fn a_call_that_breaks_inside_of_its_arguments() {
    let check = |template, text: &str, rest: &str, arguments| {
        model(template).check(text, &Answer::called(rest, &[("f", arguments)]));
    };
    check(HERMES, r#"<tool_call>{"name":"f","arguments":{"a":1,,}}"#, ",,}}", r#"{"a":1}"#);
    check(HERMES, r#"<tool_call>{"name":"f","arguments":{"a":tru}}"#, "}}", r#"{"a":true}"#);
    check(HERMES, r#"<tool_call>{"name":"f","arguments":{"a":1}</tool_call> ok"#, "ok", r#"{"a":1}"#);
    check(HERMES, r#"<tool_call>{"name":"f","arguments":[1]}"#, r#","arguments":[1]}"#, "{}");
    check(QWEN, "<function=f><parameter=a>\nx\n</parameter> oops", "oops", r#"{"a":"x"}"#);
    check(QWEN, "<tool_call><function=f><parameter=a>1</parameter></tool_call>", "", r#"{"a":"1"}"#);
    check(GEMMA, "<|tool_call>call:f{a:1]}", "]}", r#"{"a":1}"#);
    check(GEMMA, "<|tool_call>call:f{a:]}", "]}", r#"{"a":""}"#);
    check(MISTRAL, r#"[TOOL_CALLS]f[ARGS]{"a" 1}"#, "1}", r#"{"a":null}"#);
    check(DEEPSEEK, r#"<｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a":"b"}}"#, "}", r#"{"a":"b"}"#);
    check(HARMONY, r#" to=functions.f<|channel|>commentary<|message|>{"a":[<|call|>"#, "", r#"{"a":[]}"#);
    check(HARMONY, r#"<|channel|>analysis to=f<|message|>print(1)"#, "print(1)", "{}");
}

/// A call at the end of the tokens is as far as it is.
#[test]
fn a_call_that_is_broken_off() {
    let check = |template, text: &str, arguments| {
        model(template).check(text, &Answer::called("", &[("f", arguments)]).unfinished());
    };
    check(HERMES, r#"<tool_call>{"name":"f","argu"#, "");
    check(HERMES, r#"<tool_call>{"name":"f","arguments":{"a":"x\"#, r#"{"a":"x"#);
    check(LLAMA, r#"{"name":"f","parameters":{"a":[1,"#, r#"{"a":[1"#);
    check(QWEN, "<tool_call>\n<function=f>\n<parameter=a>\nx\n</para", r#"{"a":"x\n</para"#);
    check(QWEN, "<tool_call>\n<function=f>\n<parameter=n>\n1", r#"{"n":1"#);
    check(QWEN, "<tool_call>\n<function=f>\n<parameter=a>x</parameter>\n", r#"{"a":"x""#);
    check(GEMMA, "<|tool_call>call:f{a:<|\"|>x<|", r#"{"a":"x<|"#);
    check(GEMMA, "<|tool_call>call:f{a:12", r#"{"a":12"#);
    check(GEMMA, "<|tool_call>call:f{a:[{b:}, {", r#"{"a":[{"b":""},{"#);
    check(MISTRAL, "[TOOL_CALLS]f[ARGS]{", "{");
    check(HARMONY, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>", "");
    check(HARMONY, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\":", "{\"a\":");
}

#[test]
fn llama_and_plain_json() {
    for template in [LLAMA, PLAIN] {
        let check = |text: &str, expect: Answer| model(template).check(text, &expect);
        check(r#"{"name": "f", "parameters": {"a": "b"}}"#, Answer::called("", &[("f", r#"{"a":"b"}"#)]));
        check(
            " {\"type\": \"function\", \"name\": \"f\", \"parameters\": {}};\n{\"name\":\"get_weather\",\"arguments\":{\"x\":2}} and so on",
            Answer::called("and so on", &[("f", "{}"), ("get_weather", r#"{"x":2}"#)]),
        );
        check(
            r#"[{"name":"f","arguments":{}},{"name":"f","arguments":{}}]"#,
            Answer::called("", &[("f", "{}"), ("f", "{}")]),
        );
        let text = r#"I answer {"name": "f", "arguments": {}}"#;
        check(text, Answer::text(text));
    }
    let marked = r#"Look: <|python_tag|>{"name": "f", "parameters": {}}"#;
    model(LLAMA).check(marked, &Answer::called("Look:", &[("f", "{}")]));
    let code = "<|python_tag|>print(\"x\")";
    model(LLAMA).check(code, &Answer::text(code));
    let fenced = "```json\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n```\nDone.";
    model(PLAIN).check(fenced, &Answer::called("Done.", &[("f", r#"{"a":1}"#)]));
}

#[test]
fn mistral() {
    let check = |text: &str, expect: Answer| model(MISTRAL).check(text, &expect);
    let two = [("f", r#"{"a":"[ARGS]"}"#), ("get_weather", "{}")];
    check(
        r#"Hm.[TOOL_CALLS] [{"name": "f", "arguments": {"a": "[ARGS]"}, "id": "abcdefghi"}, {"name": "get_weather", "arguments": {}}]"#,
        Answer::called("Hm.", &two),
    );
    check(
        r#"[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"a": "[ARGS]"}[TOOL_CALLS]get_weather[ARGS]{}"#,
        Answer::called("", &two),
    );
    check(r#"[TOOL_CALLS]f{"a": "[ARGS]"}[TOOL_CALLS]get_weather {}"#, Answer::called("", &two));
    let thinking = Model { template: "[TOOL_CALLS][THINK]", ..model(MISTRAL) };
    thinking.check("[THINK]Hm.[/THINK][TOOL_CALLS]f[ARGS]{}", &Answer::called("", &[("f", "{}")]).thought("Hm."));
}

#[test]
fn deepseek_and_kimi() {
    let two = [("f", r#"{"a":"```"}"#), ("get_weather", "{}")];
    let fence = "```";
    let first = format!(
        "Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{fence}json\n{{\"a\": \"```\"}}\n{fence}<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n{fence}json\n{{}}\n{fence}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    );
    model(DEEPSEEK).check(&first, &Answer::called("Hm.", &two));
    let later = "Hm.\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": \"```\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    model(DEEPSEEK).check(later, &Answer::called("Hm.", &two));
    let kimi = "Hm.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": \"```\"}<|tool_call_end|><|tool_call_begin|>functions.get_weather:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>";
    model(KIMI).check(kimi, &Answer::called("Hm.", &two));
}

#[test]
fn tags_for_arguments() {
    let arguments = r#"{"a":"x\n\"y\"\n</b>","n":[1, {"z":null}],"list":"no json"}"#.replace("[1, ", "[1,");
    let expect = Answer::called("Hm.", &[("f", &arguments), ("get_weather", "{}")]);
    model(QWEN).check(
        "Hm.\n<tool_call>\n<function=f>\n<parameter=a>\nx\n\"y\"\n</b>\n</parameter>\n<parameter=n>\n[1, {\"z\": null}]\n</parameter>\n<parameter=list>\nno json\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=get_weather>\n</function>\n</tool_call>",
        &expect,
    );
    model(MINIMAX).check(
        "Hm.<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">x\n\"y\"\n</b></parameter>\n<parameter name=\"n\">[1, {\"z\": null}]</parameter><parameter name=\"list\">no json</parameter>\n</invoke>\n<invoke name=\"get_weather\">\n</invoke>\n</minimax:tool_call>",
        &expect,
    );
    model(DSML).check(
        "Hm.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"true\">x\n\"y\"\n</b></｜DSML｜parameter>\n<｜DSML｜parameter name=\"n\" string=\"false\">[1, {\"z\": null}]</｜DSML｜parameter>\n<｜DSML｜parameter name=\"list\" string=\"true\">no json</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"get_weather\">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        &expect,
    );
    // The coder models often leave the outer tag out, and write JSON when they saw it.
    model(QWEN)
        .check("<function=f>\n<parameter=a>1</parameter>\n</function>", &Answer::called("", &[("f", r#"{"a":"1"}"#)]));
    model(QWEN).check("<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", &Answer::called("", &[("f", "{}")]));
}

#[test]
fn gemma() {
    let check = |text: &str, expect: Answer| model(GEMMA).check(text, &expect);
    let q = "<|\"|>";
    check(
        &format!(
            "Hm.<|tool_call>call:f{{a:{q}}}, \"x\"{q},b:[1, true,null,[],{{}}],c:{{{q}d e{q}:-2.5}},e:word, f:{q}{q}}}<tool_call|><|tool_call>call:get_weather{{}}<tool_call|>"
        ),
        Answer::called(
            "Hm.",
            &[
                ("f", r#"{"a":"}, \"x\"","b":[1,true,null,[],{}],"c":{"d e":-2.5},"e":"word","f":""}"#),
                ("get_weather", "{}"),
            ],
        ),
    );
    check("<|channel>thought\nHm.\n<channel|>Hi", Answer::text("Hi").thought("Hm."));
    check("<|channel>thought\n<channel|><|tool_call>call:f{}<tool_call|>", Answer::called("", &[("f", "{}")]));
    let function = Model { template: "<start_function_call>", ..model(GEMMA) };
    function.check(
        "<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>",
        &Answer::called("", &[("f", r#"{"a":"x"}"#)]),
    );
}

#[test]
fn harmony() {
    let check = |text: &str, expect: Answer| model(HARMONY).check(text, &expect);
    check(
        "<|channel|>analysis<|message|>Hm.\nSo.<|end|><|start|>assistant<|channel|>final<|message|>Hi!<|return|>",
        Answer::text("Hi!").thought("Hm.\nSo."),
    );
    check(
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": \"<|\"}<|call|>",
        Answer::called("I look.", &[("f", r#"{"a":"<|"}"#)]).thought("ab"),
    );
    check(
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|>",
        Answer::default().thought("a\n\nb"),
    );
    check(" to=functions.f<|channel|>commentary json<|message|>{}", Answer::called("", &[("f", "{}")]));
    check("Hello", Answer::text("Hello"));
    check("to be", Answer::text("to be"));
    check("<|channel|>analysis<|message|>never ends", Answer::default().thought("never ends"));
    check("<|channel|>final<|message|>a<|channel|>final<|message|>b", Answer::text("a\n\nb"));
    let without = Model { tools: false, ..model(HARMONY) };
    without.check("<|channel|>commentary to=functions.f<|message|>{}<|call|>", &Answer::text("{}"));
}

#[test]
fn reasoning() {
    for tools in [true, false] {
        let plain = Model { tools, ..model(QWEN) };
        plain.check(
            "<think>\nHm.\n\n So.\n</think>\n\nHi\n\nyou\n",
            &Answer::text("Hi\n\nyou\n").thought("Hm.\n\n So."),
        );
        plain.check(" \n<think></think>Hi", &Answer::text("Hi"));
        plain.check("\n<think>\nHm", &Answer::default().thought("Hm"));
        plain.check("<think>never\nends </thin", &Answer::default().thought("never\nends </thin"));
        plain.check("A <think> is </think> text", &Answer::text("A <think> is </think> text"));
        plain.check("<think>a <think> b</think>c", &Answer::text("c").thought("a <think> b"));
        plain.check("</think>x", &Answer::text("</think>x"));
        let opened = Model { prompt: "<|im_start|>assistant\n<think>\n", ..plain };
        opened.check("\nHm.\n</think>\nHi", &Answer::text("Hi").thought("Hm."));
        opened.check("<think>\nHm.</think>Hi", &Answer::text("Hi").thought("Hm."));
        opened.check("Hm", &Answer::default().thought("Hm"));
        let closed = Model { prompt: "say <think><|im_start|>assistant\n<think>\n\n</think>\n\n", ..plain };
        closed.check("Hi", &Answer::text("Hi"));
    }
    let call = "<think>Use <tool_call>{\"name\":\"f\"}</tool_call>?</think>\n\n<tool_call>{\"name\":\"f\"}</tool_call>";
    model(QWEN)
        .check(call, &Answer::called("", &[("f", "{}")]).thought("Use <tool_call>{\"name\":\"f\"}</tool_call>?"));
    let between = "<think>a</think><tool_call>{\"name\":\"f\"}</tool_call>\n<think>b</think>\nc";
    model(QWEN).check(between, &Answer::called("c", &[("f", "{}")]).thought("ab"));
}

#[test]
fn without_tools_a_call_is_text() {
    let text = "<tool_call>{\"name\":\"f\"}</tool_call> {\"name\":\"f\",\"arguments\":{}}";
    for template in ALL {
        Model { tools: false, ..model(template) }.check(text, &Answer::text(text));
    }
}

#[test]
fn calls_names_depth_and_arguments_are_bounded() {
    let hermes = model(HERMES);
    let many = "<tool_call>{\"name\":\"f\"}</tool_call>".repeat(200);
    let answer = hermes.read(&[&many]);
    assert_eq!(answer.calls.len(), 128);
    assert_eq!(answer.text, many[many.len() / 200 * 128..]);
    let deep = format!("<tool_call>{{\"name\":\"f\",\"arguments\":{{\"a\":{}", "[".repeat(1000));
    let answer = hermes.read(&[&deep]);
    assert_eq!(answer.calls[0].1, format!("{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63)));
    assert_eq!(answer.text, "[".repeat(1000 - 63));
    let long = format!("<tool_call>{{\"name\":\"f\",\"arguments\":{{\"a\":\"{}", "x".repeat(3 << 20));
    let answer = hermes.read(&[&long]);
    assert!(answer.calls[0].1.len() <= (1 << 20) + 8 && answer.calls[0].1.ends_with("x\"}"));
    assert!(answer.text.len() >= 2 << 20);
    let waiting = format!("<tool_call>{{\"arguments\":{{\"a\":\"{}", "x".repeat(1 << 20));
    let answer = hermes.read(&[&waiting]);
    assert_eq!(answer, Answer::text(&waiting));
    let name = format!("<tool_call>{{\"name\":\"{}\"}}", "x".repeat(400));
    hermes.check(&name, &Answer::text(&name));
}

/// Pieces of all notations, whole and broken.
fn fragment() -> impl Strategy<Value = String> {
    let marks: Vec<&str> = ALL.iter().flat_map(|template| Dialect::of(template).marks(true)).collect();
    prop_oneof![
        3 => prop::sample::select(marks).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => "[<>|{}\\[\\]\":,a-f0-9 \n]{0,6}",
        2 => prop::sample::select(vec![
            "{\"name\": \"f\", \"arguments\": {\"a\": \"b\\\"}\"}}", "{\"name\":\"f\",\"arguments\":", "{\"a\": [1, 2.5]}",
            "f", "call:f{a:1", "}", "\"", "\">", ">", "\n", " ", "functions.f:0", "json", "to=functions.f ", "analysis",
            "commentary", "text", "null", "\\", "\\u12", "\\ud800", "{", "```", ";", ",",
        ]).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn pieces_do_not_matter_and_arguments_are_json(
        template in prop::sample::select(ALL.to_vec()),
        opened in any::<bool>(),
        fragments in prop::collection::vec(fragment(), 0..14),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let model = Model { prompt: if opened { "<think>\n" } else { "" }, ..model(template) };
        let text = fragments.concat();
        let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| boundaries[cut.index(boundaries.len())]).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let whole = model.holds(&text, &pieces);
        if whole.calls.is_empty() && template != HARMONY {
            // Nothing is lost but the tags of reasoning and the white space around it.
            let letters = |text: &str| {
                let text = ["think", "thought", "channel"].iter().fold(text.to_owned(), |text, tag| text.replace(tag, ""));
                text.chars().filter(|c| c.is_alphanumeric()).count()
            };
            prop_assert_eq!(letters(&(whole.reasoning.clone() + " " + &whole.text)), letters(&text), "{} {:?}", text, whole);
        }
    }
}

#[test]
fn the_corpus_of_the_fuzzer_holds_all_that_it_should() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/answers");
    let mut dialects = [0; ALL.len()];
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        dialects[usize::from(bytes[0]) % ALL.len()] += 1;
        answer(&bytes);
    }
    assert!(dialects.iter().all(|files| *files > 0), "{dialects:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// The fuzzer's own input, as far as a compiler without a fuzzer comes.
    #[test]
    fn no_answer_whatever_breaks_a_parser(
        setting in any::<[u8; 3]>(),
        fragments in prop::collection::vec(fragment(), 0..40),
    ) {
        answer(&[&setting, fragments.concat().as_bytes()].concat());
    }
}

/// `ANSWER_CASES` tries more than an ordinary run has time for.
fn cases() -> u32 {
    std::env::var("ANSWER_CASES").map_or(1500, |cases| cases.parse().expect("a number of cases"))
}

/// Templates of families that reason: marks, the end of the prompt, what the model begins with, and the header of an answer.
const REASONING: [(&str, &str, &str, &str); 8] = [
    (QWEN, "", "<think>\n", ""),
    (DEEPSEEK, "<think>\n", "", ""),
    (DEEPSEEK, "<think>", "<think>\n", ""),
    (GEMMA, "", "<|channel>thought\n", ""),
    ("[THINK][/THINK]", "", "[THINK]", ""),
    ("<seed:think></seed:think>", "", "<seed:think>", ""),
    ("<|START_THINKING|><|END_THINKING|>", "", "<|START_THINKING|>", ""),
    (HARMONY, "", "<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"),
];

#[test]
fn reasoning_can_be_closed_at_any_place_and_the_answer_follows() {
    let thought = "Hm, {\"a\": <b>, [] – é";
    for (template, prompt, open, header) in REASONING {
        for (end, _) in thought.char_indices().skip(1) {
            for (tools, held) in [(false, false), (false, true), (true, false), (true, true)] {
                let closing = Dialect::of(template).closing(tools, held).expect("it reasons");
                for text in [closing.first, closing.again] {
                    // What the closing left out of the header the model writes itself, or the form does.
                    let rest = header.strip_prefix(text.trim_start_matches("<|end|>")).unwrap_or(header);
                    let rest = if text.ends_with("<|message|>") { "" } else { rest };
                    let answer = format!("{open}{}{text}{rest}Yes.", &thought[..end]);
                    let model = Model { template, prompt, tools };
                    // Harmony has no white space for layout.
                    let thought = if template == HARMONY { &thought[..end] } else { thought[..end].trim_end() };
                    model.check(&answer, &Answer::text("Yes.").thought(thought));
                }
            }
        }
    }
    for template in [PLAIN, LLAMA, MISTRAL] {
        assert_eq!(Dialect::of(template).closing(true, false), None);
    }
}

#[test]
fn a_parser_knows_whether_the_model_is_thinking() {
    for (template, prompt, open, _) in REASONING {
        let dialect = Dialect::of(template);
        let closing = dialect.closing(false, false).expect("it reasons").again;
        let mut parser = dialect.parser(prompt, Vec::new());
        let mut thinking = |text: &str| {
            parser.push(text);
            parser.is_thinking()
        };
        assert!(thinking(open) && thinking("Hm") && thinking(" <") && thinking("b>"), "{template}");
        assert!(!thinking(&closing) && !thinking("Yes."), "{template}");
    }
    let mut parser = Dialect::of(PLAIN).parser("", Vec::new());
    parser.push("<think>");
    assert!(!parser.is_thinking());
}
