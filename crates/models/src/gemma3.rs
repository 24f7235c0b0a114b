//! Gemma 3, the language model (arXiv 2503.19786).
//!
//! Five layers with a sliding window follow one another before each layer that sees everything; the two kinds have
//! rotary tables of their own. A norm stands before *and* after attention and MLP, queries and keys are normalised per
//! head, the embedding is scaled by the root of its width, and it is the head as well.
//!
//! Folders store norm weights less one; a GGUF stores them whole. The reference rounds the embedding's scale to the
//! type of the weights; here it is f32, as in the reference run in float32.

use kernels::kv::LayerKv;

use crate::{
    Error,
    config::{self, Defaults, LayerConfig, ModelConfig},
    decoder::Layer,
    layers::{Attention, AttentionOptions, Bias, GatedMlp, Norm, Rope, Step, checked_base},
    loader::{Loader, Name},
    registry::Architecture,
    settings::{Key, Settings},
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "gemma3",
    classes: &["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],
    model_types: &["gemma3_text", "gemma3"],
    configure,
    layer: Gemma3Layer::load,
};

const LOCAL_BASE: Key = Key::new("rope.freq_base_swa", "rope_local_base_freq");
const LOCAL_BASE_NESTED: Key = Key::only_hugging_face("rope_theta");
const PATTERN: Key = Key::new("attention.sliding_window_pattern", "sliding_window_pattern");
const PATTERN_HIDDEN: Key = Key::only_hugging_face("_sliding_window_pattern");
const QUERY_SCALAR: Key = Key::only_hugging_face("query_pre_attn_scalar");
const ATTENTION_CAP: Key = Key::new("attn_logit_softcapping", "attn_logit_softcapping");
const FINAL_CAP: Key = Key::new("final_logit_softcapping", "final_logit_softcapping");
const BIDIRECTIONAL: Key = Key::only_hugging_face("use_bidirectional_attention");

/// Layers of the 27B model, which alone scales its scores by the width per head; a GGUF does not say so otherwise.
const LAYERS_OF_27B: usize = 62;

/// Indices into [`ModelConfig::ropes`].
const GLOBAL: usize = 0;
const LOCAL: usize = 1;

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    // The larger models' `config.json` wraps the language model's, which leaves out whatever is the reference's default.
    match settings.object("text_config") {
        Some(config) => {
            config::refuse_what_is_not_built(settings)?;
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
        }
    };
    let mut config = ModelConfig::read(settings, &defaults)?;
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
        None if config.layers.len() == LAYERS_OF_27B => config.hidden as f64 / config.heads as f64,
        None => config.head_dim as f64,
    };
    config.attention_scale = query_scalar.sqrt().recip() as f32;
    if !config.attention_scale.is_normal() {
        return Err(settings.bad(QUERY_SCALAR, query_scalar, "a number within the range of f32"));
    }

    config.ropes.push(Rope::plain(local_base(settings)?, config.head_dim));
    let window = match config::window(settings)? {
        None if !settings.is_gguf() => Some(4096),
        window => window,
    };
    if let Some(window) = window {
        let sliding = sliding_layers(settings, config.layers.len())?;
        for (layer, sliding) in config.layers.iter_mut().zip(sliding) {
            if sliding {
                *layer = LayerConfig { window: Some(window), rope: LOCAL };
            } else {
                *layer = LayerConfig { window: None, rope: GLOBAL };
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

const ATTENTION_NORM: Name = Name::new("attn_norm", "input_layernorm");
const AFTER_ATTENTION_NORM: Name = Name::new("post_attention_norm", "post_attention_layernorm");
const MLP_NORM: Name = Name::new("ffn_norm", "pre_feedforward_layernorm");
const AFTER_MLP_NORM: Name = Name::new("post_ffw_norm", "post_feedforward_layernorm");

/// `x += norm(attention(norm(x))); x += norm(mlp(norm(x)))`.
struct Gemma3Layer {
    attention_norm: Norm,
    attention: Attention,
    after_attention_norm: Norm,
    mlp_norm: Norm,
    mlp: GatedMlp,
    after_mlp_norm: Norm,
}

impl Gemma3Layer {
    fn load(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
        let norm = |name| Norm::of_layer(loader, config, layer, name, config.hidden);
        let options = AttentionOptions { bias: Bias::WhereStored, head_norms: true };
        Ok(Box::new(Self {
            attention_norm: norm(ATTENTION_NORM)?,
            attention: Attention::load(loader, config, layer, &options)?,
            after_attention_norm: norm(AFTER_ATTENTION_NORM)?,
            mlp_norm: norm(MLP_NORM)?,
            mlp: GatedMlp::load(loader, config, layer)?,
            after_mlp_norm: norm(AFTER_MLP_NORM)?,
        }))
    }
}

impl Layer for Gemma3Layer {
    fn apply(&self, step: &mut Step<'_>, kv: &mut LayerKv) {
        step.read_residual(&self.attention_norm);
        self.attention.apply(step, kv);
        step.normalise_rows(&self.after_attention_norm);
        step.add_to_residual();
        step.read_residual(&self.mlp_norm);
        self.mlp.apply(step);
        step.normalise_rows(&self.after_mlp_norm);
        step.add_to_residual();
    }
}
