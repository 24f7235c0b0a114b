//! What a grammar or schema must do to limit a sequence.

use std::task::{Context, Poll};

/// Limits what the next token may be. Owned by its sequence and called on the engine's thread, once per generated token; a
/// panic in it fails its own sequence only.
pub trait Constraint: Send {
    /// Ready when [`mask`](Self::mask) can be had without waiting. Until then, the sequence keeps the logits that it has, all
    /// others go on, and the waker of `context` is to be woken once the mask is there.
    fn poll_mask(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Ready(())
    }
    /// Sets the bit of every allowed token: bit `id % 64` of word `id / 64`. All bits are clear before the call; bits beyond
    /// the vocabulary are ignored. A mask that allows nothing fails the sequence.
    fn mask(&mut self, allowed: &mut [u64]);
    /// Takes the token that was committed, end tokens included.
    fn accept(&mut self, token: u32);
    /// Takes back the last `tokens` accepted ones. The engine itself does not need it: of a draft it accepts only tokens
    /// that were chosen.
    fn rollback(&mut self, tokens: usize);
}
