//! Mixtral (arXiv 2401.04088): Mistral's attention, and 2 of 8 experts for the MLP of every layer.
//!
//! In GGUF it is the architecture `llama` with a number of experts; see there.

use crate::{
    Error,
    config::{self, Defaults, MOST_FEED_FORWARD, ModelConfig},
    layers::experts::{Names, Routing, Weights},
    llama,
    registry::Architecture,
    settings::{Key, Settings},
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "mixtral",
    ggufs: &[],
    classes: &["MixtralForCausalLM"],
    model_types: &["mixtral"],
    configure,
    layer: llama::layer,
};

const FEED_FORWARD: Key = Key::only_gguf("expert_feed_forward_length");

/// A folder's names.
pub(crate) const NAMES: Names =
    Names { router: "block_sparse_moe.gate", experts: "block_sparse_moe.experts", parts: ["w1", "w3", "w2"] };

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let defaults = Defaults { rope_base: 1_000_000.0, experts: true, ..Defaults::default() };
    let mut config = ModelConfig::read(settings, &defaults)?;
    let window = config::window(settings)?;
    config.layers.iter_mut().for_each(|layer| layer.window = window);
    set_experts(settings, &mut config)?;
    Ok(config)
}

/// Gives every layer experts.
pub(crate) fn set_experts(settings: &Settings<'_>, config: &mut ModelConfig) -> Result<(), Error> {
    let feed_forward = settings.count(FEED_FORWARD, MOST_FEED_FORWARD)?.unwrap_or(config.feed_forward);
    config.set_experts(Routing::read(settings, feed_forward, Weights::OfChosen)?, |_| true);
    Ok(())
}
