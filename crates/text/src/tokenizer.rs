//! The tokenizer: one model's way from text to tokens and back.

use std::{ops::Range, path::Path};

use crate::{
    Error,
    added::{AddedTokens, literal_ranges},
    byte_level::ByteLevel,
    detokenizer::Decoding,
    error::guarded,
    folder, gguf,
    infill::Infill,
    pipeline::Pipeline,
    scored::Scored,
    vocabulary::Vocabulary,
};

/// A model's tokenizer; immutable and shared.
pub struct Tokenizer {
    pub(crate) codec: Codec,
    pub(crate) added: AddedTokens,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) framing: Framing,
    /// Names of special tokens, as they are written in a text.
    pub(crate) special_names: Vec<String>,
    /// Encoding puts a space in front of a text, and decoding takes it away again.
    pub(crate) leading_space: bool,
    /// How the model fills gaps, where it does.
    pub(crate) infill: Option<Infill>,
}

/// How text between added tokens becomes tokens.
pub(crate) enum Codec {
    /// Byte-level BPE.
    ByteLevel(ByteLevel),
    /// SentencePiece's BPE over scores.
    Scored(Scored),
    /// The library's stages.
    Pipeline(Pipeline),
}

/// The tokens around a text, and those that end one.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// Begin of sequence.
    pub bos: Option<u32>,
    /// End of sequence.
    pub eos: Option<u32>,
    /// What [`Special::add`] puts in front.
    pub prefix: Vec<u32>,
    /// What [`Special::add`] puts behind.
    pub suffix: Vec<u32>,
    /// All that end an answer, ascending.
    pub ends: Vec<u32>,
}

/// What encode does with special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// Add BOS and EOS as the model asks. Never a second BOS when the text begins with one already (and `parse` is set).
    pub add: bool,
    /// Recognise special tokens written in the text.
    pub parse: bool,
}

impl Tokenizer {
    /// From a GGUF's metadata (`tokenizer.ggml.*`, as the GGUF specification names them).
    ///
    /// # Errors
    /// When a key is missing, of the wrong type, or contradicts another, and when `tokenizer.ggml.model` or
    /// `tokenizer.ggml.pre` is not known; the message lists those that are.
    pub fn from_gguf(metadata: &weights::Metadata) -> Result<Self, Error> {
        guarded("reading the metadata", || gguf::load(metadata))
    }

    /// From a Hugging Face folder: `tokenizer.json`, and `tokenizer_config.json`, `special_tokens_map.json`,
    /// `generation_config.json`, `config.json` for special and end tokens, as far as they are there.
    ///
    /// # Errors
    /// When `tokenizer.json` is missing, or a file cannot be read, parsed or believed.
    pub fn from_folder(folder: &Path) -> Result<Self, Error> {
        guarded("reading tokenizer.json", || folder::load(folder))
    }

    /// Token ids. `literal`: byte ranges of `text` in which special tokens are plain text; they do not cut it
    /// otherwise, and may come in any order.
    ///
    /// # Errors
    /// When a literal range is not a range of the text, or the text has a character that the vocabulary cannot spell.
    pub fn encode(&self, text: &str, special: Special, literal: &[Range<usize>]) -> Result<Vec<u32>, Error> {
        let literal = literal_ranges(text, literal)?;
        let segments = self.added.split(text, special.parse, &literal);
        let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
        if special.add {
            tokens.extend(&self.framing.prefix);
        }
        let framed = tokens.len();
        guarded("tokenising a text", || match &self.codec {
            Codec::ByteLevel(codec) => codec.encode(text, &segments, &mut tokens),
            Codec::Scored(codec) => codec.encode(text, &segments, &mut tokens),
            Codec::Pipeline(codec) => codec.encode(text, &segments, special.parse, &literal, &mut tokens),
        })?;
        if special.add {
            let Framing { prefix, suffix, .. } = &self.framing;
            // A text that brings its own frame keeps it, once.
            if special.parse && !prefix.is_empty() && tokens[framed..].starts_with(prefix) {
                tokens.drain(..framed);
            }
            let own = if special.parse { suffix.as_slice() } else { &[] };
            if own.is_empty() || !tokens.ends_with(own) {
                tokens.extend(suffix);
            }
        }
        Ok(tokens)
    }

    /// All text at once; invalid UTF-8 becomes U+FFFD. Special tokens are shown when `special`. The space that some
    /// tokenizers put in front of a text is taken away.
    ///
    /// # Errors
    /// [`Error::TokenOutside`] for an id outside the vocabulary.
    pub fn decode(&self, tokens: &[u32], special: bool) -> Result<String, Error> {
        let mut decoding = Decoding::whole(self);
        let mut text = String::new();
        for &token in tokens {
            if token >= self.vocabulary() {
                return Err(Error::TokenOutside { token, vocabulary: self.vocabulary() });
            }
            decoding.push(self, token, special, &mut text);
        }
        decoding.finish(&mut text);
        Ok(text)
    }

    /// The bytes that a token adds to the text (for a special token its name, e.g. `<|im_end|>`); `None` for an id
    /// outside the vocabulary or one that no token has.
    pub fn token_bytes(&self, token: u32) -> Option<&[u8]> {
        self.vocabulary.bytes(token)
    }

    /// Control and special tokens: not shown in answers.
    pub fn is_special(&self, token: u32) -> bool {
        self.vocabulary.is_special(token)
    }

    /// The number of ids; all are below it.
    pub fn vocabulary(&self) -> u32 {
        self.vocabulary.len()
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.framing.bos
    }

    /// The token that ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.framing.eos
    }

    /// All tokens that end an answer, ascending: end of sequence, of turn, of message, and those that
    /// `generation_config.json` names.
    pub fn end_tokens(&self) -> &[u32] {
        &self.framing.ends
    }

    /// Whether [`encode`](Self::encode) with [`Special::add`] puts a BOS in front.
    pub fn adds_bos(&self) -> bool {
        self.framing.bos.is_some_and(|bos| self.framing.prefix.contains(&bos))
    }

    /// The names of all special tokens as they would be recognised in a text, for whoever must keep them apart from
    /// what users write.
    pub fn special_names(&self) -> &[String] {
        &self.special_names
    }

    /// Whether a text begins with a space of the tokenizer's own.
    pub(crate) fn drops_leading_space(&self) -> bool {
        self.leading_space
    }
}

/// Names that end an answer wherever a vocabulary has them. A model's file names one end of sequence at most, while its
/// training used others for turns and messages. The names are those that llama.cpp treats so.
pub(crate) const END_NAMES: [&str; 18] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|end_of_turn|>",
    "<|endofturn|>",
    "<EOT>",
    "_<EOT>",
    "<｜end▁of▁sentence｜>",
    "[EOT]",
];

/// Which of the named tokens end an answer. Where `<|return|>` and `<|call|>` do (gpt-oss), `<|end|>` ends a message in
/// the middle of one.
pub(crate) fn named_ends(id: impl Fn(&str) -> Option<u32>) -> Vec<u32> {
    let inner_end = id("<|return|>").is_some() && id("<|call|>").is_some();
    END_NAMES.iter().filter(|name| !(inner_end && **name == "<|end|>")).filter_map(|name| id(name)).collect()
}
