//! What shows that a request comes from a page that was given a session, not from one that only rides on its cookie.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::hex;

/// A session's second secret. It follows from the hash of the first and the installation's pepper
/// ([`crate::Pepper::csrf_token`]), so nobody keeps it. The text form is 64 hexadecimal digits.
#[derive(Clone)]
pub struct CsrfToken(pub(crate) [u8; 32]);

impl CsrfToken {
    /// Whether `text` is it. The time that this takes says nothing about it.
    pub fn matches(&self, text: &str) -> bool {
        hex::parse::<32>(text).is_some_and(|bytes| self.0.ct_eq(&bytes).into())
    }

    /// The text: for whoever has the session.
    pub fn expose(&self) -> String {
        let mut text = String::with_capacity(64);
        hex::push(&mut text, &self.0);
        text
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken(…)")
    }
}
