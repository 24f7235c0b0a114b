//! BERT and what is built like it (arXiv 1810.04805): MiniLM, BGE, E5, GTE; RoBERTa and XLM-RoBERTa, whose positions start
//! behind that of the padding token.
//!
//! Positions are absolute and learned; attention looks both ways; a norm follows each sum. Folders only.

use kernels::gelu::Gelu;
use serde_json::Value as Json;

use crate::{
    Error,
    encoder::{Dense, EncoderConfig, EncoderLayer, Norm, Output, Tables, Weights},
    loader::Loader,
    pooling,
    settings::{Key, Settings},
};

/// Encoders and what their class makes of the last layer.
const CLASSES: &[(&str, Family, Head)] = &[
    ("BertModel", Family::Bert, Head::Pooling),
    ("BertForMaskedLM", Family::Bert, Head::Pooling),
    ("BertForSequenceClassification", Family::Bert, Head::Score),
    ("RobertaModel", Family::Roberta, Head::Pooling),
    ("RobertaForMaskedLM", Family::Roberta, Head::Pooling),
    ("RobertaForSequenceClassification", Family::Roberta, Head::Score),
    ("XLMRobertaModel", Family::Roberta, Head::Pooling),
    ("XLMRobertaForMaskedLM", Family::Roberta, Head::Pooling),
    ("XLMRobertaForSequenceClassification", Family::Roberta, Head::Score),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Bert,
    Roberta,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Pooling,
    Score,
}

/// More than any encoder has, and little enough that nothing sized by these is absurd.
const MOST_LAYERS: usize = 256;
const MOST_HEADS: usize = 256;
const MOST_HIDDEN: usize = 1 << 14;
const MOST_FEED_FORWARD: usize = 1 << 17;
const MOST_POSITIONS: usize = 1 << 16;
const MOST_TYPES: usize = 16;

const LAYERS: Key = Key::only_hugging_face("num_hidden_layers");
const HIDDEN: Key = Key::only_hugging_face("hidden_size");
const FEED_FORWARD: Key = Key::only_hugging_face("intermediate_size");
const HEADS: Key = Key::only_hugging_face("num_attention_heads");
const POSITIONS: Key = Key::only_hugging_face("max_position_embeddings");
const VOCABULARY: Key = Key::only_hugging_face("vocab_size");
const TYPES: Key = Key::only_hugging_face("type_vocab_size");
const EPSILON: Key = Key::only_hugging_face("layer_norm_eps");
const ACTIVATION: Key = Key::only_hugging_face("hidden_act");
const POSITION_KIND: Key = Key::only_hugging_face("position_embedding_type");
const DECODER: Key = Key::only_hugging_face("is_decoder");
const MOST_TOKENS: usize = u32::MAX as usize;

/// Where a folder keeps the encoder.
const PREFIXES: &[&str] = &["", "bert.", "roberta."];

/// The classes that are read here, separated by commas.
pub(crate) fn known() -> String {
    CLASSES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

/// The class of a folder's model, when it is an encoder.
fn class(config: &Json) -> Option<(&'static str, Family, Head)> {
    let name = config.get("architectures")?.get(0)?.as_str()?;
    CLASSES.iter().find(|(known, ..)| *known == name).copied()
}

/// Reads the hyper-parameters; `None` for what is no encoder.
pub(crate) fn configure(folder: &weights::Folder) -> Result<Option<EncoderConfig>, Error> {
    let Some((architecture, family, head)) = class(folder.config()) else { return Ok(None) };
    let settings = Settings::HuggingFace { config: folder.config() };
    match settings.text(POSITION_KIND)? {
        None | Some("absolute") => {}
        Some(other) => return Err(Error::Unsupported { feature: format!("position_embedding_type {other:?}") }),
    }
    if settings.flag(DECODER)? == Some(true) {
        return Err(Error::Unsupported { feature: "is_decoder = true".into() });
    }
    let activation = match settings.text(ACTIVATION)? {
        None | Some("gelu") => Gelu::Erf,
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Gelu::Tanh,
        Some(other) => return Err(settings.bad(ACTIVATION, format!("{other:?}"), "gelu or gelu_new")),
    };
    let hidden = settings.needed_count(HIDDEN, MOST_HIDDEN)?;
    let heads = settings.needed_count(HEADS, MOST_HEADS)?;
    if !hidden.is_multiple_of(heads) {
        return Err(settings.bad(HEADS, heads, format!("a divisor of the hidden size {hidden}")));
    }
    let positions = settings.needed_count(POSITIONS, MOST_POSITIONS)?;
    // The padding token's position is never used, nor are those before it.
    let first_position = match family {
        Family::Bert => 0,
        Family::Roberta => {
            let padding = folder.config().get("pad_token_id").and_then(Json::as_u64).unwrap_or(1);
            usize::try_from(padding).unwrap_or(usize::MAX).saturating_add(1)
        }
    };
    if first_position >= positions {
        return Err(settings.bad(POSITIONS, positions, format!("more than {first_position}")));
    }
    let length = positions - first_position;
    let output = match head {
        Head::Pooling => Output::Embedding(pooling::read(folder, hidden)?),
        Head::Score => Output::Score,
    };
    Ok(Some(EncoderConfig {
        architecture,
        layers: settings.needed_count(LAYERS, MOST_LAYERS)?,
        hidden,
        feed_forward: settings.needed_count(FEED_FORWARD, MOST_FEED_FORWARD)?,
        heads,
        vocabulary: settings.needed_count(VOCABULARY, MOST_TOKENS)?,
        positions,
        first_position,
        types: settings.count(TYPES, MOST_TYPES)?.unwrap_or(2),
        context_length: pooling::longest(folder)?.unwrap_or(length).min(length),
        epsilon: settings.positive(EPSILON)?.unwrap_or(1e-12) as f32,
        activation,
        output,
    }))
}

/// Takes every tensor of the model.
pub(crate) fn take_weights(
    loader: &Loader<'_>,
    folder: &weights::Folder,
    config: &EncoderConfig,
) -> Result<Weights, Error> {
    let is_there = |prefix: &&&str| folder.tensor(&format!("{prefix}embeddings.word_embeddings.weight")).is_some();
    let prefix = PREFIXES.iter().find(is_there).unwrap_or(&PREFIXES[0]);
    let (hidden, wide) = (config.hidden, config.feed_forward);
    let table = |name: &str, rows: usize| {
        loader.take_vector(&format!("{prefix}embeddings.{name}.weight"), &[rows, hidden], 0..rows * hidden)
    };
    let norm = |name: &str| -> Result<Norm, Error> {
        Ok(Norm {
            weight: loader.take_vector(&format!("{name}.weight"), &[hidden], 0..hidden)?,
            bias: loader.take_vector(&format!("{name}.bias"), &[hidden], 0..hidden)?,
            epsilon: config.epsilon,
        })
    };
    let dense = |name: &str, rows: usize, columns: usize| -> Result<Dense, Error> {
        Ok(Dense {
            weight: loader.take_matrix(&format!("{name}.weight"), &[rows, columns], 0..rows)?,
            bias: loader.take_vector(&format!("{name}.bias"), &[rows], 0..rows)?,
        })
    };
    let embeddings = Tables {
        words: loader.take_matrix(
            &format!("{prefix}embeddings.word_embeddings.weight"),
            &[config.vocabulary, hidden],
            0..config.vocabulary,
        )?,
        positions: table("position_embeddings", config.positions)?,
        types: table("token_type_embeddings", config.types)?,
        norm: norm(&format!("{prefix}embeddings.LayerNorm"))?,
    };
    let mut layers = Vec::new();
    for number in 0..config.layers {
        let of = |name: &str| format!("{prefix}encoder.layer.{number}.{name}");
        layers.push(EncoderLayer {
            query: dense(&of("attention.self.query"), hidden, hidden)?,
            key: dense(&of("attention.self.key"), hidden, hidden)?,
            value: dense(&of("attention.self.value"), hidden, hidden)?,
            attended: dense(&of("attention.output.dense"), hidden, hidden)?,
            attention_norm: norm(&of("attention.output.LayerNorm"))?,
            up: dense(&of("intermediate.dense"), wide, hidden)?,
            down: dense(&of("output.dense"), hidden, wide)?,
            output_norm: norm(&of("output.LayerNorm"))?,
        });
    }
    let score = match config.output {
        Output::Embedding(_) => None,
        Output::Score => {
            // RoBERTa keeps both steps under one name.
            let names = if folder.tensor("classifier.dense.weight").is_some() {
                ["classifier.dense".to_owned(), "classifier.out_proj".to_owned()]
            } else {
                [format!("{prefix}pooler.dense"), "classifier".to_owned()]
            };
            Some([dense(&names[0], hidden, hidden)?, dense(&names[1], 1, hidden)?])
        }
    };
    Ok(Weights { embeddings, layers, score })
}
