//! Qwen2 and Qwen2.5: llama's layer with biases on query, key and value, and a window on the upper layers when a
//! `config.json` asks for it.

use crate::{
    Error,
    config::{self, Defaults, ModelConfig},
    decoder::Layer,
    layers::{AttentionOptions, Bias, PreNormLayer},
    loader::Loader,
    registry::Architecture,
    settings::{Key, Settings},
};

const USE_WINDOW: Key = Key::only_hugging_face("use_sliding_window");
const FULL_LAYERS: Key = Key::only_hugging_face("max_window_layers");

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "qwen2",
    ggufs: &["qwen2"],
    classes: &["Qwen2ForCausalLM"],
    model_types: &["qwen2"],
    configure,
    layer,
};

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let mut config = ModelConfig::read(settings, &Defaults::default())?;
    set_windows(settings, &mut config)?;
    Ok(config)
}

/// Qwen's rule, the third generation's too: `sliding_window` counts only with `use_sliding_window`, and then from layer
/// `max_window_layers` on, unless `layer_types` says otherwise.
pub(crate) fn set_windows(settings: &Settings<'_>, config: &mut ModelConfig) -> Result<(), Error> {
    if settings.flag(USE_WINDOW)? != Some(true) {
        return Ok(());
    }
    let Some(window) = config::window(settings)? else { return Ok(()) };
    // The reference's default for a file that does not say.
    let full_layers = settings.count(FULL_LAYERS, usize::MAX >> 1)?.unwrap_or(28);
    let sliding = match config::sliding_layers(settings, config.layers.len())? {
        Some(sliding) => sliding,
        None => (0..config.layers.len()).map(|layer| layer >= full_layers).collect(),
    };
    for (layer, sliding) in config.layers.iter_mut().zip(sliding) {
        layer.window = sliding.then_some(window);
    }
    Ok(())
}

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    let options = AttentionOptions { bias: Bias::QueryKeyValue, ..AttentionOptions::default() };
    PreNormLayer::load(loader, config, layer, &options)
}
