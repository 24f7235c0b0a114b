//! A tokenizer from a Hugging Face folder.
//!
//! `tokenizer.json` is the `tokenizers` library's own format; the other files are those that `transformers` writes
//! beside it. Truncation and padding, which they may ask for too, are not done here: the caller counts tokens itself.

use std::{fs::File, io::Read, path::Path};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokenizers::{
    Encoding, Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, PostProcessor,
    PostProcessorWrapper, PreTokenizerWrapper, Token,
    models::{bpe::BPE, unigram::Unigram, wordlevel::WordLevel, wordpiece::WordPiece},
    pre_tokenizers::split::SplitPattern,
    tokenizer::SplitDelimiterBehavior,
};

use crate::{
    Error, Tokenizer,
    added::{AddedToken, AddedTokens},
    byte_level::ByteLevel,
    infill::Infill,
    pipeline::Pipeline,
    pre_tokenizer::GPT2,
    split::Splitter,
    surface::Surface,
    tokenizer::{Codec, Framing, named_ends},
    vocabulary::{Kind, MOST_TOKENS, Vocabulary, check_name},
};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_MAP: &str = "special_tokens_map.json";

/// The largest file that is read; those in use are below 40 MB.
const MOST_BYTES: u64 = 256 << 20;

/// The longest word that WordPiece may be told to look into, in characters.
const MOST_WORD: u64 = 256;

/// `tokenizer.json`.
#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Option<NormalizerWrapper>,
    #[serde(default)]
    pre_tokenizer: Option<PreTokenizerWrapper>,
    #[serde(default)]
    post_processor: Option<PostProcessorWrapper>,
    #[serde(default)]
    decoder: Option<Value>,
    model: Value,
}

/// An entry of `added_tokens`.
#[derive(Debug, Clone, Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

impl Added {
    /// Its name as it looks in normalised text.
    fn normalize(&self, normalizer: &NormalizerWrapper) -> Result<String, Error> {
        let mut name = NormalizedString::from(self.content.as_str());
        normalizer.normalize(&mut name).map_err(Error::library("normalising an added token"))?;
        Ok(name.get().to_owned())
    }
}

/// `tokenizer_config.json` and `special_tokens_map.json`, as far as they matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    bos_token: Option<Name>,
    eos_token: Option<Name>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
}

/// A token's name, alone or with its properties.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Name {
    Plain(String),
    Token { content: String },
}

impl Name {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Token { content: text } => text,
        }
    }
}

/// `config.json` and `generation_config.json`, as far as they matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ids {
    bos_token_id: Option<OneOrMany>,
    eos_token_id: Option<OneOrMany>,
    /// Models that also see keep their text model's settings here.
    text_config: Option<Box<Ids>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u64),
    Many(Vec<u64>),
}

impl OneOrMany {
    fn all(&self) -> &[u64] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

/// Reads a folder's tokenizer.
pub(crate) fn load(folder: &Path) -> Result<Tokenizer, Error> {
    let Some(mut definition): Option<Definition> = read(&folder.join(TOKENIZER))? else {
        return Err(Error::malformed(
            folder.join(TOKENIZER).display().to_string(),
            "there is no such file; a tokenizer in another form must be converted with transformers first",
        ));
    };
    let model = model(std::mem::take(&mut definition.model), &definition.added_tokens)?;
    for token in &mut definition.added_tokens {
        // Where the two disagree, the library believes the model, and so must we.
        token.id = model.token_to_id(&token.content).unwrap_or(token.id);
    }
    let mut surface = Surface::of(definition.decoder.as_ref());
    surface.byte_fallback |= match &model {
        ModelWrapper::BPE(model) => model.byte_fallback,
        ModelWrapper::Unigram(model) => model.byte_fallback(),
        _ => false,
    };
    let vocabulary = vocabulary(&model, &definition, &surface)?;
    let id = |name: &str| {
        let added = definition.added_tokens.iter().find(|token| token.content == name).map(|token| token.id);
        added.or_else(|| model.token_to_id(name))
    };
    let framing = framing(folder, &definition, &vocabulary, id)?;
    let infill = Infill::of([None; 3], id);
    assemble(definition, model, vocabulary, framing, surface, infill)
}

/// The model by its type, which spares the library's search among all types.
fn model(mut value: Value, added: &[Added]) -> Result<ModelWrapper, Error> {
    refuse_overlong_words(&value)?;
    let kind = value.as_object_mut().and_then(|model| {
        // Merging at random is for training.
        model.remove("dropout");
        // The library's models take an owned value only without this field, as its own search hands it to them.
        model.remove("type")
    });
    let parse = move || -> serde_json::Result<ModelWrapper> {
        match kind.as_ref().and_then(Value::as_str) {
            Some("BPE") => serde_json::from_value::<BPE>(value).map(Into::into),
            Some("WordPiece") => serde_json::from_value::<WordPiece>(value).map(Into::into),
            Some("Unigram") => {
                hide_special(&mut value, added);
                serde_json::from_value::<Unigram>(value).map(Into::into)
            }
            Some("WordLevel") => serde_json::from_value::<WordLevel>(value).map(Into::into),
            Some(other) => Err(serde::de::Error::custom(format!("`{other}` is no known type of model"))),
            // Old files do not say.
            None => serde_json::from_value(value),
        }
    };
    parse().map_err(|problem| Error::Library {
        doing: "reading the model in tokenizer.json",
        problem: problem.to_string(),
    })
}

/// WordPiece takes quadratic time for a word, so a file must not let words be long.
fn refuse_overlong_words(model: &Value) -> Result<(), Error> {
    const FIELD: &str = "max_input_chars_per_word";
    match model.get(FIELD).and_then(Value::as_u64) {
        Some(most) if most > MOST_WORD => {
            let problem = format!("{most}, more than the {MOST_WORD} that are accepted; 100 is usual");
            Err(Error::malformed(format!("{TOKENIZER}: {FIELD}"), problem))
        }
        _ => Ok(()),
    }
}

/// A unigram model takes any piece that the text holds, so special tokens get a name with a space, which no text has
/// when it comes to the model. They are found by their real name before that.
fn hide_special(model: &mut Value, added: &[Added]) {
    let Some(pieces) = model.get_mut("vocab").and_then(Value::as_array_mut) else { return };
    for token in added.iter().filter(|token| token.special) {
        if let Some(name) = pieces.get_mut(token.id as usize).and_then(|piece| piece.get_mut(0))
            && name.as_str() == Some(&token.content)
        {
            *name = Value::String(format!(" {}", token.id));
        }
    }
}

fn vocabulary(model: &ModelWrapper, definition: &Definition, surface: &Surface) -> Result<Vocabulary, Error> {
    let Definition { added_tokens: added, normalizer, .. } = definition;
    let trained = model.get_vocab();
    let highest = trained.values().copied().chain(added.iter().map(|token| token.id)).max();
    let size = match highest {
        Some(highest) if (highest as usize) < MOST_TOKENS => highest as usize + 1,
        found => {
            let problem = format!("the highest token id is {found:?}, which must be below {MOST_TOKENS}");
            return Err(Error::malformed(TOKENIZER, problem));
        }
    };
    let mut tokens: Vec<Option<(Vec<u8>, Kind)>> = vec![None; size];
    for (name, id) in &trained {
        check_name(TOKENIZER, *id, name)?;
        tokens[*id as usize] = Some((surface.bytes(name), Kind::Text));
    }
    for token in added {
        tokens[token.id as usize] = Some(match normalizer {
            _ if token.special => (token.content.as_bytes().to_vec(), Kind::Special),
            // What was found in normalised text is written as normalised text.
            Some(normalizer) if token.normalized => (surface.bytes(&token.normalize(normalizer)?), Kind::Text),
            _ => (token.content.as_bytes().to_vec(), Kind::Text),
        });
    }
    let mut vocabulary = Vocabulary::with_capacity(size);
    for token in tokens {
        match token {
            Some((bytes, kind)) => vocabulary.push(&bytes, kind),
            None => vocabulary.push(&[], Kind::Hole),
        }
    }
    Ok(vocabulary)
}

fn framing(
    folder: &Path,
    definition: &Definition,
    vocabulary: &Vocabulary,
    id: impl Fn(&str) -> Option<u32>,
) -> Result<Framing, Error> {
    let settings: Settings = read(&folder.join(TOKENIZER_CONFIG))?.unwrap_or_default();
    let map: Settings = read(&folder.join(SPECIAL_MAP))?.unwrap_or_default();
    let mut framing = Framing::default();
    (framing.prefix, framing.suffix) = template(definition.post_processor.as_ref(), vocabulary)?;
    let named = |first: &Option<Name>, second: &Option<Name>| {
        first.as_ref().or(second.as_ref()).and_then(|name| id(name.text()))
    };
    framing.bos = named(&settings.bos_token, &map.bos_token);
    framing.eos = named(&settings.eos_token, &map.eos_token);
    for file in [GENERATION, CONFIG] {
        let outer: Ids = read(&folder.join(file))?.unwrap_or_default();
        for ids in [Some(&outer), outer.text_config.as_deref()].into_iter().flatten() {
            let check = |ids: &Option<OneOrMany>, field: &str| -> Result<Vec<u32>, Error> {
                let ids = ids.iter().flat_map(|ids| ids.all());
                ids.map(|id| vocabulary.check(&format!("{file}: {field}"), *id)).collect()
            };
            framing.bos = framing.bos.or(check(&ids.bos_token_id, "bos_token_id")?.first().copied());
            let ends = check(&ids.eos_token_id, "eos_token_id")?;
            framing.eos = framing.eos.or(ends.first().copied());
            framing.ends.extend(ends);
        }
    }
    match (settings.add_bos_token, framing.bos) {
        (Some(true), Some(bos)) if !framing.prefix.contains(&bos) => framing.prefix.insert(0, bos),
        (Some(false), Some(bos)) => framing.prefix.retain(|token| *token != bos),
        _ => {}
    }
    match (settings.add_eos_token, framing.eos) {
        (Some(true), Some(eos)) if !framing.suffix.contains(&eos) => framing.suffix.push(eos),
        (Some(false), Some(eos)) => framing.suffix.retain(|token| *token != eos),
        _ => {}
    }
    framing.ends.extend(framing.eos);
    framing.ends.extend(named_ends(id));
    framing.ends.sort_unstable();
    framing.ends.dedup();
    Ok(framing)
}

/// What the post-processor puts around a text: it is asked to frame one token that is none.
fn template(processor: Option<&PostProcessorWrapper>, vocabulary: &Vocabulary) -> Result<(Vec<u32>, Vec<u32>), Error> {
    const STAND_IN: u32 = u32::MAX;
    let Some(processor) = processor else { return Ok((Vec::new(), Vec::new())) };
    let text = Encoding::from_tokens(vec![Token::new(STAND_IN, String::new(), (0, 0))], 0);
    let framed = processor.process(text, None, true).map_err(Error::library("framing a text"))?;
    let mut parts = framed.get_ids().splitn(2, |id| *id == STAND_IN);
    let mut part = || -> Result<Vec<u32>, Error> {
        let ids = parts.next().unwrap_or_default();
        ids.iter().map(|id| vocabulary.check("tokenizer.json: post_processor", (*id).into())).collect()
    };
    Ok((part()?, part()?))
}

fn assemble(
    definition: Definition,
    model: ModelWrapper,
    mut vocabulary: Vocabulary,
    framing: Framing,
    surface: Surface,
    infill: Option<Infill>,
) -> Result<Tokenizer, Error> {
    let steering: Vec<u32> = framing.bos.iter().chain(&framing.ends).copied().collect();
    steering.iter().for_each(|&token| vocabulary.make_special(token));
    let mut raw = Vec::new();
    let mut normalized = Vec::new();
    for token in &definition.added_tokens {
        let mut added = AddedToken {
            id: token.id,
            content: token.content.clone(),
            special: vocabulary.is_special(token.id),
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            single_word: token.single_word,
        };
        match definition.normalizer.as_ref().filter(|_| token.normalized) {
            None => raw.push(added),
            Some(normalizer) => {
                let name = token.normalize(normalizer)?;
                if name == token.content && is_unicode_form(normalizer) {
                    raw.push(added);
                } else {
                    added.content = name;
                    normalized.push(added);
                }
            }
        }
    }
    // As somebody would write them, also where they are looked for in another form.
    let special = definition.added_tokens.iter().filter(|token| vocabulary.is_special(token.id));
    let special_names = special.map(|token| token.content.clone()).collect();
    let codec = match quick_patterns(&definition, &model).filter(|_| normalized.is_empty()) {
        Some(patterns)
            if let Ok(splitter) = splitter(&patterns)
                && let ModelWrapper::BPE(model) = model =>
        {
            Codec::ByteLevel(ByteLevel::new(splitter, model, definition.normalizer))
        }
        _ => Codec::Pipeline(Pipeline::new(
            definition.normalizer,
            definition.pre_tokenizer,
            model,
            AddedTokens::new(normalized)?,
        )),
    };
    let leading_space = surface.drop_space;
    Ok(Tokenizer { codec, added: AddedTokens::new(raw)?, vocabulary, framing, special_names, leading_space, infill })
}

fn is_unicode_form(normalizer: &NormalizerWrapper) -> bool {
    use NormalizerWrapper::{NFC, NFD, NFKC, NFKD};
    matches!(normalizer, NFC(_) | NFD(_) | NFKC(_) | NFKD(_))
}

/// The patterns of a byte-level BPE that needs nothing else, which is then done without the library's stages.
fn quick_patterns(definition: &Definition, model: &ModelWrapper) -> Option<Vec<String>> {
    let ModelWrapper::BPE(bpe) = model else { return None };
    let plain = bpe.dropout.is_none() && bpe.continuing_subword_prefix.as_ref().is_none_or(String::is_empty);
    let suffix = bpe.end_of_word_suffix.as_ref().is_none_or(String::is_empty);
    if !plain || !suffix || !definition.normalizer.as_ref().is_none_or(is_unicode_form) {
        return None;
    }
    let mut patterns = Vec::new();
    let stages = match definition.pre_tokenizer.as_ref()? {
        PreTokenizerWrapper::Sequence(sequence) => sequence.as_ref(),
        one => std::slice::from_ref(one),
    };
    let (last, before) = stages.split_last()?;
    for stage in before {
        match stage {
            PreTokenizerWrapper::Split(split)
                if !split.invert && split.behavior == SplitDelimiterBehavior::Isolated =>
            {
                match &split.pattern {
                    SplitPattern::Regex(pattern) => patterns.push(pattern.clone()),
                    SplitPattern::String(text) => patterns.push(regex::escape(text)),
                }
            }
            PreTokenizerWrapper::Digits(digits) if digits.individual_digits => patterns.push(r"\p{N}".to_owned()),
            PreTokenizerWrapper::Digits(_) => patterns.push(r"\p{N}+".to_owned()),
            _ => return None,
        }
    }
    match last {
        PreTokenizerWrapper::ByteLevel(level) if !level.add_prefix_space => {
            if level.use_regex {
                patterns.push(GPT2.to_owned());
            }
            Some(patterns)
        }
        _ => None,
    }
}

fn splitter(patterns: &[String]) -> Result<Splitter, Error> {
    Splitter::new(&patterns.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A JSON file; `None` when it is not there.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(problem) => return Err(failed(problem)),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::malformed(path.display().to_string(), format!("longer than {MOST_BYTES} bytes")));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Parse { path: path.to_owned(), source })
}
