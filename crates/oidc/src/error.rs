//! Why nobody could be shown to be anybody.

use std::time::Duration;

use thiserror::Error;

/// Why nobody could be shown to be anybody. Texts are for whoever runs the service; nothing of a token, a code or a secret is
/// in them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The client for HTTP could not be made.
    #[error("preparing HTTP: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
    /// Nothing came, or it broke off.
    #[error("asking for {what}: {reason}")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("asking for {what}: there was no whole answer within {within:?}")]
    TooSlow {
        /// What was asked for.
        what: &'static str,
        /// What was granted.
        within: Duration,
    },
    /// It said no.
    #[error("asking for {what}: the provider answered {status}{}", .code.map(|code| format!(", `{code}`")).unwrap_or_default())]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The status.
        status: u16,
        /// The error code, of those that RFC 6749 names.
        code: Option<&'static str>,
    },
    /// It sent more than anybody needs.
    #[error("asking for {what}: the answer has more than {most} bytes")]
    TooLarge {
        /// What was asked for.
        what: &'static str,
        /// What was granted.
        most: usize,
    },
    /// It sent something else.
    #[error("asking for {what}: the answer is not what the specification says (line {line}, column {column})")]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// The description is of another provider.
    #[error(
        "the provider calls itself `{found}`, not `{expected}`; the issuer must be set exactly as it spells itself"
    )]
    OtherIssuer {
        /// What was set.
        expected: Box<str>,
        /// What it says.
        found: Box<str>,
    },
    /// An address that we do not ask.
    #[error("the provider's `{field}` is no address that may be used: https:// is needed, without a user name")]
    Address {
        /// Which.
        field: &'static str,
    },
    /// It cannot do what we need.
    #[error("the provider does not offer {what}")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// It failed a moment ago.
    #[error("the provider failed a moment ago and is not asked again yet")]
    Resting,
    /// The browser came back from another provider, or from nobody knows which.
    #[error("the answer that the browser brought does not name this provider as the one that it is from")]
    WrongOrigin,
    /// The ID token does not show what it should.
    #[error("the ID token is not accepted: {0}")]
    IdToken(#[from] IdTokenFault),
    /// What the provider says of the person is about another person.
    #[error("the provider's UserInfo is about another person than its ID token")]
    OtherSubject,
}

/// Why an ID token is not accepted (OpenID Connect Core 1.0, section 3.1.3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdTokenFault {
    /// It is no signed token.
    #[error("it is not three parts of base64url and JSON as a signed token is")]
    Malformed,
    /// It is signed in a way that is not accepted, or not at all.
    #[error("its algorithm is none of RS256, ES256 and EdDSA, or the provider does not announce it")]
    Algorithm,
    /// It is signed with an unknown key.
    #[error("the provider does not publish the key that it names")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// Another provider has made it.
    #[error("it is from another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another client")]
    Audience,
    /// It is over, or not yet.
    #[error("it does not hold at this moment; check both clocks")]
    Time,
    /// It answers another request.
    #[error("its nonce is another request's")]
    Nonce,
    /// It names nobody.
    #[error("its subject is not 1 to 255 characters of ASCII")]
    Subject,
}
