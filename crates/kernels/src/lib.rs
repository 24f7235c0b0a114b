//! Matrix products, attention, norms and the thread pool, per instruction set.
//!
//! Everything here is arithmetic on slices: no files, no model, no request. One numeric recipe holds for every
//! [`Level`]: a kernel gives bit-identical results whether it runs as plain Rust or on 512-bit vectors, and a row's
//! result depends neither on the other rows that it is computed with nor on the number of threads. That makes the
//! plain version an exact oracle for the fast ones, and makes a seed mean something.
//!
//! This is one of the two places in the workspace where `unsafe` may stand; each block says why it is sound.

#![expect(
    unsafe_code,
    reason = "intrinsics, disjoint writes from several threads and the pool's borrowed jobs need it"
)]

pub mod attention;
pub mod elementwise;
pub mod gelu;
pub mod kv;
pub mod layer_norm;
pub mod matrix;
pub mod norm;
pub mod rope;
pub mod rows;
pub mod softmax;

mod buffer;
mod disjoint;
mod half;
mod level;
mod math;
mod pool;
mod self_check;

pub use level::Level;
pub use pool::Pool;
pub use self_check::{LevelError, Operation, Selection};
