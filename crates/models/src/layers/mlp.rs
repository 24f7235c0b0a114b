//! The gated MLP (arXiv 2002.05202): `down(activation(gate(x)) * up(x))`.

use kernels::{
    elementwise::{self, Activation},
    matrix::{self, Matrix},
};

use super::Step;
use crate::{
    Error,
    config::ModelConfig,
    loader::{Loader, Name},
};

const GATE: Name = Name::new("ffn_gate", "mlp.gate_proj");
const UP: Name = Name::new("ffn_up", "mlp.up_proj");
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
        let (hidden, wide) = (config.hidden, config.feed_forward);
        Ok(Self {
            gate: loader.layer_matrix(layer, GATE, wide, hidden)?,
            up: loader.layer_matrix(layer, UP, wide, hidden)?,
            down: loader.layer_matrix(layer, DOWN, hidden, wide)?,
            biases: [
                loader.layer_bias(layer, GATE, wide)?,
                loader.layer_bias(layer, UP, wide)?,
                loader.layer_bias(layer, DOWN, hidden)?,
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
