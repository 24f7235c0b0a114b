//! One description of a decoder model, read from GGUF metadata or from a Hugging Face `config.json`.
//!
//! What a file says is checked for being possible before anything is sized by it; that the tensors agree is checked by
//! [`crate::loader`].

use kernels::{elementwise::Activation, rope::Pairing};

use crate::{
    Error,
    layers::{Rope, experts::Routing},
    settings::{Key, Settings},
};

/// More than any model has, and little enough that nothing sized by these is absurd.
const MOST_LAYERS: usize = 1024;
const MOST_HEADS: usize = 1024;
const MOST_HEAD_DIM: usize = 2048;
const MOST_HIDDEN: usize = 1 << 17;
pub(crate) const MOST_FEED_FORWARD: usize = 1 << 20;
const MOST_CONTEXT: usize = 1 << 30;

const LAYERS: Key = Key::new("block_count", "num_hidden_layers");
const HIDDEN: Key = Key::new("embedding_length", "hidden_size");
const FEED_FORWARD: Key = Key::new("feed_forward_length", "intermediate_size");
const HEADS: Key = Key::new("attention.head_count", "num_attention_heads");
const KV_HEADS: Key = Key::new("attention.head_count_kv", "num_key_value_heads");
const HEAD_DIM: Key = Key::new("attention.key_length", "head_dim");
const VALUE_DIM: Key = Key::only_gguf("attention.value_length");
const CONTEXT: Key = Key::new("context_length", "max_position_embeddings");
const EPSILON: Key = Key::new("attention.layer_norm_rms_epsilon", "rms_norm_eps");
const ACTIVATION: Key = Key::only_hugging_face("hidden_act");
const ACTIVATION_GEMMA: Key = Key::only_hugging_face("hidden_activation");
const TIED: Key = Key::only_hugging_face("tie_word_embeddings");
const CAUSAL: Key = Key::only_gguf("attention.causal");
const WINDOW: Key = Key::new("attention.sliding_window", "sliding_window");
const LAYER_TYPES: Key = Key::only_hugging_face("layer_types");

/// A decoder model without its numbers.
#[derive(Debug, Clone)]
pub(crate) struct ModelConfig {
    /// What differs between layers, one entry a layer.
    pub(crate) layers: Vec<LayerConfig>,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Width between the two products of the MLP.
    pub(crate) feed_forward: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads; a divisor of `heads`.
    pub(crate) kv_heads: usize,
    /// Width of one head; even.
    pub(crate) head_dim: usize,
    /// Most tokens of a sequence, by the model's own account.
    pub(crate) context_length: usize,
    /// Added to the mean square in every norm.
    pub(crate) norm_epsilon: f32,
    /// Added to every norm's weight, at load.
    pub(crate) norm_offset: f32,
    /// The experts of those layers that have them.
    pub(crate) routing: Option<Routing>,
    /// The gate's activation.
    pub(crate) activation: Activation,
    /// Scores are multiplied by this.
    pub(crate) attention_scale: f32,
    /// `cap * tanh(score / cap)`.
    pub(crate) attention_softcap: Option<f32>,
    /// The same on logits.
    pub(crate) final_softcap: Option<f32>,
    /// Embeddings are multiplied by this.
    pub(crate) embedding_scale: Option<f32>,
    /// Which dimensions of a head rotate together.
    pub(crate) pairing: Pairing,
    /// The rotary tables that layers choose from.
    pub(crate) ropes: Vec<Rope>,
    /// Whether the head is the embedding. `None`: when the file has no tensor for the head.
    pub(crate) tied: Option<bool>,
}

/// What may differ between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerConfig {
    /// `Some(w)`: a query at `p` sees the keys `p - w + 1 ..= p`.
    pub(crate) window: Option<usize>,
    /// Index into [`ModelConfig::ropes`].
    pub(crate) rope: usize,
    /// Whether experts stand for its MLP.
    pub(crate) experts: bool,
}

/// What an architecture's `config.json` may leave out, with the reference's defaults.
pub(crate) struct Defaults {
    pub(crate) heads: Option<usize>,
    pub(crate) kv_heads: Option<usize>,
    pub(crate) head_dim: Option<usize>,
    pub(crate) context_length: Option<usize>,
    pub(crate) rope_base: f64,
    pub(crate) activation: &'static str,
    pub(crate) tied: bool,
    /// The `quant_method` of a `quantization_config` whose tensors the architecture reads.
    pub(crate) quant_method: Option<&'static str>,
    /// Whether the architecture looks after experts itself. For the others, to mention any is an error.
    pub(crate) experts: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            heads: None,
            kv_heads: None,
            head_dim: None,
            context_length: None,
            rope_base: 10_000.0,
            activation: "silu",
            tied: false,
            quant_method: None,
            experts: false,
        }
    }
}

impl ModelConfig {
    /// Reads what all architectures have in common. Every layer has full attention and the first rope; an architecture
    /// changes that afterwards.
    pub(crate) fn read(settings: &Settings<'_>, defaults: &Defaults) -> Result<Self, Error> {
        refuse_what_is_not_built(settings, defaults.quant_method)?;
        if !defaults.experts
            && let Some(feature) = Routing::mentioned(settings)?
        {
            return Err(Error::Unsupported { feature });
        }
        let layers = settings.needed_count(LAYERS, MOST_LAYERS)?;
        let hidden = settings.needed_count(HIDDEN, MOST_HIDDEN)?;
        let feed_forward = settings.needed_count(FEED_FORWARD, MOST_FEED_FORWARD)?;
        let heads = match (settings.count(HEADS, MOST_HEADS)?, defaults.heads) {
            (Some(heads), _) | (None, Some(heads)) => heads,
            (None, None) => settings.needed_count(HEADS, MOST_HEADS)?,
        };
        let kv_heads = settings.count(KV_HEADS, MOST_HEADS)?.or(defaults.kv_heads).unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(settings.bad(KV_HEADS, kv_heads, format!("a divisor of the {heads} query heads")));
        }
        let head_dim = match settings.count(HEAD_DIM, MOST_HEAD_DIM)?.or(defaults.head_dim) {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => return Err(settings.bad(HEADS, heads, format!("a divisor of the hidden size {hidden}"))),
        };
        if !head_dim.is_multiple_of(2) || head_dim > MOST_HEAD_DIM {
            return Err(settings.bad(HEAD_DIM, head_dim, format!("an even number up to {MOST_HEAD_DIM}")));
        }
        if let Some(value_dim) = settings.count(VALUE_DIM, MOST_HEAD_DIM)?
            && value_dim != head_dim
        {
            return Err(settings.bad(VALUE_DIM, value_dim, format!("the key length {head_dim}")));
        }
        let context_length = match settings.count(CONTEXT, MOST_CONTEXT)?.or(defaults.context_length) {
            Some(context_length) => context_length,
            None => settings.needed_count(CONTEXT, MOST_CONTEXT)?,
        };
        let tied = if settings.is_gguf() { None } else { Some(settings.flag(TIED)?.unwrap_or(defaults.tied)) };
        Ok(Self {
            layers: vec![LayerConfig { window: None, rope: 0, experts: false }; layers],
            hidden,
            feed_forward,
            heads,
            kv_heads,
            head_dim,
            context_length,
            norm_epsilon: epsilon(settings)?,
            norm_offset: 0.0,
            routing: None,
            activation: activation(settings, defaults.activation)?,
            attention_scale: (1.0 / (head_dim as f64).sqrt()) as f32,
            attention_softcap: None,
            final_softcap: None,
            embedding_scale: None,
            pairing: Pairing::Halves,
            ropes: vec![Rope::read(settings, head_dim, context_length, defaults.rope_base)?],
            tied,
        })
    }

    /// Gives the layers that `which` says, by number, experts for their MLP.
    pub(crate) fn set_experts(&mut self, routing: Routing, which: impl Fn(usize) -> bool) {
        self.routing = Some(routing);
        self.layers.iter_mut().enumerate().for_each(|(number, layer)| layer.experts = which(number));
    }

    /// The experts of a layer, when it has any.
    pub(crate) fn routing_of(&self, layer: usize) -> Option<Routing> {
        self.routing.filter(|_| self.layers[layer].experts)
    }

    /// The attention kernel's view of a layer.
    pub(crate) fn attention_shape(&self, layer: LayerConfig) -> kernels::attention::Shape<'static> {
        kernels::attention::Shape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: self.attention_scale,
            window: layer.window,
            bidirectional: false,
            softcap: self.attention_softcap,
            sinks: None,
        }
    }
}

/// The window that layers may have. Absent, null and zero mean none.
pub(crate) fn window(settings: &Settings<'_>) -> Result<Option<usize>, Error> {
    // A window beyond every context is no window; some files write one.
    Ok(settings.count_or_none(WINDOW, usize::MAX >> 1)?.filter(|window| *window <= MOST_CONTEXT))
}

/// `layer_types` of a `config.json`: whether each layer has the sliding window.
pub(crate) fn sliding_layers(settings: &Settings<'_>, layers: usize) -> Result<Option<Vec<bool>>, Error> {
    let Some(types) = settings.strings(LAYER_TYPES)? else { return Ok(None) };
    if types.len() != layers {
        return Err(settings.bad(LAYER_TYPES, format!("{} entries", types.len()), format!("one a layer ({layers})")));
    }
    let sliding = types.iter().map(|kind| match *kind {
        "sliding_attention" => Ok(true),
        "full_attention" => Ok(false),
        other => Err(settings.bad(LAYER_TYPES, format!("{other:?}"), "sliding_attention or full_attention")),
    });
    sliding.collect::<Result<Vec<_>, _>>().map(Some)
}

/// A soft cap; absent and zero mean none.
pub(crate) fn softcap(settings: &Settings<'_>, key: Key) -> Result<Option<f32>, Error> {
    match settings.positive(key)? {
        Some(cap) if (cap as f32).is_normal() => Ok(Some(cap as f32)),
        Some(cap) => Err(settings.bad(key, cap, "a number within the range of f32")),
        None => Ok(None),
    }
}

fn epsilon(settings: &Settings<'_>) -> Result<f32, Error> {
    let Some(epsilon) = settings.positive(EPSILON)? else {
        // The reference's default; a GGUF always says it.
        return if settings.is_gguf() {
            Err(Error::MissingSetting { key: settings.spelled(EPSILON) })
        } else {
            Ok(1e-6)
        };
    };
    if (1e-12..=1.0).contains(&epsilon) {
        Ok(epsilon as f32)
    } else {
        Err(settings.bad(EPSILON, epsilon, "a number from 1e-12 to 1"))
    }
}

fn activation(settings: &Settings<'_>, default: &str) -> Result<Activation, Error> {
    let key = if settings.has(ACTIVATION_GEMMA) { ACTIVATION_GEMMA } else { ACTIVATION };
    match settings.text(key)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        other => Err(Error::Unsupported { feature: format!("{} = {other:?}", settings.spelled(key)) }),
    }
}

/// Features that would change the result silently if they were passed over. `quant_method`: one that is read.
pub(crate) fn refuse_what_is_not_built(settings: &Settings<'_>, quant_method: Option<&str>) -> Result<(), Error> {
    if settings.flag(CAUSAL)? == Some(false) {
        return Err(Error::Unsupported { feature: format!("{} = false", settings.spelled(CAUSAL)) });
    }
    for name in ["quantization_config", "compression_config"] {
        let Some(method) =
            settings.object(name).map(|object| object.get("quant_method").and_then(|name| name.as_str()))
        else {
            continue;
        };
        if method.is_none() || method != quant_method {
            return Err(Error::Unsupported { feature: format!("{name} (weights that are quantised in safetensors)") });
        }
    }
    Ok(())
}
