//! Sampling defaults that a model's authors ship.

use serde_json::Value as Json;
use weights::Checkpoint;

use crate::Error;

/// Sampling defaults from `generation_config.json`, or from `general.sampling.*` of a GGUF.
///
/// A field is `None` when the authors say nothing. `do_sample` of `generation_config.json` counts only when it is there:
/// an explicit `false` means that the authors want the most likely token, whatever else the file says, and gives a
/// temperature of 0; when it is absent, the other fields hold as they are, because many files leave it out and still
/// give a temperature.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationDefaults {
    /// 0 is the most likely token always.
    pub temperature: Option<f32>,
    /// How many of the most likely tokens are considered; 0 is all.
    pub top_k: Option<u32>,
    /// The mass of the most likely tokens considered, above 0 and up to 1.
    pub top_p: Option<f32>,
    /// Least probability of a token relative to the most likely one, 0 to 1.
    pub min_p: Option<f32>,
    /// Divides or multiplies the logits of tokens seen; 1 is off.
    pub repetition_penalty: Option<f32>,
}

/// What each field may be; both kinds of file are held to it.
const TEMPERATURE: Range = Range { least: 0.0, most: 100.0 };
const TOP_P: Range = Range { least: f64::MIN_POSITIVE, most: 1.0 };
const MIN_P: Range = Range { least: 0.0, most: 1.0 };
const PENALTY: Range = Range { least: f64::MIN_POSITIVE, most: 100.0 };

struct Range {
    least: f64,
    most: f64,
}

impl GenerationDefaults {
    /// Reads what the checkpoint says.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Self, Error> {
        match checkpoint {
            Checkpoint::Gguf(file) => {
                let metadata = file.metadata();
                let number = |key: &str, range| {
                    let value = metadata.f32(key)?.map(f64::from);
                    value.map(|value| in_range(key, value, range)).transpose()
                };
                let top_k = "general.sampling.top_k";
                Ok(Self {
                    temperature: number("general.sampling.temp", TEMPERATURE)?,
                    // Stored as i32; zero and below mean all.
                    top_k: match metadata.get(top_k) {
                        Some(weights::Value::I32(value)) => Some(u32::try_from(*value).unwrap_or(0)),
                        _ => metadata.u64(top_k)?.map(|value| u32::try_from(value).unwrap_or(0)),
                    },
                    top_p: number("general.sampling.top_p", TOP_P)?,
                    min_p: number("general.sampling.min_p", MIN_P)?,
                    repetition_penalty: number("general.sampling.penalty_repeat", PENALTY)?,
                })
            }
            Checkpoint::HuggingFace(folder) => folder.generation_config().map_or(Ok(Self::default()), Self::from_json),
        }
    }

    fn from_json(config: &Json) -> Result<Self, Error> {
        let present = |key: &str| config.get(key).filter(|value| !value.is_null());
        let number = |key: &str, range| {
            let Some(value) = present(key) else { return Ok(None) };
            let value = value.as_f64().ok_or_else(|| bad(key, value, "a number"))?;
            in_range(key, value, range).map(Some)
        };
        let top_k = match present("top_k") {
            None => None,
            Some(value) => match value.as_i64() {
                Some(number) => Some(u32::try_from(number).unwrap_or(0)),
                None => return Err(bad("top_k", value, "a whole number")),
            },
        };
        let mut defaults = Self {
            temperature: number("temperature", TEMPERATURE)?,
            top_k,
            top_p: number("top_p", TOP_P)?,
            min_p: number("min_p", MIN_P)?,
            repetition_penalty: number("repetition_penalty", PENALTY)?,
        };
        if present("do_sample").and_then(Json::as_bool) == Some(false) {
            defaults.temperature = Some(0.0);
        }
        Ok(defaults)
    }
}

fn in_range(key: &str, value: f64, range: Range) -> Result<f32, Error> {
    if (range.least..=range.most).contains(&value) {
        Ok(value as f32)
    } else {
        Err(bad(key, value, &format!("a number from {} to {}", range.least, range.most)))
    }
}

fn bad(key: &str, found: impl ToString, wanted: &str) -> Error {
    Error::BadSetting { key: key.to_string(), found: found.to_string(), wanted: wanted.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<GenerationDefaults, Error> {
        GenerationDefaults::from_json(&serde_json::from_str(config).expect("the test's own JSON"))
    }

    #[test]
    fn what_the_authors_say_is_taken_and_the_rest_is_left_open() {
        let defaults = read(r#"{"temperature": 0.6, "top_p": 0.9, "top_k": null, "eos_token_id": [1, 2]}"#);
        let wanted = GenerationDefaults { temperature: Some(0.6), top_p: Some(0.9), ..Default::default() };
        assert_eq!(defaults.expect("valid"), wanted);
    }

    #[test]
    fn only_an_explicit_do_sample_false_means_greedy() {
        let temperature = |config| read(config).expect("valid").temperature;
        assert_eq!(temperature(r#"{"do_sample": false, "temperature": 0.7}"#), Some(0.0));
        assert_eq!(temperature(r#"{"do_sample": true, "temperature": 0.7}"#), Some(0.7));
        assert_eq!(temperature(r#"{"temperature": 0.7}"#), Some(0.7));
        assert_eq!(temperature(r#"{}"#), None);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for config in [r#"{"top_p": 2}"#, r#"{"temperature": -1}"#, r#"{"temperature": "hot"}"#, r#"{"top_k": 1.5}"#] {
            let error = read(config).expect_err(config).to_string();
            assert!(error.contains("top_") || error.contains("temperature"), "{error}");
        }
    }
}
