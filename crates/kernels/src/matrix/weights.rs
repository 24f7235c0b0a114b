//! How a tile is computed for each kind of weights.

use super::{
    Codes as CodeKind, Format, Scales as ScaleKind,
    amx::{self, Digits},
    layout::{Groups, PANEL, SUPER_BLOCK},
    vectors::{Tile, Vectors, Weights},
};

/// Multiplies the tile's panels with `rows` rows of activations.
///
/// # Safety
/// The CPU has the instruction set of `V`; the tile's pointers are good for what it says about them, for so many rows.
pub(super) unsafe fn multiply<V: Vectors>(format: Format, groups: Option<Groups>, tile: Tile, rows: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let Some(Groups { length, codes, scales, .. }) = groups else {
            return match format {
                Format::F16 => V::panels(Floats(F16), tile, rows),
                Format::BF16 => V::panels(Floats(BF16), tile, rows),
                _ => V::panels(Floats(F32), tile, rows),
            };
        };
        match (codes, length, scales) {
            (CodeKind::U4, 32, ScaleKind::F16) => {
                V::panels(Quantised(Paired(LowBits::<32>), Plain::<true, true>), tile, rows)
            }
            (CodeKind::U4, 32, ScaleKind::Products) => {
                V::panels(Quantised(Paired(LowBits::<32>), Products::<true>), tile, rows);
            }
            (CodeKind::U4, _, _) => V::panels(Quantised(Paired(LowBits::<16>), Products::<true>), tile, rows),
            (CodeKind::I4, 32, _) => {
                V::panels(Quantised(Paired(Less::<8, _>(LowBits::<32>)), Plain::<false, true>), tile, rows);
            }
            (CodeKind::I4, _, _) => {
                V::panels(Quantised(Paired(Less::<8, _>(LowBits::<16>)), Products::<false>), tile, rows)
            }
            (CodeKind::U5, _, ScaleKind::F16) => {
                V::panels(Quantised(Paired(MoreBits::<1, 32>), Plain::<true, true>), tile, rows);
            }
            (CodeKind::U5, _, _) => V::panels(Quantised(Paired(MoreBits::<1, 32>), Products::<true>), tile, rows),
            (CodeKind::I5, _, _) => {
                V::panels(Quantised(Paired(Less::<16, _>(MoreBits::<1, 32>)), Plain::<false, true>), tile, rows);
            }
            (CodeKind::I6, _, _) => {
                V::panels(Quantised(Paired(Less::<32, _>(MoreBits::<2, 16>)), Products::<false>), tile, rows);
            }
            (CodeKind::I8, _, _) => V::panels(Quantised(Bytes::<32>, Plain::<false, true>), tile, rows),
            (CodeKind::Levels(_), _, ScaleKind::F16) => {
                V::panels(Quantised(Paired(Levels::<32>), Plain::<false, true>), tile, rows);
            }
            (CodeKind::Levels(_), _, ScaleKind::F32) => {
                V::panels(Quantised(Paired(Levels::<32>), Plain::<false, false>), tile, rows);
            }
            (CodeKind::Levels(_), _, ScaleKind::Products) => {
                V::panels(Quantised(Paired(Levels::<32>), Products::<false>), tile, rows);
            }
        }
    }
}

/// The scales and mins of a panel's groups.
pub(super) trait Scales: Copy {
    /// Whether there are mins.
    const HAS_MIN: bool;
    /// Groups of `length` columns that share what stands before them, and the bytes of that.
    fn super_block(length: usize) -> (usize, usize);
    /// Bytes of a group's scales and mins.
    const BYTES: usize;
    /// What stands before a super block.
    type Header<V: Vectors>: Copy;

    /// # Safety
    /// As [`Vectors`], and so the next two; there is a header, or a group.
    unsafe fn header<V: Vectors>(at: *const u8) -> Self::Header<V>;
    unsafe fn scales<V: Vectors>(header: Self::Header<V>, group: *const u8) -> V::Floats;
    /// Called only where there are mins.
    unsafe fn mins<V: Vectors>(header: Self::Header<V>, group: *const u8) -> V::Floats;
}

/// Scales that stand for themselves, as binary16 or as f32.
#[derive(Clone, Copy)]
pub(super) struct Plain<const HAS_MIN: bool, const HALF: bool>;

impl<const HAS_MIN: bool, const HALF: bool> Scales for Plain<HAS_MIN, HALF> {
    const HAS_MIN: bool = HAS_MIN;
    const BYTES: usize = PANEL * if HALF { 2 } else { 4 } * if HAS_MIN { 2 } else { 1 };
    type Header<V: Vectors> = ();

    #[inline(always)]
    fn super_block(_length: usize) -> (usize, usize) {
        (usize::MAX, 0)
    }

    #[inline(always)]
    unsafe fn header<V: Vectors>(_at: *const u8) {}

    #[inline(always)]
    unsafe fn scales<V: Vectors>((): (), group: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller.
        unsafe { if HALF { V::load_f16(group) } else { V::load_f32(group) } }
    }

    #[inline(always)]
    unsafe fn mins<V: Vectors>((): (), group: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller, the mins follow the scales.
        unsafe { Self::scales::<V>((), group.add(Self::BYTES / 2)) }
    }
}

/// Scales that are a common one times a factor.
#[derive(Clone, Copy)]
pub(super) struct Products<const HAS_MIN: bool>;

impl<const HAS_MIN: bool> Scales for Products<HAS_MIN> {
    const HAS_MIN: bool = HAS_MIN;
    const BYTES: usize = PANEL * if HAS_MIN { 2 } else { 1 };
    /// The common scales and mins.
    type Header<V: Vectors> = (V::Floats, V::Floats);

    #[inline(always)]
    fn super_block(length: usize) -> (usize, usize) {
        (SUPER_BLOCK / length, Self::BYTES * 2)
    }

    #[inline(always)]
    unsafe fn header<V: Vectors>(at: *const u8) -> Self::Header<V> {
        // SAFETY: as promised by the caller.
        unsafe {
            let scales = V::load_f16(at);
            (scales, if HAS_MIN { V::load_f16(at.add(PANEL * 2)) } else { scales })
        }
    }

    #[inline(always)]
    unsafe fn scales<V: Vectors>((common, _): Self::Header<V>, group: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller.
        unsafe { V::multiply(common, V::load_i8(group)) }
    }

    #[inline(always)]
    unsafe fn mins<V: Vectors>((_, common): Self::Header<V>, group: *const u8) -> V::Floats {
        // SAFETY: as promised by the caller, the mins' factors follow those of the scales.
        unsafe { V::multiply(common, V::load_i8(group.add(PANEL))) }
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
        levels: V::Ints,
        activations: [*const i16; M],
    ) -> [V::Ints; M];

    /// The four pairs of columns of the `eight`-th 8 columns of a group.
    ///
    /// # Safety
    /// As [`Vectors`]; there are `BYTES` bytes of weights, and such columns.
    unsafe fn pairs<V: Vectors>(weights: *const u8, eight: usize, levels: V::Ints) -> [V::Ints; 4];
}

/// Quantised weights, with codes of kind `C` and scales of kind `S`.
#[derive(Clone, Copy)]
pub(super) struct Quantised<C, S>(pub(super) C, pub(super) S);

/// How far ahead of their use weights are asked for, in bytes, when few rows use them: a page, which is as far as the
/// hardware looks by itself. A quarter of it costs a third of the bandwidth.
const AHEAD: usize = 4096;

/// With more rows than this, weights are computed with for longer than it takes to fetch them.
const FEW_ROWS: usize = 4;

impl<C: Codes, S: Scales> Quantised<C, S> {
    const BYTES: usize = S::BYTES + C::BYTES;

    /// One panel: the sums of `M` rows.
    #[inline(always)]
    unsafe fn panel<V: Vectors, const M: usize, const ACCUMULATORS: usize>(
        tile: &Tile,
        mut weights: *const u8,
    ) -> [V::Floats; M] {
        // SAFETY: a panel has `groups` groups of `BYTES` bytes, with headers where super blocks begin, a row of
        // activations as many terms, and `LENGTH` times as many codes.
        unsafe {
            let levels = V::load_levels(tile.levels.as_ptr());
            let (groups_a_block, header_bytes) = S::super_block(C::LENGTH);
            let mut sums = [V::zero_floats(); M];
            let mut codes = [tile.codes; M];
            for (m, codes) in codes.iter_mut().enumerate() {
                *codes = codes.add(m * tile.padded_columns);
            }
            let mut group = 0;
            while group < tile.groups {
                let header = S::header::<V>(weights);
                weights = weights.add(header_bytes);
                let end = tile.groups.min(group.saturating_add(groups_a_block));
                while group < end {
                    if M <= FEW_ROWS {
                        let mut line = 0;
                        while line < Self::BYTES {
                            V::prefetch(weights.wrapping_add(AHEAD + line));
                            line += 64;
                        }
                    }
                    let dots = C::dots::<V, M, ACCUMULATORS>(weights.add(S::BYTES), levels, codes);
                    let scales = S::scales::<V>(header, weights);
                    for m in 0..M {
                        let terms = &*tile.terms.add(m * tile.groups + group);
                        let scales = V::multiply(scales, V::broadcast(terms.scale));
                        sums[m] = V::fma(V::to_floats(dots[m]), scales, sums[m]);
                        codes[m] = codes[m].add(C::LENGTH);
                    }
                    if S::HAS_MIN {
                        let mins = S::mins::<V>(header, weights);
                        for (m, sum) in sums.iter_mut().enumerate() {
                            let terms = &*tile.terms.add(m * tile.groups + group);
                            *sum = V::fma(mins, V::broadcast(terms.sum), *sum);
                        }
                    }
                    weights = weights.add(Self::BYTES);
                    group += 1;
                }
            }
            sums
        }
    }
}

impl<C: Codes, S: Scales> Weights for Quantised<C, S> {
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

    unsafe fn tile_registers(self, tile: &Tile, rows: usize, digits: *const Digits) -> usize {
        // SAFETY: as promised by the caller.
        unsafe { amx::multiply::<C, S>(tile, rows, digits) }
    }
}

/// Codes that are stored in pairs of columns, eight columns after the other.
pub(super) trait Pairs: Copy {
    /// Columns of a group.
    const LENGTH: usize;
    /// Bytes of eight columns.
    const BYTES: usize;

    /// The four pairs of eight columns.
    ///
    /// # Safety
    /// As [`Vectors`]; there are `BYTES` bytes.
    unsafe fn pairs<V: Vectors>(eight: *const u8, levels: V::Ints) -> [V::Ints; 4];
}

/// Codes of 4 bits.
#[derive(Clone, Copy)]
pub(super) struct LowBits<const LENGTH: usize>;

impl<const LENGTH: usize> Pairs for LowBits<LENGTH> {
    const LENGTH: usize = LENGTH;
    const BYTES: usize = 64;

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(eight: *const u8, _levels: V::Ints) -> [V::Ints; 4] {
        // SAFETY: as promised by the caller.
        unsafe {
            let packed = V::load_nibbles(eight);
            [V::nibbles::<0>(packed), V::nibbles::<4>(packed), V::nibbles::<8>(packed), V::nibbles::<12>(packed)]
        }
    }
}

/// Codes of 4 bits, and `HIGH` (1 or 2) more.
#[derive(Clone, Copy)]
pub(super) struct MoreBits<const HIGH: u32, const LENGTH: usize>;

impl<const HIGH: u32, const LENGTH: usize> Pairs for MoreBits<HIGH, LENGTH> {
    const LENGTH: usize = LENGTH;
    const BYTES: usize = 64 + HIGH as usize * 16;

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(eight: *const u8, levels: V::Ints) -> [V::Ints; 4] {
        // SAFETY: as promised by the caller.
        unsafe {
            let [a, b, c, d] = LowBits::<LENGTH>::pairs::<V>(eight, levels);
            let high = V::load_high_bits::<HIGH>(eight.add(64));
            [
                V::with_high_bits::<HIGH, 0>(a, high),
                V::with_high_bits::<HIGH, 1>(b, high),
                V::with_high_bits::<HIGH, 2>(c, high),
                V::with_high_bits::<HIGH, 3>(d, high),
            ]
        }
    }
}

/// Codes that are stored with `OFFSET` added.
#[derive(Clone, Copy)]
pub(super) struct Less<const OFFSET: i16, P>(pub(super) P);

impl<const OFFSET: i16, P: Pairs> Pairs for Less<OFFSET, P> {
    const LENGTH: usize = P::LENGTH;
    const BYTES: usize = P::BYTES;

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(eight: *const u8, levels: V::Ints) -> [V::Ints; 4] {
        // SAFETY: as promised by the caller.
        unsafe { P::pairs::<V>(eight, levels).map(|pair| V::less(pair, OFFSET)) }
    }
}

/// Codes of 4 bits that choose a level.
#[derive(Clone, Copy)]
pub(super) struct Levels<const LENGTH: usize>;

impl<const LENGTH: usize> Pairs for Levels<LENGTH> {
    const LENGTH: usize = LENGTH;
    const BYTES: usize = 64;

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(eight: *const u8, levels: V::Ints) -> [V::Ints; 4] {
        // SAFETY: as promised by the caller.
        unsafe { LowBits::<LENGTH>::pairs::<V>(eight, levels).map(|pair| V::levels(levels, pair)) }
    }
}

/// Their dot products.
#[derive(Clone, Copy)]
pub(super) struct Paired<P>(pub(super) P);

impl<P: Pairs> Codes for Paired<P> {
    const LENGTH: usize = P::LENGTH;
    const BYTES: usize = P::LENGTH / 8 * P::BYTES;

    #[inline(always)]
    unsafe fn dots<V: Vectors, const M: usize, const ACCUMULATORS: usize>(
        weights: *const u8,
        levels: V::Ints,
        activations: [*const i16; M],
    ) -> [V::Ints; M] {
        // SAFETY: what is read lies in the group.
        unsafe {
            let mut sums = [[V::zero_ints(); ACCUMULATORS]; M];
            for eight in 0..P::LENGTH / 8 {
                let pairs = P::pairs::<V>(weights.add(eight * P::BYTES), levels);
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

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(weights: *const u8, eight: usize, levels: V::Ints) -> [V::Ints; 4] {
        // SAFETY: as promised by the caller.
        unsafe { P::pairs::<V>(weights.add(eight * P::BYTES), levels) }
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
        _levels: V::Ints,
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

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(weights: *const u8, eight: usize, _levels: V::Ints) -> [V::Ints; 4] {
        // SAFETY: as above.
        unsafe { [0, 1, 2, 3].map(|pair| V::load_bytes(weights.add((eight * 4 + pair) * 32))) }
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
    /// None: there are no tiles of these floats.
    unsafe fn tile_registers(self, _tile: &Tile, _rows: usize, _digits: *const Digits) -> usize {
        0
    }
}
