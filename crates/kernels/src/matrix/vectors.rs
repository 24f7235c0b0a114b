//! The few operations in which instruction sets differ, and the tile that is computed with them; `weights` holds the one
//! body that all of them share.

use super::{activations::Terms, amx::Digits, layout::PANEL};

/// What an instruction set does for the 16 rows of a panel at once, be it in one register or in two.
///
/// # Safety
/// All functions run only on a CPU that has the instruction set; all but `panels` only inlined into a function that
/// enables it. Those with a pointer access, at any alignment, the bytes that they name.
pub(super) trait Vectors {
    /// For each row an `i32`, or the codes of two adjacent columns as `i16`.
    type Ints: Copy;
    /// For each row an `f32`.
    type Floats: Copy;

    /// Whether `add_products` takes so long that more sums than rows should be under way, and registers are plenty.
    const SLOW_SUMS: bool;

    /// Cuts `rows` rows of activations into tiles as tall as the registers allow, and multiplies them.
    unsafe fn panels<W: Weights>(weights: W, tile: Tile, rows: usize);

    unsafe fn zero_ints() -> Self::Ints;
    /// 64 bytes: for 16 rows, 8 columns of 4-bit codes.
    unsafe fn load_nibbles(from: *const u8) -> Self::Ints;
    /// Two columns out of eight: those in bits `SHIFT..SHIFT + 4` of the 16-bit lanes.
    unsafe fn nibbles<const SHIFT: u32>(packed: Self::Ints) -> Self::Ints;
    /// `BITS` (1 or 2) times 16 bytes: for 16 rows, the bits above the fourth of 8 columns.
    unsafe fn load_high_bits<const BITS: u32>(from: *const u8) -> Self::Ints;
    /// The codes `low` of columns `2 * N` and `2 * N + 1` out of eight, with their high bits added to them.
    unsafe fn with_high_bits<const BITS: u32, const N: u32>(low: Self::Ints, high: Self::Ints) -> Self::Ints;
    /// Codes less `offset` each.
    unsafe fn less(codes: Self::Ints, offset: i16) -> Self::Ints;
    /// 16 bytes: the codes that 4-bit codes stand for.
    unsafe fn load_levels(from: *const i8) -> Self::Ints;
    /// The levels of 4-bit codes.
    unsafe fn levels(levels: Self::Ints, codes: Self::Ints) -> Self::Ints;
    /// 32 bytes: for 16 rows, 2 columns of 8-bit codes.
    unsafe fn load_bytes(from: *const u8) -> Self::Ints;
    /// `sum + weights[0] * pair[0] + weights[1] * pair[1]` for each row; `pair` is 4 bytes.
    unsafe fn add_products(sum: Self::Ints, weights: Self::Ints, pair: *const i16) -> Self::Ints;
    unsafe fn add(a: Self::Ints, b: Self::Ints) -> Self::Ints;

    unsafe fn zero_floats() -> Self::Floats;
    unsafe fn to_floats(ints: Self::Ints) -> Self::Floats;
    /// 16 bytes: an `i8` for each row.
    unsafe fn load_i8(from: *const u8) -> Self::Floats;
    /// 64 bytes.
    unsafe fn load_f32(from: *const u8) -> Self::Floats;
    /// 32 bytes.
    unsafe fn load_f16(from: *const u8) -> Self::Floats;
    /// 32 bytes.
    unsafe fn load_bf16(from: *const u8) -> Self::Floats;
    unsafe fn broadcast(value: f32) -> Self::Floats;
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + sum`, rounded once.
    unsafe fn fma(a: Self::Floats, b: Self::Floats, sum: Self::Floats) -> Self::Floats;
    /// Writes 64 bytes.
    unsafe fn store(to: *mut f32, floats: Self::Floats);
    /// Asks for a cache line that will be read soon; any address will do.
    unsafe fn prefetch(address: *const u8);
}

/// How weights are stored, and so how a tile is computed.
pub(super) trait Weights: Copy {
    /// Computes the tile for `M` rows of activations.
    ///
    /// # Safety
    /// As [`Vectors`]; and the tile's pointers are good for what it says about them.
    unsafe fn tile<V: Vectors, const M: usize>(self, tile: &Tile);

    /// Computes as many of `rows` rows of activations as fill tile registers well, with `digits`; how many those are.
    ///
    /// # Safety
    /// As [`Vectors`], for AVX-512 VNNI and AMX; and the pointers are good for what the tile says about them.
    unsafe fn tile_registers(self, tile: &Tile, rows: usize, digits: *const Digits) -> usize;
}

/// Panels of weights times rows of activations, and where the product goes.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// The first panel; the others follow.
    pub(super) weights: *const u8,
    pub(super) panels: usize,
    pub(super) panel_bytes: usize,
    /// Columns of the matrix, and those with padding.
    pub(super) columns: usize,
    pub(super) padded_columns: usize,
    /// The first row's activations, for float formats: `columns` a row.
    pub(super) values: *const f32,
    /// The same for quantised formats: `padded_columns` a row.
    pub(super) codes: *const i16,
    /// The same, in groups of the weights' length: `groups` a row.
    pub(super) terms: *const Terms,
    pub(super) groups: usize,
    /// What codes stand for, in a format with levels; otherwise all zero.
    pub(super) levels: &'static [i8; 16],
    /// The codes as bytes, from the first row on, if whoever multiplies may use AMX.
    pub(super) digits: Option<*const Digits>,
    /// The first output, outputs in a row of the activations that belong to these panels, and elements from one row's
    /// outputs to the next one's. The last panel may have fewer than 16.
    pub(super) out: *mut f32,
    pub(super) outs: usize,
    pub(super) out_stride: usize,
}

impl Tile {
    /// The tile that starts some rows of activations below. It may start after the last row, and is of no use then.
    #[inline(always)]
    pub(super) fn below(self, rows: usize) -> Self {
        Self {
            values: self.values.wrapping_add(rows * self.columns),
            codes: self.codes.wrapping_add(rows * self.padded_columns),
            terms: self.terms.wrapping_add(rows * self.groups),
            out: self.out.wrapping_add(rows * self.out_stride),
            digits: None,
            ..self
        }
    }

    /// Stores the outputs of one panel for row `m`.
    ///
    /// # Safety
    /// As [`Vectors`]; the panel and the row are the tile's.
    #[inline(always)]
    pub(super) unsafe fn store<V: Vectors>(&self, panel: usize, m: usize, sums: V::Floats) {
        let lanes = self.outs - panel * PANEL;
        // SAFETY: `outs` elements of this row are ours, and `lanes` of them are left from this panel on.
        unsafe {
            let to = self.out.add(m * self.out_stride + panel * PANEL);
            if lanes >= PANEL {
                V::store(to, sums);
            } else {
                let mut all = [0.0; PANEL];
                V::store(all.as_mut_ptr(), sums);
                std::ptr::copy_nonoverlapping(all.as_ptr(), to, lanes);
            }
        }
    }
}
