//! One task: some rows of a sequence, the query heads of one group, and the positions that they see.

use std::cell::RefCell;

use super::{
    PART,
    plan::{Batch, Unit},
    tile::{MOST_QUERIES, Range, Tile},
};
use crate::{
    disjoint::Disjoint,
    kv::{BLOCK_LEN, Cell, Planes},
    math::{Kernel, Lanes, VECTOR, Vector, dispatch, exp},
};

/// What all tasks of a call share.
pub(super) struct Context<'a, C> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) planes: &'a Planes<C>,
    pub(super) out: &'a Disjoint<'a, f32>,
}

/// Memory that a thread keeps from task to task.
#[derive(Default)]
struct Kept {
    /// Scaled queries, `[tile][dimension][query of the tile]`.
    queries: Vec<f32>,
    /// Scores, then weights, of one tile and part: `[block][query]`.
    scores: Vec<Vector>,
    /// Records of one part: `[query][record]`.
    part: Vec<Vector>,
    /// Records of all parts so far.
    total: Vec<Vector>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

impl<C: Cell> Context<'_, C> {
    /// All parts of a unit, and its output.
    pub(super) fn whole(&self, unit: &Unit, kv_head: usize) {
        // Taken, not borrowed: nothing is held while kernels run.
        let mut kept = KEPT.take();
        let len = self.queries(unit) * self.record();
        let Kept { queries, scores, part, total } = &mut kept;
        self.pack_queries(unit, kv_head, queries);
        grow(part, len);
        grow(total, len);
        let (first, last) = unit.parts(self.batch.shape);
        self.part(unit, kv_head, first, queries, scores, &mut total[..len]);
        for index in first + 1..=last {
            self.part(unit, kv_head, index, queries, scores, &mut part[..len]);
            self.fold(&mut total[..len], &part[..len]);
        }
        self.write(unit, kv_head, &total[..len]);
        KEPT.set(kept);
    }

    /// One part of a unit, to records: `[query][record]`.
    pub(super) fn one_part(&self, unit: &Unit, kv_head: usize, part: usize, records: &mut [Vector]) {
        let mut kept = KEPT.take();
        let len = self.queries(unit) * self.record();
        let Kept { queries, scores, .. } = &mut kept;
        self.pack_queries(unit, kv_head, queries);
        self.part(unit, kv_head, part, queries, scores, &mut records[..len]);
        KEPT.set(kept);
    }

    /// The records of all parts of a unit, `[part][one]`, to its output.
    pub(super) fn fold_parts(&self, unit: &Unit, kv_head: usize, records: &mut [Vector], one: usize) {
        let len = self.queries(unit) * self.record();
        let (total, parts) = records.split_at_mut(one);
        for part in parts.chunks_exact(one) {
            self.fold(&mut total[..len], &part[..len]);
        }
        self.write(unit, kv_head, &total[..len]);
    }

    /// Vectors of a record: one for (greatest score, sum of weights), then the weighted sum of values, padded.
    fn record(&self) -> usize {
        1 + self.batch.shape.head_dim.div_ceil(VECTOR)
    }

    fn queries(&self, unit: &Unit) -> usize {
        unit.rows * self.batch.shape.group()
    }

    /// Where the elements of a query lie in q and the output. Queries of a unit count by row, then by head of the group.
    fn place(&self, unit: &Unit, kv_head: usize, query: usize) -> std::ops::Range<usize> {
        let shape = self.batch.shape;
        let group = shape.group();
        let head = (unit.row + query / group) * shape.heads + kv_head * group + query % group;
        head * shape.head_dim..(head + 1) * shape.head_dim
    }

    fn pack_queries(&self, unit: &Unit, kv_head: usize, packed: &mut Vec<f32>) {
        let queries = self.queries(unit);
        let dim = self.batch.shape.head_dim;
        grow(packed, queries * dim);
        for (start, count) in tiles(queries, self.batch.tile_queries()) {
            let mut rows: [&[f32]; MOST_QUERIES] = [&[]; MOST_QUERIES];
            for (i, row) in rows[..count].iter_mut().enumerate() {
                *row = &self.batch.q[self.place(unit, kv_head, start + i)];
            }
            let tile = packed[start * dim..(start + count) * dim].chunks_exact_mut(count);
            for (d, to) in tile.enumerate() {
                for (to, row) in to.iter_mut().zip(&rows) {
                    *to = row[d] * self.batch.shape.scale;
                }
            }
        }
    }

    /// Records of one part for all queries of the unit.
    fn part(
        &self,
        unit: &Unit,
        kv_head: usize,
        part: usize,
        queries: &[f32],
        scores: &mut Vec<Vector>,
        records: &mut [Vector],
    ) {
        let shape = self.batch.shape;
        let dim = shape.head_dim;
        grow(scores, MOST_QUERIES * (PART / BLOCK_LEN));
        let record = self.record();
        let group = shape.group();
        for (start, count) in tiles(self.queries(unit), self.batch.tile_queries()) {
            // The rows of the tile's first and last query.
            let (row, last_row) = (start / group, (start + count - 1) / group);
            let seen = Range {
                start: shape.first_visible(unit.position + row).max(part * PART),
                end: shape.visible_end(unit.position + last_row, unit.end).min((part + 1) * PART),
            };
            let records = &mut records[start * record..(start + count) * record];
            records.fill(Vector::ZERO);
            if seen.start >= seen.end {
                continue;
            }
            let mut visible = [Range { start: 0, end: 0 }; MOST_QUERIES];
            for (i, range) in visible[..count].iter_mut().enumerate() {
                let position = unit.position + (start + i) / group;
                *range = Range {
                    start: shape.first_visible(position).max(seen.start),
                    end: shape.visible_end(position, unit.end).min(seen.end),
                };
            }
            dispatch(
                self.batch.pool,
                Tile {
                    planes: self.planes,
                    blocks: self.batch.spans[unit.span].blocks,
                    kv_head,
                    dim,
                    softcap: shape.softcap,
                    seen,
                    queries: &queries[start * dim..(start + count) * dim],
                    visible: &visible[..count],
                    scores,
                    records,
                },
            );
        }
    }

    /// total += part, query by query.
    fn fold(&self, total: &mut [Vector], part: &[Vector]) {
        dispatch(self.batch.pool, Fold { total, part, record: self.record() });
    }

    /// Divides the sums of values by the sums of weights.
    fn write(&self, unit: &Unit, kv_head: usize, records: &[Vector]) {
        let shape = self.batch.shape;
        let group = shape.group();
        for (query, record) in records.chunks_exact(self.record()).enumerate() {
            let sink = shape.sinks.map(|sinks| sinks[kv_head * group + query % group]);
            // SAFETY: a row is in one unit, a head in one group, and this is the only task of the two that writes.
            let out = unsafe { self.out.slice(self.place(unit, kv_head, query)) };
            dispatch(self.batch.pool, Divide { record, sink, out });
        }
    }
}

/// (first query, queries) of the tiles that `queries` are divided into, as evenly as may be.
fn tiles(queries: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = queries.div_ceil(most);
    (0..tiles).map(move |tile| {
        let start = tile * queries / tiles;
        (start, (tile + 1) * queries / tiles - start)
    })
}

/// total += part for records of the same queries.
struct Fold<'a> {
    total: &'a mut [Vector],
    part: &'a [Vector],
    /// Vectors of a record.
    record: usize,
}

impl Kernel for Fold<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (total, part) in self.total.chunks_exact_mut(self.record).zip(self.part.chunks_exact(self.record)) {
            fold(l, total, part);
        }
    }
}

/// total += part, both scaled to the greater of their greatest scores. A sum of 0 says that a record is empty.
#[inline(always)]
fn fold<L: Lanes>(l: L, total: &mut [Vector], part: &[Vector]) {
    let [part_max, part_sum, ..] = part[0].0;
    let [total_max, total_sum, ..] = total[0].0;
    if part_sum == 0.0 {
        return;
    }
    if total_sum == 0.0 {
        total.copy_from_slice(part);
        return;
    }
    let max = if part_max > total_max { part_max } else { total_max };
    let mut factors = [0.0; VECTOR];
    factors[0] = total_max - max;
    factors[1] = part_max - max;
    l.store(exp(l, l.load(&factors)), &mut factors);
    let [total_factor, part_factor, ..] = factors;
    total[0].0[0] = max;
    total[0].0[1] = part_sum.mul_add(part_factor, total_sum * total_factor);
    let (total_factor, part_factor) = (l.splat(total_factor), l.splat(part_factor));
    for (total, part) in total[1..].iter_mut().zip(&part[1..]) {
        let sum = l.fma(l.load(&part.0), part_factor, l.mul(l.load(&total.0), total_factor));
        l.store(sum, &mut total.0);
    }
}

/// out = the weighted sum of a record, divided by the sum of weights, that of the sink among them.
struct Divide<'a> {
    record: &'a [Vector],
    sink: Option<f32>,
    out: &'a mut [f32],
}

impl Kernel for Divide<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let [max, sum, ..] = self.record[0].0;
        let (factor, sum) = match self.sink {
            Some(sink) => with_sink(l, max, sum, sink),
            None => (1.0, sum),
        };
        let (factor, sum) = (l.splat(factor), l.splat(sum));
        for (out, value) in self.out.chunks_mut(VECTOR).zip(&self.record[1..]) {
            let value = l.div(l.mul(l.load(&value.0), factor), sum);
            match out.first_chunk_mut() {
                Some(out) => l.store(value, out),
                None => {
                    let mut padded = [0.0; VECTOR];
                    l.store(value, &mut padded);
                    out.copy_from_slice(&padded[..out.len()]);
                }
            }
        }
    }
}

/// What the weights of a record are to be multiplied with once a sink is among the scores, and the sum of all weights.
#[inline(always)]
fn with_sink<L: Lanes>(l: L, max: f32, sum: f32, sink: f32) -> (f32, f32) {
    let greatest = if sink > max { sink } else { max };
    let mut weights = [0.0; VECTOR];
    weights[0] = max - greatest;
    weights[1] = sink - greatest;
    l.store(exp(l, l.load(&weights)), &mut weights);
    let [factor, sink, ..] = weights;
    (factor, sum.mul_add(factor, sink))
}

trait Empty: Clone {
    const EMPTY: Self;
}

impl Empty for f32 {
    const EMPTY: Self = 0.0;
}

impl Empty for Vector {
    const EMPTY: Self = Self::ZERO;
}

fn grow<T: Empty>(memory: &mut Vec<T>, len: usize) {
    if memory.len() < len {
        memory.resize(len, T::EMPTY);
    }
}
