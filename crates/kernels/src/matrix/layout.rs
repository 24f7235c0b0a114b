//! Where each number of a packed matrix lies.
//!
//! A matrix is a sequence of panels of 16 rows; the last one is filled up with rows of zeros. A panel of floats is
//! `[column][row]`. A panel of quantised weights is a sequence of groups of columns, filled up with zeros to a multiple
//! of 32 columns, and each group is what a product reads in one go:
//!
//! - 16 scales, one per row, as f32 or binary16;
//! - 16 mins likewise, if the format has them;
//! - 4-bit codes: for every 8 columns 64 bytes, seen as 32 little-endian 16-bit lanes. Lane `2 * row + p` holds four
//!   codes, lowest bits first: those of columns `p`, `2 + p`, `4 + p`, `6 + p`. So a shift and a mask give, for all 16
//!   rows, pairs of adjacent columns as 16-bit integers, which is what `vpmaddwd` and `vpdpwssd` multiply.
//! - 8-bit codes: for every 2 columns 32 bytes, `[row][column]`.

use super::Format;

/// Rows of a panel.
pub(super) const PANEL: usize = 16;

/// Columns of quantised weights are padded to a multiple of this: the columns of an activation scale.
pub(super) const BLOCK: usize = 32;

/// The shape of a packed matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) panel_bytes: usize,
}

/// The shape of a panel's groups, for quantised formats.
#[derive(Debug, Clone, Copy)]
pub(super) struct Groups {
    /// Columns of a group.
    pub(super) length: usize,
    /// Groups of a panel, padding included.
    pub(super) count: usize,
    pub(super) code_bits: u32,
    pub(super) has_min: bool,
    pub(super) f16_scales: bool,
}

impl Layout {
    pub(super) fn new(format: Format, rows: usize, columns: usize) -> Self {
        let panel_bytes = match format {
            Format::F32 => columns * PANEL * 4,
            Format::F16 | Format::BF16 => columns * PANEL * 2,
            Format::Quantised { .. } => {
                let groups = Groups::new(format, columns).expect("it is a quantised format");
                groups.count * groups.bytes()
            }
        };
        Self { format, rows, columns, panel_bytes }
    }

    pub(super) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    pub(super) fn bytes(&self) -> usize {
        self.panels() * self.panel_bytes
    }

    pub(super) fn groups(&self) -> Option<Groups> {
        Groups::new(self.format, self.columns)
    }
}

impl Groups {
    /// `None` for float formats.
    fn new(format: Format, columns: usize) -> Option<Self> {
        let Format::Quantised { group, code_bits, has_min, f16_scales } = format else { return None };
        assert!(matches!(group, 16 | 32), "{group} columns share a scale, and only 16 or 32 may");
        assert!(matches!(code_bits, 4 | 8), "codes have {code_bits} bits, and only 4 or 8 are known");
        let count = columns.next_multiple_of(BLOCK) / group;
        Some(Self { length: group, count, code_bits, has_min, f16_scales })
    }

    /// Bytes of one group of a panel.
    pub(super) fn bytes(&self) -> usize {
        self.codes_at() + PANEL * self.length * self.code_bits as usize / 8
    }

    /// Bytes of the 16 scales of a group, and of its 16 mins.
    pub(super) fn scales_bytes(&self) -> usize {
        PANEL * if self.f16_scales { 2 } else { 4 }
    }

    /// Where in a group the codes begin; the mins begin after the scales.
    pub(super) fn codes_at(&self) -> usize {
        self.scales_bytes() * if self.has_min { 2 } else { 1 }
    }
}
