//! How the rows of a text become its one vector, read from the files that the `sentence-transformers` library writes
//! beside a model: `modules.json` lists the steps, the folder of the pooling step says which rows count.
//!
//! A model without these files is pooled over the mean, as the library does.

use serde_json::Value as Json;
use weights::Folder;

use crate::Error;

const MODULES: &str = "modules.json";
const LENGTHS: &str = "sentence_bert_config.json";

/// From rows to a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    /// Which rows.
    pub rows: Rows,
    /// Whether the vector is brought to a length of 1.
    pub normalised: bool,
    /// Numbers of the vector.
    pub dimensions: usize,
    /// Shorter beginnings of the vector that the model was trained to make sense of, too; ascending, most often none.
    pub shorter: Vec<usize>,
}

/// Which rows of the last layer make the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The mean of all.
    Mean,
    /// The first one.
    First,
}

/// Reads how a model's rows, `hidden` wide, are pooled.
pub(crate) fn read(folder: &Folder, hidden: usize) -> Result<Pooling, Error> {
    let mut pooling =
        Pooling { rows: Rows::Mean, normalised: false, dimensions: hidden, shorter: shorter(folder, hidden) };
    let Some(modules) = folder.companion(MODULES)? else { return Ok(pooling) };
    let bad = |found: String| Error::BadSetting { key: MODULES.into(), found, wanted: "a list of modules".into() };
    for module in modules.as_array().ok_or_else(|| bad(shown(&modules)))? {
        let kind = module.get("type").and_then(Json::as_str).ok_or_else(|| bad(shown(module)))?;
        match kind.rsplit('.').next().unwrap_or(kind) {
            "Transformer" => {}
            "Normalize" => pooling.normalised = true,
            "Pooling" => {
                let path = module.get("path").and_then(Json::as_str).unwrap_or_default();
                pooling.rows = rows(folder, path)?;
            }
            other => {
                return Err(Error::Unsupported { feature: format!("the module {:?} of {MODULES}", shortened(other)) });
            }
        }
    }
    Ok(pooling)
}

fn rows(folder: &Folder, path: &str) -> Result<Rows, Error> {
    let file = format!("{path}/config.json");
    let Some(config) = folder.companion(&file)? else { return Ok(Rows::Mean) };
    let modes: Vec<&str> = match config.as_object() {
        Some(settings) => settings
            .iter()
            .filter(|(key, value)| key.starts_with("pooling_mode_") && value.as_bool() == Some(true))
            .map(|(key, _)| key.as_str())
            .collect(),
        None => Vec::new(),
    };
    match modes.as_slice() {
        ["pooling_mode_mean_tokens"] => Ok(Rows::Mean),
        ["pooling_mode_cls_token"] => Ok(Rows::First),
        other => Err(Error::BadSetting {
            key: shortened(&file),
            found: shortened(&other.join(", ")),
            wanted: "pooling_mode_mean_tokens or pooling_mode_cls_token".into(),
        }),
    }
}

/// The longest text in tokens, where the model's maker set one.
pub(crate) fn longest(folder: &Folder) -> Result<Option<usize>, Error> {
    let Some(config) = folder.companion(LENGTHS)? else { return Ok(None) };
    match config.get("max_seq_length") {
        None | Some(Json::Null) => Ok(None),
        Some(length) => match length.as_u64().and_then(|length| usize::try_from(length).ok()) {
            Some(length @ 1..) => Ok(Some(length)),
            _ => Err(Error::BadSetting {
                key: format!("max_seq_length of {LENGTHS}"),
                found: shown(length),
                wanted: "a whole number above zero".into(),
            }),
        },
    }
}

/// `matryoshka_dimensions` of `config.json` (arXiv 2205.13147).
fn shorter(folder: &Folder, hidden: usize) -> Vec<usize> {
    let listed = folder.config().get("matryoshka_dimensions").and_then(Json::as_array);
    let lengths = listed.into_iter().flatten().filter_map(|length| usize::try_from(length.as_u64()?).ok());
    let mut shorter: Vec<usize> = lengths.filter(|length| (1..hidden).contains(length)).collect();
    shorter.sort_unstable();
    shorter.dedup();
    shorter
}

/// What a file holds can be long; a message is not.
fn shown(value: &Json) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
