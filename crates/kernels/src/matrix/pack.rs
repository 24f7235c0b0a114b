//! Rows into panels, and a row back.

use super::layout::{Groups, Layout, PANEL};
use crate::{
    Pool,
    buffer::Buffer,
    disjoint::Disjoint,
    half::{bf16_to_f32, f16_to_f32, f32_to_f16},
};

use super::Format;

/// One row as the packer takes it.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// For [`Format::F32`]: a number per column.
    F32(&'a [f32]),
    /// For [`Format::F16`] and [`Format::BF16`]: a bit pattern per column.
    Bits16(&'a [u16]),
    /// For [`Format::Quantised`].
    Quantised {
        /// A code per column.
        codes: &'a [i8],
        /// A scale per group; the last group may be cut short.
        scales: &'a [f32],
        /// A min per group; not looked at when the format has no mins.
        mins: &'a [f32],
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
        (Format::Quantised { .. }, Row::Quantised { codes, scales, mins }) => {
            let groups = layout.groups().expect("it is a quantised format");
            assert_eq!(codes.len(), columns, "a row has a code per column");
            assert_eq!(scales.len(), columns.div_ceil(groups.length), "a row has a scale per group");
            assert!(!groups.has_min || mins.len() == scales.len(), "a row has a min per group");
            assert!(groups.code_bits == 8 || codes.iter().all(|code| *code as u8 <= 15), "a 4-bit code is in 0..=15");
            for (index, group) in panel.chunks_exact_mut(groups.bytes()).enumerate().take(scales.len()) {
                put_scale(&groups, group, 0, lane, scales[index]);
                if groups.has_min {
                    put_scale(&groups, group, groups.scales_bytes(), lane, mins[index]);
                }
                let given = &codes[index * groups.length..columns.min((index + 1) * groups.length)];
                let mut codes = [0; 32];
                codes[..given.len()].copy_from_slice(given);
                put_codes(&groups, &mut group[groups.codes_at()..], lane, &codes[..groups.length]);
            }
        }
        (format, row) => panic!("a matrix of format {format:?} was given {row:?}"),
    }
}

fn put_scale(groups: &Groups, group: &mut [u8], at: usize, lane: usize, scale: f32) {
    if groups.f16_scales {
        let bits = f32_to_f16(scale);
        debug_assert!(scale.is_nan() || f16_to_f32(bits) == scale, "{scale} is not representable in binary16");
        group[at + lane * 2..][..2].copy_from_slice(&bits.to_ne_bytes());
    } else {
        group[at + lane * 4..][..4].copy_from_slice(&scale.to_ne_bytes());
    }
}

fn put_codes(groups: &Groups, packed: &mut [u8], lane: usize, codes: &[i8]) {
    if groups.code_bits == 4 {
        for (eight, packed) in codes.chunks_exact(8).zip(packed.chunks_exact_mut(64)) {
            for parity in 0..2 {
                let code = |n: usize| u16::from(eight[n * 2 + parity] as u8) << (n * 4);
                let four = code(0) | code(1) | code(2) | code(3);
                packed[(lane * 2 + parity) * 2..][..2].copy_from_slice(&four.to_le_bytes());
            }
        }
    } else {
        for (two, packed) in codes.chunks_exact(2).zip(packed.chunks_exact_mut(32)) {
            packed[lane * 2] = two[0] as u8;
            packed[lane * 2 + 1] = two[1] as u8;
        }
    }
}

/// The code of a column of a group, for one row of the panel. `packed` are the group's codes.
#[inline(always)]
pub(super) fn code(code_bits: u32, packed: &[u8], lane: usize, column: usize) -> i32 {
    if code_bits == 4 {
        let (eight, n, parity) = (column / 8, column % 8 / 2, column % 2);
        let byte = packed[eight * 64 + (lane * 2 + parity) * 2 + n / 2];
        i32::from(byte >> (n % 2 * 4) & 15)
    } else {
        i32::from(packed[column / 2 * 32 + lane * 2 + column % 2] as i8)
    }
}

/// The scale of a row at `at` = 0, its min at `at` = `groups.scales_bytes()`.
#[inline(always)]
pub(super) fn scale(groups: &Groups, group: &[u8], at: usize, lane: usize) -> f32 {
    if groups.f16_scales {
        f16_to_f32(u16::from_ne_bytes([group[at + lane * 2], group[at + lane * 2 + 1]]))
    } else {
        let at = at + lane * 4;
        f32::from_ne_bytes([group[at], group[at + 1], group[at + 2], group[at + 3]])
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
    for (group, out) in panel.chunks_exact(groups.bytes()).zip(out.chunks_mut(groups.length)) {
        let packed = &group[groups.codes_at()..];
        let scale_of_group = scale(&groups, group, 0, lane);
        for (column, out) in out.iter_mut().enumerate() {
            *out = scale_of_group * code(groups.code_bits, packed, lane, column) as f32;
        }
        if groups.has_min {
            let min = scale(&groups, group, groups.scales_bytes(), lane);
            out.iter_mut().for_each(|out| *out += min);
        }
    }
}
