//! The literal table from a GGUF's `tokenizer.ggml.pre` to the patterns that cut text before byte-level BPE.
//!
//! The names and what they mean are llama.cpp's (`llm_tokenizer_bpe` and the list of names in its `llama-vocab.cpp`);
//! where it rewrote a model's own pattern for its engine, the pattern here is the model's own. Names that need a
//! look-ahead into the digits of a number (superbpe, afmoe, kimi-k2) are not here: an unknown name is an error.

use crate::Error;

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PreTokenizer {
    /// The names in `tokenizer.ggml.pre`.
    pub names: &'static [&'static str],
    /// Applied one after the other.
    pub patterns: &'static [&'static str],
    /// A piece that is a token as it stands is that token, whatever the merges say.
    pub ignore_merges: bool,
    /// BOS in front, unless the file says otherwise.
    pub add_bos: bool,
}

/// GPT-2's own (`encoder.py`).
pub(crate) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3's, which is also GPT-4's (cl100k) in all that matters.
pub(crate) const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's: Llama 3's with single digits.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5's: combining marks belong to words.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// GPT-4o's (o200k).
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's Tekken: GPT-4o's without contractions, with single digits.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// DeepSeek V3's last stage.
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// Bailing's.
const BAILING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
/// Seed-Coder's.
const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
/// BLOOM's words.
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
/// The Chinese, Japanese and Korean characters as DeepSeek's first models take them.
const DEEPSEEK_CJK: &str = r"[一-龥ࠀ-一가-퟿]+";
/// The cased letters that DeepSeek LLM lists one by one; those that editors like to normalise are written as numbers.
const DEEPSEEK_LETTERS: &str = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ\\x{1F5F}-\\x{1F7D}ᾀ-ᾴᾶ-ᾼ\\x{1FBE}ῂ-ῄῆ-ῌ\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}ῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\x{2126}ℨ\\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";

const fn plain(names: &'static [&'static str], patterns: &'static [&'static str]) -> PreTokenizer {
    PreTokenizer { names, patterns, ignore_merges: false, add_bos: false }
}

/// All that is known.
pub(crate) static TABLE: &[PreTokenizer] = &[
    plain(&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    plain(
        &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
        ],
        &[GPT2],
    ),
    PreTokenizer {
        ignore_merges: true,
        add_bos: true,
        ..plain(&["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"], &[LLAMA3])
    },
    plain(&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], &[LLAMA3]),
    PreTokenizer { ignore_merges: true, add_bos: true, ..plain(&["tekken"], &[TEKKEN]) },
    plain(&["qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"], &[QWEN2]),
    plain(&["qwen35"], &[QWEN35]),
    plain(&["gpt-4o", "llama4", "minimax-m2"], &[GPT4O]),
    plain(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[r"\p{N}", GPT2],
    ),
    plain(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    plain(&["deepseek-v3", "hunyuan-dense", "joyai-llm"], &[r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3]),
    plain(
        &["deepseek-llm"],
        &["[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", DEEPSEEK_CJK, r"\p{N}+"],
    ),
    plain(&["deepseek-coder"], &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"]),
    plain(&["bailingmoe", "bailingmoe2", "llada-moe"], &[BAILING]),
    plain(&["seed-coder"], &[SEED_CODER]),
    plain(&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM]),
    plain(&["viking"], &[BLOOM, r"\p{N}"]),
    PreTokenizer {
        add_bos: true,
        ..plain(
            &["chameleon"],
            &[
                "<sentinel:[0-9]+>",
                "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                r"([\t\n]|    |  )",
                r"\p{N}",
                r"[\p{P}!-/:-@\[-`{-~]",
                GPT2,
            ],
        )
    },
];

/// The entry for a name.
///
/// # Errors
/// [`Error::UnknownPreTokenizer`] with all known names.
pub(crate) fn find(name: &str) -> Result<&'static PreTokenizer, Error> {
    TABLE.iter().find(|entry| entry.names.contains(&name)).ok_or_else(|| {
        let mut known: Vec<&str> = TABLE.iter().flat_map(|entry| entry.names).copied().collect();
        known.sort_unstable();
        Error::UnknownPreTokenizer { found: name.to_owned(), known: known.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Splitter;

    #[track_caller]
    fn check(name: &str, text: &str, expect: &[&str]) {
        let splitter = Splitter::new(find(name).unwrap().patterns).unwrap();
        let pieces: Vec<&str> = splitter.split(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(pieces, expect, "{name}");
    }

    #[test]
    fn names_stand_once_and_patterns_compile() {
        let mut names: Vec<&str> = TABLE.iter().flat_map(|entry| entry.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        for entry in TABLE {
            Splitter::new(entry.patterns).unwrap();
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let problem = find("superbpe").unwrap_err().to_string();
        assert!(problem.contains("superbpe") && problem.contains("llama-bpe"), "{problem}");
    }

    #[test]
    fn pieces_of_each_family() {
        check("gpt-2", "I'll 12345 x!", &["I", "'ll", " 12345", " x", "!"]);
        check("llama-bpe", "I'LL 12345 x!\n\n y", &["I", "'LL", " ", "123", "45", " x", "!\n\n", " y"]);
        check("qwen2", "12 a", &["1", "2", " a"]);
        check("tekken", "HelloWorld's 12/", &["Hello", "World", "'s", " ", "1", "2", "/"]);
        check("gpt-4o", "HelloWorld's 1234/\n", &["Hello", "World's", " ", "123", "4", "/\n"]);
        check("smollm", "a 12", &["a", " ", "1", "2"]);
        check("falcon", "a, 1234", &["a", ",", " ", "123", "4"]);
        check("default", "a, 1234", &["a", ",", " ", "123", "4"]);
        check("deepseek-v3", "你好a 1234!", &["你好", "a", " ", "123", "4", "!"]);
        check("deepseek-llm", "Hi, 你好 12\n", &["Hi", ",", " ", "你好", " ", "12", "\n"]);
        check("deepseek-coder", "Hi, 12", &["Hi", ",", " ", "1", "2"]);
        check("bloom", "Hi, du", &["Hi", ",", " du"]);
        check("viking", "Hi 12", &["Hi", " ", "1", "2"]);
        check("chameleon", "a  12", &["a", "  ", "1", "2"]);
        check("bailingmoe", "a'LL 12\n", &["a", "'LL", " ", "1", "2", "\n"]);
        check("seed-coder", "x!\n1", &["x", "!", "\n", "1"]);
        check("qwen35", "नमस्ते 1", &["नमस्ते", " ", "1"]);
    }
}
