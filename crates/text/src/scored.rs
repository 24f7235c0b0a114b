//! SentencePiece's BPE: two neighbours are merged when their joined text is a piece, the best score first.
//!
//! The algorithm is that of `bpe_model.cc` in google/sentencepiece: a heap of candidate merges, ties to the left; every
//! merge adds at most two candidates, so a text of n characters costs O(n log n). Files hold scores and no merges, and
//! the tokenizer library knows merges only, which is why it is written out here.

use std::{cmp::Ordering, collections::BinaryHeap, ops::Range};

use tokenizers::models::bpe::Vocab;

use crate::{
    Error,
    added::Segment,
    bytes::{SPACE, fallback_byte},
};

/// A vocabulary with scores.
pub(crate) struct Scored {
    /// Text of a piece to its id; only pieces that text may become.
    pieces: Vocab,
    /// Score of every id.
    scores: Vec<f32>,
    /// Bytes of the longest piece: longer text is no candidate.
    longest: usize,
    /// The token of each byte, for characters that are no piece.
    bytes: Box<[Option<u32>; 256]>,
    /// For characters that are no piece where a byte has no token.
    unknown: Option<u32>,
    /// Whether a space is put before a text, and before what follows an added token.
    space_prefix: bool,
}

/// What makes a [`Scored`].
pub(crate) struct Parts {
    /// Pieces that text may become: neither control tokens nor bytes.
    pub pieces: Vocab,
    /// One for each id of the vocabulary.
    pub scores: Vec<f32>,
    /// Byte-fallback tokens by name.
    pub bytes: Vec<(String, u32)>,
    /// The token for what cannot be spelled.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub space_prefix: bool,
}

/// A stretch of the text that is one piece by now; a merged-away one has no length.
struct Symbol {
    start: usize,
    length: usize,
    previous: usize,
    next: usize,
}

/// No neighbour.
const NONE: usize = usize::MAX;

/// Two neighbours whose joined text is a piece.
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both; when it is no longer so, one of them has been merged with another.
    length: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Candidate {}

impl Scored {
    /// Checks that every piece has a score.
    pub(crate) fn new(parts: Parts) -> Result<Self, Error> {
        if let Some(index) = parts.scores.iter().position(|score| score.is_nan()) {
            return Err(Error::malformed("tokenizer.ggml.scores", format!("entry {index} is not a number")));
        }
        if let Some((piece, id)) = parts.pieces.iter().find(|(_, id)| **id as usize >= parts.scores.len()) {
            return Err(Error::malformed("tokenizer.ggml.scores", format!("token {id} ({piece:?}) has no score")));
        }
        let mut bytes = Box::new([None; 256]);
        for (name, id) in &parts.bytes {
            let byte = fallback_byte(name)
                .ok_or_else(|| Error::malformed("tokenizer.ggml.token_type", format!("{name:?} is not a byte")))?;
            bytes[usize::from(byte)] = Some(*id);
        }
        let longest = parts.pieces.keys().map(String::len).max().unwrap_or(0);
        Ok(Self {
            pieces: parts.pieces,
            scores: parts.scores,
            longest,
            bytes,
            unknown: parts.unknown,
            space_prefix: parts.space_prefix,
        })
    }

    /// The tokens of a text that is cut at its added tokens already.
    pub(crate) fn encode(&self, text: &str, segments: &[Segment], out: &mut Vec<u32>) -> Result<(), Error> {
        for segment in segments {
            match segment {
                Segment::Token(id, _) => out.push(*id),
                Segment::Text(range) => self.encode_text(&text[Range::clone(range)], out)?,
            }
        }
        Ok(())
    }

    fn encode_text(&self, text: &str, out: &mut Vec<u32>) -> Result<(), Error> {
        let mut escaped = String::with_capacity(text.len() + text.len() / 2 + SPACE.len_utf8());
        if self.space_prefix {
            escaped.push(SPACE);
        }
        escaped.extend(text.chars().map(|character| if character == ' ' { SPACE } else { character }));
        let mut unknown_before = false;
        for range in self.merge(&escaped) {
            let piece = &escaped[range];
            if let Some(&id) = self.pieces.get(piece) {
                out.push(id);
                unknown_before = false;
                continue;
            }
            if piece.bytes().all(|byte| self.bytes[usize::from(byte)].is_some()) {
                out.extend(piece.bytes().filter_map(|byte| self.bytes[usize::from(byte)]));
                unknown_before = false;
                continue;
            }
            // Unknown characters in a row are one unknown token.
            let unknown = self.unknown.ok_or_else(|| {
                Error::malformed(
                    "tokenizer.ggml.unknown_token_id",
                    format!("absent, and the vocabulary can spell {piece:?} neither as a piece nor in bytes"),
                )
            })?;
            if !unknown_before {
                out.push(unknown);
            }
            unknown_before = true;
        }
        Ok(())
    }

    /// The ranges of `text` that remain when no two neighbours make a piece.
    fn merge(&self, text: &str) -> Vec<Range<usize>> {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, character))| Symbol {
                start,
                length: character.len_utf8(),
                previous: index.checked_sub(1).unwrap_or(NONE),
                next: index + 1,
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        let first: Vec<Candidate> =
            (1..symbols.len()).filter_map(|right| self.candidate(text, &symbols, right - 1, right)).collect();
        let mut queue = BinaryHeap::from(first);
        while let Some(Candidate { left, right, length, .. }) = queue.pop() {
            let outdated = symbols[left].length == 0
                || symbols[right].length == 0
                || symbols[left].length + symbols[right].length != length;
            if outdated {
                continue;
            }
            symbols[left].length = length;
            symbols[right].length = 0;
            let (previous, next) = (symbols[left].previous, symbols[right].next);
            symbols[left].next = next;
            if next != NONE {
                symbols[next].previous = left;
                queue.extend(self.candidate(text, &symbols, left, next));
            }
            if previous != NONE {
                queue.extend(self.candidate(text, &symbols, previous, left));
            }
        }
        symbols
            .iter()
            .filter(|symbol| symbol.length > 0)
            .map(|symbol| symbol.start..symbol.start + symbol.length)
            .collect()
    }

    fn candidate(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Candidate> {
        let length = symbols[left].length + symbols[right].length;
        if length > self.longest {
            return None;
        }
        let start = symbols[left].start;
        let id = *self.pieces.get(&text[start..start + length])?;
        Some(Candidate { score: self.scores[id as usize], left, right, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scored(pieces: &[(&str, f32)], space_prefix: bool) -> Scored {
        let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), u32::from(byte))).collect();
        let mut scores = vec![0.0; 256];
        let mut index = Vocab::default();
        for (piece, score) in pieces {
            index.insert((*piece).to_owned(), scores.len() as u32);
            scores.push(*score);
        }
        Scored::new(Parts { pieces: index, scores, bytes, unknown: None, space_prefix }).unwrap()
    }

    /// Merges the best pair over and over, by looking at all of them.
    fn naive(scored: &Scored, text: &str) -> Vec<String> {
        let mut pieces: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let mut best: Option<(f32, usize)> = None;
            for left in 0..pieces.len().saturating_sub(1) {
                let joined = format!("{}{}", pieces[left], pieces[left + 1]);
                if let Some(id) = scored.pieces.get(&joined) {
                    let score = scored.scores[*id as usize];
                    if best.is_none_or(|(other, _)| score > other) {
                        best = Some((score, left));
                    }
                }
            }
            let Some((_, left)) = best else { return pieces };
            let right = pieces.remove(left + 1);
            pieces[left].push_str(&right);
        }
    }

    const PIECES: [(&str, f32); 14] = [
        ("a", -20.0),
        ("b", -21.0),
        ("c", -22.0),
        ("▁", -23.0),
        ("ab", -1.0),
        ("bc", -2.0),
        ("aa", -3.0),
        ("abc", -4.0),
        ("aab", -4.0),
        ("▁a", -5.0),
        ("▁▁", -6.0),
        ("aaaa", -7.0),
        ("ca", -2.0),
        ("caab", -8.0),
    ];

    #[test]
    fn spaces_bytes_and_prefix() {
        let mut out = Vec::new();
        scored(&PIECES, true).encode_text("ab ä", &mut out).unwrap();
        assert_eq!(out, [259, 260, 259, 0xC3, 0xA4]);
    }

    #[test]
    fn what_cannot_be_spelled_is_an_error_or_unknown() {
        let mut parts = scored(&PIECES, false);
        *parts.bytes = [None; 256];
        assert!(matches!(parts.encode_text("xx", &mut Vec::new()), Err(Error::Malformed { .. })));
        parts.unknown = Some(7);
        let mut out = Vec::new();
        parts.encode_text("axxab", &mut out).unwrap();
        assert_eq!(out, [256, 7, 260]);
    }

    #[test]
    fn a_long_text_takes_no_quadratic_time() {
        let mut out = Vec::new();
        scored(&PIECES, false).encode_text(&"a".repeat(1 << 20), &mut out).unwrap();
        assert_eq!(out.len(), (1 << 20) / 4);
    }

    proptest! {
        #[test]
        fn merges_as_the_slow_way_does(text in "[abc▁]{0,40}") {
            let scored = scored(&PIECES, false);
            let fast: Vec<String> = scored.merge(&text).into_iter().map(|range| text[range].to_owned()).collect();
            prop_assert_eq!(fast, naive(&scored, &text));
        }
    }
}
