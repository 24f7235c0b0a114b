//! Tokens that are not the model's to choose.

/// Says which token comes next, where that is not the model's to decide. Owned by its sequence and called on the engine's
/// thread, once per generated token; a panic in it fails its own sequence only.
///
/// A forced token is one of the sequence like any other: it was run, it counts, its log-probability is the model's, and it
/// uses up its place in the random stream. So what follows does not depend on how the engine came to it.
pub trait Forcing: Send {
    /// The token that comes next, whatever the logits say; `None` leaves it to the model. Where a constraint does not allow
    /// it, the constraint prevails.
    fn forced(&self) -> Option<u32>;
    /// Takes the token that was committed, forced or not.
    fn accept(&mut self, token: u32);
}
