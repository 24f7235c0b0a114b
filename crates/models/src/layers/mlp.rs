//! The gated MLP (arXiv 2002.05202): `down(activation(gate(x)) * up(x))`.

use kernels::{
    Pool,
    elementwise::{self, Activation},
    matrix::{self, Activations, Matrix},
};

use super::{Buffer, Scratch, Step};
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
        let matrices = [
            loader.layer_matrix(layer, gate, gate_rows, hidden)?,
            loader.layer_matrix(layer, up, up_rows, hidden)?,
            loader.layer_matrix(layer, DOWN, down_rows, config.feed_forward)?,
        ];
        let biases = [
            loader.layer_bias(layer, gate, gate_rows)?,
            loader.layer_bias(layer, up, up_rows)?,
            loader.layer_bias(layer, DOWN, down_rows)?,
        ];
        Ok(Self::of_parts(matrices, biases, config.activation))
    }

    /// Puts gate, up and down together, each with its bias.
    pub(crate) fn of_parts(
        [gate, up, down]: [Matrix; 3],
        biases: [Option<Vec<f32>>; 3],
        activation: Activation,
    ) -> Self {
        Self { gate, up, down, biases, activation }
    }

    /// `scratch.rows = mlp(scratch.rows)`.
    pub(crate) fn apply(&self, step: &mut Step<'_>) {
        let length = step.rows() * self.gate.columns();
        let Scratch { rows, activations, gate, up, .. } = &mut *step.scratch;
        self.run(step.pool, rows.of_length(length), activations, [gate, up]);
    }

    /// `rows = mlp(rows)`; the other arguments are memory.
    pub(crate) fn run(
        &self,
        pool: &Pool,
        rows: &mut [f32],
        activations: &mut Activations,
        [gate, up]: [&mut Buffer; 2],
    ) {
        let (hidden, wide) = (self.gate.columns(), self.down.columns());
        let count = rows.len() / hidden;
        let gate = gate.of_length(count * wide);
        let up = up.of_length(count * wide);
        let [gate_bias, up_bias, down_bias] = &self.biases;

        activations.set(pool, count, hidden, rows);
        matrix::multiply(pool, activations, &mut [(&self.gate, &mut *gate), (&self.up, &mut *up)]);
        for (bias, out) in [(gate_bias, &mut *gate), (up_bias, &mut *up)] {
            if let Some(bias) = bias {
                elementwise::add_bias(pool, out, bias);
            }
        }
        elementwise::gated(pool, self.activation, gate, up);

        activations.set(pool, count, wide, gate);
        matrix::multiply(pool, activations, &mut [(&self.down, &mut *rows)]);
        if let Some(bias) = down_bias {
            elementwise::add_bias(pool, rows, bias);
        }
    }
}
