//! What a row keeps of a secret.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::{CsrfToken, KeyHash, NoRandomness, RequestSecrets, Token, WebhookId, WebhookSecret};

/// Separate what is hashed under one pepper from each other. A key's hash has 32 bytes and none of these before it.
const TOKEN: &[u8] = b"modelworks token, version 1\0 for what is looked up\0";
const CSRF: &[u8] = b"modelworks csrf token, version 1\0 for what is compared\0";
const WEBHOOK: &[u8] = b"modelworks webhook secret, version 1\0 for what is signed\0";
const STATE: &[u8] = b"modelworks sign-in state, version 1\0 for what is brought back\0";
const NONCE: &[u8] = b"modelworks sign-in nonce, version 1\0 for what is signed\0";
const VERIFIER: &[u8] = b"modelworks sign-in verifier, version 1\0 for what is redeemed\0";

/// The installation's own secret under which secrets are hashed: who steals the rows alone cannot test guesses.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

/// Bytes that are no pepper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a pepper has 32 bytes, but there are {found}")]
pub struct InvalidPepper {
    /// Bytes that there are.
    pub found: usize,
}

/// HMAC-SHA-256 (RFC 2104) of a key's [`KeyHash`] under the [`Pepper`]: what rows hold and what keys are looked up by.
///
/// It is made from the hash and not from the secret, so that a hash that an earlier version kept can be taken over. A
/// map may compare it in variable time: without the pepper nobody can steer what is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyedHash([u8; 32]);

impl Pepper {
    /// A new one, from the operating system.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        Ok(Self(bytes))
    }

    /// From the bytes that were kept.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidPepper> {
        bytes.try_into().map(Self).map_err(|_| InvalidPepper { found: bytes.len() })
    }

    /// The bytes: to keep, where only the installation reads.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash to keep or to look up.
    pub fn hash(&self, key: &KeyHash) -> KeyedHash {
        KeyedHash(self.mac(&[key.as_bytes()]))
    }

    /// The same of a token.
    pub fn hash_token(&self, token: &Token) -> KeyedHash {
        KeyedHash(self.mac(&[TOKEN, token.expose().as_bytes()]))
    }

    /// The second secret of the session with this hash.
    pub fn csrf_token(&self, session: &KeyedHash) -> CsrfToken {
        CsrfToken(self.mac(&[CSRF, session.as_bytes()]))
    }

    /// The secret of a webhook; each of its versions is another one.
    pub fn webhook_secret(&self, webhook: WebhookId, version: u32) -> WebhookSecret {
        WebhookSecret(self.mac(&[WEBHOOK, webhook.as_bytes(), &version.to_be_bytes()]))
    }

    /// The secrets of the request to a provider that the browser keeps `pending` of, whatever that text is.
    pub fn request_secrets(&self, pending: &str) -> RequestSecrets {
        let secret = |label| self.mac(&[label, pending.as_bytes()]);
        RequestSecrets { state: secret(STATE), nonce: secret(NONCE), verifier: secret(VERIFIER) }
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // A key that is shorter than a block is filled up with zeros (RFC 2104, section 2).
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

impl KeyedHash {
    /// From the form in which rows hold it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The form in which rows hold it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiKey, Purpose};

    #[test]
    fn the_same_key_under_another_pepper_is_another_hash() {
        let key = ApiKey::generate().unwrap().hash();
        let (one, other) = (Pepper::generate().unwrap(), Pepper::generate().unwrap());
        assert_eq!(one.hash(&key), Pepper::from_bytes(one.expose()).unwrap().hash(&key));
        assert_ne!(one.hash(&key), other.hash(&key));
        assert_ne!(one.hash(&key), one.hash(&ApiKey::generate().unwrap().hash()));
    }

    /// Data folders of earlier versions must go on to work. The expected bytes were made with Python's `hmac`.
    #[test]
    fn the_hash_of_a_known_key_stays() {
        let key = KeyHash::parse("02bf74701df0f9c9d9eaeb31bbddfef73c367f1cfbd21e2444d0c7042d657a75").unwrap();
        let hash = Pepper::from_bytes(&[7; 32]).unwrap().hash(&key);
        let mut text = String::new();
        crate::hex::push(&mut text, hash.as_bytes());
        assert_eq!(text, "f2a6b46f4c13053cc95edbb314e3dfab855eaac54f46f8153676e218c5500f0c");
    }

    #[test]
    fn a_session_has_a_second_secret_that_follows_from_nothing_else() {
        let pepper = Pepper::generate().unwrap();
        let hash = pepper.hash_token(&Token::generate(Purpose::Session).unwrap());
        let token = pepper.csrf_token(&hash);
        assert!(token.matches(&token.expose()) && token.matches(&pepper.csrf_token(&hash).expose()));
        let other = pepper.hash_token(&Token::generate(Purpose::Session).unwrap());
        let others =
            [pepper.csrf_token(&other), Pepper::generate().unwrap().csrf_token(&hash), CsrfToken(*hash.as_bytes())];
        assert!(others.iter().all(|other| !token.matches(&other.expose())));
        assert!(["", "0", &"0".repeat(64)].iter().all(|text| !token.matches(text)));
        assert_eq!(format!("{token:?}"), "CsrfToken(…)");
    }

    #[test]
    fn the_secrets_of_a_request_follow_from_all_that_the_browser_keeps_and_differ() {
        let pepper = Pepper::generate().unwrap();
        let secrets = pepper.request_secrets("mwo-1.google");
        assert!(
            secrets.matches_state(&secrets.state())
                && secrets.matches_state(&pepper.request_secrets("mwo-1.google").state())
        );
        let all = [secrets.state(), secrets.nonce(), secrets.verifier()];
        assert!(all.iter().all(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())));
        let others =
            [pepper.request_secrets("mwo-1.googl"), Pepper::generate().unwrap().request_secrets("mwo-1.google")];
        let others = others.iter().flat_map(|other| [other.state(), other.nonce(), other.verifier()]);
        let wrong = others.chain(all[1..].to_vec()).chain(["".into(), "0".repeat(64)]);
        for text in wrong {
            assert!(!secrets.matches_state(&text), "{text}");
        }
        assert_ne!(all[1], all[2]);
        assert_eq!(format!("{secrets:?}"), "RequestSecrets(…)");
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let pepper = Pepper::from_bytes(&[0xab; 32]).unwrap();
        let hash = pepper.hash(&ApiKey::generate().unwrap().hash());
        assert_eq!(format!("{pepper:?} {hash:?}"), "Pepper(…) KeyedHash(…)");
        assert_eq!(Pepper::from_bytes(&[0; 31]).unwrap_err(), InvalidPepper { found: 31 });
    }
}
