//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

use crate::Level;

/// Threads that spin briefly and then park, and the level that every kernel called through it uses.
pub struct Pool {}
impl Pool {
    pub fn new(level: Level, threads: usize) -> Self {
        todo!()
    }
    pub fn level(&self) -> Level {
        todo!()
    }
    pub fn threads(&self) -> usize {
        todo!()
    }
    /// Calls `work(task)` for every task in 0..tasks, on all threads, and returns when all are done. A panic in a task is re-raised here.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        todo!()
    }
}
