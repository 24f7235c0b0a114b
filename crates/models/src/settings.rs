//! The hyper-parameters as a file spells them: GGUF key-value pairs, or a Hugging Face `config.json`.
//!
//! This knows the two spellings and checks types; what the numbers mean is [`crate::config`]'s subject.

use serde_json::Value as Json;
use weights::{Array, Checkpoint, Metadata, Value};

use crate::Error;

/// The two spellings of a setting. An empty one does not exist in that kind of file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// After the architecture's prefix, as in `llama.` + `block_count`.
    pub(crate) gguf: &'static str,
    /// In `config.json`.
    pub(crate) hugging_face: &'static str,
}

impl Key {
    pub(crate) const fn new(gguf: &'static str, hugging_face: &'static str) -> Self {
        Self { gguf, hugging_face }
    }
    pub(crate) const fn only_gguf(gguf: &'static str) -> Self {
        Self { gguf, hugging_face: "" }
    }
    pub(crate) const fn only_hugging_face(hugging_face: &'static str) -> Self {
        Self { gguf: "", hugging_face }
    }
}

/// Where settings are read from.
pub(crate) enum Settings<'a> {
    /// GGUF: keys begin with the architecture's name.
    Gguf { metadata: &'a Metadata, architecture: &'a str },
    /// `config.json`, or the part of it that describes the language model.
    HuggingFace { config: &'a Json },
}

impl<'a> Settings<'a> {
    /// Finds the settings of a checkpoint's language model.
    pub(crate) fn of(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        match checkpoint {
            Checkpoint::Gguf(file) => {
                let key = "general.architecture";
                let architecture =
                    file.metadata().str(key)?.ok_or_else(|| Error::MissingSetting { key: key.to_string() })?;
                Ok(Self::Gguf { metadata: file.metadata(), architecture })
            }
            Checkpoint::HuggingFace(folder) => Ok(Self::HuggingFace { config: folder.config() }),
        }
    }

    pub(crate) fn is_gguf(&self) -> bool {
        matches!(self, Self::Gguf { .. })
    }

    /// The key as the user would find it in the file.
    pub(crate) fn spelled(&self, key: Key) -> String {
        match self {
            Self::Gguf { architecture, .. } => format!("{architecture}.{}", key.gguf),
            Self::HuggingFace { .. } => key.hugging_face.to_string(),
        }
    }

    /// A [`Error::BadSetting`] about a key.
    pub(crate) fn bad(&self, key: Key, found: impl ToString, wanted: impl ToString) -> Error {
        Error::BadSetting { key: self.spelled(key), found: found.to_string(), wanted: wanted.to_string() }
    }

    fn missing(&self, key: Key) -> Error {
        Error::MissingSetting { key: self.spelled(key) }
    }

    /// The value as text for a message, or nothing when it is absent (or null, which means the same).
    fn look<'s>(&'s self, key: Key) -> Option<Found<'s>> {
        match self {
            Self::Gguf { .. } if key.gguf.is_empty() => None,
            Self::Gguf { metadata, .. } => metadata.get(&self.spelled(key)).map(Found::Gguf),
            Self::HuggingFace { config } => json_get(config, key.hugging_face).map(Found::Json),
        }
    }

    /// Whether the key is there at all.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.look(key).is_some()
    }

    /// A count in `1..=limit`.
    pub(crate) fn count(&self, key: Key, limit: usize) -> Result<Option<usize>, Error> {
        let Some(found) = self.look(key) else { return Ok(None) };
        let value = found.whole().and_then(|value| usize::try_from(value).ok());
        match value {
            Some(value) if (1..=limit).contains(&value) => Ok(Some(value)),
            _ => Err(self.bad(key, found.text(), format!("a whole number from 1 to {limit}"))),
        }
    }

    /// A count that must be there.
    pub(crate) fn needed_count(&self, key: Key, limit: usize) -> Result<usize, Error> {
        self.count(key, limit)?.ok_or_else(|| self.missing(key))
    }

    /// A count where some files write 0 or -1 for "none".
    pub(crate) fn count_or_none(&self, key: Key, limit: usize) -> Result<Option<usize>, Error> {
        match self.look(key) {
            Some(found) if found.number().is_some_and(|value| value == 0.0 || value == -1.0) => Ok(None),
            _ => self.count(key, limit),
        }
    }

    /// A finite number above zero.
    pub(crate) fn positive(&self, key: Key) -> Result<Option<f64>, Error> {
        let Some(found) = self.look(key) else { return Ok(None) };
        match found.number() {
            Some(value) if value.is_finite() && value > 0.0 => Ok(Some(value)),
            _ => Err(self.bad(key, found.text(), "a finite number above zero")),
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&self, key: Key) -> Result<Option<bool>, Error> {
        let Some(found) = self.look(key) else { return Ok(None) };
        match found {
            Found::Gguf(Value::Bool(value)) => Ok(Some(*value)),
            Found::Json(Json::Bool(value)) => Ok(Some(*value)),
            _ => Err(self.bad(key, found.text(), "true or false")),
        }
    }

    /// A string.
    pub(crate) fn text(&self, key: Key) -> Result<Option<&str>, Error> {
        let Some(found) = self.look(key) else { return Ok(None) };
        match found {
            Found::Gguf(Value::Str(value)) => Ok(Some(value)),
            Found::Json(Json::String(value)) => Ok(Some(value)),
            _ => Err(self.bad(key, found.text(), "a string")),
        }
    }

    /// A nested object of `config.json`.
    pub(crate) fn object(&self, name: &str) -> Option<&'a Json> {
        match self {
            Self::Gguf { .. } => None,
            Self::HuggingFace { config } => json_get(config, name).filter(|value| value.is_object()),
        }
    }

    /// A list of strings of `config.json`.
    pub(crate) fn strings(&self, key: Key) -> Result<Option<Vec<&'a str>>, Error> {
        let Self::HuggingFace { config } = self else { return Ok(None) };
        let Some(value) = json_get(config, key.hugging_face) else { return Ok(None) };
        let items = value.as_array().map(|items| items.iter().map(Json::as_str).collect::<Option<Vec<_>>>());
        items.flatten().map(Some).ok_or_else(|| self.bad(key, shortened(&value.to_string()), "a list of strings"))
    }

    /// A list of finite numbers of `config.json`.
    pub(crate) fn numbers(&self, key: Key) -> Result<Option<Vec<f64>>, Error> {
        let Self::HuggingFace { config } = self else { return Ok(None) };
        let Some(value) = json_get(config, key.hugging_face) else { return Ok(None) };
        let items = value.as_array().map(|items| items.iter().map(Json::as_f64).collect::<Option<Vec<_>>>());
        items.flatten().map(Some).ok_or_else(|| self.bad(key, shortened(&value.to_string()), "a list of numbers"))
    }

    /// Whether a `config.json` says null, where that is not the same as saying nothing.
    pub(crate) fn is_null(&self, key: Key) -> bool {
        matches!(self, Self::HuggingFace { config } if config.get(key.hugging_face).is_some_and(Json::is_null))
    }

    /// A list of yes and no of a GGUF.
    pub(crate) fn flags(&self, key: Key) -> Result<Option<Vec<bool>>, Error> {
        match self.look(key) {
            Some(Found::Gguf(Value::Array(Array::Bool(flags)))) => Ok(Some(flags.clone())),
            _ => Ok(None),
        }
    }
}

/// A member of an object that is neither absent nor null.
fn json_get<'a>(object: &'a Json, name: &str) -> Option<&'a Json> {
    if name.is_empty() { None } else { object.get(name).filter(|value| !value.is_null()) }
}

/// A value in either spelling.
enum Found<'a> {
    Gguf(&'a Value),
    Json(&'a Json),
}

impl Found<'_> {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Gguf(Value::F32(value)) => Some(f64::from(*value)),
            Self::Gguf(Value::F64(value)) => Some(*value),
            Self::Gguf(_) => self.whole().map(|value| value as f64),
            Self::Json(value) => value.as_f64(),
        }
    }

    fn whole(&self) -> Option<i64> {
        match self {
            Self::Gguf(value) => match value {
                Value::U8(value) => Some(i64::from(*value)),
                Value::I8(value) => Some(i64::from(*value)),
                Value::U16(value) => Some(i64::from(*value)),
                Value::I16(value) => Some(i64::from(*value)),
                Value::U32(value) => Some(i64::from(*value)),
                Value::I32(value) => Some(i64::from(*value)),
                Value::U64(value) => i64::try_from(*value).ok(),
                Value::I64(value) => Some(*value),
                Value::Array(array) => uniform(array),
                _ => None,
            },
            Self::Json(value) => value.as_i64(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Gguf(Value::Str(value)) => shortened(&format!("{value:?}")),
            Self::Gguf(Value::Bool(value)) => value.to_string(),
            Self::Gguf(Value::Array(array)) => match uniform(array) {
                Some(value) => format!("an array of {value}"),
                None => "an array of different or unsuitable values".to_string(),
            },
            Self::Gguf(_) => match self.number() {
                Some(value) => value.to_string(),
                None => "a number out of range".to_string(),
            },
            Self::Json(value) => shortened(&value.to_string()),
        }
    }
}

/// Per-layer counts, when all layers have the same one.
fn uniform(array: &Array) -> Option<i64> {
    fn all_same<T: Copy + PartialEq>(values: &[T]) -> Option<T> {
        let first = *values.first()?;
        values.iter().all(|value| *value == first).then_some(first)
    }
    match array {
        Array::U32(values) => all_same(values).map(i64::from),
        Array::I32(values) => all_same(values).map(i64::from),
        Array::U64(values) => all_same(values).and_then(|value| i64::try_from(value).ok()),
        Array::I64(values) => all_same(values),
        _ => None,
    }
}

/// What a file holds can be long; a message is not.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
