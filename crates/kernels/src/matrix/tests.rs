//! All formats, shapes and levels against the plain twin, and that against exact arithmetic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::{
    Level,
    half::{bf16_to_f32, f16_to_f32, f32_to_f16},
};

/// Numbers that look random and are the same each time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Between -1 and 1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// Uneven, with both signs and both ends.
const LEVELS: [i8; 16] = [-128, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 127];

fn formats() -> Vec<Format> {
    let with_levels = |format: &Format| match *format {
        Format::Quantised { group, codes: Codes::Levels(_), has_min, scales } => {
            Format::Quantised { group, codes: Codes::Levels(&LEVELS), has_min, scales }
        }
        format => format,
    };
    [Format::F32, Format::F16, Format::BF16].into_iter().chain(Format::QUANTISED.iter().map(with_levels)).collect()
}

/// The least and the greatest code.
fn ends(codes: Codes) -> (i8, i8) {
    match codes {
        Codes::U4 => (0, 15),
        Codes::I4 => (-8, 7),
        Codes::U5 => (0, 31),
        Codes::I5 => (-16, 15),
        Codes::I6 => (-32, 31),
        Codes::I8 => (-128, 127),
        Codes::Levels(levels) => (levels[0], levels[15]),
    }
}

/// A row in the kind that a format takes.
enum OwnedRow {
    F32(Vec<f32>),
    Bits16(Vec<u16>),
    Quantised { codes: Vec<i8>, scales: Vec<f32>, mins: Vec<f32> },
    Products { codes: Vec<i8>, scales: Vec<i8>, mins: Vec<i8>, common_scales: Vec<u16>, common_mins: Vec<u16> },
}

impl OwnedRow {
    fn random(format: Format, columns: usize, numbers: &mut Numbers) -> Self {
        match format {
            Format::F32 => Self::F32(numbers.floats(columns)),
            Format::F16 => Self::Bits16((0..columns).map(|_| f32_to_f16(numbers.float())).collect()),
            Format::BF16 => Self::Bits16((0..columns).map(|_| (numbers.float().to_bits() >> 16) as u16).collect()),
            Format::Quantised { group, codes: kind, scales, .. } => {
                let (least, greatest) = ends(kind);
                let code = |numbers: &mut Numbers| match kind {
                    Codes::Levels(levels) => levels[numbers.below(16)],
                    _ => (i64::from(least) + numbers.below((greatest as i64 - least as i64 + 1) as usize) as i64) as i8,
                };
                let codes = (0..columns).map(|_| code(numbers)).collect();
                let groups = columns.div_ceil(group);
                if scales == Scales::Products {
                    let mut factors = || (0..groups).map(|_| numbers.next() as i8).collect();
                    let (scales, mins) = (factors(), factors());
                    let mut halves =
                        || (0..columns.div_ceil(256)).map(|_| f32_to_f16(numbers.float() / 128.0)).collect();
                    return Self::Products { codes, scales, mins, common_scales: halves(), common_mins: halves() };
                }
                let (mut given, mut mins) = (numbers.floats(groups), numbers.floats(groups));
                if scales == Scales::F16 {
                    given.iter_mut().chain(&mut mins).for_each(|scale| *scale = f16_to_f32(f32_to_f16(*scale)));
                }
                Self::Quantised { codes, scales: given, mins }
            }
        }
    }

    fn borrowed(&self) -> Row<'_> {
        match self {
            Self::F32(values) => Row::F32(values),
            Self::Bits16(values) => Row::Bits16(values),
            Self::Quantised { codes, scales, mins } => Row::Quantised { codes, scales, mins },
            Self::Products { codes, scales, mins, common_scales, common_mins } => {
                Row::Products { codes, scales, mins, common_scales, common_mins }
            }
        }
    }

    /// Each column's scale, code and min.
    fn parts(&self, format: Format) -> Vec<(f32, f32, f32)> {
        let Format::Quantised { group, has_min, .. } = format else { return Vec::new() };
        let parts = |codes: &[i8], scale: &dyn Fn(usize) -> f32, min: &dyn Fn(usize) -> f32| {
            let part = |(column, &code): (usize, &i8)| {
                (scale(column), f32::from(code), if has_min { min(column) } else { 0.0 })
            };
            codes.iter().enumerate().map(part).collect()
        };
        match self {
            Self::Quantised { codes, scales, mins } => {
                parts(codes, &|column| scales[column / group], &|column| mins[column / group])
            }
            Self::Products { codes, scales, mins, common_scales, common_mins } => {
                let product = |common: &[u16], factors: &[i8], column: usize| {
                    f16_to_f32(common[column / 256]) * f32::from(factors[column / group])
                };
                parts(codes, &|column| product(common_scales, scales, column), &|column| {
                    product(common_mins, mins, column)
                })
            }
            _ => Vec::new(),
        }
    }

    /// What the row means.
    fn values(&self, format: Format) -> Vec<f32> {
        let has_min = matches!(format, Format::Quantised { has_min: true, .. });
        match (self, format) {
            (Self::F32(values), _) => values.clone(),
            (Self::Bits16(values), Format::F16) => values.iter().map(|&bits| f16_to_f32(bits)).collect(),
            (Self::Bits16(values), _) => values.iter().map(|&bits| bf16_to_f32(bits)).collect(),
            _ => {
                let value = |(scale, code, min)| if has_min { scale * code + min } else { scale * code };
                self.parts(format).into_iter().map(value).collect()
            }
        }
    }

    /// The sum of the magnitudes of the row's parts.
    fn magnitudes(&self, format: Format) -> f64 {
        match self {
            Self::F32(values) => values.iter().map(|value| f64::from(value.abs())).sum(),
            Self::Bits16(values) => values.len() as f64,
            _ => {
                let parts = self.parts(format).into_iter();
                parts.map(|(scale, code, min)| f64::from(scale * code).abs() + f64::from(min.abs())).sum()
            }
        }
    }
}

struct Case {
    rows: Vec<OwnedRow>,
    matrix: Matrix,
}

impl Case {
    fn random(pool: &Pool, format: Format, rows: usize, columns: usize, numbers: &mut Numbers) -> Self {
        let rows: Vec<_> = (0..rows).map(|_| OwnedRow::random(format, columns, numbers)).collect();
        let matrix = Matrix::pack(pool, format, rows.len(), columns, &|row, sink| sink(rows[row].borrowed()));
        Self { rows, matrix }
    }
}

/// The product of one matrix.
fn product(pool: &Pool, matrix: &Matrix, m: usize, values: &[f32]) -> Vec<f32> {
    let mut activations = Activations::default();
    activations.set(pool, m, matrix.columns(), values);
    let mut out = vec![f32::NAN; m * matrix.rows()];
    multiply(pool, &activations, &mut [(matrix, &mut out)]);
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_row_comes_back_as_it_was_packed() {
    let pool = Pool::new(Level::Scalar, 2);
    let mut numbers = Numbers(1);
    for format in formats() {
        for (rows, columns) in [(1, 32), (16, 1), (17, 100), (70, 48)] {
            let case = Case::random(&pool, format, rows, columns, &mut numbers);
            assert_eq!((case.matrix.rows(), case.matrix.columns(), case.matrix.format()), (rows, columns, format));
            assert_eq!(case.matrix.bytes(), Matrix::packed_bytes(format, rows, columns));
            for (row, given) in case.rows.iter().enumerate() {
                let mut out = vec![f32::NAN; columns];
                case.matrix.row(row, &mut out);
                assert_eq!(bits(&out), bits(&given.values(format)), "{format:?} [{rows}, {columns}] row {row}");
            }
        }
    }
}

#[test]
fn packed_sizes_are_as_small_as_promised() {
    let quantised = |group, codes, has_min, scales| {
        let format = Format::Quantised { group, codes, has_min, scales };
        Matrix::packed_bytes(format, 16, 512) as f64 * 8.0 / (16.0 * 512.0)
    };
    assert_eq!(quantised(32, Codes::U4, true, Scales::F16), 5.0);
    assert_eq!(quantised(32, Codes::U4, true, Scales::Products), 4.625);
    assert_eq!(quantised(32, Codes::U5, true, Scales::Products), 5.625);
    assert_eq!(quantised(32, Codes::I5, false, Scales::F16), 5.5);
    assert_eq!(quantised(16, Codes::I6, false, Scales::Products), 6.5625);
    assert_eq!(quantised(32, Codes::I8, false, Scales::F16), 8.5);
    assert_eq!(quantised(32, Codes::Levels(&LEVELS), false, Scales::F16), 4.5);
    assert_eq!(Matrix::packed_bytes(Format::BF16, 17, 10), 32 * 10 * 2);
}

#[test]
fn products_are_near_to_exact_ones() {
    let pool = Pool::new(Level::Scalar, 2);
    let mut numbers = Numbers(2);
    for format in formats() {
        for (m, rows, columns) in [(1, 5, 33), (3, 40, 576)] {
            let case = Case::random(&pool, format, rows, columns, &mut numbers);
            let values = numbers.floats(m * columns);
            let out = product(&pool, &case.matrix, m, &values);
            for (index, &out) in out.iter().enumerate() {
                let (m, row) = (index / rows, index % rows);
                let weights = case.rows[row].values(format);
                let exact: f64 =
                    weights.iter().zip(&values[m * columns..]).map(|(&w, &a)| f64::from(w) * f64::from(a)).sum();
                // Activations are at most 1: a code is off by half a step, and each addition by an ulp of the sum of
                // magnitudes. A min and its codes may cancel, so their magnitudes count apart.
                let peak = case.rows[row].magnitudes(format);
                let bound = peak * (0.6 / 32767.0 + columns as f64 * f64::from(f32::EPSILON));
                assert!((f64::from(out) - exact).abs() <= bound, "{format:?} [{rows}, {columns}]: {out} for {exact}");
            }
        }
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let mut numbers = Numbers(3);
    let scalar = Pool::new(Level::Scalar, 1);
    for level in Level::available() {
        let pool = Pool::new(level, 2);
        for format in formats() {
            for round in 0..12 {
                let rows = 1 + numbers.below(70);
                let columns = 1 + numbers.below(if round < 6 { 100 } else { 700 });
                let m = 1 + numbers.below(if round < 6 { 12 } else { 70 });
                let case = Case::random(&pool, format, rows, columns, &mut numbers);
                let values = numbers.floats(m * columns);
                let expected = product(&scalar, &case.matrix, m, &values);
                let found = product(&pool, &case.matrix, m, &values);
                assert_eq!(bits(&found), bits(&expected), "{level:?} {format:?} [{rows}, {columns}] for {m} rows");
            }
        }
    }
}

#[test]
fn extreme_codes_do_not_overflow() {
    for format in formats() {
        let Format::Quantised { codes: kind, has_min, scales, .. } = format else { continue };
        let (least, greatest) = ends(kind);
        for code in [least, greatest] {
            for level in Level::available() {
                let pool = Pool::new(level, 1);
                // More groups than there are make no difference but are refused.
                let groups = Matrix::pack(&pool, format, 0, 64, &|_, _| ()).layout.groups().unwrap();
                let ones = vec![1; 64 / groups.length];
                let matrix = Matrix::pack(&pool, format, 3, 64, &|_, sink| match scales {
                    Scales::Products => sink(Row::Products {
                        codes: &[code; 64],
                        scales: &ones,
                        mins: &ones,
                        common_scales: &[f32_to_f16(1.0)],
                        common_mins: &[f32_to_f16(1.0)],
                    }),
                    _ => {
                        let ones: Vec<f32> = ones.iter().map(|&one| f32::from(one)).collect();
                        sink(Row::Quantised { codes: &[code; 64], scales: &ones, mins: &ones });
                    }
                });
                for m in 1..9 {
                    let out = product(&pool, &matrix, m, &vec![-1.0; m * 64]);
                    let expected = -64.0 * (f32::from(code) + if has_min { 1.0 } else { 0.0 });
                    assert!(out.iter().all(|out| (out - expected).abs() < 1e-2), "{level:?} {format:?}: {out:?}");
                }
            }
        }
    }
}

#[test]
fn a_rows_result_does_not_depend_on_the_others() {
    let mut numbers = Numbers(4);
    for level in Level::available() {
        for format in formats() {
            let (rows, columns, most) = (37, 96, 41);
            let pools = [1, 2, 3].map(|threads| Pool::new(level, threads));
            let case = Case::random(&pools[0], format, rows, columns, &mut numbers);
            let values = numbers.floats(most * columns);
            let together = product(&pools[0], &case.matrix, most, &values);
            for m in [1, 2, 3, 5, 8, 13, 29] {
                let first = numbers.below(most - m);
                let part = product(&pools[m % 3], &case.matrix, m, &values[first * columns..][..m * columns]);
                assert_eq!(bits(&part), bits(&together[first * rows..][..m * rows]), "{level:?} {format:?}");
            }
        }
    }
}

#[test]
fn several_matrices_at_once_are_as_one_by_one() {
    let mut numbers = Numbers(5);
    for level in Level::available() {
        let pool = Pool::new(level, 3);
        let (m, columns) = (7, 64);
        let formats = formats();
        let cases: Vec<_> = formats
            .iter()
            .map(|&format| {
                let rows = 1 + numbers.below(90);
                Case::random(&pool, format, rows, columns, &mut numbers)
            })
            .collect();
        let values = numbers.floats(m * columns);
        let mut activations = Activations::default();
        activations.set(&pool, m, columns, &values);
        let mut outs: Vec<_> = cases.iter().map(|case| vec![f32::NAN; m * case.matrix.rows()]).collect();
        let mut products: Vec<_> =
            cases.iter().zip(&mut outs).map(|(case, out)| (&case.matrix, out.as_mut_slice())).collect();
        multiply(&pool, &activations, &mut products);
        for (case, out) in cases.iter().zip(&outs) {
            assert_eq!(bits(out), bits(&product(&pool, &case.matrix, m, &values)));
        }
    }
}

#[test]
fn large_jobs_are_cut_and_put_together_again() {
    let mut numbers = Numbers(6);
    let format = Format::Quantised { group: 32, codes: Codes::U4, has_min: true, scales: Scales::F16 };
    let best = Level::detect();
    let (one, many) = (Pool::new(best, 1), Pool::new(best, 4));
    // The second has several blocks of rows.
    for (m, rows, columns) in [(1, 5000, 64), (130, 50, 4096), (300, 640, 64)] {
        let case = Case::random(&one, format, rows, columns, &mut numbers);
        let values = numbers.floats(m * columns);
        let expected: Vec<_> =
            values.chunks(columns).flat_map(|values| product(&one, &case.matrix, 1, values)).collect();
        assert_eq!(bits(&product(&many, &case.matrix, m, &values)), bits(&expected));
    }
}

#[test]
fn nothing_gives_nothing() {
    let pool = Pool::new(Level::detect(), 2);
    for format in formats() {
        let matrix = |rows, columns: usize| {
            let row = OwnedRow::random(format, columns, &mut Numbers(7));
            Matrix::pack(&pool, format, rows, columns, &|_, sink| sink(row.borrowed()))
        };
        assert_eq!(product(&pool, &matrix(3, 32), 0, &[]), []);
        assert_eq!(product(&pool, &matrix(0, 32), 2, &[1.0; 64]), []);
        assert_eq!(product(&pool, &matrix(3, 0), 2, &[]), [0.0; 6]);
        assert_eq!(product(&pool, &matrix(3, 40), 2, &[0.0; 80]), [0.0; 6]);
    }
    multiply(&pool, &Activations::default(), &mut []);
}

#[test]
fn what_is_broken_shows_in_its_row_only() {
    for level in Level::available() {
        let pool = Pool::new(level, 1);
        for format in formats() {
            let case = Case::random(&pool, format, 20, 64, &mut Numbers(8));
            for broken in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = Numbers(9).floats(5 * 64);
                let sound = product(&pool, &case.matrix, 5, &values);
                values[2 * 64 + 40] = broken;
                let found = product(&pool, &case.matrix, 5, &values);
                for m in [0, 1, 3, 4] {
                    assert_eq!(bits(&found[m * 20..][..20]), bits(&sound[m * 20..][..20]));
                }
                assert!(found[40..60].iter().all(|out| !out.is_finite()), "{level:?} {format:?} {broken}");
            }
        }
    }
}

#[test]
fn tiny_and_huge_activations_keep_their_precision() {
    let format = Format::Quantised { group: 32, codes: Codes::I8, has_min: false, scales: Scales::F16 };
    for level in Level::available() {
        let pool = Pool::new(level, 1);
        let matrix = Matrix::pack(&pool, format, 1, 32, &|_, sink| {
            sink(Row::Quantised { codes: &[1; 32], scales: &[1.0], mins: &[] });
        });
        for (value, exact) in
            [(1e-29, 3.2e-28), (1e30, 3.2e31), (-1e-29, -3.2e-28), (1e-33, 0.0), (f32::MIN_POSITIVE / 4.0, 0.0)]
        {
            let out = product(&pool, &matrix, 1, &[value; 32])[0];
            assert!((out - exact).abs() <= exact.abs() * 1e-5, "{value}: {out} for {exact}");
        }
    }
}

#[test]
fn activations_may_shrink_and_grow() {
    let pool = Pool::new(Level::detect(), 2);
    let mut numbers = Numbers(10);
    let mut reused = Activations::default();
    for (m, columns) in [(3, 50), (1, 7), (40, 100), (2, 33)] {
        let values = numbers.floats(m * columns);
        reused.set(&pool, m, columns, &values);
        assert_eq!((reused.m(), reused.columns()), (m, columns));
        let mut fresh = Activations::default();
        fresh.set(&pool, m, columns, &values);
        assert_eq!(reused.codes, fresh.codes);
        assert_eq!(reused.values, fresh.values);
        assert_eq!((&reused.terms_32, &reused.terms_16), (&fresh.terms_32, &fresh.terms_16));
        let columns = columns.next_multiple_of(32);
        for (block, terms) in reused.terms_32.iter().enumerate() {
            let codes = &reused.codes[block * 32..][..32];
            assert_eq!(terms.sum, codes.iter().map(|&code| i32::from(code)).sum::<i32>() as f32 * terms.scale);
            let (m, column) = (block * 32 / columns, block * 32 % columns);
            let width = values.len() / reused.m();
            for (i, &code) in codes.iter().enumerate().take(width - column) {
                let error = f32::from(code) * terms.scale - values[m * width + column + i];
                assert!(error.abs() <= terms.scale * 0.51, "{code} times {} is off by {error}", terms.scale);
            }
        }
    }
}

#[test]
fn ill_fitting_rows_and_shapes_are_refused() {
    let pool = Pool::new(Level::Scalar, 1);
    let four_bits = Format::Quantised { group: 32, codes: Codes::U4, has_min: true, scales: Scales::F16 };
    let pack = |format: Format, row: Row<'_>| {
        let packed = catch_unwind(AssertUnwindSafe(|| Matrix::pack(&pool, format, 1, 40, &|_, sink| sink(row))));
        packed.is_ok()
    };
    let (codes, scales) = ([15; 40], [1.0; 2]);
    assert!(pack(four_bits, Row::Quantised { codes: &codes, scales: &scales, mins: &scales }));
    assert!(!pack(four_bits, Row::Quantised { codes: &codes[1..], scales: &scales, mins: &scales }));
    assert!(!pack(four_bits, Row::Quantised { codes: &codes, scales: &scales[1..], mins: &scales[1..] }));
    assert!(!pack(four_bits, Row::Quantised { codes: &codes, scales: &scales, mins: &[] }));
    assert!(!pack(four_bits, Row::Quantised { codes: &[16; 40], scales: &scales, mins: &scales }));
    assert!(!pack(four_bits, Row::Quantised { codes: &[-1; 40], scales: &scales, mins: &scales }));
    assert!(!pack(four_bits, Row::F32(&[1.0; 40])));
    let products = Format::Quantised { group: 32, codes: Codes::U5, has_min: true, scales: Scales::Products };
    let row = |factors: &'static [i8], common: &'static [u16]| {
        let (scales, common_scales) = (factors, common);
        Row::Products { codes: &[31; 40], scales, mins: scales, common_scales, common_mins: common_scales }
    };
    assert!(pack(products, row(&[1; 2], &[1])));
    assert!(!pack(products, row(&[1; 3], &[1])));
    assert!(!pack(products, row(&[1; 2], &[1; 2])));
    assert!(!pack(products, Row::Quantised { codes: &codes, scales: &scales, mins: &scales }));
    assert!(!pack(four_bits, row(&[1; 2], &[1])));
    assert!(!pack(
        Format::Quantised { group: 16, codes: Codes::U5, has_min: true, scales: Scales::F32 },
        row(&[1], &[1])
    ));
    assert!(!pack(Format::F32, Row::F32(&[1.0; 39])));
    assert!(!pack(Format::F16, Row::Bits16(&[1; 41])));
    assert!(!pack(Format::F32, Row::Bits16(&[1; 40])));

    let fill = |times: usize| {
        let fill = move |_: usize, sink: &mut dyn FnMut(Row<'_>)| (0..times).for_each(|_| sink(Row::F32(&[1.0])));
        catch_unwind(AssertUnwindSafe(|| Matrix::pack(&pool, Format::F32, 1, 1, &fill))).is_ok()
    };
    assert_eq!([0, 1, 2].map(fill), [false, true, false]);

    let matrix = Matrix::pack(&pool, Format::F32, 2, 3, &|_, sink| sink(Row::F32(&[1.0; 3])));
    let multiplies = |columns: usize, outs: usize| {
        let mut activations = Activations::default();
        activations.set(&pool, 1, columns, &vec![1.0; columns]);
        catch_unwind(AssertUnwindSafe(|| multiply(&pool, &activations, &mut [(&matrix, &mut vec![0.0; outs])]))).is_ok()
    };
    assert!(multiplies(3, 2));
    assert!(!multiplies(4, 2));
    assert!(!multiplies(3, 3));
}
