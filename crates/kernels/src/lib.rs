//! Matrix products, attention, norms and the thread pool, per instruction set. (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

/// Instruction-set level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Scalar,
    Avx2,
    Avx512,
    Avx512Vnni,
}
impl Level {
    /** the best that this CPU has */
    pub fn detect() -> Self {
        todo!()
    }
    /** all that this CPU can run, for tests */
    pub fn available() -> Vec<Level> {
        todo!()
    }
}

/// Threads that spin briefly and then park, and the level that every kernel called through it uses.
pub struct Pool {}
impl Pool {
    pub fn new(level: Level, threads: usize) -> Self {
        todo!()
    }
    pub fn level(&self) -> Level {
        todo!()
    }
    pub fn threads(&self) -> usize {
        todo!()
    }
    /// Calls `work(task)` for every task in 0..tasks, on all threads, and returns when all are done. A panic in a task is re-raised here.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        todo!()
    }
}

pub mod matrix {
    use super::Pool;
    /// Weights `[rows, columns]`, repacked in panels of 16 rows.
    pub struct Matrix {}
    /// How the packed numbers are stored.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Format {
        F32,
        F16,
        BF16,
        Quantised {
            /** 16 or 32 columns share a scale */
            group: usize,
            /** 4: codes 0..=15; 8: any i8 */
            code_bits: u32,
            has_min: bool,
            f16_scales: bool,
        },
    }
    /// One row as the packer wants it.
    pub enum Row<'a> {
        /** F32, F16 and BF16 formats take their own bit patterns */
        F32(&'a [f32]),
        Bits16(&'a [u16]),
        Quantised {
            codes: &'a [i8],
            scales: &'a [f32],
            mins: &'a [f32],
        },
    }
    impl Matrix {
        /// `fill(row, sink)` is called once per row, in parallel, and must call `sink` once.
        pub fn pack(
            pool: &Pool,
            format: Format,
            rows: usize,
            columns: usize,
            fill: &(dyn Fn(usize, &mut dyn FnMut(Row<'_>)) + Sync),
        ) -> Self {
            todo!()
        }
        pub fn rows(&self) -> usize {
            todo!()
        }
        pub fn columns(&self) -> usize {
            todo!()
        }
        pub fn bytes(&self) -> usize {
            todo!()
        }
        pub fn packed_bytes(format: Format, rows: usize, columns: usize) -> usize {
            todo!()
        }
        /// One row dequantised to f32 (embedding look-up).
        pub fn row(&self, row: usize, out: &mut [f32]) {
            todo!()
        }
    }
    /// Activations `[m, columns]` in the form that products want: f32 for float weights, 16-bit codes per 32 columns for quantised ones. Reused between steps.
    #[derive(Default)]
    pub struct Activations {}
    impl Activations {
        pub fn set(&mut self, pool: &Pool, m: usize, columns: usize, values: &[f32]) {
            todo!()
        }
    }
    /// out[m][..] = activations[m] · weightsᵀ for several matrices of the same columns at once (q/k/v, gate/up); each `out` is `[m, rows]`.
    pub fn multiply(pool: &Pool, activations: &Activations, products: &mut [(&Matrix, &mut [f32])]) {
        todo!()
    }
}

pub mod kv {
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
}

pub mod attention {
    use super::{Pool, kv::LayerKv};
    /// Rows of one sequence: `count` query rows from `first_row` of q/k/v, at positions `position..`; `blocks` covers them.
    #[derive(Debug, Clone, Copy)]
    pub struct Span<'a> {
        pub first_row: usize,
        pub count: usize,
        pub position: usize,
        pub blocks: &'a [u32],
    }
    #[derive(Debug, Clone, Copy)]
    pub struct Shape {
        pub heads: usize,
        pub kv_heads: usize,
        pub head_dim: usize,
        pub scale: f32,
        /** Some(w): a query at p sees keys p-w+1..=p */
        pub window: Option<usize>,
        /** tanh soft cap on scores */
        pub softcap: Option<f32>,
    }
    /// Stores k and v (`[rows, kv_heads*head_dim]`) of the spans, then out = attention(q) (`[rows, heads*head_dim]`). Causal.
    pub fn attend(
        pool: &Pool,
        shape: &Shape,
        spans: &[Span<'_>],
        q: &[f32],
        k: &[f32],
        v: &[f32],
        kv: &mut LayerKv,
        out: &mut [f32],
    ) {
        todo!()
    }
}

pub mod norm {
    use super::Pool;
    /// out = x / rms(x) * weight for each row of `[rows, weight.len()]` (call with head_dim for per-head norms).
    pub fn rms_norm(pool: &Pool, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        todo!()
    }
    /// The same in place.
    pub fn rms_norm_in_place(pool: &Pool, x: &mut [f32], weight: &[f32], epsilon: f32) {
        todo!()
    }
}
pub mod rope {
    use super::Pool;
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Pairing {
        /** (0,1), (2,3), … : GGUF llama */
        Adjacent,
        /** (i, i+d/2): neox, Hugging Face */
        Halves,
    }
    /// cos and sin for every position below `positions` (f64 inside, stored f32).
    pub struct Table {}
    impl Table {
        pub fn new(positions: usize, inverse_frequencies: &[f64], magnitude: f32) -> Self {
            todo!()
        }
    }
    /// Rotates `x` `[rows, heads, head_dim]` in place, row i at positions[i]; only the first 2*inverse_frequencies.len() dims.
    pub fn rotate(
        pool: &Pool,
        table: &Table,
        pairing: Pairing,
        heads: usize,
        head_dim: usize,
        positions: &[u32],
        x: &mut [f32],
    ) {
        todo!()
    }
}
pub mod elementwise {
    use super::Pool;
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Activation {
        Silu,
        GeluTanh,
    }
    /// gate = activation(gate) * up
    pub fn gated(pool: &Pool, activation: Activation, gate: &mut [f32], up: &[f32]) {
        todo!()
    }
    /// x += y
    pub fn add(pool: &Pool, x: &mut [f32], y: &[f32]) {
        todo!()
    }
    pub fn scale(pool: &Pool, x: &mut [f32], factor: f32) {
        todo!()
    }
    /// x += bias for each row
    pub fn add_bias(pool: &Pool, x: &mut [f32], bias: &[f32]) {
        todo!()
    }
    /// cap * tanh(x / cap)
    pub fn softcap(pool: &Pool, x: &mut [f32], cap: f32) {
        todo!()
    }
}
