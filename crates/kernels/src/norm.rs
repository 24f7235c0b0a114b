//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

use crate::Pool;
/// out = x / rms(x) * weight for each row of `[rows, weight.len()]` (call with head_dim for per-head norms).
pub fn rms_norm(pool: &Pool, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    todo!()
}
/// The same in place.
pub fn rms_norm_in_place(pool: &Pool, x: &mut [f32], weight: &[f32], epsilon: f32) {
    todo!()
}
