//! Whatever is chosen among the allowed tokens, the answer validates.

use serde_json::{Map, json};

use super::*;

/// A schema of the kinds that are supported.
fn any_schema(dice: &mut Dice, depth: usize) -> Value {
    let kinds = if depth == 0 { 6 } else { 10 };
    match dice.below(kinds) {
        0 => json!({"type": "boolean"}),
        1 => json!({"type": ["null", "boolean"]}),
        2 => {
            let least = dice.below(40) as i64 - 20;
            let mut schema =
                json!({"type": "integer", "minimum": least, "maximum": least + dice.below(100) as i64 + 7});
            if dice.below(2) == 0 {
                schema["multipleOf"] = json!(dice.below(6) + 1);
            }
            schema
        }
        3 => {
            let least = dice.below(1000) as f64 / 8.0 - 60.0;
            json!({"type": "number", "exclusiveMinimum": least, "maximum": least + dice.below(90) as f64 + 0.25})
        }
        4 => {
            let least = dice.below(4);
            json!({"type": "string", "minLength": least, "maxLength": least + dice.below(6)})
        }
        5 => match dice.below(4) {
            0 => json!({"enum": ["a", 1, null, {"x": [1, "y"]}, -2.5, "a\"\\\n"]}),
            1 => json!({"type": "string", "pattern": "^[a-c]{2,4}(-\\d+)?$"}),
            2 => {
                json!({"type": "string", "format": (["date", "time", "ipv4", "uuid", "email", "duration"][dice.below(6)])})
            }
            _ => json!({"const": "é\t/"}),
        },
        6 => {
            let least = dice.below(3);
            json!({"type": "array", "items": any_schema(dice, depth - 1), "minItems": least, "maxItems": least + dice.below(3)})
        }
        7 => json!({"anyOf": [any_schema(dice, depth - 1), any_schema(dice, depth - 1)]}),
        8 => json!({
            "type": "array",
            "prefixItems": [any_schema(dice, depth - 1), any_schema(dice, depth - 1)],
            "items": any_schema(dice, depth - 1),
            "minItems": dice.below(3),
        }),
        _ => {
            let names = ["a", "b\"", "long name", "é", "n\n"];
            let count = dice.below(4) + 1;
            let properties: Map<String, Value> =
                names[..count].iter().map(|name| ((*name).to_owned(), any_schema(dice, depth - 1))).collect();
            let required: Vec<&str> = names[..count].iter().copied().filter(|_| dice.below(2) == 0).collect();
            let mut schema = json!({"type": "object", "properties": properties, "required": required});
            match dice.below(3) {
                0 => schema["additionalProperties"] = any_schema(dice, 0),
                1 => schema["additionalProperties"] = json!(false),
                _ => {}
            }
            schema
        }
    }
}

#[test]
fn whatever_a_model_says_validates() {
    let compiler = compiler();
    let dice = &mut Dice(7);
    let (mut compiled, mut complete) = (0, 0);
    for _ in 0..150 {
        let schema = any_schema(dice, 3);
        let held = match super::schema(&compiler, schema.clone()) {
            Ok(held) => held,
            // An empty range of numbers, or the like.
            Err(refusal) => {
                assert!(!matches!(refusal, Refusal::Internal), "{schema}: {refusal}");
                continue;
            }
        };
        compiled += 1;
        for _ in 0..8 {
            let (said, ended) = babble(&held, dice, 400);
            if !ended {
                continue;
            }
            complete += 1;
            let value: Value = match serde_json::from_str(&said) {
                // A number where anything may stand can be larger than any that a program knows.
                Err(error) if error.to_string().contains("number out of range") => continue,
                parsed => parsed.unwrap_or_else(|error| panic!("{error}: {said} for {schema}")),
            };
            assert!(validate::is_valid(&schema, &value), "{said} does not validate against {schema}");
        }
    }
    assert!(compiled > 120 && complete > 600, "{compiled} schemas and {complete} answers show too little");
}
