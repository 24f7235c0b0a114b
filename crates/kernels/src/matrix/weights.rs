//! How a tile is computed for each kind of weights.

use super::{
    Format,
    layout::{Groups, PANEL},
    vectors::{Tile, Vectors, Weights},
};

/// Multiplies the tile's panels with `rows` rows of activations.
///
/// # Safety
/// The CPU has the instruction set of `V`; the tile's pointers are good for what it says about them, for so many rows.
pub(super) unsafe fn multiply<V: Vectors>(format: Format, groups: Option<Groups>, tile: Tile, rows: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        match (format, groups) {
            (Format::F16, _) => V::panels(Floats(F16), tile, rows),
            (Format::BF16, _) => V::panels(Floats(BF16), tile, rows),
            (_, None) => V::panels(Floats(F32), tile, rows),
            (_, Some(groups)) => match (groups.code_bits, groups.length) {
                (4, 16) => quantised::<V, _>(Nibbles::<16>, groups, tile, rows),
                (4, _) => quantised::<V, _>(Nibbles::<32>, groups, tile, rows),
                (_, 16) => quantised::<V, _>(Bytes::<16>, groups, tile, rows),
                (_, _) => quantised::<V, _>(Bytes::<32>, groups, tile, rows),
            },
        }
    }
}

unsafe fn quantised<V: Vectors, C: Codes>(codes: C, groups: Groups, tile: Tile, rows: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        match (groups.has_min, groups.f16_scales) {
            (false, false) => V::panels(Quantised::<C, false, false>(codes), tile, rows),
            (false, true) => V::panels(Quantised::<C, false, true>(codes), tile, rows),
            (true, false) => V::panels(Quantised::<C, true, false>(codes), tile, rows),
            (true, true) => V::panels(Quantised::<C, true, true>(codes), tile, rows),
        }
    }
}

/// The codes of a group, and their exact dot product with the codes of activations.
pub(super) trait Codes: Copy {
    /// Columns of a group.
    const LENGTH: usize;
    /// Bytes of a group's codes.
    const BYTES: usize;

    /// The dot products of `M` rows of activation codes with the 16 rows of a group. `ACCUMULATORS` (1, 2 or 4) sums
    /// are kept for each, so that a sum need not wait for the one before it.
    ///
    /// # Safety
    /// As [`Vectors`]; there are `BYTES` bytes of weights and `LENGTH` codes of each row.
    unsafe fn dots<V: Vectors, const M: usize, const ACCUMULATORS: usize>(
        weights: *const u8,
        activations: [*const i16; M],
    ) -> [V::Ints; M];
}

/// Quantised weights, with codes of kind `C`.
#[derive(Clone, Copy)]
pub(super) struct Quantised<C, const HAS_MIN: bool, const F16_SCALES: bool>(pub(super) C);

/// How far ahead of their use weights are asked for, in bytes, when few rows use them: a page, which is as far as the
/// hardware looks by itself. A quarter of it costs a third of the bandwidth.
const AHEAD: usize = 4096;

/// With more rows than this, weights are computed with for longer than it takes to fetch them.
const FEW_ROWS: usize = 4;

impl<C: Codes, const HAS_MIN: bool, const F16_SCALES: bool> Quantised<C, HAS_MIN, F16_SCALES> {
    const SCALES_BYTES: usize = PANEL * if F16_SCALES { 2 } else { 4 };
    const CODES_AT: usize = Self::SCALES_BYTES * if HAS_MIN { 2 } else { 1 };
    const BYTES: usize = Self::CODES_AT + C::BYTES;

    #[inline(always)]
    unsafe fn load_scales<V: Vectors>(from: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller.
        unsafe { if F16_SCALES { V::load_f16(from) } else { V::load_f32(from) } }
    }

    /// One panel: the sums of `M` rows.
    #[inline(always)]
    unsafe fn panel<V: Vectors, const M: usize, const ACCUMULATORS: usize>(
        tile: &Tile,
        mut weights: *const u8,
    ) -> [V::Floats; M] {
        // SAFETY: a panel has `groups` groups of `BYTES` bytes, a row of activations as many terms, and `LENGTH` times
        // as many codes.
        unsafe {
            let mut sums = [V::zero_floats(); M];
            let mut codes = [tile.codes; M];
            for (m, codes) in codes.iter_mut().enumerate() {
                *codes = codes.add(m * tile.padded_columns);
            }
            for group in 0..tile.groups {
                if M <= FEW_ROWS {
                    let mut line = 0;
                    while line < Self::BYTES {
                        V::prefetch(weights.wrapping_add(AHEAD + line));
                        line += 64;
                    }
                }
                let dots = C::dots::<V, M, ACCUMULATORS>(weights.add(Self::CODES_AT), codes);
                let scales = Self::load_scales::<V>(weights);
                for m in 0..M {
                    let terms = &*tile.terms.add(m * tile.groups + group);
                    let scales = V::multiply(scales, V::broadcast(terms.scale));
                    sums[m] = V::fma(V::to_floats(dots[m]), scales, sums[m]);
                    codes[m] = codes[m].add(C::LENGTH);
                }
                if HAS_MIN {
                    let mins = Self::load_scales::<V>(weights.add(Self::SCALES_BYTES));
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let terms = &*tile.terms.add(m * tile.groups + group);
                        *sum = V::fma(mins, V::broadcast(terms.sum), *sum);
                    }
                }
                weights = weights.add(Self::BYTES);
            }
            sums
        }
    }
}

impl<C: Codes, const HAS_MIN: bool, const F16_SCALES: bool> Weights for Quantised<C, HAS_MIN, F16_SCALES> {
    #[inline(always)]
    unsafe fn tile<V: Vectors, const M: usize>(self, tile: &Tile) {
        for panel in 0..tile.panels {
            // SAFETY: the tile has this panel.
            unsafe {
                let weights = tile.weights.add(panel * tile.panel_bytes);
                let sums = match (M, V::SLOW_SUMS) {
                    (1, _) | (2, true) => Self::panel::<V, M, 4>(tile, weights),
                    (2, false) | (4, true) => Self::panel::<V, M, 2>(tile, weights),
                    _ => Self::panel::<V, M, 1>(tile, weights),
                };
                for (m, sums) in sums.into_iter().enumerate() {
                    tile.store::<V>(panel, m, sums);
                }
            }
        }
    }
}

/// 4-bit codes in groups of `LENGTH`.
#[derive(Clone, Copy)]
pub(super) struct Nibbles<const LENGTH: usize>;

impl<const LENGTH: usize> Codes for Nibbles<LENGTH> {
    const LENGTH: usize = LENGTH;
    const BYTES: usize = LENGTH * PANEL / 2;

    #[inline(always)]
    unsafe fn dots<V: Vectors, const M: usize, const ACCUMULATORS: usize>(
        weights: *const u8,
        activations: [*const i16; M],
    ) -> [V::Ints; M] {
        // SAFETY: 64 bytes hold 8 columns, so all that is read lies in the group.
        unsafe {
            let mut sums = [[V::zero_ints(); ACCUMULATORS]; M];
            for eight in 0..LENGTH / 8 {
                let packed = V::load_nibbles(weights.add(eight * 64));
                let pairs = [
                    V::nibbles::<0>(packed),
                    V::nibbles::<4>(packed),
                    V::nibbles::<8>(packed),
                    V::nibbles::<12>(packed),
                ];
                for (n, pair) in pairs.into_iter().enumerate() {
                    for m in 0..M {
                        let sum = &mut sums[m][n % ACCUMULATORS];
                        *sum = V::add_products(*sum, pair, activations[m].add(eight * 8 + n * 2));
                    }
                }
            }
            total::<V, M, ACCUMULATORS>(sums)
        }
    }
}

/// 8-bit codes in groups of `LENGTH`.
#[derive(Clone, Copy)]
pub(super) struct Bytes<const LENGTH: usize>;

impl<const LENGTH: usize> Codes for Bytes<LENGTH> {
    const LENGTH: usize = LENGTH;
    const BYTES: usize = LENGTH * PANEL;

    #[inline(always)]
    unsafe fn dots<V: Vectors, const M: usize, const ACCUMULATORS: usize>(
        weights: *const u8,
        activations: [*const i16; M],
    ) -> [V::Ints; M] {
        // SAFETY: 32 bytes hold 2 columns, so all that is read lies in the group.
        unsafe {
            let mut sums = [[V::zero_ints(); ACCUMULATORS]; M];
            for two in 0..LENGTH / 2 {
                let pair = V::load_bytes(weights.add(two * 32));
                for m in 0..M {
                    let sum = &mut sums[m][two % ACCUMULATORS];
                    *sum = V::add_products(*sum, pair, activations[m].add(two * 2));
                }
            }
            total::<V, M, ACCUMULATORS>(sums)
        }
    }
}

/// Adds the accumulators of each row.
#[inline(always)]
unsafe fn total<V: Vectors, const M: usize, const ACCUMULATORS: usize>(
    sums: [[V::Ints; ACCUMULATORS]; M],
) -> [V::Ints; M] {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut totals = [V::zero_ints(); M];
        for m in 0..M {
            totals[m] = match ACCUMULATORS {
                4 => {
                    V::add(V::add(sums[m][0], sums[m][1]), V::add(sums[m][2 % ACCUMULATORS], sums[m][3 % ACCUMULATORS]))
                }
                2 => V::add(sums[m][0], sums[m][1 % ACCUMULATORS]),
                _ => sums[m][0],
            };
        }
        totals
    }
}

/// A kind of float that weights are stored as.
pub(super) trait Float: Copy {
    /// Bytes of one.
    const BYTES: usize;
    /// The 16 weights of a column.
    ///
    /// # Safety
    /// As [`Vectors`]; there are 16.
    unsafe fn load<V: Vectors>(from: *const u8) -> V::Floats;
}

#[derive(Clone, Copy)]
pub(super) struct F32;
#[derive(Clone, Copy)]
pub(super) struct F16;
#[derive(Clone, Copy)]
pub(super) struct BF16;

impl Float for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<V: Vectors>(from: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller.
        unsafe { V::load_f32(from) }
    }
}

impl Float for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<V: Vectors>(from: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller.
        unsafe { V::load_f16(from) }
    }
}

impl Float for BF16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<V: Vectors>(from: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller.
        unsafe { V::load_bf16(from) }
    }
}

/// Float weights.
#[derive(Clone, Copy)]
pub(super) struct Floats<F>(pub(super) F);

impl<F: Float> Floats<F> {
    /// `PANELS` panels from `first` on. A sum waits for the one before it, so several must be under way.
    #[inline(always)]
    unsafe fn panels<V: Vectors, const M: usize, const PANELS: usize>(tile: &Tile, first: usize) {
        // SAFETY: the tile has these panels, each with `columns` times 16 weights; and `M` rows of activations.
        unsafe {
            let mut sums = [[V::zero_floats(); M]; PANELS];
            let weights = tile.weights.add(first * tile.panel_bytes);
            for column in 0..tile.columns {
                for (panel, sums) in sums.iter_mut().enumerate() {
                    let weights = F::load::<V>(weights.add(panel * tile.panel_bytes + column * PANEL * F::BYTES));
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let value = *tile.values.add(m * tile.columns + column);
                        *sum = V::fma(weights, V::broadcast(value), *sum);
                    }
                }
            }
            for (panel, sums) in sums.into_iter().enumerate() {
                for (m, sums) in sums.into_iter().enumerate() {
                    tile.store::<V>(first + panel, m, sums);
                }
            }
        }
    }
}

impl<F: Float> Weights for Floats<F> {
    #[inline(always)]
    unsafe fn tile<V: Vectors, const M: usize>(self, tile: &Tile) {
        let mut panel = 0;
        // SAFETY: the tile has these panels.
        unsafe {
            if M == 1 {
                while panel + 4 <= tile.panels {
                    Self::panels::<V, M, 4>(tile, panel);
                    panel += 4;
                }
            }
            while panel < tile.panels {
                Self::panels::<V, M, 1>(tile, panel);
                panel += 1;
            }
        }
    }
}
