//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

use crate::Pool;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Silu,
    GeluTanh,
}
/// gate = activation(gate) * up
pub fn gated(pool: &Pool, activation: Activation, gate: &mut [f32], up: &[f32]) {
    todo!()
}
/// x += y
pub fn add(pool: &Pool, x: &mut [f32], y: &[f32]) {
    todo!()
}
pub fn scale(pool: &Pool, x: &mut [f32], factor: f32) {
    todo!()
}
/// x += bias for each row
pub fn add_bias(pool: &Pool, x: &mut [f32], bias: &[f32]) {
    todo!()
}
/// cap * tanh(x / cap)
pub fn softcap(pool: &Pool, x: &mut [f32], cap: f32) {
    todo!()
}
