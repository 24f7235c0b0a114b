//! Phi-3 and Phi-4 (arXiv 2404.14219): llama's layer with query, key and value in one tensor, and gate and up in another.
//!
//! The small ones rotate a part of each head, and the ones for long contexts have LongRoPE. A GGUF does not say that it
//! has LongRoPE; it has the tensors of divisors, or none. Phi-3-small is another architecture.

use crate::{
    Error,
    config::{self, Defaults, ModelConfig},
    decoder::Layer,
    layers::{Attention, AttentionOptions, FeedForward, GatedMlp, PreNormLayer, Scaling},
    loader::Loader,
    registry::Architecture,
    settings::Settings,
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "phi3",
    ggufs: &["phi3"],
    classes: &["Phi3ForCausalLM"],
    model_types: &["phi3"],
    configure,
    layer,
};

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let mut config = ModelConfig::read(settings, &Defaults::default())?;
    let context_length = config.context_length;
    let rope = &mut config.ropes[0];
    match rope.scaling {
        Scaling::None if settings.is_gguf() => {
            rope.scaling = Scaling::long_rope(settings, settings, context_length, rope.dimensions)?;
        }
        Scaling::None | Scaling::LongRope { .. } => {}
        // Early files say "yarn" and mean something else by it.
        _ => return Err(Error::Unsupported { feature: "rope scaling other than longrope".to_string() }),
    }
    let window = config::window(settings)?;
    config.layers.iter_mut().for_each(|layer| layer.window = window);
    Ok(config)
}

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    let options = AttentionOptions { fused: true, ..AttentionOptions::default() };
    let attention = Attention::load(loader, config, layer, &options)?;
    let mlp = GatedMlp::load_fused(loader, config, layer)?;
    PreNormLayer::of_parts(loader, config, layer, attention, FeedForward::Mlp(mlp))
}
