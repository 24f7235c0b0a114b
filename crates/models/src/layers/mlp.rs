//! The gated MLP (arXiv 2002.05202): `down(activation(gate(x)) * up(x))`.

use kernels::{
    elementwise::{self, Activation},
    matrix::{self, Matrix},
};

use super::Step;
use crate::{
    Error,
    config::ModelConfig,
    loader::{Loader, Name, Rows},
};

const GATE: Name = Name::new("ffn_gate", "mlp.gate_proj");
const UP: Name = Name::new("ffn_up", "mlp.up_proj");
/// The two in one, in this order.
const GATE_UP: Name = Name::new("ffn_up", "mlp.gate_up_proj");
const DOWN: Name = Name::new("ffn_down", "mlp.down_proj");

/// One layer's MLP.
pub(crate) struct GatedMlp {
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    /// Of gate, up and down.
    biases: [Option<Vec<f32>>; 3],
    activation: Activation,
}

impl GatedMlp {
    /// Takes one layer's tensors.
    pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Self, Error> {
        let wide = Rows::all(config.feed_forward);
        Self::load_from(loader, config, layer, [(GATE, &wide), (UP, &wide)])
    }

    /// Takes one layer's tensors, of which one holds gate and up.
    pub(crate) fn load_fused(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Self, Error> {
        let wide = config.feed_forward;
        let of = |taken| Rows { stored: 2 * wide, taken };
        Self::load_from(loader, config, layer, [(GATE_UP, &of(0..wide)), (GATE_UP, &of(wide..2 * wide))])
    }

    fn load_from(
        loader: &Loader<'_>,
        config: &ModelConfig,
        layer: usize,
        [(gate, gate_rows), (up, up_rows)]: [(Name, &Rows); 2],
    ) -> Result<Self, Error> {
        let (hidden, down_rows) = (config.hidden, &Rows::all(config.hidden));
        Ok(Self {
            gate: loader.layer_matrix(layer, gate, gate_rows, hidden)?,
            up: loader.layer_matrix(layer, up, up_rows, hidden)?,
            down: loader.layer_matrix(layer, DOWN, down_rows, config.feed_forward)?,
            biases: [
                loader.layer_bias(layer, gate, gate_rows)?,
                loader.layer_bias(layer, up, up_rows)?,
                loader.layer_bias(layer, DOWN, down_rows)?,
            ],
            activation: config.activation,
        })
    }

    /// `scratch.rows = mlp(scratch.rows)`.
    pub(crate) fn apply(&self, step: &mut Step<'_>) {
        let (pool, rows) = (step.pool, step.rows());
        let scratch = &mut *step.scratch;
        let (hidden, wide) = (self.gate.columns(), self.down.columns());
        let gate = scratch.gate.of_length(rows * wide);
        let up = scratch.up.of_length(rows * wide);
        let [gate_bias, up_bias, down_bias] = &self.biases;

        scratch.activations.set(pool, rows, hidden, scratch.rows.of_length(rows * hidden));
        matrix::multiply(pool, &scratch.activations, &mut [(&self.gate, &mut *gate), (&self.up, &mut *up)]);
        for (bias, out) in [(gate_bias, &mut *gate), (up_bias, &mut *up)] {
            if let Some(bias) = bias {
                elementwise::add_bias(pool, out, bias);
            }
        }
        elementwise::gated(pool, self.activation, gate, up);

        scratch.activations.set(pool, rows, wide, gate);
        let out = scratch.rows.of_length(rows * hidden);
        matrix::multiply(pool, &scratch.activations, &mut [(&self.down, &mut *out)]);
        if let Some(bias) = down_bias {
            elementwise::add_bias(pool, out, bias);
        }
    }
}
