//! (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]

/// Instruction-set level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Scalar,
    Avx2,
    Avx512,
    Avx512Vnni,
}
impl Level {
    /** the best that this CPU has */
    pub fn detect() -> Self {
        todo!()
    }
    /** all that this CPU can run, for tests */
    pub fn available() -> Vec<Level> {
        todo!()
    }
}
