//! Llama 1 to 3.x and what is built like it: Mistral, SmolLM2, TinyLlama.
//!
//! Two conventions for rotary pairs meet here. Folders keep the halves of a head; a GGUF of this family holds query and
//! key rows in another order, in which neighbours rotate together. The rows stay as they are and the pairing follows the
//! file. Llama 3's stretched frequencies stand in `config.json`, or worked out in a GGUF's `rope_freqs.weight`.

use kernels::rope::Pairing;

use crate::{
    Error,
    config::{self, Defaults, ModelConfig},
    decoder::Layer,
    layers::{AttentionOptions, PreNormLayer},
    loader::Loader,
    registry::Architecture,
    settings::Settings,
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "llama",
    ggufs: &["llama"],
    classes: &["LlamaForCausalLM", "MistralForCausalLM"],
    model_types: &["llama", "mistral"],
    configure,
    layer,
};

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let mut config = ModelConfig::read(settings, &Defaults::default())?;
    if settings.is_gguf() {
        config.pairing = Pairing::Adjacent;
    }
    // Early Mistral: on every layer. Llama has no such setting.
    let window = config::window(settings)?;
    config.layers.iter_mut().for_each(|layer| layer.window = window);
    Ok(config)
}

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    // `attention_bias` is off in every published model of this family but allowed for; the tensors tell.
    let options = AttentionOptions::default();
    PreNormLayer::load(loader, config, layer, &options)
}
