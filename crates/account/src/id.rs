//! Opaque names of the things that are counted and billed.

use std::fmt;

use thiserror::Error;

use crate::{NoRandomness, hex};

/// A text that is not the id of a thing of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id of this kind is `{prefix}` and 32 lower-case hexadecimal digits")]
pub struct InvalidId {
    /// What ids of the kind begin with.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// 128 random bits. The text form is a prefix and 32 hexadecimal digits; nothing about the thing can be read
        /// from it, so it may stand where names of people may not.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id.
            pub fn generate() -> Result<Self, NoRandomness> {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(NoRandomness)?;
                Ok(Self(bytes))
            }

            /// Reads the text form; exactly the one that [`fmt::Display`] writes, so that one thing has one name.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix($prefix).filter(|digits| !digits.bytes().any(|byte| byte.is_ascii_uppercase()));
                digits.and_then(hex::parse).map(Self).ok_or(InvalidId { prefix: $prefix })
            }

            /// From the form in which rows hold it.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The form in which rows hold it.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity($prefix.len() + 32);
                text.push_str($prefix);
                hex::push(&mut text, &self.0);
                f.write_str(&text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// An organisation: who pays.
    OrgId = "org_";
    /// A project of an organisation: what keys, limits and usage belong to.
    ProjectId = "proj_";
    /// An API key of a project. It is the name of the key, not the secret.
    KeyId = "key_";
    /// A person.
    UserId = "user_";
    /// One request of a caller.
    RequestId = "req_";
    /// A response that is kept for its caller. Who guesses one sees what was said, so it is as random as a secret.
    ResponseId = "resp_";
    /// One version of a model's price.
    PriceId = "price_";
    /// A code that is worth credit. It is the name of the code, not the secret.
    CodeId = "code_";
    /// An invitation into an organisation.
    InviteId = "invite_";
    /// A webhook of an organisation.
    WebhookId = "webhook_";
    /// Something that webhooks are told of.
    EventId = "event_";
    /// Somebody's account at an OpenID provider, by which they sign in here.
    IdentityId = "identity_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back_and_ids_differ() {
        let (one, other) = (OrgId::generate().unwrap(), OrgId::generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(OrgId::parse(&one.to_string()), Ok(one));
        assert_eq!(OrgId::from_bytes(*one.as_bytes()), one);
    }

    #[test]
    fn a_thing_has_one_name_and_other_kinds_have_others() {
        let id = ProjectId::from_bytes([0xab; 16]);
        let text = id.to_string();
        assert_eq!(text, format!("proj_{}", "ab".repeat(16)));
        let wrong = [
            text.to_uppercase(),
            text.replace("ab", "AB"),
            text.replace("proj_", "key_"),
            format!("{text}0"),
            format!(" {text}"),
            "proj_".into(),
            String::new(),
            format!("proj_{}", "é".repeat(16)),
            "proj_' OR 1=1 --".into(),
        ];
        for text in wrong {
            assert_eq!(ProjectId::parse(&text), Err(InvalidId { prefix: "proj_" }), "{text}");
        }
    }
}
