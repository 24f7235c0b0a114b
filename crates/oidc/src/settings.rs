//! What a relying party is told of a provider.

use std::{fmt, time::Duration};

use crate::Issuer;

/// A provider, and as whom we are registered there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who vouches.
    pub issuer: Issuer,
    /// Our name there.
    pub client_id: Box<str>,
    /// What shows that we are it.
    pub client_secret: ClientSecret,
    /// What is asked for beside `openid`, which always is.
    pub scopes: Vec<Box<str>>,
}

/// The secret that a provider has given to us. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(Box<str>);

impl ClientSecret {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself: to send to the provider.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// What a provider is granted. [`Limits::default`] suits one on the open network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time for one answer, its body included.
    pub answer: Duration,
    /// Most bytes of one answer.
    pub bytes: usize,
    /// How long what a provider publishes is believed without asking again.
    pub fresh: Duration,
    /// How long keys are kept at least, though a token names one that is not among them: who sends such tokens cannot make us
    /// ask as often as they like.
    pub keys: Duration,
    /// After a failure, nothing is asked for so long.
    pub rest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            bytes: 256 << 10,
            fresh: Duration::from_secs(60 * 60),
            keys: Duration::from_secs(60),
            rest: Duration::from_secs(5),
        }
    }
}
