//! What a grammar or schema must do to limit a sequence.

/// Limits what the next token may be. Owned by its sequence and called on the engine's thread, once per generated token; a
/// panic in it fails its own sequence only.
pub trait Constraint: Send {
    /// Sets the bit of every allowed token: bit `id % 64` of word `id / 64`. All bits are clear before the call; bits beyond
    /// the vocabulary are ignored. A mask that allows nothing fails the sequence.
    fn mask(&mut self, allowed: &mut [u64]);
    /// Takes the token that was committed, end tokens included.
    fn accept(&mut self, token: u32);
    /// Takes back the last `tokens` accepted ones. The engine itself does not need it: of a draft it accepts only tokens
    /// that were chosen.
    fn rollback(&mut self, tokens: usize);
}
