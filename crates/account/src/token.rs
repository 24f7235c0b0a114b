//! Random secrets that stand for a moment of trust: a session, an invitation, a reset, a sign-in that has begun.

use std::fmt;

use thiserror::Error;

use crate::{NoRandomness, hex};

/// Random bytes of a token: 256 bits, as of a key.
const RANDOM_BYTES: usize = 32;

/// What a token is good for. One of another purpose is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To go on with a session.
    Session,
    /// To join an organisation, once.
    Invite,
    /// To set another password, once.
    Reset,
    /// To come back from an OpenID provider, once.
    SignIn,
}

/// A token in the clear. As with [`crate::ApiKey`], the one way to the text is [`Token::expose`].
#[derive(Clone)]
pub struct Token(Box<str>);

/// A text that is no token of this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is no such token; check whether it was cut")]
pub struct InvalidToken;

impl Purpose {
    /// What such tokens begin with, so that a leaked one is recognised.
    fn prefix(self) -> &'static str {
        match self {
            Self::Session => "mws-",
            Self::Invite => "mwi-",
            Self::Reset => "mwr-",
            Self::SignIn => "mwo-",
        }
    }
}

impl Token {
    /// Makes a new one.
    pub fn generate(purpose: Purpose) -> Result<Self, NoRandomness> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(NoRandomness)?;
        let mut text = purpose.prefix().to_owned();
        hex::push(&mut text, &random);
        Ok(Self(text.into()))
    }

    /// Takes a text as a token of this purpose; only such that [`Self::generate`] could have made.
    pub fn parse(purpose: Purpose, text: &str) -> Result<Self, InvalidToken> {
        let digits = text.strip_prefix(purpose.prefix()).ok_or(InvalidToken)?;
        let random: [u8; RANDOM_BYTES] = hex::parse(digits).ok_or(InvalidToken)?;
        let mut text = purpose.prefix().to_owned();
        hex::push(&mut text, &random);
        Ok(Self(text.into()))
    }

    /// The secret itself: to show to its owner, once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Purpose; 4] = [Purpose::Session, Purpose::Invite, Purpose::Reset, Purpose::SignIn];

    #[test]
    fn a_token_reads_back_for_its_purpose_and_no_other() {
        for made in ALL {
            let token = Token::generate(made).unwrap();
            assert_ne!(token.expose(), Token::generate(made).unwrap().expose());
            for read in ALL {
                let parsed = Token::parse(read, token.expose());
                assert_eq!(parsed.map(|parsed| parsed.expose() == token.expose()).ok(), (made == read).then_some(true));
            }
        }
    }

    #[test]
    fn other_texts_are_none_and_nothing_is_printed() {
        for text in ["", "mws-", &format!("mws-{}", "0".repeat(63)), &format!("mws-{}", "é".repeat(32))] {
            assert_eq!(Token::parse(Purpose::Session, text).unwrap_err(), InvalidToken);
        }
        assert_eq!(format!("{:?}", Token::generate(Purpose::Reset).unwrap()), "Token(…)");
    }
}
