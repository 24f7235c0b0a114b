//! A relying party of OpenID Connect: sends a browser to a provider and learns from what comes back who is in front of it.
//!
//! The authorization code flow (OpenID Connect Core 1.0, section 3.1) with PKCE (RFC 7636, S256), state and nonce. Whatever a
//! provider sends is bounded in bytes and time and checked before it is believed; no redirect is followed. Who asks makes the
//! secrets of a request and says which moment it is; what somebody who is known may do is not decided here, and nothing is
//! kept but what the provider publishes.

mod error;
mod fetch;
mod id_token;
mod issuer;
mod keys;
mod metadata;
mod provider;
mod settings;

pub use error::{Error, IdTokenFault};
pub use issuer::{InvalidIssuer, Issuer};
pub use provider::{Authenticated, Callback, Provider, Request};
pub use settings::{ClientSecret, Limits, Settings};
