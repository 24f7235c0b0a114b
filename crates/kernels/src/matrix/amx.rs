//! Advanced Matrix Extensions: panels of quantised weights times 16 rows of activations, with the recipe's bits.
//!
//! Tile instructions multiply bytes, and an activation's code has 16 bits: `code = 256 * high + low`, with a signed `high`
//! and an unsigned `low`. Each of these digits is multiplied with the weights' codes. Both sums are exact integers, and so
//! is `256 * high_sum + low_sum`, the dot product that every other level finds. What follows is the recipe on 512-bit
//! vectors.
//!
//! A tile instruction adds up all columns that it is given, and each group of columns has scales of its own; so it is
//! given one group, which fills half of its depth or a quarter. More would not help: to turn the sums of a group into
//! floats takes longer than its two tile products, which run beside it.
//!
//! Weights are unpacked to bytes one panel at a time, into memory of the thread, and used for all rows of a part. With fewer
//! than [`LEAST_ROWS`] rows that does not pay. Those are left to AVX-512 VNNI, which reads packed weights as they are, so
//! decode of a few sequences never touches a tile.

use std::{
    arch::{asm, x86_64::*},
    cell::RefCell,
};

use super::{
    avx512::Avx512,
    layout::{BLOCK, PANEL},
    vectors::{Tile, Vectors},
    weights::{Codes, Scales},
};
use crate::{Pool, disjoint::Disjoint};

/// Rows of activations that are multiplied at once: as many as a tile register has.
const ROWS: usize = 16;

/// With fewer rows, filling tiles takes longer than doing without.
pub(super) const LEAST_ROWS: usize = 8;

/// Columns whose bytes a tile instruction multiplies and adds at a time.
const DEPTH: usize = 4;

/// The codes of 16 rows of activations in a block of columns, as bytes. Each 8 columns stand in the order 0, 4, 1, 5, 2, 6,
/// 3, 7, which is how weights fall out of their packing. An integer sum does not mind.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Digits {
    low: [[u8; BLOCK]; ROWS],
    high: [[i8; BLOCK]; ROWS],
}

impl Digits {
    const ZERO: Self = Self { low: [[0; BLOCK]; ROWS], high: [[0; BLOCK]; ROWS] };
}

/// The codes of a panel in a block of columns, unpacked: for every 4 columns, in the order of [`Digits`], `[row][column]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bytes([[i8; DEPTH * PANEL]; BLOCK / DEPTH]);

impl Bytes {
    const ZERO: Self = Self([[0; DEPTH * PANEL]; BLOCK / DEPTH]);
}

thread_local! {
    /// One panel, block by block; kept from task to task.
    static UNPACKED: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

/// Splits the codes of activations, `[m, blocks * 32]`, into `digits`, which come empty: `[m / 16 rounded up, blocks]`, with
/// zeros for rows from `m` on.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VL.
pub(super) unsafe fn split(pool: &Pool, m: usize, blocks: usize, codes: &[i16], digits: &mut Vec<Digits>) {
    let tiles = m.div_ceil(ROWS);
    digits.resize(tiles * blocks, Digits::ZERO);
    let digits = Disjoint::new(digits);
    pool.run(tiles, &|tile| {
        // SAFETY: each task has another row of tiles.
        let digits = unsafe { digits.slice(tile * blocks..(tile + 1) * blocks) };
        for row in tile * ROWS..m.min((tile + 1) * ROWS) {
            let (codes, _) = codes[row * blocks * BLOCK..][..blocks * BLOCK].as_chunks();
            // SAFETY: the instruction set is there, as promised by the caller.
            unsafe { split_row(codes, digits, row % ROWS) }
        }
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn split_row(codes: &[[i16; BLOCK]], digits: &mut [Digits], row: usize) {
    let order = _mm_set_epi8(15, 11, 14, 10, 13, 9, 12, 8, 7, 3, 6, 2, 5, 1, 4, 0);
    let order = _mm256_broadcastsi128_si256(order);
    for (codes, digits) in codes.iter().zip(digits) {
        // SAFETY: 32 codes are 64 bytes, and a row of digits is 32.
        unsafe {
            let codes = _mm512_loadu_si512(codes.as_ptr().cast());
            let (low, high) = (_mm512_cvtepi16_epi8(codes), _mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(codes)));
            _mm256_storeu_si256(digits.low[row].as_mut_ptr().cast(), _mm256_shuffle_epi8(low, order));
            _mm256_storeu_si256(digits.high[row].as_mut_ptr().cast(), _mm256_shuffle_epi8(high, order));
        }
    }
}

/// Multiplies the tile's panels with the first of `rows` rows of activations: with as many as fill tile registers well.
/// How many those are.
///
/// # Safety
/// As [`Weights::tile_registers`](super::vectors::Weights::tile_registers).
pub(super) unsafe fn multiply<C: Codes, S: Scales>(tile: &Tile, rows: usize, digits: *const Digits) -> usize {
    let done = rows / LEAST_ROWS * LEAST_ROWS;
    if done == 0 || tile.groups == 0 {
        return 0;
    }
    let blocks = tile.groups * C::LENGTH / BLOCK;
    // Taken, not borrowed: nothing is held while kernels run.
    let mut unpacked = UNPACKED.take();
    if unpacked.len() < blocks {
        unpacked.resize(blocks, Bytes::ZERO);
    }
    // SAFETY: the tile has these panels, of `blocks` blocks each, and these rows; the rest is promised by the caller.
    unsafe {
        let registers = Registers::configure(C::LENGTH);
        let mut sums = [Sums::ZERO, Sums::ZERO];
        for index in 0..tile.panels {
            let weights = tile.weights.add(index * tile.panel_bytes);
            unpack::<C, S>(tile, weights, &mut unpacked[..blocks]);
            let panel = Panel { index, weights, unpacked: &unpacked, registers: &registers };
            for row in (0..done).step_by(ROWS) {
                let (tile, digits) = (tile.below(row), digits.add(row / ROWS * blocks));
                if done - row < ROWS {
                    panel.multiply::<LEAST_ROWS, C, S>(&tile, digits, &mut sums);
                } else {
                    panel.multiply::<ROWS, C, S>(&tile, digits, &mut sums);
                }
            }
        }
    }
    UNPACKED.set(unpacked);
    done
}

/// Where in a panel a group begins, and where its super block does.
#[inline(always)]
fn places<C: Codes, S: Scales>(group: usize) -> (usize, usize) {
    let (groups_a_block, header_bytes) = S::super_block(C::LENGTH);
    let bytes = S::BYTES + C::BYTES;
    let block = group / groups_a_block;
    let first = if block == 0 { 0 } else { block * groups_a_block };
    ((block + 1) * header_bytes + group * bytes, block * header_bytes + first * bytes)
}

/// Unpacks the codes of a panel.
///
/// # Safety
/// There are so many blocks of weights, and the CPU has AVX-512 and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn unpack<C: Codes, S: Scales>(tile: &Tile, weights: *const u8, unpacked: &mut [Bytes]) {
    let eights = C::LENGTH / 8;
    // SAFETY: the instruction set is there, as promised by the caller; 16 levels.
    let levels = unsafe { Avx512::<true>::load_levels(tile.levels.as_ptr()) };
    let rows = unpacked.iter_mut().flat_map(|unpacked| unpacked.0.as_chunks_mut::<2>().0);
    for (eight, [first, second]) in rows.enumerate() {
        let (group, _) = places::<C, S>(eight / eights);
        // SAFETY: these columns are the panel's, as promised by the caller; a row of bytes is 64.
        unsafe {
            let codes = weights.add(group + S::BYTES);
            let [a, b, c, d] = C::pairs::<Avx512<true>>(codes, eight % eights, levels);
            // Columns 0 and 1 are in `a`, as 16-bit integers; 4 and 5 in `c`.
            _mm512_storeu_si512(first.as_mut_ptr().cast(), interleaved(a, c));
            _mm512_storeu_si512(second.as_mut_ptr().cast(), interleaved(b, d));
        }
    }
}

/// The low bytes of 16-bit integers, those of `b` after those of `a`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(a: __m512i, b: __m512i) -> __m512i {
    _mm512_or_si512(_mm512_and_si512(a, _mm512_set1_epi16(0xff)), _mm512_slli_epi16::<8>(b))
}

/// The sums of a group, `[row of activations][row of the panel]`.
#[repr(C, align(64))]
struct Sums {
    low: [[i32; PANEL]; ROWS],
    high: [[i32; PANEL]; ROWS],
}

impl Sums {
    const ZERO: Self = Self { low: [[0; PANEL]; ROWS], high: [[0; PANEL]; ROWS] };
}

/// One panel of weights, packed and unpacked.
struct Panel<'a> {
    index: usize,
    weights: *const u8,
    unpacked: &'a [Bytes],
    registers: &'a Registers,
}

impl Panel<'_> {
    /// Multiplies the panel with the first `M` rows of the tile. `sums` are room for two groups: while the tile unit makes
    /// the sums of one, those of the group before become floats.
    ///
    /// # Safety
    /// As [`multiply`].
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn multiply<const M: usize, C: Codes, S: Scales>(
        &self,
        tile: &Tile,
        digits: *const Digits,
        sums: &mut [Sums; 2],
    ) {
        let mut floats = [_mm512_setzero_ps(); M];
        // SAFETY: the panel has these groups, and so have the rows of activations.
        unsafe {
            self.sums::<C>(digits, 0, &mut sums[0]);
            for group in 1..tile.groups {
                self.sums::<C>(digits, group, &mut sums[group % 2]);
                self.add::<M, C, S>(tile, group - 1, &sums[(group - 1) % 2], &mut floats);
            }
            let last = tile.groups - 1;
            self.add::<M, C, S>(tile, last, &sums[last % 2], &mut floats);
            for (m, floats) in floats.into_iter().enumerate() {
                tile.store::<Avx512<true>>(self.index, m, floats);
            }
        }
    }

    /// # Safety
    /// As [`multiply`]; there is such a group.
    #[inline(always)]
    unsafe fn sums<C: Codes>(&self, digits: *const Digits, group: usize, sums: &mut Sums) {
        let (block, column) = (group * C::LENGTH / BLOCK, group * C::LENGTH % BLOCK);
        let codes = self.unpacked[block].0[column / DEPTH..].as_ptr();
        // SAFETY: the group's columns lie in this block of each row, and in these rows of its unpacked codes.
        unsafe {
            let digits = digits.add(block);
            let (low, high) = (&raw const (*digits).low, &raw const (*digits).high);
            self.registers.multiply(codes.cast(), low.cast::<u8>().add(column), high.cast::<i8>().add(column), sums);
        }
    }

    /// Adds a group, as the recipe says.
    ///
    /// # Safety
    /// As [`multiply`]; there is such a group.
    #[inline(always)]
    unsafe fn add<const M: usize, C: Codes, S: Scales>(
        &self,
        tile: &Tile,
        group: usize,
        sums: &Sums,
        floats: &mut [__m512; M],
    ) {
        let (at, header) = places::<C, S>(group);
        // SAFETY: the panel has this group, and each of the `M` rows of activations has terms for it.
        unsafe {
            let header = S::header::<Avx512<true>>(self.weights.add(header));
            let scales = S::scales::<Avx512<true>>(header, self.weights.add(at));
            for (m, floats) in floats.iter_mut().enumerate() {
                let terms = &*tile.terms.add(m * tile.groups + group);
                let low = _mm512_load_si512(sums.low[m].as_ptr().cast());
                let high = _mm512_load_si512(sums.high[m].as_ptr().cast());
                let dots = _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low);
                let scales = _mm512_mul_ps(scales, _mm512_set1_ps(terms.scale));
                *floats = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), scales, *floats);
            }
            if S::HAS_MIN {
                let mins = S::mins::<Avx512<true>>(header, self.weights.add(at));
                for (m, floats) in floats.iter_mut().enumerate() {
                    let terms = &*tile.terms.add(m * tile.groups + group);
                    *floats = _mm512_fmadd_ps(mins, _mm512_set1_ps(terms.sum), *floats);
                }
            }
        }
    }
}

/// What `ldtilecfg` reads: Intel's manual, volume 1, section 18.3 "The TILECFG register".
#[derive(Default)]
#[repr(C, align(64))]
struct Configuration {
    /// 1: eight registers of up to 16 rows of 64 bytes.
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const _: () = assert!(size_of::<Configuration>() == 64);

/// This thread's tile registers, configured for groups of one length, as long as the value lives. When they are free again
/// the thread is cheap to switch, and the core may use the power elsewhere.
struct Registers {
    /// It is this thread's: not `Send`.
    _of_thread: std::marker::PhantomData<*const ()>,
}

impl Registers {
    /// For groups of `length` columns: registers 0 and 1 for sums, 2 and 3 for digits of activations, 4 for weights.
    ///
    /// # Safety
    /// The CPU has AMX, this process may use it, and no other `Registers` of this thread is alive.
    unsafe fn configure(length: usize) -> Self {
        let mut configuration = Configuration { palette: 1, ..Configuration::default() };
        let sums = (ROWS, PANEL * 4);
        let shapes = [sums, sums, (ROWS, length), (ROWS, length), (length / DEPTH, DEPTH * PANEL)];
        for (register, (rows, bytes)) in shapes.into_iter().enumerate() {
            configuration.rows[register] = rows as u8;
            configuration.row_bytes[register] = bytes as u16;
        }
        // SAFETY: a valid configuration for palette 1; all 64 bytes are there. Without `nomem`, the compiler takes it that
        // the block reads all of what the address leads to.
        unsafe {
            asm!(
                "ldtilecfg [{}]",
                in(reg) &raw const configuration,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags),
            );
        }
        Self { _of_thread: std::marker::PhantomData }
    }

    /// The products of a group's codes with both digits of 16 rows of activations.
    ///
    /// # Safety
    /// From `codes` on there are as many rows of [`Bytes`] as the group has, and from `low` and `high` on, in 16 rows of
    /// [`Digits`], as many columns.
    #[inline(always)]
    unsafe fn multiply(&self, codes: *const i8, low: *const u8, high: *const i8, sums: &mut Sums) {
        // SAFETY: the registers are configured, as `self` proves. What is read is promised by the caller; `Sums` has 16
        // rows of 64 bytes of either kind.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tileloadd tmm4, [{codes} + {line}]",
                "tileloadd tmm2, [{low} + {digits}]",
                "tdpbusd tmm0, tmm2, tmm4", // unsigned digits, signed codes
                "tileloadd tmm3, [{high} + {digits}]",
                "tdpbssd tmm1, tmm3, tmm4", // both signed
                "tilestored [{low_sums} + {line}], tmm0",
                "tilestored [{high_sums} + {line}], tmm1",
                codes = in(reg) codes,
                low = in(reg) low,
                high = in(reg) high,
                low_sums = in(reg) sums.low.as_mut_ptr(),
                high_sums = in(reg) sums.high.as_mut_ptr(),
                line = in(reg) DEPTH * PANEL,
                digits = in(reg) BLOCK,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _,
                options(nostack, preserves_flags),
            );
        }
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: the CPU has AMX, as whoever made the value promised.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}
