//! Tokenising with the `tokenizers` library's own stages: normaliser, pre-tokenizer, model. For every kind that has no
//! quicker way here: WordPiece, unigram, and what a `tokenizer.json` combines.
//!
//! Only the search for added tokens is ours, because the library's cannot leave out ranges of the text.

use std::ops::Range;

use tokenizers::{
    Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper, SplitDelimiterBehavior, Token, normalizer::Range as LibraryRange,
    pre_tokenizers::split::Split, pre_tokenizers::split::SplitPattern,
};

use crate::{
    Error,
    added::{AddedTokens, Segment},
    pre_tokenizer::GPT2,
    split::Cutter,
};

/// The stages.
pub(crate) struct Pipeline {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizers: Vec<Stage>,
    model: ModelWrapper,
    /// Added tokens that are looked for in the normalised text, by their normalised names.
    normalized: AddedTokens,
}

/// One step of pre-tokenising.
enum Stage {
    /// The library's.
    Library(PreTokenizerWrapper),
    /// A pattern that the linear-time engine can do in the library's place.
    Cut { cutter: Cutter, behavior: SplitDelimiterBehavior, invert: bool },
}

impl Pipeline {
    /// From the library's parts and the added tokens that are normalised before they are looked for.
    pub(crate) fn new(
        normalizer: Option<NormalizerWrapper>,
        pre_tokenizer: Option<PreTokenizerWrapper>,
        model: ModelWrapper,
        normalized: AddedTokens,
    ) -> Self {
        let mut pre_tokenizers = Vec::new();
        flatten(pre_tokenizer, &mut pre_tokenizers);
        Self { normalizer, pre_tokenizers, model, normalized }
    }

    /// The tokens of a text that is cut at its added tokens already. `parse` and `literal` are for those that are
    /// looked for after normalising.
    pub(crate) fn encode(
        &self,
        text: &str,
        segments: &[Segment],
        parse: bool,
        literal: &[Range<usize>],
        out: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let ids = self.run(text, segments, parse, literal).map_err(Error::library("tokenising a text"))?;
        out.extend(ids);
        Ok(())
    }

    fn run(
        &self,
        text: &str,
        segments: &[Segment],
        parse: bool,
        literal: &[Range<usize>],
    ) -> tokenizers::Result<Vec<u32>> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, whole| {
            Ok(segments
                .iter()
                .map(|segment| match segment {
                    Segment::Text(range) => (part(&whole, range), None),
                    Segment::Token(id, range) => (part(&whole, range), Some(vec![token(*id)])),
                })
                .collect::<Vec<_>>())
        })?;
        pieces.split(|_, mut piece| {
            if let Some(normalizer) = &self.normalizer {
                normalizer.normalize(&mut piece)?;
            }
            if self.normalized.is_empty() {
                return Ok(vec![(piece, None)]);
            }
            // Whether a special token here is literal is decided by where its piece began in the text.
            let (start, end) = piece.offsets_original();
            let first = literal.partition_point(|range| range.end <= start);
            let parse = parse && literal.get(first).is_none_or(|range| end <= range.start);
            let found = self.normalized.split(piece.get(), parse, &[]);
            Ok(found
                .iter()
                .map(|segment| match segment {
                    Segment::Text(range) => (part(&piece, range), None),
                    Segment::Token(id, range) => (part(&piece, range), Some(vec![token(*id)])),
                })
                .collect())
        })?;
        for stage in &self.pre_tokenizers {
            match stage {
                Stage::Library(stage) => stage.pre_tokenize(&mut pieces)?,
                Stage::Cut { cutter, behavior, invert: false } => {
                    pieces.split(|_, piece| piece.split(cutter, *behavior))?
                }
                Stage::Cut { cutter, behavior, invert: true } => {
                    pieces.split(|_, piece| piece.split(tokenizers::pattern::Invert(cutter), *behavior))?
                }
            }
        }
        pieces.tokenize(|piece| self.model.tokenize(piece.get()))?;
        Ok(pieces.into_encoding(None, 0, OffsetType::None)?.get_ids().to_vec())
    }
}

fn part(string: &NormalizedString, range: &Range<usize>) -> NormalizedString {
    // A range that the string does not have would be a mistake of ours; an empty piece is left out by the library.
    string.slice(LibraryRange::Normalized(range.clone())).unwrap_or_else(|| NormalizedString::from(""))
}

fn token(id: u32) -> Token {
    Token::new(id, String::new(), (0, 0))
}

fn flatten(stage: Option<PreTokenizerWrapper>, out: &mut Vec<Stage>) {
    match stage {
        None => {}
        Some(PreTokenizerWrapper::Sequence(sequence)) => {
            for stage in sequence.as_ref() {
                flatten(Some(stage.clone()), out);
            }
        }
        Some(PreTokenizerWrapper::Split(Split { pattern: SplitPattern::Regex(pattern), behavior, invert, .. }))
            if Cutter::new(&pattern).is_ok() =>
        {
            if let Ok(cutter) = Cutter::new(&pattern) {
                out.push(Stage::Cut { cutter, behavior, invert });
            }
        }
        Some(PreTokenizerWrapper::ByteLevel(level)) if level.use_regex && !level.add_prefix_space => {
            if let Ok(cutter) = Cutter::new(GPT2) {
                out.push(Stage::Cut { cutter, behavior: SplitDelimiterBehavior::Isolated, invert: false });
            }
            out.push(Stage::Library(PreTokenizerWrapper::ByteLevel(level.use_regex(false))));
        }
        Some(stage) => out.push(Stage::Library(stage)),
    }
}
