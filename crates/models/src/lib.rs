//! One file per architecture over shared layers: from a checked model file to logits.
//!
//! [`load`] reads the hyper-parameters, looks the architecture up in a literal table, repacks the tensors for the
//! instruction set at hand, and returns a [`Runner`]: the model with its KV cache and scratch memory, driven a step at
//! a time. [`describe`] tells what a load would take without doing it. After a load the checkpoint can be dropped.
//!
//! A row's logits are the same bits whatever else is in the batch, wherever a prompt is cut into chunks, and however
//! many threads compute: every kernel holds that recipe, and nothing here mixes rows outside of attention.
//!
//! No tokens become text here, nothing is sampled or scheduled, and no file is opened.

mod bert;
mod config;
mod decoder;
mod defaults;
mod encoder;
mod error;
mod gemma2;
mod gemma3;
mod gpt_oss;
mod layers;
mod llama;
mod loader;
mod mixtral;
mod phi3;
mod pooling;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod registry;
mod runner;
mod settings;

pub use defaults::GenerationDefaults;
pub use encoder::{Encoder, EncoderDescription, EncoderOptions, Input, Output, normalise};
pub use error::Error;
pub use kernels::{
    Level, LevelError, Selection,
    kv::{BLOCK_LEN, KvType},
};
pub use pooling::{Pooling, Rows};
pub use runner::{Batch, Description, Logits, Options, Runner, Segment, describe, load};
