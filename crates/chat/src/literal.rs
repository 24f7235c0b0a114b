//! Marks special-token names that a caller wrote, so that they can be told from those that the template wrote.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use minijinja::{Value, value::ValueKind};

use crate::Error;

/// Brackets put around such a name before rendering. Both are noncharacters, which no text interchange uses.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';

/// Whether a character is one of the brackets.
pub(crate) fn is_mark(character: char) -> bool {
    matches!(character, OPEN | CLOSE)
}

/// The names of all special tokens.
pub(crate) struct Names(AhoCorasick);

impl Names {
    /// Names that are empty are left out: they would be found everywhere.
    pub(crate) fn new(names: &[String]) -> Result<Self, Error> {
        AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(names.iter().filter(|name| !name.is_empty()))
            .map(Self)
            .map_err(|problem| Error::Template(format!("its special tokens cannot be searched for: {problem}")))
    }

    /// `value` with every name in every text of it bracketed, keys of maps included. Adds its size, in bytes of text and
    /// eight for everything else, to `size`.
    pub(crate) fn mark(&self, value: &Value, size: &mut usize) -> Value {
        match value.kind() {
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                *size += text.len();
                self.mark_text(text).into()
            }
            ValueKind::Seq => value.try_iter().into_iter().flatten().map(|item| self.mark(&item, size)).collect(),
            ValueKind::Map => {
                let keys = value.try_iter().into_iter().flatten();
                Value::from_pairs(keys.map(|key| {
                    let inner = value.get_item(&key).unwrap_or_default();
                    (self.mark(&key, size), self.mark(&inner, size))
                }))
            }
            _ => {
                *size += 8;
                value.clone()
            }
        }
    }

    /// `text` with every name bracketed. Brackets that the caller sent are dropped.
    fn mark_text(&self, text: &str) -> String {
        let clean;
        let text = if text.contains([OPEN, CLOSE]) {
            clean = text.replace([OPEN, CLOSE], "");
            &clean
        } else {
            text
        };
        let mut marked = String::with_capacity(text.len());
        let mut done = 0;
        for found in self.0.find_iter(text) {
            marked.push_str(&text[done..found.start()]);
            marked.push(OPEN);
            marked.push_str(&text[found.range()]);
            marked.push(CLOSE);
            done = found.end();
        }
        marked.push_str(&text[done..]);
        marked
    }
}

/// The text without brackets, and the byte ranges that they enclosed.
pub(crate) fn unmark(marked: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let mut literal = Vec::new();
    let mut start = None;
    for part in marked.split_inclusive([OPEN, CLOSE]) {
        let end = part.char_indices().next_back().filter(|(_, last)| is_mark(*last));
        text.push_str(&part[..end.map_or(part.len(), |(at, _)| at)]);
        match end {
            // A template that cut a name in half left its bracket open: all that follows counts as the caller's.
            Some((_, OPEN)) => start = start.or(Some(text.len())),
            Some(_) => literal.extend(start.take().map(|start| start..text.len())),
            None => {}
        }
    }
    literal.extend(start.map(|start| start..text.len()));
    (text, literal)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(&["<|end|>".to_owned(), "<|end|>x".to_owned(), String::new()]).unwrap()
    }

    #[test]
    fn marked_text_comes_back_with_its_ranges() {
        for (content, literal) in [
            ("plain", vec![]),
            ("a<|end|>b", vec![1..8]),
            ("<|end|>x", vec![0..8]),
            ("é<|end|><|end|>", vec![2..9, 9..16]),
            ("<|end|", vec![]),
        ] {
            assert_eq!(unmark(&names().mark_text(content)), (content.to_owned(), literal));
        }
    }

    #[test]
    fn brackets_of_the_caller_mark_nothing_and_hide_nothing() {
        assert_eq!(unmark(&names().mark_text("\u{FDD0}a\u{FDD1}")), ("a".to_owned(), vec![]));
        assert_eq!(unmark(&names().mark_text("<|e\u{FDD1}nd|>")), ("<|end|>".to_owned(), vec![0..7]));
    }

    #[test]
    fn a_bracket_without_its_partner_counts_for_the_caller() {
        assert_eq!(unmark("a\u{FDD0}b"), ("ab".to_owned(), vec![1..2]));
        assert_eq!(unmark("a\u{FDD0}b\u{FDD0}c\u{FDD1}d"), ("abcd".to_owned(), vec![1..3]));
        assert_eq!(unmark("a\u{FDD1}b"), ("ab".to_owned(), vec![]));
    }

    #[test]
    fn every_text_inside_a_value_is_marked() {
        let value: Value = serde_json::from_str(r#"{"b":[1,"<|end|>",{"<|end|>":null}],"a":true}"#).unwrap();
        let mut size = 0;
        let marked = names().mark(&value, &mut size).to_string();
        assert_eq!(size, 1 + 8 + 7 + 7 + 8 + 1 + 8);
        assert_eq!(marked.matches(OPEN).count(), 2, "{marked}");
        assert_eq!(unmark(&marked).0, value.to_string());
    }
}
