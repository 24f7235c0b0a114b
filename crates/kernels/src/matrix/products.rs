//! Products of one set of activations with several matrices: how the work is divided, and who does it.

#[cfg(target_arch = "x86_64")]
use super::{
    Codes,
    avx2::Avx2,
    avx512::Avx512,
    layout::BLOCK,
    vectors::{Tile, Vectors},
    weights,
};
use super::{Matrix, activations::Activations, layout::PANEL, scalar};
use crate::{Level, Pool, disjoint::Disjoint};

/// Matrices that one job multiplies; more are done in several jobs.
const MOST_AT_ONCE: usize = 8;

/// Tasks per thread that a job is cut into, if it is large enough: the last ones to finish differ by one task.
const TASKS_A_THREAD: usize = 16;

/// Weights, in bytes times rows of activations (four rows cost about as much as one), below which a task would cost
/// less than handing it out.
const LEAST_WORK: usize = 16 * 1024;

/// Bytes of activation codes that a task goes through again for each panel, so that they stay in a core's own cache.
const CACHED_CODES: usize = 256 * 1024;

/// For each `(matrix, out)`: `out[m][row] = activations[m] · matrix[row]`, in one job of the pool for all of them. The
/// matrices have the activations' columns (queries, keys and values; gate and up), each `out` is `[m, matrix.rows()]`.
///
/// # Panics
/// When a shape does not fit.
pub fn multiply(pool: &Pool, activations: &Activations, products: &mut [(&Matrix, &mut [f32])]) {
    for (matrix, out) in products.iter() {
        let (rows, columns) = (matrix.rows(), matrix.columns());
        assert_eq!(columns, activations.columns, "a matrix [{rows}, {columns}] was given activations of other columns");
        assert_eq!(out.len(), activations.m * rows, "the product of {} rows with [{rows}, {columns}]", activations.m);
    }
    // SAFETY: the pool's level is one that this CPU has.
    unsafe { multiply_by(computation(pool.level()), pool, activations, products) }
}

/// [`multiply`] by a given computation.
///
/// # Safety
/// The shapes fit, and the CPU can run it.
unsafe fn multiply_by(
    compute: Computation,
    pool: &Pool,
    activations: &Activations,
    products: &mut [(&Matrix, &mut [f32])],
) {
    for products in products.chunks_mut(MOST_AT_ONCE) {
        // SAFETY: as promised by the caller.
        unsafe { multiply_at_once(compute, pool, activations, products) }
    }
}

/// Computes a part of a product.
///
/// # Safety
/// The shapes fit, the CPU has the instruction set, and no call for an overlapping part runs at the same time.
type Computation = unsafe fn(&Product<'_>, &Activations, &Part);

/// # Safety
/// As [`multiply_by`].
unsafe fn multiply_at_once(
    compute: Computation,
    pool: &Pool,
    activations: &Activations,
    products: &mut [(&Matrix, &mut [f32])],
) {
    let mut parts: [Option<Product<'_>>; MOST_AT_ONCE] = Default::default();
    let division = Division::new(pool.threads(), activations, products);
    let mut tasks = 0;
    for (part, (matrix, out)) in parts.iter_mut().zip(products) {
        *part = Some(Product { matrix, out: Disjoint::new(out), first_task: tasks });
        tasks += division.tasks(matrix);
    }
    let threads = pool.threads();
    pool.run(tasks, &|claim| {
        let task = task_of_claim(claim, tasks, threads);
        let product = parts.iter().flatten().rfind(|product| product.first_task <= task);
        let product = product.expect("the first product begins at task 0");
        let part = division.part(product.matrix, task - product.first_task, activations.m);
        // SAFETY: the parts of a product do not overlap; the rest is promised by the caller.
        unsafe { compute(product, activations, &part) };
    });
}

/// Which task the `claim`-th claim gets. Threads claim about in turn, so each goes on where its last task ended: it finds
/// there what it has prefetched.
fn task_of_claim(claim: usize, tasks: usize, threads: usize) -> usize {
    let (turn, thread) = (claim / threads, claim % threads);
    let (least, longer) = (tasks / threads, tasks % threads);
    // The last turn is not a full one: the first `longer` threads have a task more.
    thread * least + thread.min(longer) + turn
}

/// A matrix and where its product goes.
struct Product<'a> {
    matrix: &'a Matrix,
    out: Disjoint<'a, f32>,
    first_task: usize,
}

/// What one task computes: panels of the matrix, rows of the activations.
struct Part {
    panels: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
}

/// How each product is cut. The results do not depend on it.
struct Division {
    panels_a_task: usize,
    rows_a_task: usize,
    row_blocks: usize,
}

impl Division {
    fn new(threads: usize, activations: &Activations, products: &[(&Matrix, &mut [f32])]) -> Self {
        let m = activations.m;
        let cached_rows = (CACHED_CODES / 2 / activations.columns.max(1)).next_multiple_of(PANEL);
        let row_blocks = m.div_ceil(cached_rows).max(1);
        let rows_a_task = m.div_ceil(row_blocks).next_multiple_of(PANEL).max(PANEL);
        let row_blocks = m.div_ceil(rows_a_task);

        let panels: usize = products.iter().map(|(matrix, _)| matrix.layout.panels()).sum();
        let bytes: usize = products.iter().map(|(matrix, _)| matrix.bytes()).sum();
        let work_a_panel = bytes / panels.max(1) * rows_a_task.min(m).div_ceil(4);
        let fewest = LEAST_WORK.div_ceil(work_a_panel.max(1));
        let even = (panels * row_blocks).div_ceil(threads * TASKS_A_THREAD);
        Self { panels_a_task: even.max(fewest), rows_a_task, row_blocks }
    }

    fn tasks(&self, matrix: &Matrix) -> usize {
        matrix.layout.panels().div_ceil(self.panels_a_task) * self.row_blocks
    }

    /// Blocks of rows come one after the other for the same panels, whose weights are then still in a cache.
    fn part(&self, matrix: &Matrix, task: usize, m: usize) -> Part {
        let (panel, row) = (task / self.row_blocks * self.panels_a_task, task % self.row_blocks * self.rows_a_task);
        Part {
            panels: panel..matrix.layout.panels().min(panel + self.panels_a_task),
            rows: row..m.min(row + self.rows_a_task),
        }
    }
}

/// How a level computes.
fn computation(level: Level) -> Computation {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => with_vectors::<Avx2>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => with_vectors::<Avx512<false>>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => with_vectors::<Avx512<true>>,
        #[cfg(target_arch = "x86_64")]
        Level::Amx => with_tile_registers,
        _ => plain,
    }
}

/// # Safety
/// As [`Computation`].
unsafe fn plain(product: &Product<'_>, activations: &Activations, part: &Part) {
    let Matrix { layout, bytes } = product.matrix;
    for panel in part.panels.clone() {
        let numbers = &bytes[panel * layout.panel_bytes..][..layout.panel_bytes];
        let lanes = PANEL.min(layout.rows - panel * PANEL);
        for m in part.rows.clone() {
            let start = m * layout.rows + panel * PANEL;
            // SAFETY: these outputs belong to this part alone.
            let out = unsafe { product.out.slice(start..start + lanes) };
            for (lane, out) in out.iter_mut().enumerate() {
                *out = scalar::dot(layout, numbers, lane, activations, m);
            }
        }
    }
}

/// # Safety
/// As [`Computation`].
#[cfg(target_arch = "x86_64")]
unsafe fn with_vectors<V: Vectors>(product: &Product<'_>, activations: &Activations, part: &Part) {
    let layout = &product.matrix.layout;
    let tile = tile(product, activations, part);
    // SAFETY: the tile's outputs belong to it alone, and the instruction set is there, as promised by the caller.
    unsafe { weights::multiply::<V>(layout.format, layout.groups(), tile, part.rows.len()) }
}

/// The same with tile registers, where enough rows fill them.
///
/// # Safety
/// As [`Computation`].
#[cfg(target_arch = "x86_64")]
unsafe fn with_tile_registers(product: &Product<'_>, activations: &Activations, part: &Part) {
    let layout = &product.matrix.layout;
    let mut tile = tile(product, activations, part);
    if !activations.digits.is_empty() {
        // Parts begin at multiples of 16 rows, and so does each row of digits.
        let before = part.rows.start / PANEL * (activations.padded_columns() / BLOCK);
        tile.digits = Some(activations.digits[before..].as_ptr());
    }
    // SAFETY: as in `with_vectors`; where there are digits, they are those of all rows.
    unsafe { weights::multiply::<Avx512<true>>(layout.format, layout.groups(), tile, part.rows.len()) }
}

/// The part as pointers, which are good for what [`Tile`] says about them: that `activations` have `m` rows in each form is
/// how `Activations::set` leaves them.
#[cfg(target_arch = "x86_64")]
fn tile(product: &Product<'_>, activations: &Activations, part: &Part) -> Tile {
    let Matrix { layout, bytes } = product.matrix;
    let groups = layout.groups();
    let (padded_columns, group_count) = (activations.padded_columns(), groups.map_or(0, |groups| groups.count));
    let terms = activations.terms(groups.map_or(0, |groups| groups.length));
    let first_row = part.panels.start * PANEL;
    Tile {
        weights: bytes[part.panels.start * layout.panel_bytes..part.panels.end * layout.panel_bytes].as_ptr(),
        panels: part.panels.len(),
        panel_bytes: layout.panel_bytes,
        columns: layout.columns,
        padded_columns,
        values: activations.values[part.rows.start * layout.columns..].as_ptr(),
        codes: activations.codes[part.rows.start * padded_columns..].as_ptr(),
        terms: terms[part.rows.start * group_count..].as_ptr(),
        groups: group_count,
        levels: match groups.map(|groups| groups.codes) {
            Some(Codes::Levels(levels)) => levels,
            _ => &[0; 16],
        },
        digits: None,
        // Inside of the product: `multiply` checked that there are as many outputs as rows of activations times rows of
        // weights.
        out: product.out.as_mut_ptr().wrapping_add(part.rows.start * layout.rows + first_row),
        outs: layout.rows.min(part.panels.end * PANEL) - first_row,
        out_stride: layout.rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_get_every_task_once_and_threads_that_take_turns_go_on_where_they_were() {
        for threads in 1..9 {
            for tasks in 0..70 {
                let mut got: Vec<usize> = (0..tasks).map(|claim| task_of_claim(claim, tasks, threads)).collect();
                for claim in threads..tasks {
                    assert_eq!(got[claim], got[claim - threads] + 1, "{threads} threads, {tasks} tasks, claim {claim}");
                }
                got.sort_unstable();
                assert!(got.iter().copied().eq(0..tasks), "{threads} threads, {tasks} tasks: {got:?}");
            }
        }
    }
}
