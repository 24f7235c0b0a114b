//! The administrative routes over a real store.

mod access;
mod changes;
mod money;
mod stage;
