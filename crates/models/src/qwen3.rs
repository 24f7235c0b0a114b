//! Qwen3 (dense): llama's layer with a norm over each query and key head; the head's width is its own setting.

use crate::{
    Error,
    config::{Defaults, ModelConfig},
    decoder::Layer,
    layers::{AttentionOptions, PreNormLayer},
    loader::Loader,
    qwen2,
    registry::Architecture,
    settings::Settings,
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "qwen3",
    ggufs: &["qwen3"],
    classes: &["Qwen3ForCausalLM"],
    model_types: &["qwen3"],
    configure,
    layer,
};

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    // The reference's head width, for a `config.json` that leaves it out; a GGUF of this family always says it.
    let defaults = Defaults { head_dim: Some(128), ..Defaults::default() };
    let mut config = ModelConfig::read(settings, &defaults)?;
    qwen2::set_windows(settings, &mut config)?;
    Ok(config)
}

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    let options = AttentionOptions { head_norms: true, ..AttentionOptions::default() };
    PreNormLayer::load(loader, config, layer, &options)
}
