//! Activations, rounded to 16 bits once for all products that take them.

#[cfg(target_arch = "x86_64")]
use super::amx;
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
    /// The codes once more, as AMX takes them: at that level, and if there are rows enough for it. Otherwise empty.
    #[cfg(target_arch = "x86_64")]
    pub(super) digits: Vec<amx::Digits>,
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
        #[cfg(target_arch = "x86_64")]
        self.digits.clear();
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
                let rounded = unsafe {
                    let of_row = |length: usize| row * length..(row + 1) * length;
                    let codes = codes.slice(of_row(blocks * BLOCK));
                    let (terms_32, terms_16) = (terms_32.slice(of_row(blocks)), terms_16.slice(of_row(blocks * 2)));
                    Rounded { copy: copies.slice(of_row(columns)), codes, terms_32, terms_16 }
                };
                rounded.set(level, values);
            }
        });
        #[cfg(target_arch = "x86_64")]
        if level == Level::Amx && m >= amx::LEAST_ROWS {
            // SAFETY: a pool of this level exists only where the CPU has it, and AVX-512 below it.
            unsafe { amx::split(pool, m, blocks, &self.codes, &mut self.digits) }
        }
    }

    /// Rows.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All that rounding made, to be compared.
    pub(crate) fn bits(&self) -> impl Iterator<Item = u32> {
        let codes = self.codes.iter().map(|&code| code as u32);
        let terms = self.terms_32.iter().chain(&self.terms_16);
        codes.chain(terms.flat_map(|terms| [terms.scale.to_bits(), terms.sum.to_bits()]))
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
    /// Of the values.
    copy: &'a mut [f32],
    codes: &'a mut [i16],
    terms_32: &'a mut [Terms],
    terms_16: &'a mut [Terms],
}

impl Rounded<'_> {
    fn set(self, level: Level, values: &[f32]) {
        #[cfg(target_arch = "x86_64")]
        if level >= Level::Avx2 {
            // SAFETY: a pool of this level exists only where the CPU has it.
            return unsafe { avx2::set(self, values) };
        }
        let _ = level;
        self.set_by(values, round_block);
    }

    #[inline(always)]
    fn set_by(self, values: &[f32], round: impl Fn(&[f32; BLOCK], &mut [i16; BLOCK]) -> Block) {
        let Self { copy, codes, terms_32, terms_16 } = self;
        let (codes, _) = codes.as_chunks_mut::<BLOCK>();
        let (terms_16, _) = terms_16.as_chunks_mut::<2>();
        let (whole, rest) = values.as_chunks::<BLOCK>();
        let (copies, rest_copy) = copy.as_chunks_mut::<BLOCK>();
        rest_copy.copy_from_slice(rest);
        let mut last = [0.0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let mut copies = copies.iter_mut();
        let all = whole.iter().chain((!rest.is_empty()).then_some(&last));
        for (((values, codes), term_32), term_16) in all.zip(codes).zip(terms_32).zip(terms_16) {
            // Copied block by block: a library's copy of some kilobytes may take longer than all the rest.
            if let Some(copy) = copies.next() {
                *copy = *values;
            }
            let Block { scale, sums } = round(values, codes);
            *term_32 = Terms { scale, sum: (sums[0] + sums[1]) as f32 * scale };
            *term_16 = sums.map(|sum| Terms { scale, sum: sum as f32 * scale });
        }
    }
}

/// What rounding a block gives, besides its codes.
struct Block {
    scale: f32,
    /// Of the codes of each half.
    sums: [i32; 2],
}

impl Block {
    /// A block whose peak says that its codes are all zero.
    #[inline(always)]
    fn without_codes(peak: f32) -> Option<Self> {
        const TINY: f32 = f32::from_bits((127 - 100) << 23); // 2^-100
        match peak {
            peak if peak < TINY => Some(Self { scale: 0.0, sums: [0; 2] }),
            peak if !peak.is_finite() => Some(Self { scale: f32::NAN, sums: [0; 2] }),
            _ => None,
        }
    }
}

/// Rounds one block. The rule is at [`Activations`].
fn round_block(values: &[f32; BLOCK], codes: &mut [i16; BLOCK]) -> Block {
    // As integers, because bit patterns of magnitudes are ordered as the magnitudes are, with NaN above infinity.
    let peak = values.iter().fold(0, |peak, value| peak.max(value.to_bits() & 0x7fff_ffff));
    let peak = f32::from_bits(peak);
    if let Some(block) = Block::without_codes(peak) {
        codes.fill(0);
        return block;
    }
    let inverse = 32767.0 / peak;
    for (value, code) in values.iter().zip(codes.iter_mut()) {
        *code = (value * inverse).round_ties_even() as i16;
    }
    let sum = |codes: &[i16]| codes.iter().map(|&code| i32::from(code)).sum();
    Block { scale: peak / 32767.0, sums: [sum(&codes[..16]), sum(&codes[16..])] }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! The same, eight values at a time, for all levels above the plain one.

    use std::arch::x86_64::*;

    use super::{BLOCK, Block, Rounded};

    #[target_feature(enable = "avx2")]
    pub(super) fn set(rounded: Rounded<'_>, values: &[f32]) {
        rounded.set_by(values, |values, codes| round_block(values, codes));
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn round_block(values: &[f32; BLOCK], codes: &mut [i16; BLOCK]) -> Block {
        // SAFETY: 8 values from each multiple of 8 below 32.
        let eights = unsafe { [0, 8, 16, 24].map(|at| _mm256_loadu_ps(values.as_ptr().add(at))) };
        let magnitude = _mm256_set1_epi32(0x7fff_ffff);
        let bits = eights.map(|eight| _mm256_and_si256(_mm256_castps_si256(eight), magnitude));
        let peaks = _mm256_max_epu32(_mm256_max_epu32(bits[0], bits[1]), _mm256_max_epu32(bits[2], bits[3]));
        let peaks = _mm_max_epu32(_mm256_castsi256_si128(peaks), _mm256_extracti128_si256::<1>(peaks));
        let peaks = _mm_max_epu32(peaks, _mm_shuffle_epi32::<0b01_00_11_10>(peaks));
        let peaks = _mm_max_epu32(peaks, _mm_shuffle_epi32::<0b10_11_00_01>(peaks));
        let peak = _mm_cvtss_f32(_mm_castsi128_ps(peaks));
        if let Some(block) = Block::without_codes(peak) {
            codes.fill(0);
            return block;
        }

        let inverse = _mm256_set1_ps(32767.0 / peak);
        let rounded = eights.map(|eight| _mm256_cvtps_epi32(_mm256_mul_ps(eight, inverse)));
        for (half, codes) in codes.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            // Packing works within 128-bit lanes: the middle quarters change places.
            let packed = _mm256_packs_epi32(rounded[half * 2], rounded[half * 2 + 1]);
            let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            // SAFETY: 16 codes.
            unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), packed) }
        }
        // Adding neighbours twice leaves both halves' sums in the low lane, and again in the high one.
        let sums =
            _mm256_hadd_epi32(_mm256_add_epi32(rounded[0], rounded[1]), _mm256_add_epi32(rounded[2], rounded[3]));
        let sums = _mm256_hadd_epi32(sums, sums);
        let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        Block { scale: peak / 32767.0, sums: [_mm_extract_epi32::<0>(sums), _mm_extract_epi32::<1>(sums)] }
    }
}
