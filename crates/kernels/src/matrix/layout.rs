//! Where each number of a packed matrix lies.
//!
//! A matrix is a sequence of panels of 16 rows; the last one is filled up with rows of zeros. A panel of floats is
//! `[column][row]`. A panel of quantised weights is a sequence of groups of columns, filled up with zeros to a multiple
//! of 32 columns, and each group is what a product reads in one go:
//!
//! - 16 scales, one per row, as f32 or binary16, or as 8-bit factors;
//! - 16 mins likewise, if the format has them;
//! - codes of 4 to 6 bits: for every 8 columns 64 bytes of their low halves, seen as 32 little-endian 16-bit lanes. Lane
//!   `2 * row + p` holds four of them, lowest bits first: those of columns `p`, `2 + p`, `4 + p`, `6 + p`. So a shift and a
//!   mask give, for all 16 rows, pairs of adjacent columns as 16-bit integers, which is what `vpmaddwd` and `vpdpwssd`
//!   multiply. Then the fifth and sixth bits, if there are any: with two, byte `lane` holds those of the lane's four codes,
//!   lowest bits first; with one, byte `lane % 16` holds those of two lanes, the upper one's in its upper half. Codes with
//!   a sign are stored with the least one as 0.
//! - 8-bit codes: for every 2 columns 32 bytes, `[row][column]`.
//!
//! Before the groups of every 256 columns whose scales are factors stand 16 binary16, one per row, and 16 for the mins.

use super::{Codes, Format, Scales};

/// Rows of a panel.
pub(super) const PANEL: usize = 16;

/// Columns of quantised weights are padded to a multiple of this: the columns of an activation scale.
pub(super) const BLOCK: usize = 32;

/// Columns whose scales have a common factor.
pub(super) const SUPER_BLOCK: usize = 256;

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
    pub(super) codes: Codes,
    pub(super) has_min: bool,
    pub(super) scales: Scales,
}

impl Layout {
    pub(super) fn new(format: Format, rows: usize, columns: usize) -> Self {
        let panel_bytes = match format {
            Format::F32 => columns * PANEL * 4,
            Format::F16 | Format::BF16 => columns * PANEL * 2,
            Format::Quantised { .. } => {
                let groups = Groups::new(format, columns).expect("it is a quantised format");
                groups.count.div_ceil(groups.a_super_block()) * groups.header_bytes() + groups.count * groups.bytes()
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
        let Format::Quantised { group, codes, has_min, scales } = format else { return None };
        assert!(format.is_known(), "no product is made for {format:?}");
        let count = columns.next_multiple_of(BLOCK) / group;
        Some(Self { length: group, count, codes, has_min, scales })
    }

    /// Groups that share what stands before them; all of a panel where nothing does.
    pub(super) fn a_super_block(&self) -> usize {
        if self.scales == Scales::Products { SUPER_BLOCK / self.length } else { usize::MAX }
    }

    /// Bytes before the first group, and before the first of every further super block.
    pub(super) fn header_bytes(&self) -> usize {
        if self.scales == Scales::Products { PANEL * 2 * if self.has_min { 2 } else { 1 } } else { 0 }
    }

    /// Where in a panel the header of a group's super block begins.
    pub(super) fn header_at(&self, group: usize) -> usize {
        let before = group / self.a_super_block();
        before * self.header_bytes() + before.saturating_mul(self.a_super_block()).min(group) * self.bytes()
    }

    /// Where in a panel a group begins.
    pub(super) fn at(&self, group: usize) -> usize {
        (group / self.a_super_block() + 1) * self.header_bytes() + group * self.bytes()
    }

    /// Bytes of one group of a panel.
    pub(super) fn bytes(&self) -> usize {
        self.codes_at() + PANEL * self.length * self.codes.bits() as usize / 8
    }

    /// Bytes of the 16 scales of a group, and of its 16 mins.
    pub(super) fn scales_bytes(&self) -> usize {
        let one = match self.scales {
            Scales::F32 => 4,
            Scales::F16 => 2,
            Scales::Products => 1,
        };
        PANEL * one
    }

    /// Where in a group the codes begin; the mins begin after the scales.
    pub(super) fn codes_at(&self) -> usize {
        self.scales_bytes() * if self.has_min { 2 } else { 1 }
    }
}

impl Codes {
    /// Bits that a code takes.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::U4 | Self::I4 | Self::Levels(_) => 4,
            Self::U5 | Self::I5 => 5,
            Self::I6 => 6,
            Self::I8 => 8,
        }
    }

    /// Bytes of eight columns of a panel, for codes of less than 8 bits.
    pub(super) fn bytes_of_eight(self) -> usize {
        PANEL * self.bits() as usize
    }

    /// What is stored for a code; `None` when the format does not have it.
    pub(super) fn stored(self, code: i8) -> Option<u8> {
        let (code, fits) = match self {
            Self::U4 | Self::U5 => (code, 0..1 << self.bits()),
            Self::I4 | Self::I5 | Self::I6 => (code.wrapping_add(self.offset()), 0..1 << self.bits()),
            Self::I8 => return Some(code as u8),
            Self::Levels(levels) => return levels.iter().position(|level| *level == code).map(|index| index as u8),
        };
        fits.contains(&i16::from(code)).then_some(code as u8)
    }

    /// The code that was stored so.
    pub(super) fn of_stored(self, stored: u8) -> i32 {
        match self {
            Self::Levels(levels) => i32::from(levels[usize::from(stored)]),
            Self::I8 => i32::from(stored as i8),
            _ => i32::from(stored) - i32::from(self.offset()),
        }
    }

    /// The magnitude of the least code, where codes have a sign and less than 8 bits.
    fn offset(self) -> i8 {
        match self {
            Self::I4 => 8,
            Self::I5 => 16,
            Self::I6 => 32,
            _ => 0,
        }
    }
}
