//! The administrative routes over a real store.

mod access;
mod bills;
mod changes;
mod money;
mod stage;
