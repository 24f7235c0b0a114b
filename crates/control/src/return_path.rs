//! Where a browser goes after a sign-in: somewhere on this server.

use crate::error::ApiError;

/// Most characters.
const MOST: usize = 512;

/// A path on this server, perhaps with a query and a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnPath(String);

impl Default for ReturnPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl ReturnPath {
    /// Takes a text as a path. Browsers read `//` and backslashes as the beginning of a host and skip control characters; none of
    /// that is a path here.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if plain && text.starts_with('/') && !text.starts_with("//") && text.len() <= MOST {
            Ok(Self(text.to_owned()))
        } else {
            let message = format!("return_to is a path on this server, such as /console, of {MOST} characters at most");
            Err(ApiError::invalid("return_to", message))
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Providers;

    #[test]
    fn what_is_accepted_is_on_this_server_as_browsers_read_it() {
        let origin = "https://models.example.org";
        let providers = Providers::new(origin, Vec::new());
        for text in
            ["/", "/console?a=b#c", "/a//b", "/@evil.example", "/:80", "/.evil.example", "/..//evil.example", "/%0d%0a"]
        {
            let address = providers.address(&ReturnPath::parse(text).unwrap());
            let read = url::Url::parse(&address).unwrap();
            assert_eq!(read.origin().ascii_serialization(), origin, "{text}");
        }
        for text in [
            "",
            "console",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/a\r\nset-cookie: a=b",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            ".evil.example",
            "@evil.example",
            ":80",
            " /",
            "/ä",
            &format!("/{}", "x".repeat(512)),
        ] {
            assert!(ReturnPath::parse(text).is_err(), "{text:?}");
        }
    }
}
