//! Answers for people: lists as tables, single things line by line.

use std::io::{self, Write};

use anyhow::Result;
use serde_json::Value;

/// What fields of a list are shown under which heading.
pub type Columns<'a> = &'a [(&'a str, &'a str)];

/// Writes a list as a table.
pub fn list(out: &mut dyn Write, columns: Columns<'_>, rows: &[Value]) -> io::Result<()> {
    let mut lines = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, field)| cell(&row[field])).collect()));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Writes one thing, a field a line.
pub fn one(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    let Value::Object(fields) = value else { return writeln!(out, "{}", cell(value)) };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in fields {
        writeln!(out, "{name:<width$}  {}", cell(value))?;
    }
    Ok(())
}

/// Writes JSON for programs.
pub fn json(out: &mut dyn Write, value: &Value) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

/// A field for people. Control characters, which a name from outside could hold, do not reach the terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_moves_the_cursor() {
        let mut out = Vec::new();
        let rows = [json!({"a": "ü", "b": 7}), json!({"a": "long\u{1b}[2J", "b": null}), json!({"b": ["x", "y"]})];
        list(&mut out, &[("name", "a"), ("number", "b")], &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "name      number\nü         7\nlong\u{fffd}[2J  -\n-         x,y\n");
    }
}
