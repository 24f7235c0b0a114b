//! Cuts text into the pieces that byte-level BPE tokenises one by one, in linear time.
//!
//! The patterns of the field need one thing that a linear-time engine lacks: `\s+(?!\S)`, "white space, but leave its
//! last character to the word behind it". It always stands before a last `\s+`, so it is matched as plain
//! `\s+` here, and the last character is given back by hand. A backtracking engine would need no such care, but gives up
//! on long runs and so would cut differently, without saying so, in just the texts that somebody made for that.

use std::ops::Range;

use regex::Regex;
use tokenizers::tokenizer::pattern::Pattern;

use crate::Error;

/// The end of a pattern that leaves the last white space to the next word.
const LEAVE_LAST: &str = r"|\s+(?!\S)|\s+";

/// One pattern.
#[derive(Debug)]
pub(crate) struct Cutter {
    regex: Regex,
    leave_last: bool,
    /// An earlier alternative matches white space that ends in a line break.
    line_breaks: bool,
}

impl Cutter {
    /// Compiles a pattern, in the syntax of the `regex` crate with the one extension above.
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        let stem = pattern.strip_suffix(LEAVE_LAST);
        let source = stem.map(|stem| format!(r"{stem}|\s+"));
        let regex = Regex::new(source.as_deref().unwrap_or(pattern))
            .map_err(|problem| Error::malformed("pre-tokenizer pattern", problem.to_string()))?;
        let line_breaks = pattern.contains(r"\s*[\r\n]");
        Ok(Self { regex, leave_last: stem.is_some(), line_breaks })
    }

    /// Calls `piece` with every match and every gap between matches, in order; whether it is a match is the second.
    pub(crate) fn cut(&self, text: &str, mut piece: impl FnMut(Range<usize>, bool)) {
        let mut done = 0;
        let mut from = 0;
        while let Some(found) = self.regex.find_at(text, from) {
            let mut range = found.range();
            if self.leave_last && range.end < text.len() {
                range.end = self.without_last(found.as_str()) + range.start;
            }
            if range.is_empty() {
                match text[from.max(range.end)..].chars().next() {
                    Some(character) => from = from.max(range.end) + character.len_utf8(),
                    None => break,
                }
                continue;
            }
            if done < range.start {
                piece(done..range.start, false);
            }
            done = range.end;
            from = range.end;
            piece(range, true);
        }
        if done < text.len() {
            piece(done..text.len(), false);
        }
    }

    /// Bytes of a match that is not at the end of the text, without the white space that belongs to the next word.
    fn without_last(&self, found: &str) -> usize {
        // Only the last alternative matches white space alone, except for the one that ends in a line break.
        let mut characters = found.chars();
        let Some(last) = characters.next_back().filter(|character| character.is_whitespace()) else {
            return found.len();
        };
        if self.line_breaks && matches!(last, '\r' | '\n') {
            return found.len();
        }
        let rest = characters.as_str();
        if rest.is_empty() || !rest.chars().all(char::is_whitespace) { found.len() } else { rest.len() }
    }
}

impl Pattern for &Cutter {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<((usize, usize), bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut pieces = Vec::new();
        self.cut(inside, |range, matched| pieces.push(((range.start, range.end), matched)));
        Ok(pieces)
    }
}

/// Patterns that are applied one after the other, each to the pieces of the one before; matches and gaps both go on.
#[derive(Debug)]
pub(crate) struct Splitter(Vec<Cutter>);

impl Splitter {
    /// Compiles the patterns.
    pub(crate) fn new(patterns: &[&str]) -> Result<Self, Error> {
        patterns.iter().map(|pattern| Cutter::new(pattern)).collect::<Result<_, _>>().map(Self)
    }

    /// The pieces of `text`, which cover it.
    pub(crate) fn split(&self, text: &str) -> Vec<Range<usize>> {
        let whole = Some(0..text.len()).filter(|whole| !whole.is_empty());
        self.0.iter().fold(whole.into_iter().collect(), |pieces: Vec<Range<usize>>, cutter| {
            let mut next = Vec::with_capacity(pieces.len() * 2);
            for piece in pieces {
                let start = piece.start;
                cutter.cut(&text[piece], |range, _| next.push(start + range.start..start + range.end));
            }
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::pre_tokenizer::{GPT2, LLAMA3, TABLE};

    fn pieces<'a>(patterns: &[&str], text: &'a str) -> Vec<&'a str> {
        Splitter::new(patterns).unwrap().split(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn the_last_white_space_goes_to_the_next_word() {
        assert_eq!(pieces(&[GPT2], "a   b"), ["a", "  ", " b"]);
        assert_eq!(pieces(&[GPT2], "a \n b\t\tc  "), ["a", " \n", " b", "\t", "\t", "c", "  "]);
        assert_eq!(pieces(&[LLAMA3], "a  \n\n  b c1234"), ["a", "  \n\n", " ", " b", " c", "123", "4"]);
        assert_eq!(pieces(&[GPT2], ""), Vec::<&str>::new());
    }

    #[test]
    fn later_patterns_cut_the_pieces_of_earlier_ones() {
        assert_eq!(pieces(&[r"\p{N}", GPT2], "ab 12 c"), ["ab", " ", "1", "2", " c"]);
    }

    #[test]
    fn a_million_spaces_are_one_piece() {
        let text = format!("{}x", " ".repeat(1_000_000));
        assert_eq!(pieces(&[LLAMA3], &text).iter().map(|piece| piece.len()).collect::<Vec<_>>(), [999_999, 2]);
    }

    /// All patterns, compiled, beside their twins: the backtracking engine with the pattern as it stands.
    static TWINS: LazyLock<Vec<(fancy_regex::Regex, Cutter)>> = LazyLock::new(|| {
        let mut patterns: Vec<&str> = TABLE.iter().flat_map(|entry| entry.patterns).copied().collect();
        patterns.sort_unstable();
        patterns.dedup();
        let both = |pattern| (fancy_regex::Regex::new(pattern).unwrap(), Cutter::new(pattern).unwrap());
        patterns.into_iter().map(both).collect()
    });

    proptest! {
        #[test]
        fn cuts_as_a_backtracking_engine_does(
            text in r"([ \t\n\r\u{a0}\u{3000}]{0,4}[a-zA-Z0-9'世é́.!_🎉/µ]{0,3}(n't|'ll|'S)?){0,8}",
        ) {
            for (twin, cutter) in TWINS.iter() {
                let mut expect = Vec::new();
                let mut done = 0;
                for found in twin.find_iter(&text) {
                    let found = found.unwrap();
                    if done < found.start() {
                        expect.push((done..found.start(), false));
                    }
                    expect.push((found.range(), true));
                    done = found.end();
                }
                if done < text.len() {
                    expect.push((done..text.len(), false));
                }
                let mut cut = Vec::new();
                cutter.cut(&text, |range, matched| cut.push((range, matched)));
                prop_assert_eq!(cut, expect, "{}", twin.as_str());
            }
        }
    }
}
