//! Llama 1 to 3.x and what is built like it: Mistral, SmolLM2, TinyLlama, and in GGUF Mixtral.
//!
//! Two conventions for rotary pairs meet here. Folders keep the halves of a head; a GGUF of this family holds query and
//! key rows in another order, in which neighbours rotate together. The rows stay as they are and the pairing follows the
//! file. Llama 3's stretched frequencies stand in `config.json`, or worked out in a GGUF's `rope_freqs.weight`.

use kernels::rope::Pairing;

use crate::{
    Error,
    config::{self, Defaults, ModelConfig},
    decoder::Layer,
    layers::{
        Attention, AttentionOptions, FeedForward, PreNormLayer,
        experts::{Experts, Routing},
    },
    loader::Loader,
    mixtral,
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
    let defaults = Defaults { experts: settings.is_gguf(), ..Defaults::default() };
    let mut config = ModelConfig::read(settings, &defaults)?;
    if settings.is_gguf() {
        config.pairing = Pairing::Adjacent;
    }
    if Routing::mentioned(settings)?.is_some() {
        mixtral::set_experts(settings, &mut config)?;
    }
    // Early Mistral: on every layer. Llama has no such setting.
    let window = config::window(settings)?;
    config.layers.iter_mut().for_each(|layer| layer.window = window);
    Ok(config)
}

/// Also one of Mixtral.
pub(crate) fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    // `attention_bias` is off in every published model of this family but allowed for; the tensors tell.
    let options = AttentionOptions::default();
    let Some(routing) = config.routing_of(layer) else {
        return PreNormLayer::load(loader, config, layer, &options);
    };
    let attention = Attention::load(loader, config, layer, &options)?;
    let experts = Experts::load(loader, config, routing, layer, &mixtral::NAMES)?;
    PreNormLayer::of_parts(loader, config, layer, attention, FeedForward::Experts(experts))
}
