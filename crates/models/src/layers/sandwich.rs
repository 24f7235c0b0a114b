//! The layer of Gemma from its second generation on: `x += norm(attention(norm(x))); x += norm(mlp(norm(x)))`.

use kernels::kv::LayerKv;

use super::{Attention, AttentionOptions, GatedMlp, Norm, Step};
use crate::{
    Error,
    config::ModelConfig,
    decoder::Layer,
    loader::{Loader, Name},
};

const ATTENTION_NORM: Name = Name::new("attn_norm", "input_layernorm");
const AFTER_ATTENTION_NORM: Name = Name::new("post_attention_norm", "post_attention_layernorm");
const MLP_NORM: Name = Name::new("ffn_norm", "pre_feedforward_layernorm");
const AFTER_MLP_NORM: Name = Name::new("post_ffw_norm", "post_feedforward_layernorm");

/// A norm before and after each of the two parts.
pub(crate) struct SandwichLayer {
    attention_norm: Norm,
    attention: Attention,
    after_attention_norm: Norm,
    mlp_norm: Norm,
    mlp: GatedMlp,
    after_mlp_norm: Norm,
}

impl SandwichLayer {
    /// Takes one layer's tensors.
    pub(crate) fn load(
        loader: &Loader<'_>,
        config: &ModelConfig,
        layer: usize,
        options: &AttentionOptions,
    ) -> Result<Box<dyn Layer>, Error> {
        let norm = |name| Norm::of_layer(loader, config, layer, name, config.hidden);
        Ok(Box::new(Self {
            attention_norm: norm(ATTENTION_NORM)?,
            attention: Attention::load(loader, config, layer, options)?,
            after_attention_norm: norm(AFTER_ATTENTION_NORM)?,
            mlp_norm: norm(MLP_NORM)?,
            mlp: GatedMlp::load(loader, config, layer)?,
            after_mlp_norm: norm(AFTER_MLP_NORM)?,
        }))
    }
}

impl Layer for SandwichLayer {
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
