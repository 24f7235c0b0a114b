//! Fills a gap in a text: prefix and suffix become a prompt whose answer is what stands between them.
//!
//! Models that were trained for it (Bavarian et al. 2022, "Efficient training of language models to fill in the middle") have
//! tokens that mark the three parts, and the order here is that of all of them: prefix, suffix, then the middle, which the
//! model writes.

use crate::{Error, Special, Tokenizer};

/// Names of the token before the prefix: of Qwen, CodeGemma and Granite, StarCoder, SantaCoder, DeepSeek and CodeLlama.
const PREFIXES: [&str; 6] = ["<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<｜fim▁begin｜>", "▁<PRE>", "<PRE>"];

/// Names of the token between prefix and suffix.
const SUFFIXES: [&str; 6] = ["<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<｜fim▁hole｜>", "▁<SUF>", "<SUF>"];

/// Names of the token behind the suffix.
const MIDDLES: [&str; 6] = ["<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<｜fim▁end｜>", "▁<MID>", "<MID>"];

/// Names of tokens that end the middle, beside those that end any answer: they fill up, or begin another file.
const ENDS: [&str; 9] = [
    "<|fim_pad|>",
    "<fim_pad>",
    "<fim-pad>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<|file_separator|>",
    "<file_sep>",
    "▁<EOT>",
    "<EOT>",
];

/// Stands before a suffix whose own first space is not to be doubled. No merge crosses it.
const GUARD: &str = "☺";

/// The tokens with which a model fills gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Infill {
    prefix: u32,
    suffix: u32,
    middle: u32,
    ends: Vec<u32>,
}

impl Infill {
    /// By the tokens that a model's file names, else by their usual names; `None` where one is missing. `named` are those
    /// before the prefix, between the two, and behind the suffix.
    pub(crate) fn of(named: [Option<u32>; 3], id: impl Fn(&str) -> Option<u32>) -> Option<Self> {
        let [prefix, suffix, middle] = named;
        let find = |named: Option<u32>, names: &[&str]| named.or_else(|| names.iter().find_map(|name| id(name)));
        Some(Self {
            prefix: find(prefix, &PREFIXES)?,
            suffix: find(suffix, &SUFFIXES)?,
            middle: find(middle, &MIDDLES)?,
            ends: ENDS.iter().filter_map(|name| id(name)).collect(),
        })
    }

    /// The tokens that end the middle, beside those that end any answer.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }
}

impl Tokenizer {
    /// How the model fills gaps; `None` where its vocabulary has no tokens for that.
    pub fn infill(&self) -> Option<&Infill> {
        self.infill.as_ref()
    }

    /// The prompt for what stands between `prefix` and `suffix`, framed as the model wants it. Names of special tokens in
    /// the two are text: what is to be completed may be about them.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_gap(&self, infill: &Infill, prefix: &str, suffix: &str) -> Result<Vec<u32>, Error> {
        let plain = |text: &str| self.encode(text, Special { add: false, parse: false }, &[]);
        let mut tokens = self.framing.prefix.clone();
        tokens.push(infill.prefix);
        tokens.extend(plain(prefix)?);
        tokens.push(infill.suffix);
        tokens.extend(match self.drops_leading_space() {
            true => {
                let (guard, guarded) = (plain(GUARD)?, plain(&format!("{GUARD}{suffix}"))?);
                guarded.strip_prefix(&guard[..]).map_or_else(|| plain(suffix), |rest| Ok(rest.to_vec()))?
            }
            false => plain(suffix)?,
        });
        tokens.push(infill.middle);
        Ok(tokens)
    }
}
