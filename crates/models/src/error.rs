//! What is wrong with a model, said so that its owner can do something about it.

/// Why a model cannot be described or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No constructor has this architecture's name.
    #[error("architecture {found:?} is not supported; known are {known}")]
    UnknownArchitecture {
        /// What the model calls itself.
        found: String,
        /// All names that would do, separated by commas.
        known: String,
    },
    /// A hyper-parameter that has no default is not there.
    #[error("the model's settings lack {key}")]
    MissingSetting {
        /// The key, as this kind of file spells it.
        key: String,
    },
    /// A hyper-parameter is of another type or outside of what can be.
    #[error("the model's setting {key} is {found}, wanted {wanted}")]
    BadSetting {
        /// The key, as this kind of file spells it.
        key: String,
        /// What it holds.
        found: String,
        /// What it may hold.
        wanted: String,
    },
    /// The model needs something that is not built.
    #[error("{feature} is not supported for this architecture")]
    Unsupported {
        /// The setting and its value.
        feature: String,
    },
    /// A tensor that the settings call for is not there.
    #[error("the model has no tensor {name} (expected shape {expected:?})")]
    MissingTensor {
        /// Its name.
        name: String,
        /// The shape that the settings imply, outermost dimension first.
        expected: Vec<usize>,
    },
    /// A tensor contradicts the settings.
    #[error("tensor {name} has shape {found:?}, but the model's settings imply {expected:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// The shape that the settings imply, outermost dimension first.
        expected: Vec<usize>,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor holds numbers that cannot be computed with.
    #[error("tensor {name} holds {found}, wanted {wanted}")]
    TensorValue {
        /// Its name.
        name: String,
        /// The offending value and its place.
        found: String,
        /// What is allowed.
        wanted: &'static str,
    },
    /// The KV cache that was asked for cannot be.
    #[error(
        "a KV cache of {blocks} blocks of {block_bytes} bytes and a context of {context_length} tokens cannot be made"
    )]
    KvBlocks {
        /// Blocks asked for.
        blocks: usize,
        /// Bytes of one, over all layers.
        block_bytes: u64,
        /// Tokens of a sequence that would fit.
        context_length: usize,
    },
    /// The file itself is wrong.
    #[error(transparent)]
    Weights(#[from] weights::Error),
}
