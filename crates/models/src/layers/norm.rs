//! Root-mean-square norm (arXiv 1910.07467).

use kernels::{Pool, norm};

use crate::{
    Error,
    config::ModelConfig,
    loader::{Loader, Name},
};

/// `x / rms(x) * weight`, over rows as long as the weight.
pub(crate) struct Norm {
    weight: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    /// A norm of the whole model, `hidden` wide.
    pub(crate) fn of_model(loader: &Loader<'_>, config: &ModelConfig, name: Name) -> Result<Self, Error> {
        Ok(Self::new(config, loader.vector(name, config.hidden)?))
    }

    /// A norm of one layer.
    pub(crate) fn of_layer(
        loader: &Loader<'_>,
        config: &ModelConfig,
        layer: usize,
        name: Name,
        length: usize,
    ) -> Result<Self, Error> {
        Ok(Self::new(config, loader.layer_vector(layer, name, length)?))
    }

    fn new(config: &ModelConfig, mut weight: Vec<f32>) -> Self {
        if config.norm_offset != 0.0 {
            weight.iter_mut().for_each(|weight| *weight += config.norm_offset);
        }
        Self { weight, epsilon: config.norm_epsilon }
    }

    /// `out = norm(x)` for every row.
    pub(crate) fn apply(&self, pool: &Pool, x: &[f32], out: &mut [f32]) {
        norm::rms_norm(pool, x, &self.weight, self.epsilon, out);
    }

    /// `x = norm(x)` for every row.
    pub(crate) fn apply_in_place(&self, pool: &Pool, x: &mut [f32]) {
        norm::rms_norm_in_place(pool, x, &self.weight, self.epsilon);
    }
}
