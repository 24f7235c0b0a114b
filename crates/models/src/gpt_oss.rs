//! gpt-oss (arXiv 2508.10925): experts with weights in MXFP4, attention sinks, a window on every other layer.
//!
//! A folder has gate and up of an expert in one tensor, whose rows take turns, and the experts' weights either in MXFP4
//! with the scales apart, or unpacked and then transposed. A GGUF has what GGUFs of other models with experts have. The
//! dimensions between which YaRN blends are not rounded to whole ones; a GGUF cannot say so.

use weights::TensorType;

use kernels::elementwise::Activation;

use crate::{
    Error,
    config::{self, Defaults, ModelConfig},
    decoder::Layer,
    layers::{
        Attention, AttentionOptions, Bias, FeedForward, GatedMlp, Norm, PreNormLayer, Scaling,
        experts::{Experts, Names, Routing, Weights},
    },
    loader::{Loader, Name},
    registry::Architecture,
    settings::{Key, Settings},
};

pub(crate) const ARCHITECTURE: Architecture = Architecture {
    name: "gpt-oss",
    ggufs: &["gpt-oss"],
    classes: &["GptOssForCausalLM"],
    model_types: &["gpt_oss"],
    configure,
    layer,
};

const ALPHA: Key = Key::only_hugging_face("swiglu_alpha");
const LIMIT: Key = Key::only_hugging_face("swiglu_limit");

fn configure(settings: &Settings<'_>) -> Result<ModelConfig, Error> {
    let defaults = Defaults {
        rope_base: 150_000.0,
        head_dim: Some(64),
        quant_method: Some("mxfp4"),
        experts: true,
        ..Defaults::default()
    };
    let mut config = ModelConfig::read(settings, &defaults)?;
    let number = |key, published: f64| match settings.positive(key)?.unwrap_or(published) {
        number if (number as f32).is_normal() => Ok(number as f32),
        number => Err(settings.bad(key, number, "a number within the range of f32")),
    };
    config.activation = Activation::Clamped { alpha: number(ALPHA, 1.702)?, limit: number(LIMIT, 7.0)? };
    if !settings.is_gguf() && ["rope_scaling", "rope_parameters"].iter().all(|name| settings.object(name).is_none()) {
        return Err(Error::MissingSetting { key: "rope_scaling".to_string() });
    }
    if let Scaling::Yarn { truncate, .. } = &mut config.ropes[0].scaling
        && settings.is_gguf()
    {
        *truncate = false;
    }
    let window = config::window(settings)?.unwrap_or(128);
    let sliding = match config::sliding_layers(settings, config.layers.len())? {
        Some(sliding) => sliding,
        None => (0..config.layers.len()).map(|layer| layer.is_multiple_of(2)).collect(),
    };
    for (layer, sliding) in config.layers.iter_mut().zip(sliding) {
        layer.window = sliding.then_some(window);
    }
    let routing = Routing::read(settings, config.feed_forward, Weights::OfChosen)?;
    config.set_experts(Routing { biased: true, ..routing }, |_| true);
    Ok(config)
}

const ATTENTION_NORM: Name = Name::new("attn_norm", "input_layernorm");
const FEED_FORWARD_NORM: Name = Name::new("post_attention_norm", "post_attention_layernorm");
const ROUTER: &str = "mlp.router";
const GATE_UP: &str = "mlp.experts.gate_up_proj";
const DOWN: &str = "mlp.experts.down_proj";

fn layer(loader: &Loader<'_>, config: &ModelConfig, layer: usize) -> Result<Box<dyn Layer>, Error> {
    let routing = config.routing_of(layer).expect("every layer has experts");
    let options = AttentionOptions { bias: Bias::All, sinks: true, ..AttentionOptions::default() };
    let experts = if loader.is_gguf() {
        // Names are what folders call things.
        Experts::load(loader, config, routing, layer, &Names::default())?
    } else {
        let experts = experts_of_folder(loader, config, routing, layer)?;
        Experts::of_parts(loader, config, routing, layer, Name::new("", ROUTER), experts)?
    };
    Ok(Box::new(PreNormLayer {
        attention_norm: Norm::of_layer(loader, config, layer, ATTENTION_NORM, config.hidden)?,
        attention: Attention::load(loader, config, layer, &options)?,
        feed_forward_norm: Norm::of_layer(loader, config, layer, FEED_FORWARD_NORM, config.hidden)?,
        feed_forward: FeedForward::Experts(experts),
    }))
}

/// The experts of one layer of a folder.
fn experts_of_folder(
    loader: &Loader<'_>,
    config: &ModelConfig,
    routing: Routing,
    layer: usize,
) -> Result<Vec<GatedMlp>, Error> {
    let (experts, hidden, wide) = (routing.experts, config.hidden, routing.feed_forward);
    let gate_up = Stored::find(loader, layer, GATE_UP, [experts, 2 * wide, hidden])?;
    let down = Stored::find(loader, layer, DOWN, [experts, hidden, wide])?;
    let gate_up_biases =
        loader.expert_vectors(layer, Name::new("", "mlp.experts.gate_up_proj_bias"), experts, 2 * wide)?;
    let down_biases = loader.expert_vectors(layer, Name::new("", "mlp.experts.down_proj_bias"), experts, hidden)?;
    let of_expert = |(expert, (gate_up_bias, down_bias)): (usize, (Vec<f32>, Vec<f32>))| {
        let first = expert * 2 * wide;
        let matrices = [
            gate_up.matrix(loader, [wide, hidden], &|row| first + 2 * row),
            gate_up.matrix(loader, [wide, hidden], &|row| first + 2 * row + 1),
            down.matrix(loader, [hidden, wide], &|row| expert * hidden + row),
        ];
        let every_other = |skip| Some(gate_up_bias.iter().skip(skip).step_by(2).copied().collect());
        GatedMlp::of_parts(matrices, [every_other(0), every_other(1), Some(down_bias)], config.activation)
    };
    Ok(gate_up_biases.into_iter().zip(down_biases).enumerate().map(of_expert).collect())
}

/// The matrices of all experts of a layer, `[experts, rows, columns]`, in one of two forms.
enum Stored<'a> {
    /// Codes `[experts, rows, columns / 32, 16]` and scales `[experts, rows, columns / 32]`.
    Packed { codes: &'a [[u8; 16]], scales: &'a [u8] },
    /// Numbers `[experts, columns, rows]`.
    Transposed { kind: TensorType, bytes: &'a [u8], rows: usize },
}

/// Columns of a block of MXFP4.
const BLOCK: usize = 32;

impl<'a> Stored<'a> {
    fn find(
        loader: &Loader<'a>,
        layer: usize,
        name: &'static str,
        [experts, rows, columns]: [usize; 3],
    ) -> Result<Self, Error> {
        if let Some(tensor) = loader.layer_tensor(layer, Name::new("", name), &[experts, columns, rows])? {
            return Ok(Self::Transposed { kind: tensor.kind, bytes: tensor.bytes, rows });
        }
        let (codes, scales) = match name {
            GATE_UP => ("mlp.experts.gate_up_proj_blocks", "mlp.experts.gate_up_proj_scales"),
            _ => ("mlp.experts.down_proj_blocks", "mlp.experts.down_proj_scales"),
        };
        if !columns.is_multiple_of(BLOCK) {
            let feature = format!("{codes} with rows of {columns} numbers, which are not whole blocks of {BLOCK},");
            return Err(Error::Unsupported { feature });
        }
        let blocks = columns / BLOCK;
        let codes = loader.layer_raw(layer, Name::new("", codes), &[experts, rows, blocks, 16])?;
        let scales = loader.layer_raw(layer, Name::new("", scales), &[experts, rows, blocks])?;
        Ok(Self::Packed { codes: codes.bytes.as_chunks().0, scales: scales.bytes })
    }

    /// A matrix whose rows are those that `row` numbers, counted over all experts.
    fn matrix(
        &self,
        loader: &Loader<'_>,
        [rows, columns]: [usize; 2],
        row: &dyn Fn(usize) -> usize,
    ) -> kernels::matrix::Matrix {
        match *self {
            Self::Packed { codes, scales } => {
                let blocks = columns / BLOCK;
                loader.composed_matrix(TensorType::MXFP4, [rows, columns], &|number, bytes| {
                    let range = row(number) * blocks..(row(number) + 1) * blocks;
                    for (codes, scale) in codes[range.clone()].iter().zip(&scales[range]) {
                        bytes.extend(weights::mxfp4_block(*scale, codes));
                    }
                })
            }
            Self::Transposed { kind, bytes, rows: all } => {
                let (_, size) = kind.block();
                loader.composed_matrix(kind, [rows, columns], &|number, out| {
                    let (expert, row) = (row(number) / all, row(number) % all);
                    for column in 0..columns {
                        let at = (expert * columns + column) * all + row;
                        out.extend_from_slice(&bytes[at * size..(at + 1) * size]);
                    }
                })
            }
        }
    }
}
