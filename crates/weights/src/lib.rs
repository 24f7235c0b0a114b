//! Model files, mapped and checked: GGUF (versions 2 and 3, split too) and Hugging Face folders with safetensors.
//!
//! [`Checkpoint::open`] checks every offset, length, count, alignment, type and string of a model before any of it is
//! used; a truncated, lying or malicious file is an [`Error`] that names the field and its offset, never a panic, a
//! large allocation or a read out of bounds. Then [`Checkpoint::tensor`] hands out views on the mapped bytes,
//! [`decompose`] turns quantised ones into codes, scales and mins for whoever repacks them, and [`dequantize`] into
//! numbers, equal bit by bit to the reference's.
//!
//! What this crate does not do: it knows no architecture and no tensor by name, it computes nothing, and it keeps
//! nothing. Loaders drop the checkpoint, and with it the mapping, as soon as they have repacked the weights.

mod byte_tensor;
mod checkpoint;
mod error;
mod folder;
mod gguf;
mod mapping;
mod metadata;
mod quant;
mod safetensors;
mod tensor;
mod tensor_type;

pub use byte_tensor::{ByteTensor, mxfp4_block};
pub use checkpoint::Checkpoint;
pub use error::{Defect, Error};
pub use folder::Folder;
pub use gguf::Gguf;
pub use metadata::{Array, Metadata, Value};
pub use quant::{decompose, dequantize, factors};
pub use safetensors::Safetensors;
pub use tensor::Tensor;
pub use tensor_type::{Codes, Groups, Scales, TensorType};
