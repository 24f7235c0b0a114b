//! `/v1/completions`.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Stop, StreamOptions, Usage};
use crate::text_or_list;

/// Asks for the text that follows a prompt.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct CompletionRequest {
    /// The model's name, as `/v1/models` lists it.
    pub model: String,
    /// What is continued: a text, token ids, or several of either.
    pub prompt: Prompt,
    /// Most tokens to generate for each choice. Default: 16.
    #[serde(default)]
    pub max_tokens: Option<i64>,
    /// 0 takes the most likely token; 0 to 2.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Keep the fewest tokens whose probabilities sum to this; 0 to 1.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Number of choices for each prompt. Default: 1.
    #[serde(default)]
    pub n: Option<i64>,
    /// Must equal `n` where it is given: choices are not ranked here.
    #[serde(default)]
    pub best_of: Option<i64>,
    /// Strings that end the answer; up to 16.
    #[serde(default)]
    pub stop: Option<Stop>,
    /// Send the answer in pieces as server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// What the stream says beside the answer; only with `stream`.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// Report the log-probability of every token and of this many most likely ones, 0 to 20.
    #[serde(default)]
    pub logprobs: Option<i64>,
    /// Whom the request is for, in the caller's words: usage can be shown by it. At most 512 bytes.
    #[serde(default)]
    pub user: Option<String>,
    /// Extension: tags that usage can be shown by: at most 16, names of 64 bytes, values that are strings of 512 bytes.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, Value>>,
    /// Repeat the prompt before the answer.
    #[serde(default)]
    pub echo: Option<bool>,
    /// What follows the gap that is to be filled, where the model was made for that. The prompt is then a text.
    #[serde(default)]
    pub suffix: Option<String>,
    /// Makes the answer reproducible.
    #[serde(default)]
    pub seed: Option<i64>,
    /// -2 to 2.
    #[serde(default)]
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    #[serde(default)]
    pub frequency_penalty: Option<f64>,
    /// From token id to what is added to its logit, -100 to 100.
    #[serde(default)]
    pub logit_bias: Option<BTreeMap<String, f64>>,
    /// Extension: keep the `k` most likely tokens; 0 keeps all.
    #[serde(default)]
    pub top_k: Option<i64>,
    /// Extension: keep tokens at least this likely, relative to the most likely one; 0 to 1.
    #[serde(default)]
    pub min_p: Option<f64>,
    /// Extension: divides the logits of tokens that were seen; 0.01 to 100. Neutral: 1.
    #[serde(default)]
    pub repetition_penalty: Option<f64>,
    /// Extension: the answer does not end before this many tokens.
    #[serde(default)]
    pub min_tokens: Option<i64>,
    /// Extension: end tokens do not end the answer.
    #[serde(default)]
    pub ignore_eos: Option<bool>,
    /// Extension, as vLLM names it: a JSON schema that the answer validates against.
    #[serde(default)]
    pub guided_json: Option<Value>,
    /// Extension, as vLLM names it: a regular expression that matches the whole answer.
    #[serde(default)]
    pub guided_regex: Option<Value>,
    /// Extension, as vLLM names it: a list of texts, of which the answer is one.
    #[serde(default)]
    pub guided_choice: Option<Value>,
    /// Extension, as vLLM names it: a grammar in Lark's syntax, or in llama.cpp's (GBNF).
    #[serde(default)]
    pub guided_grammar: Option<Value>,
    /// Extension, as vLLM names it: an object with one of `json`, `regex`, `choice`, `grammar` and `json_object`.
    #[serde(default)]
    pub structured_outputs: Option<Value>,
    /// Extension, as llama.cpp's server names it: a grammar in its syntax (GBNF), or in Lark's.
    #[serde(default)]
    pub grammar: Option<Value>,
    /// Extension, as llama.cpp's server names it: a JSON schema that the answer validates against.
    #[serde(default)]
    pub json_schema: Option<Value>,
    /// Extension: the form that the answer is held to, as chat completions have it.
    #[serde(default)]
    pub response_format: Option<super::ResponseFormat>,
}

/// What is continued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Prompt {
    /// One text.
    Text(String),
    /// The token ids of one prompt, or several prompts.
    List(Vec<PromptItem>),
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a string, a list of strings, a list of token ids or a list of such lists";
        text_or_list::deserialize(deserializer, expecting, Self::Text, Self::List)
    }
}

/// An element of a prompt that is a list. All elements must be of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum PromptItem {
    /// A token id of the one prompt.
    Id(i64),
    /// A prompt as text.
    Text(String),
    /// A prompt as token ids.
    Ids(Vec<i64>),
}

impl<'de> Deserialize<'de> for PromptItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Item;
        impl<'de> Visitor<'de> for Item {
            type Value = PromptItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token id, a string or a list of token ids")
            }

            fn visit_i64<E>(self, id: i64) -> Result<PromptItem, E> {
                Ok(PromptItem::Id(id))
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<PromptItem, E> {
                i64::try_from(id).map(PromptItem::Id).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(id), &self))
            }

            fn visit_str<E>(self, text: &str) -> Result<PromptItem, E> {
                Ok(PromptItem::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<PromptItem, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(PromptItem::Ids)
            }
        }
        deserializer.deserialize_any(Item)
    }
}

/// The answer, whole or (in a stream) a piece of it: both have the same shape.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompletionResponse<'a> {
    /// This answer's id, the same in all of its chunks.
    pub id: &'a str,
    /// Always `text_completion`.
    pub object: &'static str,
    /// When the request came, in seconds since 1970.
    pub created: u64,
    /// The model, by the name that the request gave.
    pub model: &'a str,
    /// Changes when the same seed may give another answer.
    pub system_fingerprint: &'static str,
    /// The choices: by index, those of the first prompt first.
    pub choices: Vec<CompletionChoice>,
    /// Token counts. In a stream only with `stream_options.include_usage`: null until the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub usage: Option<Option<Usage>>,
}

/// One choice, or how it goes on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// From 0, over all prompts.
    pub index: u32,
    /// The text.
    pub text: String,
    /// When asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`; null in a stream until the choice's last chunk.
    pub finish_reason: Option<&'static str>,
    /// `budget` when a budget or limit of the caller ended it; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
}

/// Log-probabilities of a choice's tokens, in parallel lists.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct CompletionLogprobs {
    /// The tokens' texts; a token that is no UTF-8 on its own is written as `bytes:\xNN…`.
    pub tokens: Vec<String>,
    /// Natural logarithms of their probabilities; null for the first token of an echoed prompt.
    pub token_logprobs: Vec<Option<f32>>,
    /// The most likely tokens at each place, and the chosen one; null where there are none.
    pub top_logprobs: Option<Vec<Option<TopLogprobs>>>,
    /// Where each token begins in the choice's text, in characters.
    pub text_offset: Vec<u64>,
}

/// From a token's text to its log-probability, most likely first.
#[derive(Debug, Clone, Default, PartialEq, ToSchema)]
#[schema(value_type = BTreeMap<String, f32>)]
pub struct TopLogprobs(pub Vec<(String, f32)>);

impl Serialize for TopLogprobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(token, logprob)| (token, logprob)))
    }
}
