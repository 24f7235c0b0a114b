//! Activations, rounded to 16 bits once for all products that take them.

use super::layout::BLOCK;
use crate::{Level, Pool, disjoint::Disjoint};

/// Activations `[m, columns]` in the forms that products want: f32 for float weights, 16-bit codes for quantised ones.
/// Keeps its memory between steps.
///
/// A block of 32 columns of a row shares a scale. With `peak` the largest magnitude of the block, rounded to nearest:
///
/// - `scale = peak / 32767`, `code = round_ties_even(value * (32767 / peak))`;
/// - a block whose peak is below 2⁻¹⁰⁰ counts as zero: `scale = 0`, codes 0;
/// - a block that holds an infinity or a NaN has `scale = NaN`, codes 0: what is broken shows in every output of the row.
#[derive(Default)]
pub struct Activations {
    pub(super) m: usize,
    pub(super) columns: usize,
    /// `[m, columns]`.
    pub(super) values: Vec<f32>,
    /// `[m, columns up to a multiple of 32]`, padded with zeros.
    pub(super) codes: Vec<i16>,
    /// For weights in groups of 32 columns, `[m, blocks]`.
    pub(super) terms_32: Vec<Terms>,
    /// For weights in groups of 16 columns, `[m, 2 * blocks]`.
    pub(super) terms_16: Vec<Terms>,
}

/// What turns the integer sums over a group of columns into floats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(super) struct Terms {
    /// The scale of the block that the group lies in.
    pub(super) scale: f32,
    /// `f32(sum of the group's codes) * scale`: what the weights' min is multiplied with.
    pub(super) sum: f32,
}

/// Fewer values than this are rounded faster than they are handed out.
const VALUES_A_TASK: usize = 16 * 1024;

impl Activations {
    /// Takes a copy of `values`, `[m, columns]`.
    ///
    /// # Panics
    /// When `values` has another length than `m * columns`.
    pub fn set(&mut self, pool: &Pool, m: usize, columns: usize, values: &[f32]) {
        assert_eq!(values.len(), m * columns, "activations [{m}, {columns}] have so many values");
        let blocks = columns.div_ceil(BLOCK);
        (self.m, self.columns) = (m, columns);
        // Each element is written below, so what is left from before does not matter.
        self.values.resize(m * columns, 0.0);
        self.codes.resize(m * blocks * BLOCK, 0);
        self.terms_32.resize(m * blocks, Terms::default());
        self.terms_16.resize(m * blocks * 2, Terms::default());
        if values.is_empty() {
            return;
        }

        let level = pool.level();
        let rows_a_task = (VALUES_A_TASK / columns).max(1);
        let copies = Disjoint::new(&mut self.values);
        let codes = Disjoint::new(&mut self.codes);
        let terms_32 = Disjoint::new(&mut self.terms_32);
        let terms_16 = Disjoint::new(&mut self.terms_16);
        pool.run(m.div_ceil(rows_a_task), &|task| {
            for row in task * rows_a_task..m.min((task + 1) * rows_a_task) {
                let values = &values[row * columns..][..columns];
                // SAFETY: each row belongs to one task, and rows do not overlap.
                let (copy, rounded) = unsafe {
                    let of_row = |length: usize| row * length..(row + 1) * length;
                    let codes = codes.slice(of_row(blocks * BLOCK));
                    let (terms_32, terms_16) = (terms_32.slice(of_row(blocks)), terms_16.slice(of_row(blocks * 2)));
                    (copies.slice(of_row(columns)), Rounded { codes, terms_32, terms_16 })
                };
                copy.copy_from_slice(values);
                rounded.set(level, values);
            }
        });
    }

    /// Rows.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Columns with the padding of quantised weights: elements from one row of codes to the next.
    pub(super) fn padded_columns(&self) -> usize {
        self.columns.next_multiple_of(BLOCK)
    }

    /// For weights in groups of `group` columns: a row after the other.
    pub(super) fn terms(&self, group: usize) -> &[Terms] {
        if group == 16 { &self.terms_16 } else { &self.terms_32 }
    }
}

/// Where one row goes.
struct Rounded<'a> {
    codes: &'a mut [i16],
    terms_32: &'a mut [Terms],
    terms_16: &'a mut [Terms],
}

impl Rounded<'_> {
    fn set(self, level: Level, values: &[f32]) {
        #[cfg(target_arch = "x86_64")]
        {
            /// The same code, compiled for wider registers.
            #[target_feature(enable = "avx2")]
            fn with_avx2(rounded: Rounded<'_>, values: &[f32]) {
                rounded.set_plain(values);
            }
            if level >= Level::Avx2 {
                // SAFETY: a pool of this level exists only where the CPU has it.
                return unsafe { with_avx2(self, values) };
            }
        }
        let _ = level;
        self.set_plain(values);
    }

    #[inline(always)]
    fn set_plain(self, values: &[f32]) {
        let Self { codes, terms_32, terms_16 } = self;
        let (codes, _) = codes.as_chunks_mut::<BLOCK>();
        let (terms_16, _) = terms_16.as_chunks_mut::<2>();
        let (whole, rest) = values.as_chunks::<BLOCK>();
        let mut last = [0.0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let all = whole.iter().chain((!rest.is_empty()).then_some(&last));
        for (((values, codes), term_32), term_16) in all.zip(codes).zip(terms_32).zip(terms_16) {
            let scale = round_block(values, codes);
            let sum = |codes: &[i16]| codes.iter().map(|&code| i32::from(code)).sum::<i32>();
            let halves = [sum(&codes[..16]), sum(&codes[16..])];
            *term_32 = Terms { scale, sum: (halves[0] + halves[1]) as f32 * scale };
            *term_16 = halves.map(|half| Terms { scale, sum: half as f32 * scale });
        }
    }
}

/// Rounds one block; its scale. The rule is at [`Activations`].
#[inline(always)]
fn round_block(values: &[f32; BLOCK], codes: &mut [i16; BLOCK]) -> f32 {
    const TINY: f32 = f32::from_bits((127 - 100) << 23); // 2^-100
    // As integers, because bit patterns of magnitudes are ordered as the magnitudes are, with NaN above infinity.
    let peak = values.iter().fold(0, |peak, value| peak.max(value.to_bits() & 0x7fff_ffff));
    let peak = f32::from_bits(peak);
    if !peak.is_finite() || peak < TINY {
        codes.fill(0);
        return if peak < TINY { 0.0 } else { f32::NAN };
    }
    let inverse = 32767.0 / peak;
    for (value, code) in values.iter().zip(codes) {
        // SAFETY: |value| <= peak, so the product is finite and at most 32767 times (1 + 2^-23)^2, which rounds to 32767.
        *code = unsafe { (value * inverse).round_ties_even().to_int_unchecked::<i32>() as i16 };
    }
    peak / 32767.0
}
