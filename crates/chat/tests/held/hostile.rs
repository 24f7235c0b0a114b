//! Forms that mean harm: each is refused or bounded, and none ends the process.

use serde_json::json;

use super::*;

/// Every form fails alone, or allows something.
fn survives(form: &Form) -> Option<Refusal> {
    match compiler().text(0, form) {
        Ok(held) => {
            let mut matcher = held.matcher();
            // A limit may be passed on the way.
            let mut dice = Dice(1);
            for _ in 0..30 {
                let Ok(mask) = matcher.mask() else { return None };
                let allowed: Vec<u32> = (0..END + 13).filter(|token| allows(&mask, *token)).collect();
                assert!(!allowed.is_empty());
                let token = allowed[dice.below(allowed.len())];
                if token == END || matcher.accept(token).is_err() {
                    return None;
                }
            }
            None
        }
        Err(refusal) => {
            assert!(refusal.to_string().len() < 1000, "{refusal}");
            Some(refusal)
        }
    }
}

#[test]
fn deep_and_long_schemas_do_not_overflow_the_stack() {
    let mut deep = json!({"type": "integer"});
    for _ in 0..60 {
        deep = json!({"type": "array", "items": deep});
    }
    assert_eq!(survives(&Form::Schema(deep)), None);
    let mut too_deep = json!({});
    for _ in 0..140 {
        too_deep = json!({"anyOf": [too_deep]});
    }
    assert!(matches!(survives(&Form::Schema(too_deep)), Some(Refusal::Limit(_))));
    // Every definition is another one's: the library follows them all.
    let chain: serde_json::Map<String, Value> =
        (0..4000).map(|n| (format!("d{n}"), json!({"$ref": format!("#/$defs/d{}", n + 1)}))).collect();
    let mut schema = json!({"$ref": "#/$defs/d0", "$defs": chain});
    schema["$defs"]["d4000"] = json!({"type": "null"});
    survives(&Form::Schema(schema));
    let many: serde_json::Map<String, Value> = (0..4000).map(|n| (format!("p{n}"), json!({"type": "null"}))).collect();
    survives(&Form::Schema(json!({"type": "object", "properties": many, "additionalProperties": false})));
}

#[test]
fn schemas_that_grow_when_they_are_compiled_are_bounded() {
    let part = |n: usize| json!({"anyOf": [{"minimum": n}, {"maximum": n}, {"type": "string"}, {"minItems": n}]});
    let parts: Vec<Value> = (0..40).map(part).collect();
    survives(&Form::Schema(json!({"allOf": parts})));
    let patterns: serde_json::Map<String, Value> =
        (0..16).map(|n| (format!("^(a|b|ab|ba)*{n}(x+x+)+y$"), json!({}))).collect();
    survives(&Form::Schema(json!({"patternProperties": patterns})));
    let circular = json!({"allOf": [{"$ref": "#/$defs/a"}, {"type": "object"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}});
    survives(&Form::Schema(circular));
    survives(&Form::Schema(json!({"$ref": "#"})));
    survives(&Form::Schema(json!({"type": "string", "pattern": "^(.{0,5000}){0,5000}$"})));
    survives(&Form::Schema(
        json!({"type": "array", "minItems": 1000000, "items": {"type": "string", "minLength": 1000000}}),
    ));
    survives(&Form::Schema(json!({"type": "number", "multipleOf": 1e-300})));
    survives(&Form::Schema(json!({"type": "integer", "minimum": 1e308, "maximum": -1e308})));
    survives(&Form::Schema(json!({"enum": "é".repeat(200)})));
}

#[test]
fn expressions_and_grammars_that_explode_are_bounded() {
    for regex in [
        "(a|aa)+b",
        "(?:a{0,1000}){0,1000}",
        "((((((((((a{1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9})",
        "(?=a)b",
        "(a)\\1",
        "[",
        "\\",
        "a**",
        ".*.*.*.*.*.*.*.*.*.*x",
        "\\p{L}{0,1000}",
    ] {
        survives(&Form::Regex(regex.into()));
    }
    survives(&Form::Regex("(".repeat(10_000)));
    survives(&Form::Regex(format!("{}a{}", "(".repeat(5000), ")".repeat(5000))));
    for lark in [
        "start: start start | \"a\"",
        "start: a\na: b\nb: a",
        "start: /a/ /a/ /a/ | start start start",
        "start: A\nA: A \"x\"",
        "start: @other",
        "start: <|nothing|>",
        "start: <[999999]>",
        "start: <[*]>",
        "start: %json {\"not\": {}}",
        "%import common.WORD\nstart: WORD",
        "start: \"a\"{1000000}",
        "start[max_tokens=1]: /.*/",
        "start: a::(x)",
        "\u{0}",
        "start: \"\\u",
        "",
    ] {
        survives(&Form::Lark(lark.into()));
    }
    survives(&Form::Lark(format!("start: {}\"a\"", "~".repeat(5000))));
    let rules: String = (0..3000).map(|n| format!("r{n}: r{} r{} | \"a\"\n", n + 1, n + 1)).collect();
    survives(&Form::Lark(format!("start: r0\n{rules}r3000: \"b\"")));
    survives(&Form::Gbnf("root ::= root root | \"a\"".into()));
}

#[test]
fn a_panic_of_the_library_is_told_as_a_refusal() {
    // It cuts the value that it complains of in the middle of a character.
    let refusal = survives(&Form::Schema(json!({"pattern": ["é".repeat(99)]}))).unwrap();
    assert!(!refusal.to_string().contains("panic"), "{refusal}");
}

#[test]
fn random_schemas_of_random_words_never_panic() {
    let words = [
        "type",
        "properties",
        "items",
        "anyOf",
        "allOf",
        "oneOf",
        "enum",
        "const",
        "$ref",
        "required",
        "pattern",
        "format",
        "minLength",
        "maxItems",
        "minimum",
        "multipleOf",
        "additionalProperties",
        "patternProperties",
        "prefixItems",
        "$defs",
        "minProperties",
        "not",
        "if",
    ];
    fn any(dice: &mut Dice, words: &[&str], depth: usize) -> Value {
        match dice.below(if depth == 0 { 7 } else { 9 }) {
            0 => json!(null),
            1 => json!(dice.below(2) == 0),
            2 => json!(dice.below(1000) as i64 - 500),
            3 => json!(
                ["string", "object", "array", "integer", "", "é\u{0}", "#", "#/$defs/type", "date", "(["]
                    [dice.below(10)]
            ),
            4 => json!(1e30),
            5 => json!([]),
            6 => json!({}),
            7 => (0..dice.below(4)).map(|_| any(dice, words, depth - 1)).collect(),
            _ => (0..dice.below(5))
                .map(|_| (words[dice.below(words.len())].to_owned(), any(dice, words, depth - 1)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
    let dice = &mut Dice(3);
    let compiler = compiler();
    for _ in 0..600 {
        let schema = any(dice, &words, 5);
        if let Ok(held) = compiler.text(0, &Form::Schema(schema)) {
            babble(&held, dice, 20);
        }
    }
}
