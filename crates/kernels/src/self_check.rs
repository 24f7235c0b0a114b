//! Whether a level computes right on this machine: some of each kind of arithmetic, bit for bit against plain Rust.
//!
//! All levels give the same bits, so one difference is proof of a fault: in a kernel that this kind of CPU is the first to
//! run, in an emulated instruction, in state that a hypervisor does not keep. A model would turn it into wrong text without
//! a word; so a level is used only after it has passed. That takes some milliseconds, once per process.
//!
//! It finds what is always wrong. It is no test of memory, nor of a core that errs now and then; and an instruction that is
//! not there, whatever the CPU claims, ends the process.

use std::{fmt, sync::LazyLock};

use crate::{
    Level, Pool,
    attention::{Shape, Span, attend},
    elementwise::{Activation, gated, softcap},
    gelu::{Gelu, gelu},
    half::{f16_to_f32, f32_to_f16},
    kv::{KvType, LayerKv},
    layer_norm::{LayerNorm, layer_norm},
    matrix::{Activations, Codes, Format, Matrix, Row, Scales, multiply},
    norm::rms_norm_in_place,
    rope::{Pairing, Table, rotate},
    softmax::softmax,
};

/// The level that kernels should use here, and what kept better ones from being it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The best level of this CPU that computes right.
    pub level: Level,
    /// Better levels that this CPU has, best first, and what they got wrong. Somebody should be told.
    pub faults: Vec<LevelError>,
}

impl Selection {
    /// Checks the levels of this CPU at the first call, from the best one down, until one is right.
    pub fn get() -> &'static Self {
        static SELECTION: LazyLock<Selection> = LazyLock::new(|| Selection::among(&Level::available(), Level::check));
        &SELECTION
    }

    /// `levels` ascend. If all of them are wrong, the lowest is taken, which is what the others are compared with.
    fn among(levels: &[Level], check: impl Fn(Level) -> Result<(), LevelError>) -> Self {
        let mut faults = Vec::new();
        for &level in levels.iter().rev() {
            match check(level) {
                Ok(()) => return Self { level, faults },
                Err(fault) => faults.push(fault),
            }
        }
        Self { level: Level::Scalar, faults }
    }
}

/// Why a level cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelError {
    /// The CPU does not have it, or the operating system does not let this process use it.
    Missing {
        /// What was asked for.
        level: Level,
        /// What there is.
        best: Level,
    },
    /// It computes something else than plain Rust.
    Wrong {
        /// The level.
        level: Level,
        /// What was computed.
        operation: Operation,
    },
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { level, best } => {
                write!(f, "this machine does not have the instruction set {level}; the best that it has is {best}")
            }
            Self::Wrong { level, operation } => {
                write!(
                    f,
                    "the instruction set {level} computes wrong on this machine, found in {operation}; use another"
                )
            }
        }
    }
}

impl std::error::Error for LevelError {}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Activations to 16 bits.
    Rounding,
    /// A matrix product, with so many rows of activations.
    Product(Format, usize),
    /// Attention over a cache of this type.
    Attention(KvType),
    /// Norms, rotations, softmax and activation functions.
    Elementwise,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rounding => write!(f, "the rounding of activations"),
            Self::Product(format, m) => write!(f, "the product of {m} rows with weights of format {format:?}"),
            Self::Attention(kind) => write!(f, "attention over a cache of type {kind:?}"),
            Self::Elementwise => write!(f, "norms and activation functions"),
        }
    }
}

impl Level {
    /// Whether the level can be used here: this CPU has it, and it computes what plain Rust does.
    pub fn check(self) -> Result<(), LevelError> {
        let best = Self::detect();
        if self > best {
            return Err(LevelError::Missing { level: self, best });
        }
        if self == Self::Scalar {
            return Ok(());
        }
        match first_difference(&answers(Self::Scalar), &answers(self)) {
            None => Ok(()),
            Some(operation) => Err(LevelError::Wrong { level: self, operation }),
        }
    }
}

/// The bits that an operation gave.
type Answer = (Operation, Vec<u32>);

fn first_difference(expected: &[Answer], found: &[Answer]) -> Option<Operation> {
    expected.iter().zip(found).find(|(expected, found)| expected != found).map(|((operation, _), _)| *operation)
}

fn answers(level: Level) -> Vec<Answer> {
    let pool = Pool::new(level, 1);
    let mut answers = Vec::new();
    rounding(&pool, &mut answers);
    for format in formats() {
        products(&pool, format, &mut answers);
    }
    attention(&pool, &mut answers);
    elementwise(&pool, &mut answers);
    answers
}

/// Rows of activations of a product: together, every height of tile that any level cuts them into.
const HEIGHTS: [usize; 4] = [1, 2, 5, 25];

/// Rows of weights: a whole panel and one more.
const ROWS: usize = 17;

/// Columns: some blocks, the last of them cut short.
const COLUMNS: usize = 72;

/// The same, and more than share a scale of any kind.
const WIDE: usize = 264;

fn rounding(pool: &Pool, answers: &mut Vec<Answer>) {
    let mut values = numbers(1, 4 * COLUMNS, 100.0);
    values[..32].fill(0.0); // a block without a peak
    values[COLUMNS] = 1e-35; // too small for a code
    values[2 * COLUMNS..][..32].fill(-3.0); // all at the peak
    let mut activations = Activations::default();
    activations.set(pool, 4, COLUMNS, &values);
    answers.push((Operation::Rounding, activations.bits().collect()));
}

fn products(pool: &Pool, format: Format, answers: &mut Vec<Answer>) {
    let shared = matches!(format, Format::Quantised { scales: Scales::Products, .. });
    let columns = if shared { WIDE } else { COLUMNS };
    let matrix = matrix(pool, format, columns);
    for m in HEIGHTS {
        let mut activations = Activations::default();
        activations.set(pool, m, columns, &numbers(m as u32, m * columns, 2.0));
        let mut out = vec![0.0; m * ROWS];
        multiply(pool, &activations, &mut [(&matrix, &mut out)]);
        answers.push((Operation::Product(format, m), bits(&out)));
    }
}

/// All that a matrix may be packed as.
fn formats() -> impl Iterator<Item = Format> {
    /// Uneven, with both signs and both ends.
    const LEVELS: [i8; 16] = [-128, -101, -77, -60, -47, -33, -21, -9, 2, 12, 26, 37, 55, 71, 93, 127];
    let quantised = Format::QUANTISED.iter().map(|format| match *format {
        Format::Quantised { group, codes: Codes::Levels(_), has_min, scales } => {
            Format::Quantised { group, codes: Codes::Levels(&LEVELS), has_min, scales }
        }
        format => format,
    });
    [Format::F32, Format::F16, Format::BF16].into_iter().chain(quantised)
}

/// A matrix `[ROWS, columns]` with the least and the greatest code among its codes.
fn matrix(pool: &Pool, format: Format, columns: usize) -> Matrix {
    Matrix::pack(pool, format, ROWS, columns, &|row, sink| {
        let values = numbers(row as u32 + 7, columns, 2.0);
        let halves: Vec<u16> = values.iter().map(|value| f32_to_f16(*value)).collect();
        let Format::Quantised { group, codes, scales, .. } = format else {
            return match format {
                Format::F16 => sink(Row::Bits16(&halves)),
                Format::BF16 => {
                    sink(Row::Bits16(&values.iter().map(|value| (value.to_bits() >> 16) as u16).collect::<Vec<_>>()))
                }
                _ => sink(Row::F32(&values)),
            };
        };
        let mut bytes: Vec<u8> = values.iter().map(|value| (value.to_bits() >> 4) as u8).collect();
        bytes[row..row + 40].fill(if row % 2 == 0 { 0 } else { 255 });
        let codes: Vec<i8> = bytes.iter().map(|&byte| code(codes, byte)).collect();
        let groups = columns.div_ceil(group);
        if scales == Scales::Products {
            let factors: Vec<i8> = bytes.iter().rev().map(|&byte| byte.cast_signed()).collect();
            let (scales, mins) = (&factors[..groups], &factors[groups..2 * groups]);
            sink(Row::Products {
                codes: &codes,
                scales,
                mins,
                common_scales: &halves[..2],
                common_mins: &halves[2..4],
            });
        } else {
            let scales: Vec<f32> = halves.iter().map(|half| f16_to_f32(*half)).collect();
            sink(Row::Quantised { codes: &codes, scales: &scales[..groups], mins: &scales[groups..2 * groups] });
        }
    })
}

/// A code for each byte; the ends for 0 and 255.
fn code(codes: Codes, byte: u8) -> i8 {
    match codes {
        Codes::U4 => (byte & 15) as i8,
        Codes::I4 => (byte & 15) as i8 - 8,
        Codes::U5 => (byte & 31) as i8,
        Codes::I5 => (byte & 31) as i8 - 16,
        Codes::I6 => (byte & 63) as i8 - 32,
        Codes::I8 => (byte ^ 128).cast_signed(),
        Codes::Levels(levels) => levels[usize::from(byte & 15)],
    }
}

/// A prompt and a token after it, with and without a window, a cap and sinks, and both ways, in heads that are no whole vectors.
fn attention(pool: &Pool, answers: &mut Vec<Answer>) {
    const HEAD_DIM: usize = 24;
    const PROMPT: usize = 20;
    for kind in [KvType::F32, KvType::F16, KvType::I8] {
        let mut found = Vec::new();
        let sinks = [0.5, -1.0, 3.0, 0.0];
        let shape = Shape {
            heads: 4,
            kv_heads: 2,
            head_dim: HEAD_DIM,
            scale: 0.2,
            window: None,
            bidirectional: false,
            softcap: None,
            sinks: None,
        };
        let with_all = Shape { window: Some(9), softcap: Some(5.0), sinks: Some(&sinks), ..shape };
        for shape in [shape, with_all, Shape { bidirectional: true, ..shape }] {
            let mut kv = LayerKv::new(kind, 2, shape.kv_heads, HEAD_DIM);
            for (position, count) in [(0, PROMPT), (PROMPT, 1)] {
                let rows = |seed: u32, heads: usize| numbers(seed + position as u32, count * heads * HEAD_DIM, 3.0);
                let (q, k, v) = (rows(1, shape.heads), rows(2, shape.kv_heads), rows(3, shape.kv_heads));
                let mut out = vec![0.0; q.len()];
                let span = Span { first_row: 0, count, position, blocks: &[1, 0] };
                attend(pool, &shape, &[span], &q, &k, &v, &mut kv, &mut out);
                found.extend(bits(&out));
            }
        }
        answers.push((Operation::Attention(kind), found));
    }
}

fn elementwise(pool: &Pool, answers: &mut Vec<Answer>) {
    let mut found = Vec::new();
    let x = numbers(11, 2 * COLUMNS, 30.0);
    for activation in [Activation::Silu, Activation::GeluTanh, Activation::Clamped { alpha: 1.7, limit: 7.0 }] {
        let mut gate = x.clone();
        gated(pool, activation, &mut gate, &numbers(12, x.len(), 1.0));
        found.extend(bits(&gate));
    }
    let mut capped = x.clone();
    softcap(pool, &mut capped, 20.0);
    found.extend(bits(&capped));
    let mut weighed = numbers(14, 2 * COLUMNS, 4.0);
    softmax(pool, &mut weighed, COLUMNS);
    found.extend(bits(&weighed));
    let mut normed = x.clone();
    rms_norm_in_place(pool, &mut normed, &numbers(13, COLUMNS, 1.0), 1e-5);
    found.extend(bits(&normed));
    let mut activated = x.clone();
    gelu(pool, Gelu::Erf, &mut activated, &numbers(15, COLUMNS, 1.0));
    found.extend(bits(&activated));
    let mut centred = x.clone();
    let (weight, bias) = (numbers(16, COLUMNS, 1.0), numbers(17, COLUMNS, 1.0));
    layer_norm(pool, LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-12 }, &mut centred);
    found.extend(bits(&centred));
    let table = Table::new(8, &[1.0, 0.3, 0.1, 0.02], 1.0);
    for pairing in [Pairing::Adjacent, Pairing::Halves] {
        let mut rotated = x.clone();
        rotate(pool, &table, pairing, 4, COLUMNS / 4, &[3, 7], &mut rotated);
        found.extend(bits(&rotated));
    }
    answers.push((Operation::Elementwise, found));
}

/// Numbers in -most..most that look random: a linear congruential generator (Knuth's MMIX constants).
fn numbers(seed: u32, len: usize, most: f32) -> Vec<f32> {
    let mut state = u64::from(seed);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * most
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_this_machine_passes() {
        assert_eq!(*Selection::get(), Selection { level: Level::detect(), faults: Vec::new() });
        for level in Level::ALL {
            let missing = LevelError::Missing { level, best: Level::detect() };
            assert_eq!(level.check(), if level <= Level::detect() { Ok(()) } else { Err(missing) });
        }
    }

    #[test]
    fn a_wrong_bit_in_any_answer_is_found_and_named() {
        let right = answers(Level::Scalar);
        assert_eq!(first_difference(&right, &answers(Level::Scalar)), None);
        for answer in 0..right.len() {
            for at in [0, right[answer].1.len() - 1] {
                let mut wrong = right.clone();
                wrong[answer].1[at] ^= 1;
                assert_eq!(first_difference(&right, &wrong), Some(right[answer].0));
            }
        }
    }

    #[test]
    fn answers_are_numbers_that_differ() {
        // A kernel that leaves its output alone, or makes everything zero or NaN, must not look right.
        for (operation, bits) in answers(Level::Scalar) {
            let kinds: std::collections::HashSet<u32> = bits.iter().copied().collect();
            assert!(kinds.len() > bits.len() / 3, "{operation}: {} different of {}", kinds.len(), bits.len());
            if operation != Operation::Rounding {
                assert!(bits.iter().all(|&bits| f32::from_bits(bits).is_finite()), "{operation}");
            }
        }
    }

    #[test]
    fn the_best_level_that_is_right_is_taken_and_the_wrong_ones_are_told() {
        let fault = |level| LevelError::Wrong { level, operation: Operation::Rounding };
        for wrong in 0..Level::ALL.len() {
            let (right, wrong) = Level::ALL.split_at(Level::ALL.len() - wrong);
            let check = |level| if wrong.contains(&level) { Err(fault(level)) } else { Ok(()) };
            let expected = Selection {
                level: right[right.len() - 1],
                faults: wrong.iter().rev().map(|&level| fault(level)).collect(),
            };
            assert_eq!(Selection::among(&Level::ALL, check), expected);
        }
    }
}
