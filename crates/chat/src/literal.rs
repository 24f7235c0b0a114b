//! Marks special-token names that a caller wrote, so that they can be told from those that the template wrote.

use std::ops::Range;

/// Brackets put around such a name before rendering. Both are noncharacters, which no text interchange uses.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';

/// `content` with every occurrence of a name bracketed. Brackets that the caller sent are dropped.
pub(crate) fn mark(content: &str, names: &[String]) -> String {
    let clean: String = content.chars().filter(|c| *c != OPEN && *c != CLOSE).collect();
    let mut marked = String::with_capacity(clean.len());
    let mut rest = clean.as_str();
    while let Some(first) = rest.chars().next() {
        let longest =
            names.iter().filter(|name| !name.is_empty() && rest.starts_with(name.as_str())).map(String::len).max();
        match longest {
            Some(length) => {
                marked.push(OPEN);
                marked.push_str(&rest[..length]);
                marked.push(CLOSE);
                rest = &rest[length..];
            }
            None => {
                marked.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    marked
}

/// The text without brackets, and the byte ranges that they enclosed.
pub(crate) fn unmark(marked: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let mut literal = Vec::new();
    let mut start = None;
    for character in marked.chars() {
        match character {
            OPEN => start = Some(text.len()),
            CLOSE => {
                if let Some(start) = start.take() {
                    literal.push(start..text.len());
                }
            }
            other => text.push(other),
        }
    }
    // A template that cut a name in half left its bracket open: all that follows counts as the caller's.
    if let Some(start) = start {
        literal.push(start..text.len());
    }
    (text, literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_text_comes_back_with_its_ranges() {
        let names = vec!["<|end|>".to_owned(), "<|end|>x".to_owned()];
        for (content, literal) in [
            ("plain", vec![]),
            ("a<|end|>b", vec![1..8]),
            ("<|end|>x", vec![0..8]),
            ("é<|end|><|end|>", vec![2..9, 9..16]),
            ("<|end|", vec![]),
        ] {
            assert_eq!(unmark(&mark(content, &names)), (content.to_owned(), literal));
        }
    }

    #[test]
    fn brackets_of_the_caller_mark_nothing() {
        assert_eq!(unmark(&mark("\u{FDD0}a\u{FDD1}", &[])), ("a".to_owned(), vec![]));
    }
}
