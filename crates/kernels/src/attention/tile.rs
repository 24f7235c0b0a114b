//! The inner loops: up to six queries over one part of the keys and values of one head.

use super::PART;
use crate::{
    kv::{BLOCK_LEN, Cell, Plane, Planes},
    math::{Kernel, Lanes, VECTOR, Vector, exp, softcap},
};

/// Queries of a tile: with two registers a vector, six accumulators are what 16 registers hold.
pub(super) const MOST_QUERIES: usize = 6;

/// Times its number of blocks that a group of them fetches keys ahead of its own.
const GROUPS_AHEAD: usize = 2;

/// Absolute positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Range {
    /// What of a block it covers, as positions in the block.
    #[inline(always)]
    fn in_block(self, block: usize) -> Self {
        let start = block * BLOCK_LEN;
        Self {
            start: self.start.saturating_sub(start).min(BLOCK_LEN),
            end: self.end.saturating_sub(start).min(BLOCK_LEN),
        }
    }
}

/// A tile: queries, and a part of the keys and values of one head of a sequence.
pub(super) struct Tile<'a, C> {
    pub(super) planes: &'a Planes<C>,
    pub(super) blocks: &'a [u32],
    pub(super) kv_head: usize,
    pub(super) dim: usize,
    pub(super) softcap: Option<f32>,
    /// What any of the queries sees of the part; not empty.
    pub(super) seen: Range,
    /// `[dimension][query]`.
    pub(super) queries: &'a [f32],
    /// What each query sees of the part; perhaps nothing.
    pub(super) visible: &'a [Range],
    /// Memory for scores, then weights: `[block][query]`.
    pub(super) scores: &'a mut [Vector],
    /// `[query][record]`: zeros, in which the records of those that see something are filled in.
    pub(super) records: &'a mut [Vector],
}

impl<C: Cell> Kernel for Tile<'_, C> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { planes, blocks, kv_head, dim, softcap, seen, queries, visible, scores, records } = self;
        let part = Part { planes, blocks, kv_head, dim, softcap, seen };
        if L::PLAIN {
            assert!(visible.len() == 1, "a plain tile has one query");
            return part.sized::<L, 1, 1>(l, queries, visible, scores, records);
        }
        // How many blocks, or vectors of values, go with each query is chosen so that enough independent sums are under
        // way and all fit the registers.
        match visible.len() {
            1 => part.sized::<L, 1, 4>(l, queries, visible, scores, records),
            2 => part.sized::<L, 2, 2>(l, queries, visible, scores, records),
            3 if L::WIDE => part.sized::<L, 3, 4>(l, queries, visible, scores, records),
            3 => part.sized::<L, 3, 2>(l, queries, visible, scores, records),
            4 if L::WIDE => part.sized::<L, 4, 2>(l, queries, visible, scores, records),
            4 => part.sized::<L, 4, 1>(l, queries, visible, scores, records),
            5 if L::WIDE => part.sized::<L, 5, 2>(l, queries, visible, scores, records),
            5 => part.sized::<L, 5, 1>(l, queries, visible, scores, records),
            6 if L::WIDE => part.sized::<L, 6, 2>(l, queries, visible, scores, records),
            6 => part.sized::<L, 6, 1>(l, queries, visible, scores, records),
            queries => unreachable!("a tile has at most {MOST_QUERIES} queries, not {queries}"),
        }
    }
}

/// The keys and values of a tile.
struct Part<'a, C> {
    planes: &'a Planes<C>,
    blocks: &'a [u32],
    kv_head: usize,
    dim: usize,
    softcap: Option<f32>,
    seen: Range,
}

impl<C: Cell> Part<'_, C> {
    /// `Q` queries; `B` blocks, or vectors of values, at once.
    #[inline(always)]
    fn sized<L: Lanes, const Q: usize, const B: usize>(
        &self,
        l: L,
        queries: &[f32],
        visible: &[Range],
        scores: &mut [Vector],
        records: &mut [Vector],
    ) {
        let (queries, _) = queries.as_chunks::<Q>();
        let visible: &[Range; Q] = visible.try_into().expect("one range for each query");
        let (first, end) = (self.seen.start / BLOCK_LEN, self.seen.end.div_ceil(BLOCK_LEN));
        let (scores, _) = scores.as_chunks_mut::<Q>();
        let scores = &mut scores[..(end - first).min(PART / BLOCK_LEN)];

        let (groups, rest) = scores.as_chunks_mut::<B>();
        for (i, scores) in groups.iter_mut().enumerate() {
            self.scores(l, queries, first + i * B, visible, scores);
        }
        let done = groups.len() * B;
        for (i, scores) in rest.iter_mut().enumerate() {
            self.scores(l, queries, first + done + i, visible, std::array::from_mut(scores));
        }

        let record = records.len() / Q;
        for (query, record) in records.chunks_exact_mut(record).enumerate() {
            if visible[query].start < visible[query].end {
                let (max, sum) = soften(l, query, scores);
                record[0].0[0] = max;
                record[0].0[1] = sum;
            }
        }
        for (i, weights) in scores.iter_mut().enumerate() {
            if C::SCALED {
                let scales = l.load(self.scales(&self.planes.value_scales, first + i));
                for weights in &mut *weights {
                    l.store(l.mul(l.load(&weights.0), scales), &mut weights.0);
                }
            }
            self.weigh::<L, Q, B>(l, first + i, weights, visible, records);
        }
    }

    /// Scores of `B` blocks from `first` on.
    #[inline(always)]
    fn scores<L: Lanes, const Q: usize, const B: usize>(
        &self,
        l: L,
        queries: &[[f32; Q]],
        first: usize,
        visible: &[Range; Q],
        scores: &mut [[Vector; Q]; B],
    ) {
        let mut keys: [&[[C; BLOCK_LEN]]; B] = [&[]; B];
        for (b, keys) in keys.iter_mut().enumerate() {
            *keys = &self.keys(first + b)[..queries.len()];
        }
        // Blocks lie anywhere, so the processor cannot guess what comes next.
        let mut ahead: [&[[C; BLOCK_LEN]]; B] = [&[]; B];
        let mut values: [&[[C; VECTOR]]; B] = [&[]; B];
        for b in 0..B {
            ahead[b] = &self.keys(self.clamp(first + GROUPS_AHEAD * B + b))[..queries.len()];
            values[b] = &self.values(first + b)[..queries.len()];
        }
        let mut sums = [[l.splat(0.0); B]; Q];
        for (d, query) in queries.iter().enumerate() {
            let mut key = [l.splat(0.0); B];
            for b in 0..B {
                key[b] = C::load(l, &keys[b][d]);
                l.prefetch(&ahead[b][d]);
                l.prefetch(&values[b][d]);
            }
            for q in 0..Q {
                let x = l.splat(query[q]);
                for b in 0..B {
                    sums[q][b] = l.fma(x, key[b], sums[q][b]);
                }
            }
        }
        for q in 0..Q {
            for b in 0..B {
                let mut sum = sums[q][b];
                if C::SCALED {
                    sum = l.mul(sum, l.load(self.scales(&self.planes.key_scales, first + b)));
                }
                if let Some(cap) = self.softcap {
                    sum = softcap(l, sum, cap);
                }
                l.store(sum, &mut scores[b][q].0);
                let seen = visible[q].in_block(first + b);
                if seen != (Range { start: 0, end: BLOCK_LEN }) {
                    hide(&mut scores[b][q], seen);
                }
            }
        }
    }

    /// Adds the values of a block, each times its weight.
    #[inline(always)]
    fn weigh<L: Lanes, const Q: usize, const B: usize>(
        &self,
        l: L,
        block: usize,
        weights: &[Vector; Q],
        visible: &[Range; Q],
        records: &mut [Vector],
    ) {
        let values = self.values(block);
        // The keys of the next part are fetched meanwhile.
        for keys in self.keys(self.clamp(block + PART / BLOCK_LEN)) {
            l.prefetch(keys);
        }
        let mut seen = [Range { start: 0, end: 0 }; Q];
        let mut all = Range { start: 0, end: BLOCK_LEN };
        for q in 0..Q {
            seen[q] = visible[q].in_block(block);
            all.start = all.start.max(seen[q].start);
            all.end = all.end.min(seen[q].end);
        }
        let record = records.len() / Q;
        // Positions before those that all queries see, then these, then those after: ascending for each query.
        all.end = all.end.max(all.start);
        self.weigh_each(l, values, weights, &seen, Range { start: 0, end: all.start }, records);
        if all.start < all.end {
            let vectors = record - 1;
            let mut at = 0;
            while at + B <= vectors {
                add_weighted::<L, C, Q, B>(l, &values[at..], vectors, all, weights, &mut records[1 + at..], record);
                at += B;
            }
            while at < vectors {
                add_weighted::<L, C, Q, 1>(l, &values[at..], vectors, all, weights, &mut records[1 + at..], record);
                at += 1;
            }
        }
        self.weigh_each(l, values, weights, &seen, Range { start: all.end, end: BLOCK_LEN }, records);
    }

    /// Adds, for each query alone, the values of the positions that it sees among those `within`.
    #[inline(always)]
    fn weigh_each<L: Lanes, const Q: usize>(
        &self,
        l: L,
        values: &[[C; VECTOR]],
        weights: &[Vector; Q],
        seen: &[Range; Q],
        within: Range,
        records: &mut [Vector],
    ) {
        if within.start == within.end {
            return;
        }
        let record = records.len() / Q;
        for (q, record) in records.chunks_exact_mut(record).enumerate() {
            let range = Range { start: seen[q].start.max(within.start), end: seen[q].end.min(within.end) };
            let vectors = record.len() - 1;
            for position in range.start..range.end {
                let weight = l.splat(weights[q].0[position]);
                for (sum, value) in record[1..].iter_mut().zip(&values[position * vectors..]) {
                    l.store(l.fma(weight, C::load(l, value), l.load(&sum.0)), &mut sum.0);
                }
            }
        }
    }

    /// The block, or the last one of the sequence.
    #[inline(always)]
    fn clamp(&self, block: usize) -> usize {
        block.min(self.blocks.len() - 1)
    }

    /// A block's scales of keys or of values, by its place in the sequence.
    #[inline(always)]
    fn scales<'p>(&self, plane: &'p Plane<f32>, block: usize) -> &'p [f32; BLOCK_LEN] {
        let (scales, _) = plane.block(self.blocks[block] as usize).as_chunks();
        &scales[self.kv_head]
    }

    /// `[dimension][position]` of a block, by its place in the sequence.
    #[inline(always)]
    fn keys(&self, block: usize) -> &[[C; BLOCK_LEN]] {
        let (keys, _) = self.planes.keys.block(self.blocks[block] as usize).as_chunks();
        &keys[self.kv_head * self.dim..(self.kv_head + 1) * self.dim]
    }

    /// `[position][vector of dimensions]` of a block, by its place in the sequence.
    #[inline(always)]
    fn values(&self, block: usize) -> &[[C; VECTOR]] {
        let (values, _) = self.planes.values.block(self.blocks[block] as usize).as_chunks();
        let len = self.dim.div_ceil(VECTOR) * BLOCK_LEN;
        &values[self.kv_head * len..(self.kv_head + 1) * len]
    }
}

/// For `Q` queries and `B` vectors of values: the values at `positions`, each times its weight, added in order.
///
/// `values[position * stride..]` are the vectors of a position; `sums[query * record..]` those of a query.
#[inline(always)]
fn add_weighted<L: Lanes, C: Cell, const Q: usize, const B: usize>(
    l: L,
    values: &[[C; VECTOR]],
    stride: usize,
    positions: Range,
    weights: &[Vector; Q],
    sums: &mut [Vector],
    record: usize,
) {
    let mut registers = [[l.splat(0.0); B]; Q];
    for q in 0..Q {
        let sums = &sums[q * record..][..B];
        for b in 0..B {
            registers[q][b] = l.load(&sums[b].0);
        }
    }
    for position in positions.start..positions.end.min(BLOCK_LEN) {
        let values = &values[position * stride..][..B];
        let mut value = [l.splat(0.0); B];
        for b in 0..B {
            value[b] = C::load(l, &values[b]);
        }
        for q in 0..Q {
            let weight = l.splat(weights[q].0[position]);
            for b in 0..B {
                registers[q][b] = l.fma(weight, value[b], registers[q][b]);
            }
        }
    }
    for q in 0..Q {
        let sums = &mut sums[q * record..][..B];
        for b in 0..B {
            l.store(registers[q][b], &mut sums[b].0);
        }
    }
}

/// Turns the scores of one query into weights e^(score − greatest); the greatest score and the sum of the weights.
#[inline(always)]
fn soften<L: Lanes, const Q: usize>(l: L, query: usize, scores: &mut [[Vector; Q]]) -> (f32, f32) {
    let mut max = l.splat(f32::NEG_INFINITY);
    for block in scores.iter() {
        max = l.max(max, l.load(&block[query].0));
    }
    let greatest = l.greatest(max);
    let max = l.splat(greatest);
    let mut sum = l.splat(0.0);
    for block in scores {
        let weight = exp(l, l.sub(l.load(&block[query].0), max));
        l.store(weight, &mut block[query].0);
        sum = l.add(sum, weight);
    }
    (greatest, l.sum(sum))
}

/// Gives the positions outside of `seen` a score of −∞, and so a weight of 0.
#[inline(always)]
fn hide(scores: &mut Vector, seen: Range) {
    for (position, score) in scores.0.iter_mut().enumerate() {
        if position < seen.start || position >= seen.end {
            *score = f32::NEG_INFINITY;
        }
    }
}
