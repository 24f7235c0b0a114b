//! The secrets of one request to an OpenID provider.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::hex;

/// The three secrets of one authentication request (OpenID Connect Core 1.0, section 3.1.2.1; RFC 7636). They follow from what
/// the browser keeps of it and the installation's pepper ([`crate::Pepper::request_secrets`]), so nobody keeps them, and the
/// state, which the browser brings back, shows that what it keeps was made here and is as it was. The text forms are 64
/// hexadecimal digits.
#[derive(Clone)]
pub struct RequestSecrets {
    pub(crate) state: [u8; 32],
    pub(crate) nonce: [u8; 32],
    pub(crate) verifier: [u8; 32],
}

impl RequestSecrets {
    /// Whether `text` is the state. The time that this takes says nothing about it.
    pub fn matches_state(&self, text: &str) -> bool {
        hex::parse::<32>(text).is_some_and(|bytes| self.state.ct_eq(&bytes).into())
    }

    /// What the browser takes to the provider and brings back.
    pub fn state(&self) -> String {
        text(&self.state)
    }

    /// What the provider's ID token must hold.
    pub fn nonce(&self) -> String {
        text(&self.nonce)
    }

    /// What is shown when the code is redeemed. The browser never has it.
    pub fn verifier(&self) -> String {
        text(&self.verifier)
    }
}

fn text(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    hex::push(&mut text, bytes);
    text
}

impl fmt::Debug for RequestSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestSecrets(…)")
    }
}
