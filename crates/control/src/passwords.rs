//! Hashes passwords, and compares with hashes: on threads that may block, few at a time.
//!
//! A hash takes 19 MiB and some 20 ms on purpose. However many want to sign in at once, no more than [`AT_ONCE`] are computed
//! and no more than [`WAITING`] wait; whoever comes then is told to come again.

use std::sync::Arc;

use account::{PasswordHash, Pepper};
use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{self, phc},
};
use tokio::sync::Semaphore;
use wire::admin::Secret;

use crate::{config::Cost, error::ApiError};

/// Hashes that are computed at a time. Models compute on the same CPUs.
const AT_ONCE: usize = 2;

/// Hashes that wait for their turn, those that are computed included.
const WAITING: usize = 32;

/// Fewest characters of a password. Length is what makes guessing hard; rules about its characters do not (NIST SP 800-63B,
/// section 3.1.1.2).
const LEAST: usize = 10;

/// Most bytes of a password.
const MOST: usize = 256;

/// What passwords are hashed with. Cloning it is cheap; all clones share their bounds.
#[derive(Clone)]
pub(crate) struct Passwords(Arc<Shared>);

struct Shared {
    pepper: Pepper,
    params: Params,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new(pepper: Pepper, cost: Cost) -> Self {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).unwrap_or_default();
        let (turns, places) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(WAITING)));
        Self(Arc::new(Shared { pepper, params, turns, places }))
    }

    /// What may be kept of a new password.
    pub(crate) async fn hash(&self, parameter: &str, password: &Secret) -> Result<PasswordHash, ApiError> {
        let text = password.expose();
        if text.chars().take(LEAST).count() < LEAST || text.len() > MOST {
            let message = format!("a password has {LEAST} characters or more, and {MOST} bytes at most");
            return Err(ApiError::invalid(parameter, message));
        }
        let password = password.clone();
        let hashed = self.compute(move |argon2| argon2.hash_password(password.expose().as_bytes())).await?;
        hashed.map(|hash| PasswordHash::new(hash.to_string())).map_err(failed)
    }

    /// Whether the password is the one of this hash. Without a hash it is not, and that takes as long.
    pub(crate) async fn verify(&self, password: &Secret, known: Option<&PasswordHash>) -> Result<bool, ApiError> {
        let password = if password.expose().len() > MOST { Secret::new("") } else { password.clone() };
        let known = known.cloned();
        let verified = self.compute(move |argon2| match known {
            Some(known) => {
                let known = phc::PasswordHash::new(known.as_str())?;
                argon2.verify_password(password.expose().as_bytes(), &known).map(|()| true)
            }
            None => argon2.hash_password(password.expose().as_bytes()).map(|_| false),
        });
        match verified.await? {
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            verified => verified.map_err(failed),
        }
    }

    /// Waits for a turn and computes. The turn lasts until the thread is done, whatever becomes of whoever asked.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'_>) -> password_hash::Result<T> + Send + 'static,
    ) -> Result<password_hash::Result<T>, ApiError> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| ApiError::Busy)?;
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.map_err(|_| ApiError::Internal)?;
        let shared = Arc::clone(&self.0);
        let computed = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            // The pepper is the secret, so that a copy of the rows alone tests no guesses.
            let (id, version, params) = (Algorithm::Argon2id, Version::V0x13, shared.params.clone());
            work(&Argon2::new_with_secret(shared.pepper.expose(), id, version, params)?)
        });
        computed.await.map_err(|_| ApiError::Internal)
    }
}

fn failed(error: password_hash::Error) -> ApiError {
    tracing::error!(%error, "a password could not be hashed or compared");
    ApiError::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };

    fn passwords() -> Passwords {
        Passwords::new(Pepper::from_bytes(&[7; 32]).unwrap(), CHEAP)
    }

    #[tokio::test]
    async fn only_the_password_under_the_same_pepper_is_right() {
        let passwords = passwords();
        let (right, wrong) = (Secret::new("correct horse"), Secret::new("battery staple"));
        let hash = passwords.hash("password", &right).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", hash.as_str());
        assert_ne!(hash, passwords.hash("password", &right).await.unwrap(), "salted");
        assert!(passwords.verify(&right, Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&wrong, Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&right, None).await.unwrap());
        let elsewhere = Passwords::new(Pepper::from_bytes(&[8; 32]).unwrap(), CHEAP);
        assert!(!elsewhere.verify(&right, Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_too_short_or_too_long_is_no_password() {
        for text in [String::new(), "x".repeat(9), "ü".repeat(9), "x".repeat(257)] {
            let refused = passwords().hash("password", &Secret::new(text)).await;
            assert!(matches!(refused, Err(ApiError::Invalid { .. })));
        }
        assert!(passwords().hash("password", &Secret::new("x".repeat(256))).await.is_ok());
        assert!(!passwords().verify(&Secret::new("x".repeat(60_000)), None).await.unwrap());
    }

    #[tokio::test]
    async fn of_a_flood_few_are_computed_and_the_rest_is_told_to_come_again() {
        let passwords = passwords();
        let turns = Arc::clone(&passwords.0.turns).acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let flood = |_| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.verify(&Secret::new("correct horse"), None).await })
        };
        let flood: Vec<_> = (0..WAITING + 20).map(flood).collect();
        let others = tokio::spawn(async move {
            let mut answers = Vec::new();
            for asked in flood {
                answers.push(asked.await.unwrap());
            }
            answers
        });
        // Nobody is computed until a turn is free, so those that do not fit are all refused first.
        while passwords.0.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        drop(turns);
        let answers = others.await.unwrap();
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(ApiError::Busy))).count(), 20);
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(false))).count(), WAITING);
        assert_eq!(passwords.0.places.available_permits(), WAITING);
    }
}
