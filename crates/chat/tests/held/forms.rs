//! Each form, with what it allows and what it does not.

use serde_json::json;

use super::*;

#[track_caller]
fn check(form: Form, accepted: &[&str], rejected: &[&str]) {
    let held = compiler().text(0, &form).unwrap();
    for text in accepted {
        assert!(accepts(&held, text), "{text} is not accepted");
    }
    for text in rejected {
        assert!(!accepts(&held, text), "{text} is accepted");
    }
}

#[test]
fn a_json_object_is_any_object_and_nothing_else() {
    let accepted = ["{}", "{\"a\":1}", "{\"a\": [true, null, \"\\n\"], \"b\": {\"c\": -1.5e3}}", "{\n  \"a\": 1\n}"];
    check(
        Form::JsonObject,
        &accepted,
        &["", "[]", "1", "{", "{\"a\"}", " {}", "{} x", "{\"a\":\t1}", "{\"a\":     1}"],
    );
}

#[test]
fn a_regular_expression_matches_the_whole() {
    check(Form::Regex("[a-c]+/\\d{2}".into()), &["a/00", "abc/42"], &["", "a/0", "a/000", "d/00", "a/00\n"]);
    check(Form::Regex("^yes|no$".into()), &["yes", "no"], &["ye", "yesno"]);
}

#[test]
fn a_choice_is_one_of_its_texts() {
    let choices = ["a", "ab", "\"q\"\n\\", "日本"].map(str::to_owned).to_vec();
    check(Form::Choice(choices), &["a", "ab", "\"q\"\n\\", "日本"], &["", "b", "aab", "日"]);
}

#[test]
fn grammars_are_read_in_both_syntaxes() {
    let lark = "start: \"(\" start \")\" | NUMBER\nNUMBER: /[0-9]+/\n%ignore / /";
    check(Form::Lark(lark.into()), &["1", "((12))", "( 3)"], &["()", "(1", "1)"]);
    let gbnf = "root ::= \"(\" root \")\" | [0-9]+";
    check(Form::Gbnf(gbnf.into()), &["1", "((12))"], &["()", "(1", "1)", "( 1)"]);
    let chess = "root ::= (move \" \"){1,2} end\nmove ::= [a-h] [1-8] # a square\nend ::= \"#\"?";
    check(Form::Gbnf(chess.into()), &["a1 ", "a1 h8 #"], &["a9 ", "", "a1 a1 a1 "]);
}

#[test]
fn schemas_of_the_usual_kind_are_held() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 10000},
            "kind": {"enum": ["a", "b", 3, null]},
            "when": {"type": "string", "format": "date"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["name"],
        "additionalProperties": false,
        "$defs": {"tag": {"type": "string", "pattern": "^[a-z]+$"}},
    });
    let accepted = [
        r#"{"name":"x"}"#,
        r#"{"name":"x","kind":3,"when":"2026-02-28","tags":["a","bc"],"next":{"name":"y","next":null}}"#,
    ];
    let rejected = [
        "{}",
        r#"{"name":""}"#,
        r#"{"name":"x","kind":"c"}"#,
        r#"{"name":"x","when":"2026-13-01"}"#,
        r#"{"name":"x","tags":["a","b","c"]}"#,
        r#"{"name":"x","tags":["A"]}"#,
        r#"{"name":"x","more":1}"#,
    ];
    check(Form::Schema(schema), &accepted, &rejected);
}

#[test]
fn one_of_is_held_where_its_parts_exclude_each_other() {
    let pet = |kind: &str| json!({"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]});
    let parts = json!([{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}]);
    let schema = json!({"oneOf": parts, "$defs": {"cat": pet("cat"), "dog": pet("dog")}});
    check(Form::Schema(schema), &[r#"{"kind":"cat"}"#, r#"{"kind":"dog"}"#], &[r#"{"kind":"cow"}"#]);
    let overlapping = json!({"oneOf": [{"type": "integer"}, {"minimum": 2}]});
    assert!(super::schema(&compiler(), overlapping).err().unwrap().to_string().contains("oneOf"));
}

#[test]
fn what_cannot_be_honoured_is_named_with_its_place() {
    let check = |schema: Value, keyword: &str, place: &str| {
        let refusal =
            super::schema(&compiler(), schema.clone()).err().unwrap_or_else(|| panic!("{schema}")).to_string();
        assert!(refusal.contains(keyword) && refusal.contains(place), "{refusal}");
    };
    for keyword in ["not", "if", "contains", "propertyNames", "dependentSchemas", "unevaluatedProperties"] {
        check(json!({"properties": {"a": {keyword: {}}}}), keyword, "#/properties/a");
    }
    check(json!({"$defs": {"x": {"uniqueItems": true}}, "items": {"$ref": "#/$defs/x"}}), "uniqueItems", "#/$defs/x");
    check(json!({"type": "string", "format": "idn-email"}), "format", "idn-email");
    check(json!({"$ref": "https://example.org/schema"}), "$ref", "example.org");
    check(json!({"allOf": [{"$ref": "#/$defs/none"}]}), "$ref", "#/allOf/0");
    check(json!({"minProperties": 3}), "minProperties", "#");
}

#[test]
fn a_matcher_can_take_tokens_back() {
    let held = schema(&compiler(), json!({"enum": ["abc", "abd"]})).unwrap();
    let mut matcher = held.matcher();
    for byte in b"\"ab" {
        matcher.accept(u32::from(*byte)).unwrap();
    }
    let before = matcher.mask().unwrap();
    matcher.accept(u32::from(b'c')).unwrap();
    matcher.accept(u32::from(b'"')).unwrap();
    matcher.rollback(2).unwrap();
    assert_eq!(matcher.mask().unwrap(), before);
    matcher.accept(u32::from(b'd')).unwrap();
    assert!(matcher.rollback(100).is_err());
}

#[test]
fn what_is_compiled_is_kept_for_the_same_salt() {
    let compiler = compiler();
    let form = Form::Schema(json!({"type": "integer"}));
    let held = [compiler.text(1, &form).unwrap(), compiler.text(1, &form).unwrap(), compiler.text(2, &form).unwrap()];
    assert!(held[0].is_same(&held[1]) && !held[0].is_same(&held[2]));
}
