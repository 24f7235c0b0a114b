//! The name of a provider, which is an address.

use std::net::IpAddr;

use thiserror::Error;
use url::Url;

/// Where a provider describes itself (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The name of a provider: an address. Names are compared as they are spelt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    text: Box<str>,
    url: Url,
}

/// A text that names no provider.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` names no provider; an issuer is https:// and a host, perhaps with a path, exactly as the provider spells it \
     (http:// only for one on this machine)"
)]
pub struct InvalidIssuer {
    text: Box<str>,
}

impl Issuer {
    /// Most bytes of a name.
    pub const MAX_LENGTH: usize = 512;

    /// Takes a text as the name of a provider.
    pub fn parse(text: &str) -> Result<Self, InvalidIssuer> {
        let invalid = || InvalidIssuer { text: text.chars().take(Self::MAX_LENGTH).collect() };
        let url = text.parse::<Url>().map_err(|_| invalid())?;
        let safe = is_https(&url) || is_local_http(&url);
        let bare = url.query().is_none() && url.fragment().is_none() && is_without_user(&url);
        if safe && bare && text.len() <= Self::MAX_LENGTH {
            Ok(Self { text: text.into(), url })
        } else {
            Err(invalid())
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the provider describes itself.
    pub(crate) fn discovery(&self) -> Result<Url, InvalidIssuer> {
        let address = format!("{}{DISCOVERY}", self.text.trim_end_matches('/'));
        address.parse().map_err(|_| InvalidIssuer { text: self.text.clone() })
    }

    /// Whether it is on this machine, where nothing is between us.
    pub(crate) fn is_local(&self) -> bool {
        is_local_http(&self.url)
    }

    /// An address that the provider names. What is not on this machine cannot send us to something that is, nor to what
    /// others could read.
    pub(crate) fn endpoint(&self, text: &str) -> Option<Url> {
        let url = text.parse::<Url>().ok()?;
        let safe = is_https(&url) || self.is_local() && is_local_http(&url);
        (safe && url.fragment().is_none() && is_without_user(&url)).then_some(url)
    }
}

fn is_https(url: &Url) -> bool {
    url.scheme() == "https" && url.has_host()
}

fn is_local_http(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    url.scheme() == "http"
        && host.parse().map_or(host == "localhost", |address: IpAddr| address.to_canonical().is_loopback())
}

fn is_without_user(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_speaks_https_unless_it_is_on_this_machine() {
        for text in [
            "https://accounts.example.org",
            "https://login.example.org/tenant/v2.0",
            "https://login.example.org/tenant/",
            "http://127.0.0.1:4000",
            "http://[::1]:4000",
            "http://localhost:4000/realm",
        ] {
            assert_eq!(Issuer::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "accounts.example.org",
            "http://accounts.example.org",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "http://10.0.0.1",
            "ftp://accounts.example.org",
            "https://accounts.example.org?tenant=1",
            "https://accounts.example.org#x",
            "https://user@accounts.example.org",
            "https://user:secret@accounts.example.org",
            &format!("https://accounts.example.org/{}", "x".repeat(512)),
        ] {
            assert!(Issuer::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_describes_itself_below_its_own_path() {
        let discovery = |text| Issuer::parse(text).unwrap().discovery().unwrap().to_string();
        let expect = "https://a.example/t/.well-known/openid-configuration";
        assert_eq!(
            (discovery("https://a.example/t"), discovery("https://a.example/t/")),
            (expect.into(), expect.into())
        );
    }

    #[test]
    fn a_provider_elsewhere_names_no_address_on_this_machine() {
        let (far, near) = (Issuer::parse("https://a.example").unwrap(), Issuer::parse("http://127.0.0.1:1").unwrap());
        for (address, from_far, from_near) in [
            ("https://keys.example/jwks", true, true),
            ("http://127.0.0.1:2/jwks", false, true),
            ("http://localhost/jwks", false, true),
            ("http://keys.example/jwks", false, false),
            ("http://192.168.0.1/jwks", false, false),
            ("file:///etc/passwd", false, false),
            ("https://user@keys.example", false, false),
            ("/jwks", false, false),
        ] {
            assert_eq!(far.endpoint(address).is_some(), from_far, "{address}");
            assert_eq!(near.endpoint(address).is_some(), from_near, "{address}");
        }
    }
}
