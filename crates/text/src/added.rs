//! Tokens that are found in the text by their name, before the rest of it is tokenised: control tokens such as
//! `<|im_end|>`, and tokens that somebody added to a trained vocabulary.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, MatchKind, StartKind};

use crate::Error;

/// One token that is found by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddedToken {
    /// Its id.
    pub id: u32,
    /// Its name, as it stands in the text.
    pub content: String,
    /// Only found where special tokens are parsed, and outside literal ranges.
    pub special: bool,
    /// Takes the white space before it along.
    pub lstrip: bool,
    /// Takes the white space behind it along.
    pub rstrip: bool,
    /// Not found inside a word.
    pub single_word: bool,
}

impl AddedToken {
    /// A token without extras.
    pub(crate) fn plain(id: u32, content: &str, special: bool) -> Self {
        Self { id, content: content.to_owned(), special, lstrip: false, rstrip: false, single_word: false }
    }
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Text between added tokens.
    Text(Range<usize>),
    /// An added token and the bytes it stands for.
    Token(u32, Range<usize>),
}

/// Finds added tokens, leftmost first, the longest of those that begin at one place.
#[derive(Debug)]
pub(crate) struct AddedTokens {
    tokens: Vec<AddedToken>,
    /// Over all tokens.
    all: Option<AhoCorasick>,
    /// Over those that are not special; pattern `i` is token `plain[i]`.
    text: Option<AhoCorasick>,
    plain: Vec<usize>,
}

impl AddedTokens {
    /// Tokens with an empty name are left out: they would be found everywhere.
    pub(crate) fn new(mut tokens: Vec<AddedToken>) -> Result<Self, Error> {
        tokens.retain(|token| !token.content.is_empty());
        let plain: Vec<usize> = (0..tokens.len()).filter(|&index| !tokens[index].special).collect();
        let all = automaton(tokens.iter().map(|token| token.content.as_str()))?;
        let text = automaton(plain.iter().map(|&index| tokens[index].content.as_str()))?;
        Ok(Self { tokens, all, text, plain })
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Cuts `text`; the segments cover it. Special tokens are found when `parse`, outside the `literal` ranges, which
    /// are sorted and do not overlap.
    pub(crate) fn split(&self, text: &str, parse: bool, literal: &[Range<usize>]) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut done = 0;
        let mut from = 0;
        while let Some((token, found)) = self.next(text, from, parse, literal) {
            let mut range = found.clone();
            if token.lstrip {
                let before = text[done..found.start].trim_end();
                range.start = done + before.len();
            }
            if token.rstrip {
                let behind = &text[found.end..];
                range.end = text.len() - behind.trim_start().len();
            }
            if done < range.start {
                segments.push(Segment::Text(done..range.start));
            }
            done = range.end;
            from = range.end;
            segments.push(Segment::Token(token.id, range));
        }
        if done < text.len() {
            segments.push(Segment::Text(done..text.len()));
        }
        segments
    }

    /// The first token at or behind `from` that may be one.
    fn next(
        &self,
        text: &str,
        mut from: usize,
        parse: bool,
        literal: &[Range<usize>],
    ) -> Option<(&AddedToken, Range<usize>)> {
        let automaton = if parse { self.all.as_ref()? } else { self.text.as_ref()? };
        while let Some(found) = automaton.find(Input::new(text).range(from..)) {
            let index = found.pattern().as_usize();
            let index = if parse { index } else { self.plain[index] };
            let token = &self.tokens[index];
            if accepted(token, text, &found.range(), literal) {
                return Some((token, found.range()));
            }
            // A refused special token may hide a shorter token of the text that begins at the same place.
            if let Some(text_only) = self.text.as_ref().filter(|_| token.special)
                && let Some(found) = text_only.find(Input::new(text).range(found.start()..).anchored(Anchored::Yes))
            {
                let token = &self.tokens[self.plain[found.pattern().as_usize()]];
                if accepted(token, text, &found.range(), literal) {
                    return Some((token, found.range()));
                }
            }
            from = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8);
        }
        None
    }
}

/// Whether what was found at `range` counts as `token`.
fn accepted(token: &AddedToken, text: &str, range: &Range<usize>, literal: &[Range<usize>]) -> bool {
    if token.special {
        let first = literal.partition_point(|literal| literal.end <= range.start);
        if literal.get(first).is_some_and(|literal| literal.start < range.end) {
            return false;
        }
    }
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    !token.single_word
        || !(text[..range.start].chars().next_back().is_some_and(is_word)
            || text[range.end..].chars().next().is_some_and(is_word))
}

fn automaton<'a>(names: impl Iterator<Item = &'a str>) -> Result<Option<AhoCorasick>, Error> {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return Ok(None);
    }
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .start_kind(StartKind::Both)
        .build(names)
        .map(Some)
        .map_err(|problem| Error::malformed("added tokens", problem.to_string()))
}

/// Sorts and joins literal ranges, and checks that they are ranges of whole characters of `text`.
pub(crate) fn literal_ranges(text: &str, literal: &[Range<usize>]) -> Result<Vec<Range<usize>>, Error> {
    for range in literal {
        // `get` is None for a range that is reversed, reaches too far, or cuts a character.
        if text.get(range.clone()).is_none() {
            return Err(Error::LiteralRange { start: range.start, end: range.end, length: text.len() });
        }
    }
    let mut sorted: Vec<Range<usize>> = literal.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    Ok(joined)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
mod tests {
    use super::*;

    fn tokens() -> AddedTokens {
        let mut mask = AddedToken::plain(4, "<mask>", true);
        mask.lstrip = true;
        let mut end = AddedToken::plain(5, "<end>", true);
        end.rstrip = true;
        let mut word = AddedToken::plain(6, "word", false);
        word.single_word = true;
        AddedTokens::new(vec![
            AddedToken::plain(0, "<a>", true),
            AddedToken::plain(1, "<a><b>", true),
            AddedToken::plain(2, "\n", false),
            AddedToken::plain(3, "\n\n", false),
            mask,
            end,
            word,
            AddedToken::plain(7, "<", false),
            AddedToken::plain(8, "", true),
        ])
        .unwrap()
    }

    #[track_caller]
    fn check(text: &str, parse: bool, literal: &[Range<usize>], expect: &[(Option<u32>, &str)]) {
        let literal = literal_ranges(text, literal).unwrap();
        let segments: Vec<(Option<u32>, &str)> = tokens()
            .split(text, parse, &literal)
            .into_iter()
            .map(|segment| match segment {
                Segment::Text(range) => (None, &text[range]),
                Segment::Token(id, range) => (Some(id), &text[range]),
            })
            .collect();
        assert_eq!(segments, expect);
    }

    #[test]
    fn the_longest_name_wins_and_segments_cover_the_text() {
        check("", true, &[], &[]);
        check("x<a>y", true, &[], &[(None, "x"), (Some(0), "<a>"), (None, "y")]);
        check("<a><b>\n\n\n", true, &[], &[(Some(1), "<a><b>"), (Some(3), "\n\n"), (Some(2), "\n")]);
    }

    #[test]
    fn special_names_are_text_when_not_parsed_or_literal() {
        check("<a>", false, &[], &[(Some(7), "<"), (None, "a>")]);
        check("<a><a>", true, &[0..3], &[(Some(7), "<"), (None, "a>"), (Some(0), "<a>")]);
        check("<a><b>", true, &[4..5], &[(Some(7), "<"), (None, "a>"), (Some(7), "<"), (None, "b>")]);
    }

    #[test]
    fn white_space_and_words_are_honoured() {
        check("x  <mask> y", true, &[], &[(None, "x"), (Some(4), "  <mask>"), (None, " y")]);
        check("x <end>  y", true, &[], &[(None, "x "), (Some(5), "<end>  "), (None, "y")]);
        check("word swordwords word", false, &[], &[(Some(6), "word"), (None, " swordwords "), (Some(6), "word")]);
    }

    #[test]
    fn literal_ranges_are_checked_and_joined() {
        assert_eq!(literal_ranges("abcdef", &[4..5, 0..2, 1..3, 3..3]).unwrap(), vec![0..3, 4..5]);
        assert!(matches!(literal_ranges("ä", &[0..1]), Err(Error::LiteralRange { .. })));
        assert!(matches!(literal_ranges("a", &[0..2]), Err(Error::LiteralRange { .. })));
    }
}
