//! Rows into panels, and a row back.

use super::layout::{BLOCK, Groups, Layout, PANEL, SUPER_BLOCK};
use crate::{
    Pool,
    buffer::Buffer,
    disjoint::Disjoint,
    half::{bf16_to_f32, f16_to_f32, f32_to_f16},
};

use super::{Codes, Format, Scales};

/// One row as the packer takes it.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// For [`Format::F32`]: a number per column.
    F32(&'a [f32]),
    /// For [`Format::F16`] and [`Format::BF16`]: a bit pattern per column.
    Bits16(&'a [u16]),
    /// For [`Format::Quantised`] with scales that stand for themselves.
    Quantised {
        /// A code per column.
        codes: &'a [i8],
        /// A scale per group; the last group may be cut short.
        scales: &'a [f32],
        /// A min per group; not looked at when the format has no mins.
        mins: &'a [f32],
    },
    /// For [`Format::Quantised`] with scales that are products.
    Products {
        /// A code per column.
        codes: &'a [i8],
        /// A factor of the scale per group; the last group may be cut short.
        scales: &'a [i8],
        /// A factor of the min per group; not looked at when the format has no mins.
        mins: &'a [i8],
        /// The other factor of the scales, as binary16: one per 256 columns, the last of which may be cut short.
        common_scales: &'a [u16],
        /// The same of the mins.
        common_mins: &'a [u16],
    },
}

/// What gives a matrix its rows: `fill(row, sink)` calls `sink` once, with the numbers of that row.
pub type Fill<'a> = dyn Fn(usize, &mut dyn FnMut(Row<'_>)) + Sync + 'a;

/// Panels that one task packs: enough to be worth handing out.
const PANELS_A_TASK: usize = 4;

pub(super) fn pack(pool: &Pool, layout: &Layout, fill: &Fill<'_>) -> Buffer {
    let mut bytes = Buffer::zeroed(layout.bytes());
    let panels = Disjoint::new(&mut bytes);
    pool.run(layout.panels().div_ceil(PANELS_A_TASK), &|task| {
        let first = task * PANELS_A_TASK;
        for panel in first..layout.panels().min(first + PANELS_A_TASK) {
            // SAFETY: each panel belongs to one task, and panels do not overlap.
            let bytes = unsafe { panels.slice(panel * layout.panel_bytes..(panel + 1) * layout.panel_bytes) };
            for lane in 0..PANEL.min(layout.rows - panel * PANEL) {
                let row = panel * PANEL + lane;
                let mut given = false;
                fill(row, &mut |numbers| {
                    assert!(!given, "row {row} was given twice");
                    given = true;
                    pack_row(layout, bytes, lane, numbers);
                });
                assert!(given, "row {row} was not given");
            }
        }
    });
    bytes
}

fn pack_row(layout: &Layout, panel: &mut [u8], lane: usize, row: Row<'_>) {
    let columns = layout.columns;
    match (layout.format, row) {
        (Format::F32, Row::F32(values)) => {
            assert_eq!(values.len(), columns, "a row has a number per column");
            for (values, cells) in values.iter().zip(panel.chunks_exact_mut(PANEL * 4)) {
                cells[lane * 4..][..4].copy_from_slice(&values.to_ne_bytes());
            }
        }
        (Format::F16 | Format::BF16, Row::Bits16(values)) => {
            assert_eq!(values.len(), columns, "a row has a number per column");
            for (values, cells) in values.iter().zip(panel.chunks_exact_mut(PANEL * 2)) {
                cells[lane * 2..][..2].copy_from_slice(&values.to_ne_bytes());
            }
        }
        (Format::Quantised { scales: Scales::F32 | Scales::F16, .. }, Row::Quantised { codes, scales, mins }) => {
            let groups = layout.groups().expect("it is a quantised format");
            assert_eq!(scales.len(), columns.div_ceil(groups.length), "a row has a scale per group");
            assert!(!groups.has_min || mins.len() == scales.len(), "a row has a min per group");
            put_codes(&groups, panel, lane, columns, codes);
            for (index, scale) in scales.iter().enumerate() {
                let group = &mut panel[groups.at(index)..];
                put_scale(&groups, group, 0, lane, *scale);
                if groups.has_min {
                    put_scale(&groups, group, groups.scales_bytes(), lane, mins[index]);
                }
            }
        }
        (
            Format::Quantised { scales: Scales::Products, .. },
            Row::Products { codes, scales, mins, common_scales, common_mins },
        ) => {
            let groups = layout.groups().expect("it is a quantised format");
            assert_eq!(scales.len(), columns.div_ceil(groups.length), "a row has a scale per group");
            assert_eq!(common_scales.len(), columns.div_ceil(SUPER_BLOCK), "a row has a common scale per 256 columns");
            let has_mins = mins.len() == scales.len() && common_mins.len() == common_scales.len();
            assert!(!groups.has_min || has_mins, "a row has a min per group and a common one per 256 columns");
            put_codes(&groups, panel, lane, columns, codes);
            for (index, scale) in scales.iter().enumerate() {
                let group = &mut panel[groups.at(index)..];
                group[lane] = scale.cast_unsigned();
                if groups.has_min {
                    group[groups.scales_bytes() + lane] = mins[index].cast_unsigned();
                }
            }
            for (index, scale) in common_scales.iter().enumerate() {
                let header = &mut panel[groups.header_at(index * groups.a_super_block())..];
                header[lane * 2..][..2].copy_from_slice(&scale.to_ne_bytes());
                if groups.has_min {
                    header[(PANEL + lane) * 2..][..2].copy_from_slice(&common_mins[index].to_ne_bytes());
                }
            }
        }
        (format, row) => panic!("a matrix of format {format:?} was given {row:?}"),
    }
}

fn put_scale(groups: &Groups, group: &mut [u8], at: usize, lane: usize, scale: f32) {
    if groups.scales == Scales::F16 {
        let bits = f32_to_f16(scale);
        debug_assert!(scale.is_nan() || f16_to_f32(bits) == scale, "{scale} is not representable in binary16");
        group[at + lane * 2..][..2].copy_from_slice(&bits.to_ne_bytes());
    } else {
        group[at + lane * 4..][..4].copy_from_slice(&scale.to_ne_bytes());
    }
}

/// Writes a row's codes to the groups of a panel, and the code that stands for zero to their padding.
fn put_codes(groups: &Groups, panel: &mut [u8], lane: usize, columns: usize, codes: &[i8]) {
    assert_eq!(codes.len(), columns, "a row has a code per column");
    for (index, given) in codes.chunks(groups.length).enumerate() {
        // What is left of the last group meets activations that are zero.
        let mut stored = [0; BLOCK];
        for (stored, code) in stored.iter_mut().zip(given) {
            let Some(code) = groups.codes.stored(*code) else { panic!("{code} is not a code of {:?}", groups.codes) };
            *stored = code;
        }
        let packed = &mut panel[groups.at(index) + groups.codes_at()..][..groups.bytes() - groups.codes_at()];
        put_group(groups.codes, packed, lane, &stored[..groups.length]);
    }
}

/// The stored codes of a group, for one row of the panel; the place is zero so far.
fn put_group(kind: Codes, packed: &mut [u8], lane: usize, stored: &[u8]) {
    if kind == Codes::I8 {
        for (two, packed) in stored.chunks_exact(2).zip(packed.chunks_exact_mut(32)) {
            packed[lane * 2] = two[0];
            packed[lane * 2 + 1] = two[1];
        }
        return;
    }
    let high_bits = kind.bits() - 4;
    for (eight, packed) in stored.chunks_exact(8).zip(packed.chunks_exact_mut(kind.bytes_of_eight())) {
        for (column, code) in eight.iter().enumerate() {
            let (n, lane) = (column / 2, lane * 2 + column % 2);
            packed[lane * 2 + n / 2] |= (code & 15) << (n % 2 * 4);
            match high_bits {
                1 => packed[64 + lane % 16] |= (code >> 4) << (lane / 16 * 4 + n),
                2 => packed[64 + lane] |= (code >> 4) << (n * 2),
                _ => {}
            }
        }
    }
}

/// The code of a column of a group, for one row of the panel.
#[inline(always)]
pub(super) fn code(groups: &Groups, panel: &[u8], group: usize, lane: usize, column: usize) -> i32 {
    let kind = groups.codes;
    let packed = &panel[groups.at(group) + groups.codes_at()..];
    if kind == Codes::I8 {
        return kind.of_stored(packed[column / 2 * 32 + lane * 2 + column % 2]);
    }
    let packed = &packed[column / 8 * kind.bytes_of_eight()..];
    let (n, lane) = (column % 8 / 2, lane * 2 + column % 2);
    let low = packed[lane * 2 + n / 2] >> (n % 2 * 4) & 15;
    let high = match kind.bits() - 4 {
        1 => packed[64 + lane % 16] >> (lane / 16 * 4 + n) & 1,
        2 => packed[64 + lane] >> (n * 2) & 3,
        _ => 0,
    };
    kind.of_stored(high << 4 | low)
}

/// The scale of a row of a group.
#[inline(always)]
pub(super) fn scale(groups: &Groups, panel: &[u8], group: usize, lane: usize) -> f32 {
    number(groups, panel, group, 0, lane)
}

/// The min of a row of a group, where the format has mins.
#[inline(always)]
pub(super) fn min(groups: &Groups, panel: &[u8], group: usize, lane: usize) -> f32 {
    number(groups, panel, group, 1, lane)
}

/// The scale (`which` is 0) or the min (1).
#[inline(always)]
fn number(groups: &Groups, panel: &[u8], group: usize, which: usize, lane: usize) -> f32 {
    let half = |bytes: &[u8], lane: usize| f16_to_f32(u16::from_ne_bytes([bytes[lane * 2], bytes[lane * 2 + 1]]));
    let numbers = &panel[groups.at(group) + which * groups.scales_bytes()..];
    match groups.scales {
        Scales::F32 => f32::from_ne_bytes(numbers[lane * 4..][..4].try_into().expect("four bytes")),
        Scales::F16 => half(numbers, lane),
        Scales::Products => {
            let common = half(&panel[groups.header_at(group) + which * PANEL * 2..], lane);
            common * f32::from(numbers[lane].cast_signed())
        }
    }
}

/// The weight at a column of a panel of floats.
#[inline(always)]
pub(super) fn float(format: Format, panel: &[u8], lane: usize, column: usize) -> f32 {
    let at = column * PANEL + lane;
    let bits16 = || u16::from_ne_bytes([panel[at * 2], panel[at * 2 + 1]]);
    match format {
        Format::F16 => f16_to_f32(bits16()),
        Format::BF16 => bf16_to_f32(bits16()),
        _ => f32::from_ne_bytes([panel[at * 4], panel[at * 4 + 1], panel[at * 4 + 2], panel[at * 4 + 3]]),
    }
}

pub(super) fn unpack_row(layout: &Layout, bytes: &[u8], row: usize, out: &mut [f32]) {
    let panel = &bytes[row / PANEL * layout.panel_bytes..][..layout.panel_bytes];
    let lane = row % PANEL;
    let Some(groups) = layout.groups() else {
        for (column, out) in out.iter_mut().enumerate() {
            *out = float(layout.format, panel, lane, column);
        }
        return;
    };
    for (group, out) in out.chunks_mut(groups.length).enumerate() {
        let scale = scale(&groups, panel, group, lane);
        for (column, out) in out.iter_mut().enumerate() {
            *out = scale * code(&groups, panel, group, lane, column) as f32;
        }
        if groups.has_min {
            let min = min(&groups, panel, group, lane);
            out.iter_mut().for_each(|out| *out += min);
        }
    }
}
