//! The public test suite for JSON schema: what it calls invalid can never be said, and what it calls valid can, or the schema
//! is refused by the name of a keyword.

use std::{collections::BTreeMap, path::Path};

use serde_json::Map;

use super::*;

/// Valid instances that cannot be said, by file: an answer is held to a part of what a schema allows.
const NEVER_SAID: &[(&str, usize)] = &[
    ("const", 4),
    ("enum", 4),
    ("format", 10),
    ("format/date-time", 2),
    ("format/email", 4),
    ("format/ipv6", 4),
    ("format/time", 6),
    ("type", 1),
];

#[derive(Debug, Default)]
struct Tally {
    schemas: usize,
    refused: usize,
    accepted: usize,
    rejected: usize,
    never_said: usize,
}

#[test]
fn the_public_suite_is_honoured_or_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/json-schema-test-suite/draft2020-12");
    let compiler = compiler();
    let mut tallies = BTreeMap::new();
    let mut wrong = Vec::new();
    for (folder, prefix) in [(folder.clone(), ""), (folder.join("format"), "format/")] {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let name = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
            let groups: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let tally: &mut Tally = tallies.entry(name.clone()).or_default();
            for group in &groups {
                run(&compiler, &name, group, tally, &mut wrong);
            }
        }
    }
    let never_said: Vec<(&str, usize)> = tallies
        .iter()
        .filter(|(_, tally)| tally.never_said > 0)
        .map(|(name, tally)| (&**name, tally.never_said))
        .collect();
    let table: String = tallies
        .iter()
        .map(|(name, t)| {
            format!("| {name} | {} | {} | {} | {} | {} |\n", t.schemas, t.refused, t.accepted, t.rejected, t.never_said)
        })
        .collect();
    assert!(wrong.is_empty(), "{}\n{table}", wrong.join("\n"));
    assert_eq!(never_said, NEVER_SAID, "\n{table}");
}

fn run(compiler: &Compiler, name: &str, group: &Value, tally: &mut Tally, wrong: &mut Vec<String>) {
    tally.schemas += 1;
    let held = match schema(compiler, group["schema"].clone()) {
        Ok(held) => held,
        Err(refusal) => {
            tally.refused += 1;
            let text = refusal.to_string();
            if matches!(refusal, Refusal::Internal)
                || !(text.contains('`') || text.contains("nothing") || text.contains("nsatisf"))
            {
                wrong.push(format!("{name}: {}: refused without a keyword's name: {text}", group["description"]));
            }
            return;
        }
    };
    for test in group["tests"].as_array().unwrap() {
        let said = spellings(&test["data"]).iter().any(|text| accepts(&held, text));
        match (test["valid"].as_bool().unwrap(), said) {
            (true, true) => tally.accepted += 1,
            (false, false) => tally.rejected += 1,
            (true, false) => tally.never_said += 1,
            (false, true) => {
                wrong.push(format!(
                    "{name}: {}: {} is accepted: {}",
                    group["description"], test["data"], test["description"]
                ));
            }
        }
    }
}

/// The ways to write a value: properties stand in the order of the schema, which is not known here.
fn spellings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => {
            let items: Vec<Vec<String>> = items.iter().map(spellings).collect();
            product(&items).into_iter().map(|items| format!("[{}]", items.join(","))).collect()
        }
        Value::Object(map) if map.len() <= 5 => orders(map),
        Value::Object(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            vec![value.to_string()]
        }
    }
}

fn orders(map: &Map<String, Value>) -> Vec<String> {
    let mut all = vec![Vec::new()];
    for (key, value) in map {
        let properties: Vec<String> =
            spellings(value).into_iter().map(|value| format!("{}:{value}", Value::from(&**key))).collect();
        all = all
            .iter()
            .flat_map(|order: &Vec<String>| {
                let properties = &properties;
                (0..=order.len()).flat_map(move |at| {
                    properties.iter().map(move |property| {
                        let mut order = order.clone();
                        order.insert(at, property.clone());
                        order
                    })
                })
            })
            .collect();
    }
    all.into_iter().map(|order| format!("{{{}}}", order.join(","))).collect()
}

fn product(items: &[Vec<String>]) -> Vec<Vec<String>> {
    items.iter().fold(vec![Vec::new()], |all, ways| {
        let all =
            all.iter().flat_map(|before| ways.iter().map(move |way| [&before[..], std::slice::from_ref(way)].concat()));
        all.take(1000).collect()
    })
}
