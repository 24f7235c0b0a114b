//! Addresses by which people are known.

use std::fmt;

use thiserror::Error;

/// An e-mail address in lower case: one person has one spelling, though a mail server might tell two apart. Nothing is sent
/// to it from here; it is a name that others know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(Box<str>);

/// A text that is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an e-mail address is a name, `@` and a domain, in visible ASCII characters, 254 at most")]
pub struct InvalidEmail;

impl Email {
    /// Most characters (RFC 5321, section 4.5.3.1.3, less the brackets).
    pub const MAX_LENGTH: usize = 254;

    /// Takes a text as an address. What looks like one is enough: only its owner can show that it is theirs.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let (name, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let fits = text.len() <= Self::MAX_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic());
        // Quoted names may hold more; nobody has one.
        let plain =
            |part: &str| !part.is_empty() && !part.contains(['@', '"', '<', '>', '(', ')', ',', ';', ':', '\\']);
        if fits && plain(name) && plain(domain) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(InvalidEmail)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_one_spelling() {
        let email = Email::parse("Ann.B+x@Example.ORG").unwrap();
        assert_eq!((email.as_str(), email.domain()), ("ann.b+x@example.org", "example.org"));
        assert_eq!(Email::parse("o'neil@localhost").unwrap().domain(), "localhost");
    }

    #[test]
    fn other_texts_are_none() {
        let long = format!("{}@example.org", "a".repeat(250));
        for text in ["", "a", "@", "a@", "@b", "a b@c", "a@b@c", "ä@b.de", "a@b\n", "<a@b>", "a,b@c", "\"a\"@b", &long]
        {
            assert_eq!(Email::parse(text), Err(InvalidEmail), "{text:?}");
        }
    }
}
