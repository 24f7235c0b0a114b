//! `cargo xtask synthesize`: a GGUF file with a large model's shape and random weights, for measurements of big shapes.
//!
//! What it says is noise, but it loads, is served and costs exactly what a model of that shape costs. The format is that
//! of the GGUF specification, version 3; blocks are ggml's Q4_K and Q6_K, as in the files that most people download.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

/// What to write.
#[derive(Debug, Args)]
pub struct Synthesize {
    /// Where the file goes.
    path: PathBuf,
    /// Whose shape.
    #[arg(long, value_enum, default_value = "7b")]
    shape: Shape,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shape {
    /// Mistral 7B: 32 layers of 4,096, 4.1 GB.
    #[value(name = "7b")]
    SevenB,
    /// Llama 3.2 1B: 16 layers of 2,048, 0.8 GB.
    #[value(name = "1b")]
    OneB,
}

/// Sizes of a llama.
struct Sizes {
    layers: usize,
    hidden: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    vocabulary: usize,
}

impl Shape {
    fn sizes(self) -> Sizes {
        match self {
            Self::SevenB => {
                Sizes { layers: 32, hidden: 4096, feed_forward: 14336, heads: 32, kv_heads: 8, vocabulary: 32_000 }
            }
            Self::OneB => {
                Sizes { layers: 16, hidden: 2048, feed_forward: 8192, heads: 32, kv_heads: 8, vocabulary: 128_256 }
            }
        }
    }
}

const ALIGNMENT: usize = 32;

/// How a tensor is stored: the number in `enum ggml_type`, values and bytes of a block.
#[derive(Debug, Clone, Copy)]
struct Kind {
    number: u32,
    values: usize,
    bytes: usize,
}

const F32: Kind = Kind { number: 0, values: 1, bytes: 4 };
const Q4_K: Kind = Kind { number: 12, values: 256, bytes: 144 };
const Q6_K: Kind = Kind { number: 14, values: 256, bytes: 210 };

/// A tensor of the file, `[rows, columns]`; a vector has one row.
struct Tensor {
    name: String,
    kind: Kind,
    rows: usize,
    columns: usize,
}

impl Tensor {
    fn bytes(&self) -> usize {
        self.rows * self.columns / self.kind.values * self.kind.bytes
    }
}

/// Writes the file.
pub fn write(arguments: &Synthesize) -> Result<()> {
    let path = &arguments.path;
    let sizes = arguments.shape.sizes();
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let tensors = tensors(&sizes);
    let mut header = header(&sizes, &tensors);
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
    out.write_all(&header)?;
    let mut random = Random(1);
    for tensor in &tensors {
        for _ in 0..tensor.bytes() / tensor.kind.bytes {
            random.write_block(tensor.kind, &mut out)?;
        }
        let padding = tensor.bytes().next_multiple_of(ALIGNMENT) - tensor.bytes();
        out.write_all(&[0; ALIGNMENT][..padding])?;
    }
    out.flush().with_context(|| format!("writing {}", path.display()))
}

fn tensors(sizes: &Sizes) -> Vec<Tensor> {
    let Sizes { hidden, feed_forward, vocabulary, .. } = *sizes;
    let kv = hidden / sizes.heads * sizes.kv_heads;
    let tensor = |name: String, kind, rows, columns| Tensor { name: name + ".weight", kind, rows, columns };
    let mut all = vec![
        tensor("token_embd".to_owned(), Q4_K, vocabulary, hidden),
        tensor("output_norm".to_owned(), F32, 1, hidden),
        tensor("output".to_owned(), Q6_K, vocabulary, hidden),
    ];
    for layer in 0..sizes.layers {
        let matrices = [
            ("attn_q", hidden, hidden),
            ("attn_k", kv, hidden),
            ("attn_v", kv, hidden),
            ("attn_output", hidden, hidden),
            ("ffn_gate", feed_forward, hidden),
            ("ffn_up", feed_forward, hidden),
            ("ffn_down", hidden, feed_forward),
        ];
        all.extend(matrices.map(|(name, rows, columns)| tensor(format!("blk.{layer}.{name}"), Q4_K, rows, columns)));
        all.extend(["attn_norm", "ffn_norm"].map(|name| tensor(format!("blk.{layer}.{name}"), F32, 1, hidden)));
    }
    all
}

/// All before the tensors' numbers.
fn header(sizes: &Sizes, tensors: &[Tensor]) -> Vec<u8> {
    let number = |value: usize| Value::U32(u32::try_from(value).expect("sizes are small"));
    let pairs = [
        ("general.architecture", Value::Text("llama".to_owned())),
        ("llama.block_count", number(sizes.layers)),
        ("llama.context_length", number(32_768)),
        ("llama.embedding_length", number(sizes.hidden)),
        ("llama.feed_forward_length", number(sizes.feed_forward)),
        ("llama.attention.head_count", number(sizes.heads)),
        ("llama.attention.head_count_kv", number(sizes.kv_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(1e6)),
        ("tokenizer.ggml.model", Value::Text("gpt2".to_owned())),
        ("tokenizer.ggml.pre", Value::Text("gpt-2".to_owned())),
        ("tokenizer.ggml.tokens", Value::Texts(tokens(sizes.vocabulary))),
        ("tokenizer.ggml.merges", Value::Texts(vec!["t h".to_owned()])),
        ("tokenizer.ggml.eos_token_id", number(sizes.vocabulary - 1)),
        (
            "tokenizer.chat_template",
            Value::Text("{% for message in messages %}{{ message.content }}\n{% endfor %}".to_owned()),
        ),
    ];
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((pairs.len() as u64).to_le_bytes());
    for (key, value) in &pairs {
        put_text(&mut out, key);
        value.put(&mut out);
    }
    let mut offset = 0;
    for tensor in tensors {
        put_text(&mut out, &tensor.name);
        // Innermost dimension first.
        let dimensions = if tensor.rows == 1 { vec![tensor.columns] } else { vec![tensor.columns, tensor.rows] };
        out.extend((dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|size| out.extend((*size as u64).to_le_bytes()));
        out.extend(tensor.kind.number.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes().next_multiple_of(ALIGNMENT);
    }
    out
}

/// A byte-level vocabulary: the 256 bytes, one merge, and names without meaning.
fn tokens(count: usize) -> Vec<String> {
    // GPT-2 spells the bytes that do not print as the characters from U+0100 on.
    let prints = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = '\u{100}'..;
    let bytes = (0..=u8::MAX).map(|byte| {
        let character = if prints(byte) { char::from(byte) } else { others.next().expect("there are enough") };
        character.to_string()
    });
    let names = (257..count).map(|id| format!("<|{id}|>"));
    bytes.chain(["th".to_owned()]).chain(names).collect()
}

/// A value of the metadata.
enum Value {
    U32(u32),
    F32(f32),
    Text(String),
    Texts(Vec<String>),
}

impl Value {
    fn put(&self, out: &mut Vec<u8>) {
        let (u32_type, f32_type, text_type, array_type) = (4_u32, 6_u32, 8_u32, 9_u32);
        match self {
            Self::U32(value) => {
                out.extend(u32_type.to_le_bytes());
                out.extend(value.to_le_bytes());
            }
            Self::F32(value) => {
                out.extend(f32_type.to_le_bytes());
                out.extend(value.to_le_bytes());
            }
            Self::Text(text) => {
                out.extend(text_type.to_le_bytes());
                put_text(out, text);
            }
            Self::Texts(texts) => {
                out.extend(array_type.to_le_bytes());
                out.extend(text_type.to_le_bytes());
                out.extend((texts.len() as u64).to_le_bytes());
                texts.iter().for_each(|text| put_text(out, text));
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Xorshift (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn write_block(&mut self, kind: Kind, out: &mut impl Write) -> Result<()> {
        let mut block = [0; 256];
        for eight in block.chunks_exact_mut(8) {
            eight.copy_from_slice(&self.next().to_le_bytes());
        }
        // Random codes and factors are fine as they are; what they are multiplied with makes values of about ±0.02, with
        // a mean of zero, so that nothing overflows.
        match kind.number {
            0 => block[..4].copy_from_slice(&1_f32.to_le_bytes()),
            12 => {
                block[..2].copy_from_slice(&0x08a0_u16.to_le_bytes()); // 1.41e-4
                block[2..4].copy_from_slice(&0x1455_u16.to_le_bytes()); // 7.5 times that
            }
            _ => block[208..210].copy_from_slice(&0x0060_u16.to_le_bytes()), // 5.7e-6
        }
        out.write_all(&block[..kind.bytes])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_has_every_byte_once_and_no_name_twice() {
        let tokens = tokens(400);
        assert_eq!(tokens.len(), 400);
        let mut distinct = tokens.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 400);
        assert_eq!((&tokens[usize::from(b'A')][..], &tokens[usize::from(b' ')][..]), ("A", "\u{120}"));
    }

    #[test]
    fn tensors_lie_one_after_the_other_and_have_the_shape_of_a_7b() {
        let sizes = Shape::SevenB.sizes();
        let tensors = tensors(&sizes);
        let parameters: usize = tensors.iter().map(|tensor| tensor.rows * tensor.columns).sum();
        assert_eq!(parameters, 7_241_732_096);
        assert!(header(&sizes, &tensors).starts_with(b"GGUF\x03\0\0\0"));
    }
}
