//! Dividing a batch into tasks for the pool.

use std::{cell::RefCell, mem};

use super::{PART, Shape, Span, task, tile::MOST_QUERIES};
use crate::{
    Level, Pool,
    disjoint::Disjoint,
    kv::{Cell, Planes},
    math::{VECTOR, Vector},
};

/// Queries (rows times heads of a group) that one task takes over the same keys and values, about.
const UNIT_QUERIES: usize = 24;

/// Tasks per thread from which on the parts of a sequence need not run at once to keep all threads busy.
const ENOUGH_TASKS: usize = 4;

/// One call's queries.
pub(super) struct Batch<'a> {
    pub(super) pool: &'a Pool,
    pub(super) shape: &'a Shape<'a>,
    pub(super) spans: &'a [Span<'a>],
    pub(super) q: &'a [f32],
}

/// Consecutive rows of a span, with one head of keys and values the work of one task.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// Index of the span.
    pub(super) span: usize,
    /// First of the rows in q and the output.
    pub(super) row: usize,
    pub(super) rows: usize,
    /// Absolute position of the first row.
    pub(super) position: usize,
    /// Absolute position behind the last row of the span.
    pub(super) end: usize,
}

impl Unit {
    /// The first and last part of the positions that its queries see.
    pub(super) fn parts(&self, shape: &Shape<'_>) -> (usize, usize) {
        (
            shape.first_visible(self.position) / PART,
            (shape.visible_end(self.position + self.rows - 1, self.end) - 1) / PART,
        )
    }
}

/// Memory that the calling thread keeps from step to step.
#[derive(Default)]
struct Kept {
    units: Vec<Unit>,
    /// Results of parts that ran at once: `[unit][kv head][part][query][record]`.
    records: Vec<Vector>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

impl Batch<'_> {
    /// out = attention(q); the cache holds the keys and values of all spans.
    pub(super) fn attend<C: Cell>(&self, planes: &Planes<C>, out: &mut [f32]) {
        // Taken, not borrowed: should a task call for attention itself, it gets memory of its own.
        let mut kept = KEPT.take();
        self.list_units(&mut kept.units);
        let out = Disjoint::new(out);
        let all = task::Context { batch: self, planes, out: &out };
        let units = &kept.units;
        let kv_heads = self.shape.kv_heads;
        let tasks = units.len() * kv_heads;
        let most_parts = units.iter().map(|unit| self.parts_of(unit)).max().unwrap_or(0);
        if self.pool.threads() == 1 || most_parts == 1 || tasks >= ENOUGH_TASKS * self.pool.threads() {
            // Later units see more: with them first, the last tasks to finish are short.
            self.pool.run(tasks, &|task| {
                let unit = &units[units.len() - 1 - task % units.len()];
                all.whole(unit, task / units.len());
            });
        } else {
            let record = 1 + self.shape.head_dim.div_ceil(VECTOR);
            let queries = units.iter().map(|unit| unit.rows).max().unwrap_or(0) * self.shape.group();
            let one = queries * record;
            let mut memory = mem::take(&mut kept.records);
            memory.resize(memory.len().max(tasks * most_parts * one), Vector::ZERO);
            let records = Disjoint::new(&mut memory);
            self.pool.run(tasks * most_parts, &|task| {
                let (unit, kv_head, part) =
                    (task / most_parts / kv_heads, task / most_parts % kv_heads, task % most_parts);
                let unit = &units[unit];
                if part < self.parts_of(unit) {
                    // SAFETY: each task has another range.
                    let records = unsafe { records.slice(task * one..(task + 1) * one) };
                    let part = unit.parts(self.shape).0 + part;
                    all.one_part(unit, kv_head, part, records);
                }
            });
            self.pool.run(tasks, &|task| {
                let unit = &units[task / kv_heads];
                let start = task * most_parts * one;
                let len = self.parts_of(unit) * one;
                // SAFETY: each task has another range, and the tasks of the run before are done.
                let records = unsafe { records.slice(start..start + len) };
                all.fold_parts(unit, task % kv_heads, records, one);
            });
            kept.records = memory;
        }
        KEPT.set(kept);
    }

    /// Most queries of a tile.
    pub(super) fn tile_queries(&self) -> usize {
        match self.pool.level() {
            Level::Scalar => 1,
            _ => MOST_QUERIES,
        }
    }

    fn list_units(&self, units: &mut Vec<Unit>) {
        units.clear();
        let rows_of_unit = (UNIT_QUERIES / self.shape.group()).max(1);
        for (index, span) in self.spans.iter().enumerate() {
            for start in (0..span.count).step_by(rows_of_unit) {
                units.push(Unit {
                    span: index,
                    row: span.first_row + start,
                    rows: rows_of_unit.min(span.count - start),
                    position: span.position + start,
                    end: span.position + span.count,
                });
            }
        }
    }

    fn parts_of(&self, unit: &Unit) -> usize {
        let (first, last) = unit.parts(self.shape);
        last - first + 1
    }
}
