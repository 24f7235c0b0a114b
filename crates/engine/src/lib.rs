//! Sequences, KV blocks, scheduler and sampler: tokens in, tokens out.
//!
//! One thread owns everything that changes and repeats three calls: *schedule* picks the rows of the next step, *run*
//! computes them, *commit* samples the next tokens and hands them out. Schedule and block accounting are plain data without
//! tensors. Others hold an [`Engine`] handle, submit a [`SequenceRequest`] and read [`Tokens`].
//!
//! What the engine promises:
//!
//! - A sequence's tokens depend on its request alone: not on what else is in the batch, on chunk borders, on preemption, on
//!   what the prefix tree has of it, on speculation or on the reader's pace. (This rests on [`models::Runner::forward`], whose rows do not depend on the batch.)
//! - It never waits for a reader, and every queue is bounded.
//! - A reader that goes away frees its sequence before the next step.
//! - An accepted sequence ends in exactly one [`Output::Finished`], and by then it holds no KV block.
//! - Sequences share the KV blocks of a common beginning if they have the same salt, and only then.
//!
//! What it refuses to know: text, chat, HTTP, tenants (a salt stands for one), prices and clocks of the wall.

mod blocks;
mod budget;
mod channel;
mod config;
mod constraint;
mod forcing;
mod handle;
mod inbox;
mod logprobs;
mod output;
mod penalties;
mod prefix_tree;
mod random;
mod request;
mod sampler;
mod scheduler;
mod selection;
mod sequence;
mod softmax;
mod speculation;
mod step;
mod thread;
mod turns;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

pub use channel::Tokens;
pub use config::Config;
pub use constraint::Constraint;
pub use forcing::Forcing;
pub use handle::{Engine, SubmitError};
pub use inbox::Snapshot;
pub use output::{Finish, Output, Token};
pub use request::{Sampling, SequenceRequest};
