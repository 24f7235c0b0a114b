//! What the machine can do at most: reading memory, and multiplying and adding on registers.
#![expect(unsafe_code, reason = "the peak of an instruction is measured with that instruction")]

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use kernels::{Level, Pool};

/// The best of several runs, in seconds.
pub fn best(mut work: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    for run in 0..200 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
        if run >= 10 && begin.elapsed().as_secs_f64() > 1.0 {
            break;
        }
    }
    best
}

/// Bytes a second that all threads read from memory of so many bytes, with nothing else to do.
pub fn read(pool: &Pool, bytes: usize) -> f64 {
    let numbers: Vec<u64> = (0..bytes as u64 / 8).collect();
    let parts: Vec<_> = numbers.chunks(numbers.len().div_ceil(pool.threads() * 16)).collect();
    let total = AtomicU64::new(0);
    let seconds = best(|| {
        pool.run(parts.len(), &|task| {
            let sum = parts[task].iter().fold(0, |sum: u64, number| sum.wrapping_add(*number));
            total.fetch_xor(sum, Ordering::Relaxed);
        });
    });
    bytes as f64 / seconds
}

/// Multiply-adds of 16-bit integers a second that all threads do together.
pub fn products(pool: &Pool) -> f64 {
    const STEPS: usize = 100_000;
    let a_step = match pool.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 12 * 16,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni => 24 * 32,
        _ => return f64::NAN,
    };
    let seconds = best(|| {
        pool.run(pool.threads(), &|_| {
            // SAFETY: a pool of a level exists only where the CPU has it.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                match pool.level() {
                    Level::Avx2 => x86::avx2(STEPS),
                    Level::Avx512 => x86::avx512(STEPS),
                    _ => x86::avx512_vnni(STEPS),
                }
            }
            black_box(());
        });
    });
    (pool.threads() * STEPS * a_step) as f64 / seconds
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! As many sums as keep all units busy, none of which waits for another.

    use std::{
        arch::{asm, x86_64::*},
        hint::black_box,
    };

    #[target_feature(enable = "avx2")]
    pub fn avx2(steps: usize) {
        let factor = black_box(_mm256_set1_epi16(3));
        let mut sums = [_mm256_setzero_si256(); 12];
        for _ in 0..steps {
            for sum in &mut sums {
                let product: __m256i;
                // SAFETY: an instruction on registers that is part of the enabled instruction set; as assembler, so that
                // nobody finds out that it could be done once.
                unsafe {
                    asm!("vpmaddwd {0}, {1}, {1}", out(ymm_reg) product, in(ymm_reg) factor, options(nomem, nostack));
                }
                *sum = _mm256_add_epi32(*sum, product);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn avx512(steps: usize) {
        let factor = black_box(_mm512_set1_epi16(3));
        let mut sums = [_mm512_setzero_si512(); 24];
        for _ in 0..steps {
            for sum in &mut sums {
                let product: __m512i;
                // SAFETY: as above.
                unsafe {
                    asm!("vpmaddwd {0}, {1}, {1}", out(zmm_reg) product, in(zmm_reg) factor, options(nomem, nostack));
                }
                *sum = _mm512_add_epi32(*sum, product);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn avx512_vnni(steps: usize) {
        let factor = black_box(_mm512_set1_epi32(3));
        let mut sums = [_mm512_setzero_si512(); 24];
        for _ in 0..steps {
            for sum in &mut sums {
                // SAFETY: as above.
                unsafe {
                    asm!("vpdpwssd {0}, {1}, {1}", inout(zmm_reg) *sum, in(zmm_reg) factor, options(nomem, nostack));
                }
            }
        }
        black_box(sums);
    }
}
