//! Gemma 3, the language model (arXiv 2503.19786).
//!
//! Five layers with a sliding window follow one another before each layer that sees everything; the two kinds have
//! rotary tables of their own. A norm stands before *and* after attention and MLP, queries and keys are normalised per
//! head, the embedding is scaled by the root of its width, and it is the head as well.
//!
//! Folders store norm weights less one; a GGUF stores them whole. The reference rounds the embedding's scale to the
//! type of the weights; here it is f32, as in the reference run in float32.

use crate::{
    Error,
    config::{self, Defaults, LayerConfig, ModelConfig},
    decoder::Layer,
    gemma2,
    layers::{AttentionOptions, Rope, SandwichLayer, checked_base},
    loader::Loader,
    registry::Architecture,
    settings::{Key, Settings},
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "gemma3",
    ggufs: &["gemma3"],
    classes: &["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],
    model_types: &["gemma3_text", "gemma3"],
    configure,
    layer,
};

const LOCAL_BASE: Key = Key::new("rope.freq_base_swa", "rope_local_base_freq");
const LOCAL_BASE_NESTED: Key = Key::only_hugging_face("rope_theta");
const PATTERN: Key = Key::new("attention.sliding_window_pattern", "sliding_window_pattern");
const PATTERN_HIDDEN: Key = Key::only_hugging_face("_sliding_window_pattern");

/// Layers of the 27B model, which alone scales its scores by the width per head; a GGUF does not say so otherwise.
const LAYERS_OF_27B: usize = 62;

/// Indices into [`ModelConfig::ropes`].
const GLOBAL: usize = 0;
const LOCAL: usize = 1;

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    // The larger models' `config.json` wraps the language model's, which leaves out whatever is the reference's default.
    match settings.object("text_config") {
        Some(config) => {
            config::refuse_what_is_not_built(settings, None)?;
            configure_text(&Settings::HuggingFace { config })
        }
        None => configure_text(settings),
    }
}

fn configure_text(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let defaults = if settings.is_gguf() {
        Defaults { rope_base: 1_000_000.0, activation: "gelu_pytorch_tanh", ..Defaults::default() }
    } else {
        Defaults {
            heads: Some(8),
            kv_heads: Some(4),
            head_dim: Some(256),
            context_length: Some(131_072),
            rope_base: 1_000_000.0,
            activation: "gelu_pytorch_tanh",
            tied: true,
            ..Defaults::default()
        }
    };
    let mut config = gemma2::read(settings, &defaults, LAYERS_OF_27B)?;
    config.ropes.push(Rope::plain(local_base(settings)?, config.head_dim));
    let window = match config::window(settings)? {
        None if !settings.is_gguf() => Some(4096),
        window => window,
    };
    if let Some(window) = window {
        let sliding = sliding_layers(settings, config.layers.len())?;
        for (layer, sliding) in config.layers.iter_mut().zip(sliding) {
            if sliding {
                *layer = LayerConfig { window: Some(window), rope: LOCAL, ..*layer };
            } else {
                *layer = LayerConfig { window: None, rope: GLOBAL, ..*layer };
            }
        }
    }
    Ok(config)
}

/// The base of the layers with a window.
fn local_base(settings: &Settings<'_>) -> Result<f64, Error> {
    let nested = settings.object("rope_parameters").and_then(|parameters| parameters.get("sliding_attention"));
    let base = match nested {
        Some(config) => Settings::HuggingFace { config }.positive(LOCAL_BASE_NESTED)?,
        None => settings.positive(LOCAL_BASE)?,
    };
    checked_base(settings, base.unwrap_or(10_000.0))
}

/// Which layers have the window.
fn sliding_layers(settings: &Settings<'_>, layers: usize) -> Result<Vec<bool>, Error> {
    if let Some(sliding) = config::sliding_layers(settings, layers)? {
        return Ok(sliding);
    }
    if let Some(sliding) = settings.flags(PATTERN)? {
        return if sliding.len() == layers {
            Ok(sliding)
        } else {
            Err(settings.bad(PATTERN, format!("{} entries", sliding.len()), format!("one a layer ({layers})")))
        };
    }
    let pattern = match settings.count(PATTERN, usize::MAX >> 1)? {
        Some(pattern) => pattern,
        None => settings.count(PATTERN_HIDDEN, usize::MAX >> 1)?.unwrap_or(6),
    };
    Ok((1..=layers).map(|layer| !layer.is_multiple_of(pattern)).collect())
}

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    SandwichLayer::load(loader, config, layer, &AttentionOptions { head_norms: true, ..AttentionOptions::default() })
}
