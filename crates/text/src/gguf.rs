//! A tokenizer from a GGUF's metadata.
//!
//! Keys, token types and defaults are those of the GGUF specification and of llama.cpp's `llama-vocab.cpp`.

use std::collections::HashSet;

use tokenizers::{
    NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior,
    models::{bpe::Vocab, unigram::Unigram, wordpiece::WordPiece},
    normalizers::{BertNormalizer, Precompiled},
    pre_tokenizers::{
        bert::BertPreTokenizer,
        metaspace::{Metaspace, PrependScheme},
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};
use weights::{Array, Metadata};

use crate::{
    Error, Tokenizer,
    added::{AddedToken, AddedTokens},
    byte_level::ByteLevel,
    bytes::{SPACE, fallback_byte, unspell},
    infill::Infill,
    pipeline::Pipeline,
    pre_tokenizer,
    scored::{Parts, Scored},
    split::Splitter,
    tokenizer::{Codec, Framing, named_ends},
    vocabulary::{Kind, MOST_TOKENS, Vocabulary, check_name},
};

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The arrays that every tokenizer has.
struct Tokens<'a> {
    texts: &'a [String],
    types: Vec<Type>,
}

/// The kinds in `tokenizer.ggml.model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Model {
    Gpt2,
    Llama,
    T5,
    Bert,
}

const MODELS: [(&str, Model); 4] =
    [("gpt2", Model::Gpt2), ("llama", Model::Llama), ("t5", Model::T5), ("bert", Model::Bert)];

/// Reads `tokenizer.ggml.*`.
pub(crate) fn load(metadata: &Metadata) -> Result<Tokenizer, Error> {
    let name = string(metadata, MODEL)?.ok_or(Error::Missing { key: MODEL })?;
    let Some(&(_, model)) = MODELS.iter().find(|(known, _)| *known == name) else {
        let known = MODELS.map(|(known, _)| known).join(", ");
        return Err(Error::UnknownModel { found: name.to_owned(), known });
    };
    let tokens = Tokens::read(metadata)?;
    let vocabulary = tokens.vocabulary(model);
    let space_prefix = flag(metadata, "tokenizer.ggml.add_space_prefix")?;
    let mut framing = Framing::default();
    let mut add = Add::default();
    let id = |key, default| special(metadata, &vocabulary, key, default);
    let (codec, leading_space) = match model {
        Model::Gpt2 => {
            let pre = string(metadata, "tokenizer.ggml.pre")?.unwrap_or("default");
            let pre = pre_tokenizer::find(pre)?;
            add.bos = pre.add_bos;
            framing.bos = id("tokenizer.ggml.bos_token_id", None)?;
            framing.eos = id("tokenizer.ggml.eos_token_id", None)?;
            (Codec::ByteLevel(tokens.byte_level(metadata, pre)?), false)
        }
        Model::Llama => {
            add.bos = true;
            framing.bos = id("tokenizer.ggml.bos_token_id", Some(1))?;
            framing.eos = id("tokenizer.ggml.eos_token_id", Some(2))?;
            let unknown = id("tokenizer.ggml.unknown_token_id", Some(0))?;
            let space_prefix = space_prefix.unwrap_or(true);
            (Codec::Scored(tokens.scored(metadata, unknown, space_prefix)?), space_prefix)
        }
        Model::T5 => {
            add.eos = true;
            framing.bos = id("tokenizer.ggml.bos_token_id", None)?;
            framing.eos = id("tokenizer.ggml.eos_token_id", Some(1))?;
            let unknown = id("tokenizer.ggml.unknown_token_id", Some(2))?;
            let space_prefix = space_prefix.unwrap_or(true);
            (Codec::Pipeline(tokens.unigram(metadata, unknown, space_prefix)?), space_prefix)
        }
        Model::Bert => {
            add = Add { bos: true, eos: false, sep: true };
            framing.bos = match id("tokenizer.ggml.cls_token_id", None)? {
                Some(cls) => Some(cls),
                None => id("tokenizer.ggml.bos_token_id", Some(101))?,
            };
            framing.eos = id("tokenizer.ggml.eos_token_id", None)?;
            let unknown = id("tokenizer.ggml.unknown_token_id", Some(100))?;
            (Codec::Pipeline(tokens.word_piece(unknown)?), true)
        }
    };
    add.bos = flag(metadata, "tokenizer.ggml.add_bos_token")?.unwrap_or(add.bos);
    add.eos = flag(metadata, "tokenizer.ggml.add_eos_token")?.unwrap_or(add.eos);
    if add.bos {
        framing.prefix.extend(framing.bos);
    }
    if add.sep {
        // The key has been misspelled from the beginning; writers use both spellings.
        let separator = match id("tokenizer.ggml.seperator_token_id", None)? {
            Some(separator) => Some(separator),
            None => id("tokenizer.ggml.separator_token_id", Some(102))?,
        };
        framing.suffix.extend(separator);
    } else if add.eos {
        framing.suffix.extend(framing.eos);
    }
    framing.ends.extend(framing.eos);
    framing.ends.extend(id("tokenizer.ggml.eot_token_id", None)?);
    framing.ends.extend(id("tokenizer.ggml.eom_token_id", None)?);
    framing.ends.extend(named_ends(|name| tokens.id(name)));
    let gap = |key, older| -> Result<_, Error> { Ok(id(key, None)?.or(id(older, None)?)) };
    let named = [
        gap("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id")?,
        gap("tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id")?,
        gap("tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id")?,
    ];
    let infill = Infill::of(named, |name| tokens.id(name));
    tokens.finish(codec, vocabulary, framing, leading_space, infill)
}

/// What is put around a text.
#[derive(Default)]
struct Add {
    bos: bool,
    eos: bool,
    sep: bool,
}

impl<'a> Tokens<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, Error> {
        let texts = strings(metadata, TOKENS)?.ok_or(Error::Missing { key: TOKENS })?;
        if texts.is_empty() || texts.len() > MOST_TOKENS {
            return Err(Error::malformed(TOKENS, format!("{} tokens, not between 1 and {MOST_TOKENS}", texts.len())));
        }
        for (id, text) in texts.iter().enumerate() {
            check_name(TOKENS, id as u32, text)?;
        }
        let types = match metadata.array(TYPES).map_err(Error::Metadata)? {
            None => vec![Type::Normal; texts.len()],
            Some(array) => integers(TYPES, array)?
                .iter()
                .map(|number| match number {
                    1 => Ok(Type::Normal),
                    2 => Ok(Type::Unknown),
                    3 => Ok(Type::Control),
                    4 => Ok(Type::UserDefined),
                    5 => Ok(Type::Unused),
                    6 => Ok(Type::Byte),
                    other => Err(Error::malformed(TYPES, format!("{other} is no token type (1 to 6)"))),
                })
                .collect::<Result<_, _>>()?,
        };
        same_length(TYPES, types.len(), texts.len())?;
        Ok(Self { texts, types })
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &'a str, Type)> + '_ {
        // `read` saw that there are at most `MOST_TOKENS`.
        self.texts.iter().zip(&self.types).enumerate().map(|(id, (text, kind))| (id as u32, text.as_str(), *kind))
    }

    fn id(&self, name: &str) -> Option<u32> {
        self.texts.iter().position(|text| text == name).map(|id| id as u32)
    }

    fn vocabulary(&self, model: Model) -> Vocabulary {
        let mut vocabulary = Vocabulary::with_capacity(self.texts.len());
        for (_, text, kind) in self.iter() {
            match kind {
                Type::Control | Type::Unknown => vocabulary.push(text.as_bytes(), Kind::Special),
                Type::UserDefined => vocabulary.push(text.as_bytes(), Kind::Text),
                Type::Byte => match fallback_byte(text) {
                    Some(byte) => vocabulary.push(&[byte], Kind::Text),
                    None => vocabulary.push(text.as_bytes(), Kind::Text),
                },
                Type::Normal | Type::Unused if model == Model::Gpt2 => vocabulary.push(&unspell(text), Kind::Text),
                Type::Normal | Type::Unused => vocabulary.push(text.replace(SPACE, " ").as_bytes(), Kind::Text),
            }
        }
        vocabulary
    }

    /// Tokens that a text may become by merging, by text.
    fn index(&self, take: impl Fn(Type) -> bool) -> Vocab {
        self.iter().filter(|(_, _, kind)| take(*kind)).map(|(id, text, _)| (text.to_owned(), id)).collect()
    }

    fn byte_level(&self, metadata: &Metadata, pre: &pre_tokenizer::PreTokenizer) -> Result<ByteLevel, Error> {
        let merges = strings(metadata, MERGES)?.ok_or(Error::Missing { key: MERGES })?;
        let steering = |kind| matches!(kind, Type::Control | Type::Unknown);
        let control: HashSet<&str> =
            self.iter().filter(|(_, _, kind)| steering(*kind)).map(|(_, text, _)| text).collect();
        let splitter = Splitter::new(pre.patterns)?;
        ByteLevel::from_merges(splitter, self.index(|kind| !steering(kind)), &control, merges, pre.ignore_merges)
    }

    fn scores(&self, metadata: &Metadata) -> Result<Vec<f32>, Error> {
        let scores = match metadata.array(SCORES).map_err(Error::Metadata)? {
            None => return Err(Error::Missing { key: SCORES }),
            Some(Array::F32(scores)) => scores.clone(),
            Some(other) => {
                return Err(Error::malformed(SCORES, format!("elements are {}, not f32", other.element_type())));
            }
        };
        same_length(SCORES, scores.len(), self.texts.len())?;
        Ok(scores)
    }

    fn scored(&self, metadata: &Metadata, unknown: Option<u32>, space_prefix: bool) -> Result<Scored, Error> {
        Scored::new(Parts {
            pieces: self.index(|kind| kind == Type::Normal),
            scores: self.scores(metadata)?,
            bytes: self
                .iter()
                .filter(|(_, _, kind)| *kind == Type::Byte)
                .map(|(id, text, _)| (text.to_owned(), id))
                .collect(),
            unknown,
            space_prefix,
        })
    }

    fn unigram(&self, metadata: &Metadata, unknown: Option<u32>, space_prefix: bool) -> Result<Pipeline, Error> {
        let scores = self.scores(metadata)?;
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::malformed(SCORES, format!("entry {index} is not a finite number")));
        }
        let pieces = self
            .iter()
            .zip(&scores)
            .map(|((id, text, kind), score)| {
                // The model's ids are positions, so no token can be left out: those that a text must not become get
                // a name with a space, which no text has when it comes to the model.
                let reachable = matches!(kind, Type::Normal | Type::UserDefined) && !text.is_empty();
                (if reachable { text.to_owned() } else { format!(" {id}") }, f64::from(*score))
            })
            .collect();
        let byte_fallback = self.types.contains(&Type::Byte);
        let model = Unigram::from(pieces, unknown.map(|id| id as usize), byte_fallback)
            .map_err(Error::library("making the unigram model"))?;
        let normalizer = match metadata.array(CHARSMAP).map_err(Error::Metadata)? {
            None => None,
            Some(array) => {
                let map: Vec<u8> = integers(CHARSMAP, array)?.iter().map(|&byte| byte as u8).collect();
                let map = Precompiled::from(&map).map_err(|problem| Error::malformed(CHARSMAP, problem.to_string()))?;
                Some(NormalizerWrapper::Precompiled(map))
            }
        };
        let remove_extra = flag(metadata, "tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false);
        let scheme = if space_prefix { PrependScheme::Always } else { PrependScheme::Never };
        let spaces = PreTokenizerWrapper::Metaspace(Metaspace::new(SPACE, scheme, true));
        let pre_tokenizer = if remove_extra {
            // Spaces only: to SentencePiece, other white space is what its normaliser makes of it.
            let gaps = Split::new(SplitPattern::Regex(" +".into()), SplitDelimiterBehavior::Removed, false)
                .map_err(Error::library("making the pattern of spaces"))?;
            PreTokenizerWrapper::Sequence(Sequence::new(vec![PreTokenizerWrapper::Split(gaps), spaces]))
        } else {
            spaces
        };
        Ok(Pipeline::new(normalizer, Some(pre_tokenizer), model.into(), AddedTokens::new(Vec::new())?))
    }

    fn word_piece(&self, unknown: Option<u32>) -> Result<Pipeline, Error> {
        let unknown = unknown.ok_or(Error::Missing { key: "tokenizer.ggml.unknown_token_id" })?;
        // The converter marks the first piece of a word with the space and leaves the others bare, which is the
        // reverse of WordPiece's own `##`.
        let words: Vocab = self
            .iter()
            .map(|(id, text, kind)| match (kind, text.strip_prefix(SPACE)) {
                (Type::Normal, Some(word)) => (word.to_owned(), id),
                (Type::Normal, None) => (format!("##{text}"), id),
                _ => (text.to_owned(), id),
            })
            .collect();
        // Lower case and no accents unless the vocabulary itself has capitals. Of ASCII: some other capitals, such as 𝔘,
        // have no lower case and so are in every vocabulary.
        let capital = |text: &str| text.bytes().any(|byte| byte.is_ascii_uppercase());
        let cased = self.iter().any(|(_, text, kind)| kind == Type::Normal && capital(text));
        let model = WordPiece::builder()
            .vocab(words)
            .unk_token(self.texts[unknown as usize].clone())
            .build()
            .map_err(Error::library("making the WordPiece model"))?;
        let normalizer = NormalizerWrapper::BertNormalizer(BertNormalizer::new(true, true, None, !cased));
        let pre_tokenizer = PreTokenizerWrapper::BertPreTokenizer(BertPreTokenizer);
        Ok(Pipeline::new(Some(normalizer), Some(pre_tokenizer), model.into(), AddedTokens::new(Vec::new())?))
    }

    fn finish(
        &self,
        codec: Codec,
        mut vocabulary: Vocabulary,
        mut framing: Framing,
        leading_space: bool,
        infill: Option<Infill>,
    ) -> Result<Tokenizer, Error> {
        framing.ends.sort_unstable();
        framing.ends.dedup();
        // Some files mark these as ordinary; shown in an answer or hidden in a text they would do harm.
        let steering: Vec<u32> = framing.bos.iter().chain(&framing.ends).copied().collect();
        steering.iter().for_each(|&token| vocabulary.make_special(token));
        let added: Vec<AddedToken> = self
            .iter()
            .filter_map(|(id, text, kind)| {
                let special = vocabulary.is_special(id);
                (special || kind == Type::UserDefined).then(|| AddedToken::plain(id, text, special))
            })
            .collect();
        let special_names = added.iter().filter(|token| token.special).map(|token| token.content.clone()).collect();
        let added = AddedTokens::new(added)?;
        Ok(Tokenizer { codec, added, vocabulary, framing, special_names, leading_space, infill })
    }
}

fn string<'a>(metadata: &'a Metadata, key: &str) -> Result<Option<&'a str>, Error> {
    metadata.str(key).map_err(Error::Metadata)
}

fn flag(metadata: &Metadata, key: &str) -> Result<Option<bool>, Error> {
    metadata.bool(key).map_err(Error::Metadata)
}

/// The token that a key names; its default only where the vocabulary has it.
fn special(
    metadata: &Metadata,
    vocabulary: &Vocabulary,
    key: &str,
    default: Option<u32>,
) -> Result<Option<u32>, Error> {
    match metadata.u64(key).map_err(Error::Metadata)? {
        Some(token) => vocabulary.check(key, token).map(Some),
        None => Ok(default.filter(|token| *token < vocabulary.len())),
    }
}

fn strings<'a>(metadata: &'a Metadata, key: &str) -> Result<Option<&'a [String]>, Error> {
    match metadata.array(key).map_err(Error::Metadata)? {
        None => Ok(None),
        Some(Array::Str(strings)) => Ok(Some(strings)),
        Some(other) => Err(Error::malformed(key, format!("elements are {}, not strings", other.element_type()))),
    }
}

fn integers(key: &str, array: &Array) -> Result<Vec<i64>, Error> {
    Ok(match array {
        Array::U8(numbers) => numbers.iter().map(|&number| number.into()).collect(),
        Array::I8(numbers) => numbers.iter().map(|&number| number.into()).collect(),
        Array::U16(numbers) => numbers.iter().map(|&number| number.into()).collect(),
        Array::I16(numbers) => numbers.iter().map(|&number| number.into()).collect(),
        Array::U32(numbers) => numbers.iter().map(|&number| number.into()).collect(),
        Array::I32(numbers) => numbers.iter().map(|&number| number.into()).collect(),
        other => {
            return Err(Error::malformed(key, format!("elements are {}, not integers", other.element_type())));
        }
    })
}

fn same_length(key: &str, found: usize, tokens: usize) -> Result<(), Error> {
    if found == tokens {
        return Ok(());
    }
    Err(Error::malformed(key, format!("{found} entries for {tokens} tokens")))
}
