//! Measures matrix products: `cargo run --release -p kernels --example products [threads]`.
//!
//! Decode reads the weights once per row, so it is measured against a plain read of as many bytes; prefill is measured
//! in multiply-adds. Each figure is the best of several runs, since other processes only make it worse.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use kernels::{
    Level, Pool,
    matrix::{Activations, Format, Matrix, Row, multiply},
};

fn main() {
    let threads = std::env::args().nth(1).map_or(2, |count| count.parse().expect("a number of threads"));
    let four_bits = Format::Quantised { group: 32, code_bits: 4, has_min: true, f16_scales: true };
    let six_bits = Format::Quantised { group: 16, code_bits: 8, has_min: false, f16_scales: false };
    for level in Level::available().into_iter().skip(1) {
        let pool = Pool::new(level, threads);
        println!("{level:?}, {threads} threads");
        for (format, rows, columns) in [
            (four_bits, 192, 576),
            (four_bits, 1536, 576),
            (four_bits, 49152, 576),
            (four_bits, 16384, 4096),
            (six_bits, 49152, 576),
            (Format::BF16, 49152, 576),
            (Format::F32, 49152, 576),
        ] {
            measure(&pool, format, rows, columns);
        }
    }
}

fn measure(pool: &Pool, format: Format, rows: usize, columns: usize) {
    let matrix = matrix(pool, format, rows, columns);
    println!("{format:?} [{rows}, {columns}], {:.1} MB", matrix.bytes() as f64 / 1e6);
    for m in [1, 2, 4, 8, 16, 64, 256] {
        let work = rows * columns * m;
        if work > 4_000_000_000 {
            continue;
        }
        let values: Vec<f32> = (0..m * columns).map(|i| (i as f32 * 0.37).sin()).collect();
        let mut activations = Activations::default();
        let mut out = vec![0.0; m * rows];
        let repeats = (400_000_000 / work).clamp(3, 100);
        let set = best(repeats, || activations.set(pool, m, columns, black_box(&values)));
        let seconds = best(repeats, || multiply(pool, &activations, &mut [(&matrix, black_box(&mut out))]));
        print!("  m {m:3}: {:8.1} us, {:6.1} GMAC/s", seconds * 1e6, work as f64 / seconds / 1e9);
        print!(", {:5.1} GB/s, activations {:.1} us", matrix.bytes() as f64 / seconds / 1e9, set * 1e6);
        if m == 1 {
            let read = read(pool, matrix.bytes(), repeats);
            print!("; a plain read {:5.1} GB/s: {:.0} %", matrix.bytes() as f64 / read / 1e9, 100.0 * read / seconds);
        }
        println!();
    }
}

fn matrix(pool: &Pool, format: Format, rows: usize, columns: usize) -> Matrix {
    let floats: Vec<f32> = (0..columns).map(|i| (i as f32 * 0.11).cos()).collect();
    let bits: Vec<u16> = floats.iter().map(|value| (value.to_bits() >> 16) as u16).collect();
    let codes: Vec<i8> = (0..columns).map(|i| (i * 7 % 16) as i8).collect();
    let scales = vec![0.25; columns.div_ceil(16)];
    Matrix::pack(pool, format, rows, columns, &|_, sink| match format {
        Format::F32 => sink(Row::F32(&floats)),
        Format::F16 | Format::BF16 => sink(Row::Bits16(&bits)),
        Format::Quantised { group, .. } => {
            let scales = &scales[..columns.div_ceil(group)];
            sink(Row::Quantised { codes: &codes, scales, mins: scales });
        }
    })
}

/// Seconds to read memory of the same size with the same threads.
fn read(pool: &Pool, bytes: usize, repeats: usize) -> f64 {
    let numbers: Vec<u64> = (0..bytes as u64 / 8).collect();
    let parts: Vec<_> = numbers.chunks(numbers.len().div_ceil(pool.threads() * 16)).collect();
    let total = AtomicU64::new(0);
    best(repeats, || {
        pool.run(parts.len(), &|task| {
            let sum = parts[task].iter().fold(0, |sum: u64, number| sum.wrapping_add(*number));
            total.fetch_xor(sum, Ordering::Relaxed);
        });
    })
}

fn best(repeats: usize, mut work: impl FnMut()) -> f64 {
    let runs = (0..repeats.max(10)).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    runs.fold(f64::INFINITY, f64::min)
}
