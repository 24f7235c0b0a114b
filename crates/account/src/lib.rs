//! Identity and, later, money: rules as pure functions.
//!
//! Today the crate holds the secret API key and its hash. It does no IO beyond asking the operating system for
//! randomness, and knows no clock, no HTTP and no SQL.

mod api_key;
mod key_hash;

pub use api_key::{ApiKey, InvalidKey, NoRandomness};
pub use key_hash::{InvalidKeyHash, KeyHash};
