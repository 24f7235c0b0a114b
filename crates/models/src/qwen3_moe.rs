//! Qwen3 with experts (arXiv 2505.09388): Qwen3's attention, and 8 of 128 experts for the MLP of every layer.
//!
//! A `config.json` may leave some layers a plain MLP; a GGUF of this family has experts in all. It does not say either
//! that the weights of a row's experts add up to 1, which they do in every published model.

use crate::{
    Error,
    config::{Defaults, MOST_FEED_FORWARD, ModelConfig},
    decoder::Layer,
    layers::{
        Attention, AttentionOptions, FeedForward, GatedMlp, PreNormLayer,
        experts::{Experts, Names, Routing, Weights},
    },
    loader::Loader,
    qwen2,
    registry::Architecture,
    settings::{Key, Settings},
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "qwen3moe",
    ggufs: &["qwen3moe"],
    classes: &["Qwen3MoeForCausalLM"],
    model_types: &["qwen3_moe"],
    configure,
    layer,
};

const FEED_FORWARD: Key = Key::new("expert_feed_forward_length", "moe_intermediate_size");
const NORMALISED: Key = Key::new("expert_weights_norm", "norm_topk_prob");
const SPARSE_STEP: Key = Key::only_hugging_face("decoder_sparse_step");
const DENSE_LAYERS: Key = Key::only_hugging_face("mlp_only_layers");

const NAMES: Names = Names { router: "mlp.gate", experts: "mlp.experts", parts: ["gate_proj", "up_proj", "down_proj"] };

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let defaults = Defaults { experts: true, ..Defaults::default() };
    let mut config = ModelConfig::read(settings, &defaults)?;
    qwen2::set_windows(settings, &mut config)?;
    let normalised = settings.flag(NORMALISED)?.unwrap_or(settings.is_gguf());
    let weights = if normalised { Weights::OfChosen } else { Weights::OfAll };
    let routing = Routing::read(settings, settings.needed_count(FEED_FORWARD, MOST_FEED_FORWARD)?, weights)?;
    let step = settings.count(SPARSE_STEP, usize::MAX >> 1)?.unwrap_or(1);
    let dense = settings.numbers(DENSE_LAYERS)?.unwrap_or_default();
    config.set_experts(routing, |layer| (layer + 1).is_multiple_of(step) && !dense.contains(&(layer as f64)));
    Ok(config)
}

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    let options = AttentionOptions { head_norms: true, ..AttentionOptions::default() };
    let attention = Attention::load(loader, config, layer, &options)?;
    let feed_forward = match config.routing_of(layer) {
        Some(routing) => FeedForward::Experts(Experts::load(loader, config, routing, layer, &NAMES)?),
        None => FeedForward::Mlp(GatedMlp::load(loader, config, layer)?),
    };
    PreNormLayer::of_parts(loader, config, layer, attention, feed_forward)
}
