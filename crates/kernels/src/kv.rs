//! The cache of keys and values of one layer, in blocks of positions.
//!
//! A sequence holds a table of block ids; which ids they are never shows in a result. Keys lie `[block][kv head]
//! [dimension][position]`, so that a vector holds one dimension of a block's 16 positions and scores come out 16 at a
//! time; values lie `[block][kv head][position][dimension]`, so that a vector holds 16 dimensions of one position.

use crate::{
    Pool,
    attention::Span,
    disjoint::Disjoint,
    math::{Kernel, Lanes, VECTOR, dispatch},
};

/// Positions in a KV block.
pub const BLOCK_LEN: usize = 16;
const _: () = assert!(BLOCK_LEN == VECTOR, "a vector of scores is a block of positions");

/// Greatest finite binary16: what does not fit is stored as this.
const F16_MAX: f32 = 65504.0;

/// Positions that are written on the calling thread, because another one would not be quicker.
const STORED_ALONE: usize = 16;

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvType {
    /// As computed.
    F32,
    /// IEEE 754 binary16, rounded to the nearest, ties to even; what is too large becomes ±65504, NaN stays NaN.
    F16,
    /// 8 bits, with a scale for each position of a head: `code = round_ties_even(x * (127 / peak))`, `scale = peak / 127`,
    /// where `peak` is the largest magnitude of the head's dimensions. Where the peak is below 2⁻¹⁰⁰ all is zero; where
    /// it is not finite the scale is NaN.
    I8,
}

/// The keys and values of one layer: K as `[block][kv head][dim][position]`, V as `[block][kv head][position][dim]`.
pub struct LayerKv {
    kv_heads: usize,
    head_dim: usize,
    cells: Cells,
    /// Per block, the number of the last call that wrote it: two spans of one call that write one block are found so.
    last_write: Vec<u32>,
    write: u32,
    /// The blocks that the current call writes; kept to be reused.
    written: Vec<Written>,
}

impl LayerKv {
    /// `blocks` blocks, zeroed; memory that is never written costs nothing where the operating system grants pages on
    /// first touch.
    ///
    /// # Panics
    /// When a number is zero.
    pub fn new(kind: KvType, blocks: usize, kv_heads: usize, head_dim: usize) -> Self {
        assert!(kv_heads > 0 && head_dim > 0, "a KV cache of {kv_heads} heads of {head_dim} dimensions");
        let cells = match kind {
            KvType::F32 => Cells::F32(Planes::new(blocks, kv_heads, head_dim)),
            KvType::F16 => Cells::F16(Planes::new(blocks, kv_heads, head_dim)),
            KvType::I8 => Cells::I8(Planes::new(blocks, kv_heads, head_dim)),
        };
        Self { kv_heads, head_dim, cells, last_write: vec![0; blocks], write: 0, written: Vec::new() }
    }

    /// Bytes of one block of one layer.
    pub fn block_bytes(kind: KvType, kv_heads: usize, head_dim: usize) -> usize {
        let (keys, values) = block_cells(kv_heads, head_dim);
        let (cell, scales) = match kind {
            KvType::F32 => (size_of::<f32>(), 0),
            KvType::F16 => (size_of::<u16>(), 0),
            KvType::I8 => (size_of::<i8>(), 2 * kv_heads * BLOCK_LEN),
        };
        (keys + values) * cell + scales * size_of::<f32>()
    }

    /// Blocks that the cache has; ids are below.
    pub fn blocks(&self) -> usize {
        self.last_write.len()
    }

    /// Heads of keys and values.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Dimensions of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Writes the spans' rows of `k` and `v`, `[rows, kv_heads * head_dim]`, to their blocks. Panics when two spans write
    /// one block; block tables and lengths were checked by the caller.
    pub(crate) fn store(&mut self, pool: &Pool, spans: &[Span<'_>], k: &[f32], v: &[f32]) {
        self.plan(spans);
        let new = New { written: &self.written, kv_heads: self.kv_heads, head_dim: self.head_dim, k, v };
        match &mut self.cells {
            Cells::F32(planes) => planes.store(pool, &new),
            Cells::F16(planes) => planes.store(pool, &new),
            Cells::I8(planes) => planes.store(pool, &new),
        }
    }

    /// Lists what the spans write to which block.
    fn plan(&mut self, spans: &[Span<'_>]) {
        self.write = self.write.checked_add(1).unwrap_or_else(|| {
            self.last_write.fill(0);
            1
        });
        self.written.clear();
        for span in spans {
            let mut done = 0;
            while done < span.count {
                let position = span.position + done;
                let block = span.blocks[position / BLOCK_LEN];
                let offset = position % BLOCK_LEN;
                let count = (BLOCK_LEN - offset).min(span.count - done);
                let last = &mut self.last_write[block as usize];
                assert!(*last != self.write, "KV block {block} is written twice in one step");
                *last = self.write;
                self.written.push(Written { block: block as usize, offset, row: span.first_row + done, count });
                done += count;
            }
        }
    }
}

/// (cells of K, cells of V) in a block: rows of V are padded to whole vectors.
fn block_cells(kv_heads: usize, head_dim: usize) -> (usize, usize) {
    (kv_heads * head_dim * BLOCK_LEN, kv_heads * head_dim.next_multiple_of(VECTOR) * BLOCK_LEN)
}

/// Keys and values of one layer, by type.
pub(crate) enum Cells {
    F32(Planes<f32>),
    F16(Planes<u16>),
    I8(Planes<i8>),
}

pub(crate) struct Planes<C> {
    pub(crate) keys: Plane<C>,
    pub(crate) values: Plane<C>,
    /// Of keys, `[block][kv head][position]`; blocks are empty for cells without scales.
    pub(crate) key_scales: Plane<f32>,
    /// The same of values.
    pub(crate) value_scales: Plane<f32>,
}

/// Cells of all blocks, from a cache line's start.
pub(crate) struct Plane<C> {
    memory: Vec<C>,
    start: usize,
    block: usize,
    len: usize,
}

impl<C: Cell> Plane<C> {
    fn new(blocks: usize, block: usize) -> Self {
        let len = blocks.checked_mul(block).expect("a KV cache is smaller than the address space");
        // `vec!` gets zeroed pages from the operating system, which an allocation of higher alignment would not. The
        // memory never moves, as it is never resized.
        let slack = 64 / size_of::<C>();
        let memory = vec![C::ZERO; len + slack];
        let start = memory.as_ptr().align_offset(64);
        Self { memory, start, block, len }
    }

    /// The cells of a block.
    #[inline(always)]
    pub(crate) fn block(&self, block: usize) -> &[C] {
        let start = self.start + block * self.block;
        &self.memory[start..start + self.block]
    }

    fn all_mut(&mut self) -> &mut [C] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl<C: Cell> Planes<C> {
    fn new(blocks: usize, kv_heads: usize, head_dim: usize) -> Self {
        let (keys, values) = block_cells(kv_heads, head_dim);
        let scales = if C::SCALED { kv_heads * BLOCK_LEN } else { 0 };
        Self {
            keys: Plane::new(blocks, keys),
            values: Plane::new(blocks, values),
            key_scales: Plane::new(blocks, scales),
            value_scales: Plane::new(blocks, scales),
        }
    }

    fn store(&mut self, pool: &Pool, new: &New<'_>) {
        let blocks = [self.keys.block, self.values.block, self.key_scales.block, self.value_scales.block];
        let (keys, values) = (Disjoint::new(self.keys.all_mut()), Disjoint::new(self.values.all_mut()));
        let key_scales = Disjoint::new(self.key_scales.all_mut());
        let value_scales = Disjoint::new(self.value_scales.all_mut());
        let positions: usize = new.written.iter().map(|written| written.count).sum();
        let tasks = if positions <= STORED_ALONE { 1 } else { new.written.len().min(4 * pool.threads()) };
        pool.run(tasks, &|task| {
            let range = task * new.written.len() / tasks..(task + 1) * new.written.len() / tasks;
            for written in &new.written[range] {
                let [keys_at, values_at, key_scales_at, value_scales_at] =
                    blocks.map(|block| written.block * block..(written.block + 1) * block);
                // SAFETY: `LayerKv::plan` lists each block once, and each entry of the list is in one task's range.
                let (keys, values) = unsafe { (keys.slice(keys_at), values.slice(values_at)) };
                // SAFETY: as above.
                let key_scales = unsafe { key_scales.slice(key_scales_at) };
                // SAFETY: as above.
                let value_scales = unsafe { value_scales.slice(value_scales_at) };
                dispatch(pool, Store { new, written, keys, values, key_scales, value_scales });
            }
        });
    }
}

/// Consecutive positions of one block, and the rows that are written to them.
struct Written {
    block: usize,
    /// First position in the block.
    offset: usize,
    /// First row of k and v.
    row: usize,
    count: usize,
}

/// What a call writes.
struct New<'a> {
    written: &'a [Written],
    kv_heads: usize,
    head_dim: usize,
    k: &'a [f32],
    v: &'a [f32],
}

/// Converts the rows of one block.
struct Store<'a, C> {
    new: &'a New<'a>,
    written: &'a Written,
    keys: &'a mut [C],
    values: &'a mut [C],
    key_scales: &'a mut [f32],
    value_scales: &'a mut [f32],
}

impl<C: Cell> Kernel for Store<'_, C> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { new, written, keys, values, key_scales, value_scales } = self;
        let head_dim = new.head_dim;
        let padded_dim = head_dim.next_multiple_of(VECTOR);
        let width = new.kv_heads * head_dim;
        let mut converted = [C::ZERO; VECTOR];
        for i in 0..written.count {
            let position = written.offset + i;
            let row = (written.row + i) * width..(written.row + i + 1) * width;
            let heads = new.k[row.clone()].chunks_exact(head_dim).zip(new.v[row].chunks_exact(head_dim));
            let cells =
                keys.chunks_exact_mut(head_dim * BLOCK_LEN).zip(values.chunks_exact_mut(padded_dim * BLOCK_LEN));
            for (head, ((key, value), (keys, values))) in heads.zip(cells).enumerate() {
                let (mut key_factor, mut value_factor) = (1.0, 1.0);
                if C::SCALED {
                    let at = head * BLOCK_LEN + position;
                    (key_scales[at], key_factor) = scale_and_inverse(key);
                    (value_scales[at], value_factor) = scale_and_inverse(value);
                }
                let (keys, _) = keys.as_chunks_mut::<BLOCK_LEN>();
                for (key, keys) in key.chunks(VECTOR).zip(keys.chunks_mut(VECTOR)) {
                    C::store(l, load_padded(l, key), key_factor, &mut converted);
                    for (cells, &cell) in keys.iter_mut().zip(&converted) {
                        cells[position] = cell;
                    }
                }
                let (values, _) = values[position * padded_dim..][..padded_dim].as_chunks_mut::<VECTOR>();
                for (value, cells) in value.chunks(VECTOR).zip(values) {
                    C::store(l, load_padded(l, value), value_factor, cells);
                }
            }
        }
    }
}

/// At most a vector's worth of numbers, with zeros after them.
#[inline(always)]
fn load_padded<L: Lanes>(l: L, from: &[f32]) -> L::V {
    match from.first_chunk() {
        Some(whole) => l.load(whole),
        None => {
            let mut padded = [0.0; VECTOR];
            padded[..from.len()].copy_from_slice(from);
            l.load(&padded)
        }
    }
}

/// The scale of a head's dimensions at one position as 8-bit codes, and what they are multiplied with to become codes.
#[inline(always)]
fn scale_and_inverse(dimensions: &[f32]) -> (f32, f32) {
    const TINY: f32 = f32::from_bits((127 - 100) << 23); // 2^-100
    // As integers, because bit patterns of magnitudes are ordered as the magnitudes are, with NaN above infinity.
    let peak = dimensions.iter().fold(0, |peak, x| peak.max(x.to_bits() & 0x7fff_ffff));
    match f32::from_bits(peak) {
        peak if peak < TINY => (0.0, 0.0),
        peak if !peak.is_finite() => (f32::NAN, 0.0),
        peak => (peak / 127.0, 127.0 / peak),
    }
}

/// A number as the cache stores it.
pub(crate) trait Cell: Copy + Send + Sync + 'static {
    const ZERO: Self;
    /// Whether what is stored is to be multiplied with the scale of its head and position.
    const SCALED: bool;
    fn load<L: Lanes>(l: L, from: &[Self; VECTOR]) -> L::V;
    /// Stores `v`, times `factor` where numbers are scaled.
    fn store<L: Lanes>(l: L, v: L::V, factor: f32, to: &mut [Self; VECTOR]);
}

impl Cell for f32 {
    const ZERO: Self = 0.0;
    const SCALED: bool = false;
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; VECTOR]) -> L::V {
        l.load(from)
    }
    #[inline(always)]
    fn store<L: Lanes>(l: L, v: L::V, _factor: f32, to: &mut [Self; VECTOR]) {
        l.store(v, to);
    }
}

/// binary16.
impl Cell for u16 {
    const ZERO: Self = 0;
    const SCALED: bool = false;
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; VECTOR]) -> L::V {
        l.load_f16(from)
    }
    #[inline(always)]
    fn store<L: Lanes>(l: L, v: L::V, _factor: f32, to: &mut [Self; VECTOR]) {
        // With the number as second operand, a NaN comes out of both.
        l.store_f16(l.max(l.splat(-F16_MAX), l.min(l.splat(F16_MAX), v)), to);
    }
}

/// A code.
impl Cell for i8 {
    const ZERO: Self = 0;
    const SCALED: bool = true;
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; VECTOR]) -> L::V {
        l.load_i8(from)
    }
    #[inline(always)]
    fn store<L: Lanes>(l: L, v: L::V, factor: f32, to: &mut [Self; VECTOR]) {
        let mut codes = [0.0; VECTOR];
        l.store(l.mul(v, l.splat(factor)), &mut codes);
        *to = codes.map(|code: f32| code.round_ties_even() as i8);
    }
}

#[cfg(test)]
mod tests;
