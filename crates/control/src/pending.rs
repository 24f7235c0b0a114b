//! A sign-in with a provider that has begun, as the browser keeps it.
//!
//! Nothing of it is kept here. State, nonce and code verifier follow from the text and the installation's pepper, so the state
//! that a browser brings back shows that the text was made here and is as it was, and that it is this browser that began. It
//! costs nothing to let strangers begin as often as they like, it outlives a restart, and any number of servers can take
//! people back. What stays here, as a hash and until it expires, is that one was used.

use std::time::Duration;

use account::{Purpose, Timestamp, Token};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::return_path::ReturnPath;

/// How long a person may take at the provider.
pub(crate) const LASTS: Duration = Duration::from_secs(10 * 60);

/// A sign-in that has begun.
pub(crate) struct Pending {
    /// Is of this one alone.
    pub(crate) token: Token,
    /// The first moment at which it is none.
    pub(crate) expires: Timestamp,
    /// The provider's name.
    pub(crate) provider: Box<str>,
    /// Where the browser goes afterwards.
    pub(crate) return_to: ReturnPath,
    /// The invitation that the person brings.
    pub(crate) invite: Option<Token>,
}

/// Its fields as text.
#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    expires: i64,
    provider: String,
    return_to: String,
    invite: Option<String>,
}

impl Pending {
    /// The text that the browser keeps.
    pub(crate) fn text(&self) -> String {
        let kept = Kept {
            token: self.token.expose().to_owned(),
            expires: self.expires.as_millis(),
            provider: self.provider.to_string(),
            return_to: self.return_to.as_str().to_owned(),
            invite: self.invite.as_ref().map(|invite| invite.expose().to_owned()),
        };
        // Texts and a number serialise.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&kept).unwrap_or_default())
    }

    /// Reads a text that is known to be one of ours.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let kept: Kept = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let invite = kept.invite.map(|invite| Token::parse(Purpose::Invite, &invite)).transpose();
        Some(Self {
            token: Token::parse(Purpose::SignIn, &kept.token).ok()?,
            expires: Timestamp::from_millis(kept.expires),
            provider: kept.provider.into(),
            return_to: ReturnPath::parse(&kept.return_to).ok()?,
            invite: invite.ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_fits_in_a_cookie() {
        let return_to = ReturnPath::parse(&format!("/{}", "\"".repeat(511))).unwrap();
        let pending = Pending {
            token: Token::generate(Purpose::SignIn).unwrap(),
            expires: Timestamp::from_millis(7),
            provider: "google".into(),
            return_to: return_to.clone(),
            invite: Some(Token::generate(Purpose::Invite).unwrap()),
        };
        let text = pending.text();
        // A browser keeps 4096 bytes of a cookie, name and attributes included.
        assert!(text.len() < 2000 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let read = Pending::read(&text).unwrap();
        assert_eq!((read.token.expose(), read.expires), (pending.token.expose(), pending.expires));
        assert_eq!((&*read.provider, read.return_to), ("google", return_to));
        assert_eq!(read.invite.unwrap().expose(), pending.invite.unwrap().expose());
        assert!(Pending::read("").is_none() && Pending::read(&text[1..]).is_none());
    }
}
