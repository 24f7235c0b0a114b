//! Rows picked out of a matrix, and added back to it: what stands before and after each of several experts.

use crate::{Pool, disjoint::Disjoint, elementwise::in_chunks};

/// Elements of one task: below this, memory is faster than another thread.
const TASK: usize = 32_768;

/// `out[i] = x[rows[i]]`; `x` and `out` have rows of `width`.
///
/// # Panics
/// When `x` has no such row, or `out` not one for each of `rows`.
pub fn gather(pool: &Pool, x: &[f32], width: usize, rows: &[u32], out: &mut [f32]) {
    check(x, width, rows, out);
    in_chunks(pool, width * TASK.div_ceil(width), out, &|start, out| {
        for (row, out) in rows[start / width..].iter().zip(out.chunks_exact_mut(width)) {
            out.copy_from_slice(&x[*row as usize * width..][..width]);
        }
    });
}

/// `x[rows[i]] += weights[i] · y[i]`, product and sum each rounded; `x` and `y` have rows of `width`, and `rows`
/// ascend.
///
/// # Panics
/// When `rows` do not ascend, `x` has no such row, or `y` or `weights` not one for each of `rows`.
pub fn add_weighted(pool: &Pool, y: &[f32], width: usize, rows: &[u32], weights: &[f32], x: &mut [f32]) {
    check(x, width, rows, y);
    assert_eq!(weights.len(), rows.len(), "each row has a weight");
    assert!(rows.is_sorted_by(|a, b| a < b), "rows that do not ascend might be the same");
    let rows_a_task = TASK.div_ceil(width);
    let parts = Disjoint::new(x);
    pool.run(rows.len().div_ceil(rows_a_task), &|task| {
        for i in task * rows_a_task..rows.len().min((task + 1) * rows_a_task) {
            let row = rows[i] as usize;
            // SAFETY: `rows` are all different, and each `i` belongs to one task.
            let x = unsafe { parts.slice(row * width..(row + 1) * width) };
            for (x, y) in x.iter_mut().zip(&y[i * width..][..width]) {
                *x += weights[i] * y;
            }
        }
    });
}

fn check(x: &[f32], width: usize, rows: &[u32], picked: &[f32]) {
    assert!(width > 0 && x.len().is_multiple_of(width), "{} elements are not whole rows of {width}", x.len());
    assert_eq!(picked.len(), rows.len() * width, "{} rows of {width} were picked", rows.len());
    if let Some(row) = rows.iter().find(|row| **row as usize >= x.len() / width) {
        panic!("row {row} of {}", x.len() / width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, math::random::Random};

    #[test]
    fn rows_go_and_come_back() {
        let (count, width) = (3000, 33);
        let x = Random::new(1).numbers(count * width, 3.0);
        let rows: Vec<u32> = (0..count as u32).filter(|row| row % 3 != 1).collect();
        let weights: Vec<f32> = rows.iter().map(|row| *row as f32 / 7.0).collect();
        for threads in [1, 3] {
            let pool = Pool::new(Level::detect(), threads);
            let mut picked = vec![f32::NAN; rows.len() * width];
            gather(&pool, &x, width, &rows, &mut picked);
            for (row, picked) in rows.iter().zip(picked.chunks(width)) {
                assert_eq!(picked, &x[*row as usize * width..][..width]);
            }
            let mut sums = x.clone();
            add_weighted(&pool, &picked, width, &rows, &weights, &mut sums);
            for (row, (sums, x)) in sums.chunks(width).zip(x.chunks(width)).enumerate() {
                let weight = if row % 3 == 1 { 0.0 } else { row as f32 / 7.0 };
                assert!(sums.iter().zip(x).all(|(sum, x)| *sum == x + weight * x), "row {row}, {threads} threads");
            }
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |rows: &[u32], picked: usize, wanted: &str| {
            let add = || {
                let pool = Pool::new(Level::Scalar, 1);
                add_weighted(&pool, &vec![0.0; picked], 2, rows, &vec![0.0; rows.len()], &mut [0.0; 8]);
            };
            let panic = std::panic::catch_unwind(add).expect_err(wanted);
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            assert!(text.is_some_and(|text| text.contains(wanted)), "{text:?} does not say {wanted:?}");
        };
        refused(&[1, 1], 4, "do not ascend");
        refused(&[2, 1], 4, "do not ascend");
        refused(&[4], 2, "row 4 of 4");
        refused(&[0, 1], 2, "2 rows of 2 were picked");
    }
}
