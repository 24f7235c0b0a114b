//! The vocabulary as the parser needs it: a trie over the bytes of all tokens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv};

/// Longer tokens, which the trie cannot hold, are never allowed.
const MOST_BYTES: usize = 1000;

/// The tokens of one model.
pub struct Vocabulary {
    trie: TokTrie,
    special: Vec<bool>,
}

impl Vocabulary {
    /// From each token's bytes, in order of ids, and whether it is special (then the bytes are its name). An id that no token
    /// has is empty. `ends` are the tokens that end an answer.
    ///
    /// `None` when no token ends an answer, or when there are too many tokens.
    pub fn new<'a>(tokens: impl Iterator<Item = (&'a [u8], bool)>, ends: &[TokenId]) -> Option<Self> {
        let (mut words, mut special) = (Vec::new(), Vec::new());
        for (bytes, is_special) in tokens {
            words.push(match is_special {
                _ if bytes.is_empty() || bytes.len() > MOST_BYTES => Vec::new(),
                // The mark keeps what is special apart from all text: it is a byte that UTF-8 does not have.
                true => [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat(),
                false if bytes[0] == TokTrie::SPECIAL_TOKEN_MARKER => Vec::new(),
                false => bytes.to_vec(),
            });
            special.push(is_special);
        }
        let info = TokRxInfo::new(words.len().try_into().ok()?, *ends.first()?);
        // The trie asserts that it is not too large.
        let trie = catch_unwind(AssertUnwindSafe(|| TokTrie::from(&info, &words).with_eos_tokens(ends))).ok()?;
        Some(Self { trie, special })
    }

    /// The bytes of a token, for a special one those of its name.
    pub(crate) fn bytes(&self, token: TokenId) -> &[u8] {
        let bytes = self.trie.token(token);
        if self.is_special(token) { bytes.get(1..).unwrap_or_default() } else { bytes }
    }

    /// The special token with this name.
    pub(crate) fn special(&self, name: &str) -> Option<TokenId> {
        self.trie.get_special_token(name)
    }

    /// The one token, special or not, whose bytes these are.
    pub(crate) fn token(&self, text: &str) -> Option<TokenId> {
        self.special(text).or_else(|| self.trie.token_id_at_bytes(text.as_bytes()))
    }

    /// Tokens that spell `text`, special ones where their names stand in it, else the longest first.
    pub(crate) fn spell(&self, text: &str) -> Vec<TokenId> {
        let tokens = self.parts(text).into_iter().map(|part| match part {
            Ok(token) => vec![token],
            Err(text) => self.trie.greedy_tokenize(text.as_bytes()),
        });
        tokens.flatten().collect()
    }

    /// The special tokens whose names stand in `text`, and the texts between them.
    pub(crate) fn parts<'a>(&self, text: &'a str) -> Vec<Result<TokenId, &'a str>> {
        let mut parts = Vec::new();
        let (mut plain, mut at) = (0, 0);
        while at < text.len() {
            let special = self.specials().filter(|&token| {
                let name = self.bytes(token);
                !name.is_empty() && text.as_bytes()[at..].starts_with(name)
            });
            match special.max_by_key(|&token| self.bytes(token).len()) {
                Some(token) => {
                    parts.extend((plain < at).then(|| Err(&text[plain..at])));
                    parts.push(Ok(token));
                    at += self.bytes(token).len();
                    plain = at;
                }
                None => at += text[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        parts.extend((plain < at).then(|| Err(&text[plain..at])));
        parts
    }

    fn specials(&self) -> impl Iterator<Item = TokenId> {
        self.special.iter().enumerate().filter(|(_, special)| **special).map(|(token, _)| token as TokenId)
    }

    /// Whether a token steers the model and has no text.
    pub(crate) fn is_special(&self, token: TokenId) -> bool {
        self.special.get(token as usize).copied().unwrap_or(false)
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.special.len()
    }

    /// The tokens that end an answer.
    pub(crate) fn ends(&self) -> &[TokenId] {
        self.trie.eos_tokens()
    }
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        self.trie.greedy_tokenize(text)
    }

    /// The model's own merges are not known here, so text is never forced as certain tokens: the model chooses how it spells
    /// what it must write.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}
