//! Matrix products as a share of what the machine can do: `cargo bench -p kernels [-- THREADS]`.
//!
//! One row reads the weights once and is measured against a plain read of memory; many rows compute, and are measured
//! against the instruction that multiplies and adds, run on registers alone. Each figure is the best of several runs,
//! since other processes only make it worse.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

mod peak;

use std::hint::black_box;

use kernels::{
    Level, Pool,
    matrix::{Activations, Codes, Format, Matrix, Row, Scales, multiply},
};
use peak::best;

/// Weights in memory, so that they come from there and not from a cache.
const LARGE: usize = 192 << 20;

fn main() {
    // Cargo passes `--bench`.
    let threads = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2);
    let quantised = |group, codes, has_min, scales| Format::Quantised { group, codes, has_min, scales };
    let formats = [
        ("Q4_0", quantised(32, Codes::I4, false, Scales::F16)),
        ("Q4_1", quantised(32, Codes::U4, true, Scales::F16)),
        ("Q4_K", quantised(32, Codes::U4, true, Scales::Products)),
        ("Q5_K", quantised(32, Codes::U5, true, Scales::Products)),
        ("Q6_K", quantised(16, Codes::I6, false, Scales::Products)),
        ("Q8_0", quantised(32, Codes::I8, false, Scales::F16)),
        (
            "MXFP4",
            quantised(
                32,
                Codes::Levels(&[0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]),
                false,
                Scales::F16,
            ),
        ),
        ("BF16", Format::BF16),
    ];
    for level in Level::available().into_iter().skip(1) {
        let pool = Pool::new(level, threads);
        let peak = Peak { read: peak::read(&pool, LARGE), products: peak::products(&pool) };
        println!(
            "{level:?}, {threads} threads; at most {:.1} GB/s read, {:.0} GMAC/s of 16-bit integers",
            peak.read / 1e9,
            peak.products / 1e9
        );
        println!(
            "| weights | bits | 1 row: GB/s | share of a plain read | 8 rows: GMAC/s | 64 rows | 512 rows | share of the peak |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for (name, format) in formats {
            measure(&pool, name, format, &peak);
        }
    }
}

/// What the machine can do.
struct Peak {
    /// Bytes a second.
    read: f64,
    /// Multiply-adds a second.
    products: f64,
}

fn measure(pool: &Pool, name: &str, format: Format, peak: &Peak) {
    let columns = 2048;
    let bits = Matrix::packed_bytes(format, 16, columns) as f64 * 8.0 / (16 * columns) as f64;
    let rows = (LARGE as f64 * 8.0 / bits) as usize / columns / 16 * 16;
    let large = matrix(pool, format, rows, columns);
    let read = large.bytes() as f64 / time(pool, &large, 1);
    // Small enough to stay in a cache, as a layer's matrices of a prompt's step do.
    let small = matrix(pool, format, 1024, columns);
    let [few, some, many] = [8, 64, 512].map(|m| (m * 1024 * columns) as f64 / time(pool, &small, m));
    println!(
        "| {name} | {bits:.2} | {:.1} | {:.0} % | {:.0} | {:.0} | {:.0} | {:.0} % |",
        read / 1e9,
        100.0 * read / peak.read,
        few / 1e9,
        some / 1e9,
        many / 1e9,
        100.0 * many / peak.products
    );
}

/// Seconds of a product of `m` rows.
fn time(pool: &Pool, matrix: &Matrix, m: usize) -> f64 {
    let values: Vec<f32> = (0..m * matrix.columns()).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut activations = Activations::default();
    activations.set(pool, m, matrix.columns(), &values);
    let mut out = vec![0.0; m * matrix.rows()];
    best(|| multiply(pool, &activations, &mut [(matrix, black_box(&mut out))]))
}

fn matrix(pool: &Pool, format: Format, rows: usize, columns: usize) -> Matrix {
    let bits: Vec<u16> = (0..columns).map(|i| (((i as f32 * 0.11).cos()).to_bits() >> 16) as u16).collect();
    let codes: Vec<i8> = match format {
        Format::Quantised { codes: Codes::Levels(levels), .. } => (0..columns).map(|i| levels[i * 7 % 16]).collect(),
        Format::Quantised { codes: Codes::I4, .. } => (0..columns).map(|i| (i * 7 % 16) as i8 - 8).collect(),
        _ => (0..columns).map(|i| (i * 7 % 16) as i8).collect(),
    };
    let (scales, factors, halves) = (vec![0.25; columns / 16], vec![3; columns / 16], vec![0x2c00; columns / 256]);
    Matrix::pack(pool, format, rows, columns, &|_, sink| match format {
        Format::Quantised { group, scales: Scales::Products, .. } => {
            let factors = &factors[..columns / group];
            let common = &halves[..];
            sink(Row::Products {
                codes: &codes,
                scales: factors,
                mins: factors,
                common_scales: common,
                common_mins: common,
            });
        }
        Format::Quantised { group, .. } => {
            let scales = &scales[..columns / group];
            sink(Row::Quantised { codes: &codes, scales, mins: scales });
        }
        _ => sink(Row::Bits16(&bits)),
    })
}
