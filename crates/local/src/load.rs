//! From model files to a backend that answers.

use std::{path::Path, sync::Arc, time::Duration};

use engine::Engine;
use inference::{Backend, Dimensions, Task};
use models::{Description, Encoder, EncoderDescription, EncoderOptions, Output};
use text::Tokenizer;
use thiserror::Error;
use weights::Checkpoint;

use crate::{
    backend::LocalBackend,
    embedding::{EmbeddingBackend, Nature},
    memory::{self, Budget, MemoryError, MemoryPlan},
    passes::Passes,
};

/// How a model is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Instruction set, which has passed [`models::Level::check`]; `None` takes the best that does.
    pub level: Option<models::Level>,
    /// Threads that compute.
    pub threads: usize,
    /// Tokens of context; `None` takes the model's own, as far as memory allows.
    pub context_length: Option<u64>,
    /// Bytes of KV cache; `None` takes a part of what the weights leave.
    pub kv_bytes: Option<u64>,
    /// How keys and values are stored.
    pub kv_type: models::KvType,
    /// Sequences that run at once.
    pub max_sequences: usize,
    /// Sequences that may wait.
    pub max_queue: usize,
    /// Longest time between two tokens of a running stream that prompts of others may cause.
    pub inter_token_latency: Duration,
    /// Guess tokens of answers that repeat themselves or their prompt. The answers are the same either way.
    pub speculation: bool,
    /// Bytes that the process may use altogether.
    pub available_bytes: u64,
}

/// A reader that takes nothing for this long loses its sequence.
const READER_TIMEOUT: Duration = Duration::from_secs(60);

/// Most rows of one step: more would hardly make prefill faster, but its memory larger.
const STEP_ROWS: usize = 512;

/// How long a step may take while no stream waits for its next token: what bounds how late a cancellation is seen.
const PREFILL_STEP: Duration = Duration::from_millis(100);

/// Why a model cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The files are not a model that can be read.
    #[error("reading the model files failed: {0}")]
    Weights(#[from] weights::Error),
    /// The model cannot be run.
    #[error("this model cannot be run: {0}")]
    Model(#[from] models::Error),
    /// The tokenizer cannot be used.
    #[error("the model's tokenizer cannot be used: {0}")]
    Tokenizer(#[from] text::Error),
    /// The chat template cannot be used.
    #[error("the model's chat template cannot be used: {0}")]
    Template(#[from] chat::Error),
    /// The memory does not suffice.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The tokenizer and the weights are not of one model.
    #[error(
        "the tokenizer knows {tokenizer} tokens, but the model's output has {model} rows; the files do not belong together"
    )]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokenizer: u32,
        /// Rows of the output layer.
        model: usize,
    },
}

/// What can be said of a model without loading it.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Architecture, sizes and defaults.
    pub description: Description,
    /// Bytes of the tensors as they are on disk.
    pub file_bytes: u64,
    /// Whether the model has a chat template.
    pub chat: bool,
    /// What it is for.
    pub task: Task,
}

/// A model that runs.
pub struct Loaded {
    /// Answers requests.
    pub backend: Arc<dyn Backend>,
    /// What it takes.
    pub plan: MemoryPlan,
    /// Architecture, sizes and defaults.
    pub description: Description,
    /// The instruction set that it computes with.
    pub level: models::Level,
}

/// Reads a model's description. Costs as much as opening the files.
pub fn summarize(path: &Path) -> Result<Summary, LoadError> {
    let checkpoint = Checkpoint::open(path)?;
    if let Some(encoder) = EncoderDescription::of(&checkpoint)? {
        let task = task_of(&encoder.output);
        return Ok(Summary { description: encoder.into(), file_bytes: checkpoint.tensor_bytes(), chat: false, task });
    }
    let description = models::describe(&checkpoint, models::KvType::F16)?;
    let chat = template_source(&checkpoint)?.is_some();
    Ok(Summary { description, file_bytes: checkpoint.tensor_bytes(), chat, task: Task::Generate })
}

/// Loads a model and starts its engine. Blocks for as long as reading and repacking the weights takes.
///
/// `progress(done, all)` is called with bytes of tensors, from several threads.
pub fn load(path: &Path, options: &Options, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Loaded, LoadError> {
    let checkpoint = Checkpoint::open(path)?;
    if let Some(encoder) = EncoderDescription::of(&checkpoint)? {
        return load_encoder(&checkpoint, encoder, options, progress);
    }
    let kv_type = options.kv_type;
    let description = models::describe(&checkpoint, kv_type)?;
    let plan = memory::plan(
        &description,
        Budget {
            available: options.available_bytes,
            context_length: options.context_length,
            kv_bytes: options.kv_bytes,
        },
    )?;
    let level = options.level.unwrap_or_else(best_level);
    // The tokenizer is one thread's work, and so is done beside the weights.
    let (runner, tokenizer) = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| tokenizer_of(&checkpoint));
        let runner = models::load(
            &checkpoint,
            &models::Options {
                level,
                threads: options.threads,
                context_length: Some(plan.context_length as usize),
                kv_blocks: plan.kv_blocks as usize,
                kv_type,
            },
            progress,
        );
        let tokenizer = tokenizer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (runner, tokenizer)
    });
    let (runner, tokenizer) = (runner?, Arc::new(tokenizer?));
    if tokenizer.vocabulary() as usize > runner.vocabulary() {
        return Err(LoadError::Vocabulary { tokenizer: tokenizer.vocabulary(), model: runner.vocabulary() });
    }
    let template = template_of(&checkpoint, &tokenizer)?;
    drop(checkpoint); // nothing is mapped while the model runs, so a file that changes cannot hurt it
    let context_length = runner.context_length();
    let engine = Engine::start(
        runner,
        engine::Config {
            max_sequences: options.max_sequences,
            max_queue: options.max_queue,
            step_rows: STEP_ROWS,
            decode_step: options.inter_token_latency,
            prefill_step: PREFILL_STEP.max(options.inter_token_latency),
            speculation: options.speculation,
            reader_timeout: READER_TIMEOUT,
        },
    );
    let defaults = description.defaults.as_ref().clone();
    let most_choices = options.max_sequences + options.max_queue;
    let backend =
        LocalBackend::new(tokenizer, template, engine, defaults, context_length, most_choices, options.threads);
    Ok(Loaded { backend: Arc::new(backend), plan, description, level })
}

/// The same for an encoder, which keeps no cache.
fn load_encoder(
    checkpoint: &Checkpoint,
    encoder: EncoderDescription,
    options: &Options,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Loaded, LoadError> {
    let nature = Nature {
        task: task_of(&encoder.output),
        longest: encoder.context_length,
        vocabulary: encoder.vocabulary,
        has_types: encoder.token_types > 1,
    };
    let description = Description::from(encoder);
    let budget = Budget { available: options.available_bytes, context_length: None, kv_bytes: None };
    let plan = memory::plan(&description, budget)?;
    let level = options.level.unwrap_or_else(best_level);
    let tokenizer = tokenizer_of(checkpoint)?;
    if tokenizer.vocabulary() as usize > description.vocabulary {
        return Err(LoadError::Vocabulary { tokenizer: tokenizer.vocabulary(), model: description.vocabulary });
    }
    let encoder = Encoder::load(checkpoint, &EncoderOptions { level, threads: options.threads }, progress)?;
    let passes = Passes::start(encoder, options.max_queue);
    let backend = EmbeddingBackend::new(tokenizer, nature, passes, options.threads);
    Ok(Loaded { backend: Arc::new(backend), plan, description, level })
}

fn task_of(output: &Output) -> Task {
    // Far fewer than fit: the hidden size of a model is bounded.
    let number = |length: &usize| u32::try_from(*length).unwrap_or(u32::MAX);
    match output {
        Output::Embedding(pooling) => Task::Embed(Dimensions {
            full: number(&pooling.dimensions),
            shorter: pooling.shorter.iter().map(number).collect(),
        }),
        Output::Score => Task::Rank,
    }
}

/// The best instruction set that computes right. If the CPU has a better one, the operator is told what is wrong with it.
fn best_level() -> models::Level {
    let selection = models::Selection::get();
    for fault in &selection.faults {
        tracing::warn!(%fault, used = %selection.level, "an instruction set of this CPU is not used");
    }
    selection.level
}

fn tokenizer_of(checkpoint: &Checkpoint) -> Result<Tokenizer, text::Error> {
    match checkpoint {
        Checkpoint::Gguf(gguf) => Tokenizer::from_gguf(gguf.metadata()),
        Checkpoint::HuggingFace(folder) => Tokenizer::from_folder(folder.path()),
    }
}

fn template_of(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Option<chat::Chat>, LoadError> {
    let Some(source) = template_source(checkpoint)? else { return Ok(None) };
    let text = |token: Option<u32>| token.and_then(|token| std::str::from_utf8(tokenizer.token_bytes(token)?).ok());
    let special = tokenizer.special_names().to_vec();
    Ok(Some(chat::Chat::new(&source, text(tokenizer.bos()), text(tokenizer.eos()), special)?))
}

/// The model's own template: in a GGUF's metadata, in `chat_template.jinja`, or in `tokenizer_config.json`.
fn template_source(checkpoint: &Checkpoint) -> Result<Option<String>, LoadError> {
    match checkpoint {
        Checkpoint::Gguf(gguf) => Ok(gguf.metadata().str("tokenizer.chat_template")?.map(str::to_owned)),
        Checkpoint::HuggingFace(folder) => Ok(template_in_folder(folder.path())),
    }
}

/// A template is optional, so a file that is missing or of another form means that there is none.
fn template_in_folder(folder: &Path) -> Option<String> {
    if let Ok(source) = std::fs::read_to_string(folder.join("chat_template.jinja")) {
        return Some(source);
    }
    let text = std::fs::read_to_string(folder.join("tokenizer_config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).ok()?;
    match &config["chat_template"] {
        serde_json::Value::String(source) => Some(source.clone()),
        serde_json::Value::Array(named) => {
            let default = named.iter().find(|template| template["name"] == "default")?;
            default["template"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}
