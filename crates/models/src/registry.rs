//! The literal table of architectures.

use weights::Checkpoint;

use crate::{
    Error, config::ModelConfig, decoder::Layer, gemma2, gemma3, gpt_oss, llama, loader::Loader, mixtral, phi3, qwen2,
    qwen3, qwen3_moe, settings::Settings,
};

/// How one architecture is recognised, read and built.
pub(crate) struct Architecture {
    /// Its name in our messages and in [`crate::Description`].
    pub(crate) name: &'static str,
    /// Values of a GGUF's `general.architecture`.
    pub(crate) ggufs: &'static [&'static str],
    /// Values of `architectures` in a `config.json`.
    pub(crate) classes: &'static [&'static str],
    /// Values of `model_type` in a `config.json` that has no `architectures`.
    pub(crate) model_types: &'static [&'static str],
    /// Reads the hyper-parameters.
    pub(crate) configure: fn(&Settings<'_>) -> Result<ModelConfig, Error>,
    /// Builds one layer.
    pub(crate) layer: BuildLayer,
}

/// Takes the tensors of the layer with this number.
pub(crate) type BuildLayer = fn(&Loader<'_>, &ModelConfig, usize) -> Result<Box<dyn Layer>, Error>;

/// All architectures there are.
const ARCHITECTURES: &[Architecture] = &[
    llama::ARCHITECTURE,
    qwen2::ARCHITECTURE,
    qwen3::ARCHITECTURE,
    qwen3_moe::ARCHITECTURE,
    mixtral::ARCHITECTURE,
    phi3::ARCHITECTURE,
    gemma2::ARCHITECTURE,
    gemma3::ARCHITECTURE,
    gpt_oss::ARCHITECTURE,
];

/// The architecture of a checkpoint, or an error that lists what would do.
pub(crate) fn find(checkpoint: &Checkpoint, settings: &Settings<'_>) -> Result<&'static Architecture, Error> {
    match (settings, checkpoint) {
        (Settings::Gguf { architecture, .. }, _) => by(architecture, |candidate| candidate.ggufs),
        (_, Checkpoint::HuggingFace(folder)) => {
            let config = folder.config();
            // The class says more than the type: a classifier on top of llama has llama's type.
            if let Some(class) = config.get("architectures").and_then(|classes| classes.get(0)?.as_str()) {
                return by(class, |candidate| candidate.classes);
            }
            match config.get("model_type").and_then(|value| value.as_str()) {
                Some(model_type) => by(model_type, |candidate| candidate.model_types),
                None => Err(Error::MissingSetting { key: "architectures".to_string() }),
            }
        }
        (_, Checkpoint::Gguf(_)) => Err(Error::MissingSetting { key: "general.architecture".to_string() }),
    }
}

fn by(
    found: &str,
    names: impl Fn(&'static Architecture) -> &'static [&'static str],
) -> Result<&'static Architecture, Error> {
    ARCHITECTURES.iter().find(|candidate| names(candidate).contains(&found)).ok_or_else(|| Error::UnknownArchitecture {
        found: found.chars().take(80).collect(),
        known: ARCHITECTURES.iter().flat_map(names).copied().collect::<Vec<_>>().join(", "),
    })
}
