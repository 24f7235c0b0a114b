//! The layer of most decoders: `x += attention(norm(x)); x += mlp(norm(x))`, where experts may stand for the MLP.

use kernels::kv::LayerKv;

use super::{Attention, AttentionOptions, GatedMlp, Norm, Step, experts::Experts};
use crate::{
    Error,
    config::ModelConfig,
    decoder::Layer,
    loader::{Loader, Name},
};

const ATTENTION_NORM: Name = Name::new("attn_norm", "input_layernorm");
const FEED_FORWARD_NORM: Name = Name::new("ffn_norm", "post_attention_layernorm");

/// A norm before each of the two parts.
pub(crate) struct PreNormLayer {
    pub(crate) attention_norm: Norm,
    pub(crate) attention: Attention,
    pub(crate) feed_forward_norm: Norm,
    pub(crate) feed_forward: FeedForward,
}

/// What follows attention.
pub(crate) enum FeedForward {
    /// One for all rows.
    Mlp(GatedMlp),
    /// A few of many for each row.
    Experts(Experts),
}

impl PreNormLayer {
    /// Takes one layer's tensors.
    pub(crate) fn load(
        loader: &Loader<'_>,
        config: &ModelConfig,
        layer: usize,
        options: &AttentionOptions,
    ) -> Result<Box<dyn Layer>, Error> {
        let attention = Attention::load(loader, config, layer, options)?;
        Self::of_parts(loader, config, layer, attention, FeedForward::Mlp(GatedMlp::load(loader, config, layer)?))
    }

    /// Takes the norms by their usual names, and has the two parts already.
    pub(crate) fn of_parts(
        loader: &Loader<'_>,
        config: &ModelConfig,
        layer: usize,
        attention: Attention,
        feed_forward: FeedForward,
    ) -> Result<Box<dyn Layer>, Error> {
        Ok(Box::new(Self {
            attention_norm: Norm::of_layer(loader, config, layer, ATTENTION_NORM, config.hidden)?,
            attention,
            feed_forward_norm: Norm::of_layer(loader, config, layer, FEED_FORWARD_NORM, config.hidden)?,
            feed_forward,
        }))
    }
}

impl Layer for PreNormLayer {
    fn apply(&self, step: &mut Step<'_>, kv: &mut LayerKv) {
        step.read_residual(&self.attention_norm);
        self.attention.apply(step, kv);
        step.add_to_residual();
        step.read_residual(&self.feed_forward_norm);
        match &self.feed_forward {
            FeedForward::Mlp(mlp) => mlp.apply(step),
            FeedForward::Experts(experts) => experts.apply(step),
        }
        step.add_to_residual();
    }
}
