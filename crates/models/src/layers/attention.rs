//! Grouped-query attention with rotary positions (arXiv 2305.13245), over the paged KV cache.

use kernels::{
    attention::{self, Shape},
    elementwise,
    kv::LayerKv,
    matrix::{self, Matrix},
    rope::{self, Pairing},
};

use super::{Norm, Step};
use crate::{
    Error,
    config::ModelConfig,
    loader::{Loader, Name, Rows},
};

const QUERY: Name = Name::new("attn_q", "self_attn.q_proj");
const KEY: Name = Name::new("attn_k", "self_attn.k_proj");
const VALUE: Name = Name::new("attn_v", "self_attn.v_proj");
/// The three in one, in this order.
const QUERY_KEY_VALUE: Name = Name::new("attn_qkv", "self_attn.qkv_proj");
const OUTPUT: Name = Name::new("attn_output", "self_attn.o_proj");
const SINKS: Name = Name::new("attn_sinks.weight", "self_attn.sinks");
const QUERY_NORM: Name = Name::new("attn_q_norm", "self_attn.q_norm");
const KEY_NORM: Name = Name::new("attn_k_norm", "self_attn.k_norm");

/// What an architecture's attention has beside its four matrices, and how those are stored.
#[derive(Default)]
pub(crate) struct AttentionOptions {
    /// Biases of the four.
    pub(crate) bias: Bias,
    /// A norm over each query and key head, before the rotation.
    pub(crate) head_norms: bool,
    /// Query, key and value are rows of one tensor.
    pub(crate) fused: bool,
    /// Each query head has a score that takes part in the softmax and has no value.
    pub(crate) sinks: bool,
}

/// Whether matrices have biases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Bias {
    /// Where the checkpoint has them.
    #[default]
    WhereStored,
    /// Query, key and value must have them.
    QueryKeyValue,
    /// All four must have them.
    All,
}

/// One layer's attention.
pub(crate) struct Attention {
    query: Projection,
    key: Projection,
    value: Projection,
    output: Projection,
    head_norms: Option<(Norm, Norm)>,
    /// One a query head.
    sinks: Option<Vec<f32>>,
    shape: Shape<'static>,
    rope: usize,
    pairing: Pairing,
}

/// A matrix and the bias of its rows.
struct Projection {
    weight: Matrix,
    bias: Option<Vec<f32>>,
}

impl Projection {
    fn load(
        loader: &Loader<'_>,
        layer: usize,
        (name, rows): (Name, &Rows),
        columns: usize,
        bias_needed: bool,
    ) -> Result<Self, Error> {
        let weight = loader.layer_matrix(layer, name, rows, columns)?;
        match loader.layer_bias(layer, name, rows)? {
            None if bias_needed => Err(loader.lacks_layer_bias(layer, name, rows)),
            bias => Ok(Self { weight, bias }),
        }
    }
}

impl Attention {
    /// Takes one layer's tensors.
    pub(crate) fn load(
        loader: &Loader<'_>,
        config: &ModelConfig,
        layer: usize,
        options: &AttentionOptions,
    ) -> Result<Self, Error> {
        let (wide, narrow) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let stored = if options.fused {
            let of = |taken| (QUERY_KEY_VALUE, Rows { stored: wide + 2 * narrow, taken });
            [of(0..wide), of(wide..wide + narrow), of(wide + narrow..wide + 2 * narrow)]
        } else {
            [(QUERY, Rows::all(wide)), (KEY, Rows::all(narrow)), (VALUE, Rows::all(narrow))]
        };
        let projection = |(name, rows): &(Name, Rows)| {
            let bias_needed = options.bias != Bias::WhereStored;
            Projection::load(loader, layer, (*name, rows), config.hidden, bias_needed)
        };
        let head_norm = |name| Norm::of_layer(loader, config, layer, name, config.head_dim);
        let layer_config = config.layers[layer];
        Ok(Self {
            query: projection(&stored[0])?,
            key: projection(&stored[1])?,
            value: projection(&stored[2])?,
            output: Projection::load(
                loader,
                layer,
                (OUTPUT, &Rows::all(config.hidden)),
                wide,
                options.bias == Bias::All,
            )?,
            head_norms: if options.head_norms { Some((head_norm(QUERY_NORM)?, head_norm(KEY_NORM)?)) } else { None },
            sinks: options.sinks.then(|| loader.layer_vector_named(layer, SINKS, config.heads)).transpose()?,
            shape: config.attention_shape(layer_config),
            rope: layer_config.rope,
            pairing: config.pairing,
        })
    }

    /// `scratch.rows = attention(scratch.rows)`; stores the rows' keys and values in `kv`.
    pub(crate) fn apply(&self, step: &mut Step<'_>, kv: &mut LayerKv) {
        let (pool, rows) = (step.pool, step.rows());
        let (shape, scratch) = (&Shape { sinks: self.sinks.as_deref(), ..self.shape }, &mut *step.scratch);
        let (wide, narrow) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let hidden = self.output.weight.rows();
        let query = scratch.query.of_length(rows * wide);
        let key = scratch.key.of_length(rows * narrow);
        let value = scratch.value.of_length(rows * narrow);

        scratch.activations.set(pool, rows, hidden, scratch.rows.of_length(rows * hidden));
        matrix::multiply(
            pool,
            &scratch.activations,
            &mut [(&self.query.weight, &mut *query), (&self.key.weight, &mut *key), (&self.value.weight, &mut *value)],
        );
        for (projection, out) in [(&self.query, &mut *query), (&self.key, &mut *key), (&self.value, &mut *value)] {
            if let Some(bias) = &projection.bias {
                elementwise::add_bias(pool, out, bias);
            }
        }
        if let Some((query_norm, key_norm)) = &self.head_norms {
            query_norm.apply_in_place(pool, query);
            key_norm.apply_in_place(pool, key);
        }
        let table = &step.tables[self.rope];
        rope::rotate(pool, table, self.pairing, shape.heads, shape.head_dim, step.positions, query);
        rope::rotate(pool, table, self.pairing, shape.kv_heads, shape.head_dim, step.positions, key);

        let attended = scratch.attended.of_length(rows * wide);
        attention::attend(pool, shape, step.spans, query, key, value, kv, attended);

        scratch.activations.set(pool, rows, wide, attended);
        let out = scratch.rows.of_length(rows * hidden);
        matrix::multiply(pool, &scratch.activations, &mut [(&self.output.weight, &mut *out)]);
        if let Some(bias) = &self.output.bias {
            elementwise::add_bias(pool, out, bias);
        }
    }
}
