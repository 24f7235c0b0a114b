//! Rotary position embedding: Su et al., "RoFormer" (2021), section 3.2.2.

use crate::{
    Pool,
    disjoint::Disjoint,
    math::{Kernel, Lanes, dispatch},
};

/// Elements that one task rotates.
const TASK: usize = 16_384;

/// Which dimensions are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// (0, 1), (2, 3), …: the order of llama models in GGUF files.
    Adjacent,
    /// (i, i + d/2), where d is the number of rotated dimensions: the order of Hugging Face and GPT-NeoX.
    Halves,
}

/// Cosines and sines for a range of positions.
pub struct Table {
    /// `[position][pair]`.
    cosines: Vec<f32>,
    sines: Vec<f32>,
    pairs: usize,
    positions: usize,
}

impl Table {
    /// For the positions below `positions` and the angles position · inverse frequency, one pair of dimensions each.
    /// Computed in f64; `magnitude` scales both cosine and sine (1 unless a long-context scheme says otherwise).
    pub fn new(positions: usize, inverse_frequencies: &[f64], magnitude: f32) -> Self {
        let pairs = inverse_frequencies.len();
        let magnitude = f64::from(magnitude);
        let mut cosines = Vec::with_capacity(positions * pairs);
        let mut sines = Vec::with_capacity(positions * pairs);
        for position in 0..positions {
            for frequency in inverse_frequencies {
                let (sine, cosine) = (position as f64 * frequency).sin_cos();
                cosines.push((cosine * magnitude) as f32);
                sines.push((sine * magnitude) as f32);
            }
        }
        Self { cosines, sines, pairs, positions }
    }

    /// Positions that the table covers: `0..positions()`.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// (cosines, sines) of a position below `self.positions`.
    #[inline(always)]
    fn at(&self, position: u32) -> (&[f32], &[f32]) {
        let range = position as usize * self.pairs..(position as usize + 1) * self.pairs;
        (&self.cosines[range.clone()], &self.sines[range])
    }
}

/// Rotates `x`, `[positions.len(), heads, head_dim]`, in place: row i by the angles of `positions[i]`. Only the first two
/// dimensions per pair of the table are rotated; those after them stay (partial rotary).
///
/// # Panics
/// When `x` has another size, a position is not in the table, or the table has more pairs than half of `head_dim`.
pub fn rotate(
    pool: &Pool,
    table: &Table,
    pairing: Pairing,
    heads: usize,
    head_dim: usize,
    positions: &[u32],
    x: &mut [f32],
) {
    let width = heads * head_dim;
    assert_eq!(
        x.len(),
        positions.len() * width,
        "{} rows of {heads} heads of {head_dim} do not make the length given",
        positions.len()
    );
    assert!(2 * table.pairs <= head_dim, "{} rotated pairs do not fit {head_dim} dimensions", table.pairs);
    if let Some(position) = positions.iter().find(|&&position| position as usize >= table.positions) {
        panic!("position {position} is not in a rotary table of {}", table.positions);
    }
    if x.is_empty() || table.pairs == 0 {
        return;
    }
    let rows = TASK.div_ceil(width);
    let parts = Disjoint::new(x);
    pool.run(positions.len().div_ceil(rows), &|task| {
        let (start, end) = (task * rows, positions.len().min((task + 1) * rows));
        let positions = &positions[start..end];
        // SAFETY: each task has another range of rows.
        let x = unsafe { parts.slice(start * width..end * width) };
        match pairing {
            Pairing::Adjacent => dispatch(pool, Rotate::<true> { table, heads, head_dim, positions, x }),
            Pairing::Halves => dispatch(pool, Rotate::<false> { table, heads, head_dim, positions, x }),
        }
    });
}

struct Rotate<'a, const ADJACENT: bool> {
    table: &'a Table,
    heads: usize,
    head_dim: usize,
    positions: &'a [u32],
    x: &'a mut [f32],
}

impl<const ADJACENT: bool> Kernel for Rotate<'_, ADJACENT> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        for (&position, row) in self.positions.iter().zip(self.x.chunks_exact_mut(self.heads * self.head_dim)) {
            let (cosines, sines) = self.table.at(position);
            for head in row.chunks_exact_mut(self.head_dim) {
                let head = &mut head[..2 * cosines.len()];
                if ADJACENT {
                    for ((pair, &c), &s) in head.as_chunks_mut::<2>().0.iter_mut().zip(cosines).zip(sines) {
                        *pair = turn(pair[0], pair[1], c, s);
                    }
                } else {
                    let (first, second) = head.split_at_mut(cosines.len());
                    for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                        [*a, *b] = turn(*a, *b, c, s);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn turn(a: f32, b: f32, cosine: f32, sine: f32) -> [f32; 2] {
    [a.mul_add(cosine, -(b * sine)), b.mul_add(cosine, a * sine)]
}

#[cfg(test)]
mod tests;
