//! Byte-level BPE, as GPT-2 began it: text is cut into pieces, a piece's bytes are spelled as characters, and the
//! characters are merged by rank.

use std::{collections::HashSet, ops::Range};

use tokenizers::{
    Model, NormalizedString, Normalizer, NormalizerWrapper,
    models::bpe::{BPE, Vocab},
};

use crate::{Error, added::Segment, bytes, split::Splitter};

/// Cuts, spells and merges.
#[derive(Debug)]
pub(crate) struct ByteLevel {
    splitter: Splitter,
    model: BPE,
    /// Applied to text that is not ASCII, which the usual one (NFC) leaves alone.
    normalizer: Option<NormalizerWrapper>,
}

impl ByteLevel {
    /// From a ready model.
    pub(crate) fn new(splitter: Splitter, model: BPE, normalizer: Option<NormalizerWrapper>) -> Self {
        Self { splitter, model, normalizer }
    }

    /// From a vocabulary and merges in order of rank, `"left right"` each. The names of `control` tokens are not in
    /// `vocabulary`, and merges that would make one are left out: a text must not become one by chance.
    pub(crate) fn from_merges(
        splitter: Splitter,
        vocabulary: Vocab,
        control: &HashSet<&str>,
        merges: &[String],
        ignore_merges: bool,
    ) -> Result<Self, Error> {
        let mut pairs = Vec::with_capacity(merges.len());
        let mut joined = String::new();
        for (rank, merge) in merges.iter().enumerate() {
            // A merge of tokens that are not there is an error here: the library would write out of its buffer's bounds.
            let malformed = || {
                Error::malformed(
                    "tokenizer.ggml.merges",
                    format!("entry {rank} is {merge:?}, not two tokens of the vocabulary whose joined text is a token"),
                )
            };
            let (left, right) = merge.split_once(' ').ok_or_else(malformed)?;
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            let three = [left, right, joined.as_str()];
            if three.iter().all(|token| vocabulary.contains_key(*token)) {
                pairs.push((left.to_owned(), right.to_owned()));
            } else if !three.iter().any(|token| control.contains(token)) {
                return Err(malformed());
            }
        }
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, pairs)
            .ignore_merges(ignore_merges)
            .build()
            .map_err(Error::library("making the merge table"))?;
        Ok(Self::new(splitter, model, None))
    }

    /// The tokens of a text that is cut at its added tokens already.
    pub(crate) fn encode(&self, text: &str, segments: &[Segment], out: &mut Vec<u32>) -> Result<(), Error> {
        for segment in segments {
            match segment {
                Segment::Token(id, _) => out.push(*id),
                Segment::Text(range) => self.encode_text(text, range.clone(), out)?,
            }
        }
        Ok(())
    }

    fn encode_text(&self, text: &str, range: Range<usize>, out: &mut Vec<u32>) -> Result<(), Error> {
        let text = &text[range];
        let normalized;
        let text = match &self.normalizer {
            Some(normalizer) if !text.is_ascii() => {
                let mut string = NormalizedString::from(text);
                normalizer.normalize(&mut string).map_err(Error::library("normalising text"))?;
                normalized = string.get().to_owned();
                normalized.as_str()
            }
            _ => text,
        };
        let mut spelled = String::new();
        for piece in self.splitter.split(text) {
            spelled.clear();
            bytes::spell(&text[piece], &mut spelled);
            let tokens = self.model.tokenize(&spelled).map_err(Error::library("merging bytes"))?;
            out.extend(tokens.into_iter().map(|token| token.id));
        }
        Ok(())
    }
}
