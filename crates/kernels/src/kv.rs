//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

/// Positions in a KV block.
pub const BLOCK_LEN: usize = 16;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvType {
    F32,
    F16,
}
/// The keys and values of one layer: K as `[block][kv head][dim][position]`, V as `[block][kv head][position][dim]`.
pub struct LayerKv {}
impl LayerKv {
    pub fn new(kind: KvType, blocks: usize, kv_heads: usize, head_dim: usize) -> Self {
        todo!()
    }
    pub fn block_bytes(kind: KvType, kv_heads: usize, head_dim: usize) -> usize {
        todo!()
    }
}
