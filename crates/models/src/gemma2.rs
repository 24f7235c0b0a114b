//! Gemma 2 (arXiv 2408.00118), and what it has in common with Gemma 3.
//!
//! Every other layer, the first among them, has a sliding window. A norm stands before *and* after attention and MLP,
//! scores and logits are capped softly, the embedding is scaled by the root of its width, and it is the head as well.
//!
//! Folders store norm weights less one; a GGUF stores them whole. The reference rounds the embedding's scale to the
//! type of the weights; here it is f32, as in the reference run in float32.

use crate::{
    Error,
    config::{self, Defaults, ModelConfig},
    decoder::Layer,
    layers::{AttentionOptions, SandwichLayer},
    loader::Loader,
    registry::Architecture,
    settings::{Key, Settings},
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "gemma2",
    ggufs: &["gemma2"],
    classes: &["Gemma2ForCausalLM"],
    model_types: &["gemma2"],
    configure,
    layer,
};

const QUERY_SCALAR: Key = Key::only_hugging_face("query_pre_attn_scalar");
const ATTENTION_CAP: Key = Key::new("attn_logit_softcapping", "attn_logit_softcapping");
const FINAL_CAP: Key = Key::new("final_logit_softcapping", "final_logit_softcapping");
const BIDIRECTIONAL: Key = Key::only_hugging_face("use_bidirectional_attention");

/// Layers of the 27B model, which alone scales its scores by the width per head; a GGUF does not say so otherwise.
const LAYERS_OF_27B: usize = 46;

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let defaults = if settings.is_gguf() {
        Defaults { activation: "gelu_pytorch_tanh", ..Defaults::default() }
    } else {
        Defaults {
            heads: Some(8),
            kv_heads: Some(4),
            head_dim: Some(256),
            context_length: Some(8192),
            activation: "gelu_pytorch_tanh",
            tied: true,
            ..Defaults::default()
        }
    };
    let mut config = read(settings, &defaults, LAYERS_OF_27B)?;
    // A file that says nothing of caps means the published ones.
    for (key, cap, published) in
        [(ATTENTION_CAP, &mut config.attention_softcap, 50.0), (FINAL_CAP, &mut config.final_softcap, 30.0)]
    {
        if !settings.has(key) && !settings.is_null(key) {
            *cap = Some(published);
        }
    }
    let window = config::window(settings)?.unwrap_or(4096);
    let sliding = match config::sliding_layers(settings, config.layers.len())? {
        Some(sliding) => sliding,
        None => (0..config.layers.len()).map(|layer| layer.is_multiple_of(2)).collect(),
    };
    for (layer, sliding) in config.layers.iter_mut().zip(sliding) {
        layer.window = sliding.then_some(window);
    }
    Ok(config)
}

/// Reads what both generations have. `layers_of_27b`: how the largest model is told apart, see there.
pub(crate) fn read(settings: &Settings<'_>, defaults: &Defaults, layers_of_27b: usize) -> Result<ModelConfig, Error> {
    let mut config = ModelConfig::read(settings, defaults)?;
    if settings.flag(BIDIRECTIONAL)? == Some(true) {
        return Err(Error::Unsupported { feature: "use_bidirectional_attention = true".to_string() });
    }
    config.embedding_scale = Some((config.hidden as f32).sqrt());
    config.norm_offset = if settings.is_gguf() { 0.0 } else { 1.0 };
    config.attention_softcap = config::softcap(settings, ATTENTION_CAP)?;
    config.final_softcap = config::softcap(settings, FINAL_CAP)?;
    let query_scalar = match settings.positive(QUERY_SCALAR)? {
        Some(scalar) => scalar,
        None if !settings.is_gguf() => 256.0,
        None if config.layers.len() == layers_of_27b => config.hidden as f64 / config.heads as f64,
        None => config.head_dim as f64,
    };
    config.attention_scale = query_scalar.sqrt().recip() as f32;
    if !config.attention_scale.is_normal() {
        return Err(settings.bad(QUERY_SCALAR, query_scalar, "a number within the range of f32"));
    }
    Ok(config)
}

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    SandwichLayer::load(loader, config, layer, &AttentionOptions::default())
}
