//! What a provider says of itself (OpenID Connect Discovery 1.0, section 3).

use serde::Deserialize;
use url::Url;

use crate::{Error, Issuer, keys::Algorithm};

/// How we show a token endpoint who we are (OpenID Connect Core 1.0, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuthentication {
    /// In a header.
    Basic,
    /// In the body.
    Post,
}

/// What a provider says of itself, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) authorization: Url,
    pub(crate) token: Url,
    pub(crate) keys: Url,
    pub(crate) user_info: Option<Url>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) authentication: ClientAuthentication,
    /// Whether each answer that a browser brings names the provider (RFC 9207).
    pub(crate) names_itself: bool,
}

/// The document. What we do not use is not looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Checks a document that the provider at `issuer` has sent.
    pub(crate) fn check(document: Document, issuer: &Issuer) -> Result<Self, Error> {
        if document.issuer != issuer.as_str() {
            let found = document.issuer.chars().take(Issuer::MAX_LENGTH).collect();
            return Err(Error::OtherIssuer { expected: issuer.as_str().into(), found });
        }
        let address = |field, text: &str| issuer.endpoint(text).ok_or(Error::Address { field });
        let challenges = document.code_challenge_methods_supported;
        if challenges.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
            return Err(Error::Unsupported { what: "PKCE with S256" });
        }
        // What every provider can, unless it says otherwise.
        let algorithms = match document.id_token_signing_alg_values_supported {
            None => vec![Algorithm::Rs256],
            Some(names) => Algorithm::ALL.into_iter().filter(|known| names.iter().any(|name| known.is(name))).collect(),
        };
        if algorithms.is_empty() {
            return Err(Error::Unsupported { what: "ID tokens signed with RS256, ES256 or EdDSA" });
        }
        let methods = document.token_endpoint_auth_methods_supported;
        let offers = |name: &str| methods.as_ref().is_none_or(|methods| methods.iter().any(|method| method == name));
        let authentication = match () {
            () if offers("client_secret_basic") => ClientAuthentication::Basic,
            () if offers("client_secret_post") => ClientAuthentication::Post,
            () => return Err(Error::Unsupported { what: "client_secret_basic or client_secret_post" }),
        };
        Ok(Self {
            authorization: address("authorization_endpoint", &document.authorization_endpoint)?,
            token: address("token_endpoint", &document.token_endpoint)?,
            keys: address("jwks_uri", &document.jwks_uri)?,
            user_info: document.userinfo_endpoint.map(|text| address("userinfo_endpoint", &text)).transpose()?,
            algorithms,
            authentication,
            names_itself: document.authorization_response_iss_parameter_supported,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(change: Value) -> Result<Metadata, Error> {
        let mut document = json!({
            "issuer": "https://a.example", "authorization_endpoint": "https://a.example/auth?x=1",
            "token_endpoint": "https://a.example/token", "jwks_uri": "https://a.example/keys",
        });
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        Metadata::check(serde_json::from_value(document).unwrap(), &Issuer::parse("https://a.example").unwrap())
    }

    #[test]
    fn what_is_not_said_is_what_the_specification_says() {
        let metadata = check(json!({})).unwrap();
        assert_eq!((metadata.algorithms, metadata.user_info), (vec![Algorithm::Rs256], None));
        assert_eq!((metadata.authentication, metadata.names_itself), (ClientAuthentication::Basic, false));
    }

    #[test]
    fn what_is_said_is_taken_as_far_as_it_is_sound() {
        let both = json!({"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
            "id_token_signing_alg_values_supported": ["none", "HS256", "EdDSA", "PS256", "ES256"]});
        let metadata = check(both).unwrap();
        assert_eq!(metadata.authentication, ClientAuthentication::Post);
        assert_eq!(metadata.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    }

    #[test]
    fn another_issuer_and_unsafe_addresses_are_refused() {
        for issuer in ["https://a.example/", "https://A.example", "https://b.example", ""] {
            assert!(matches!(check(json!({"issuer": issuer})), Err(Error::OtherIssuer { .. })), "{issuer}");
        }
        for field in ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"] {
            for address in ["http://a.example/x", "http://127.0.0.1/x", "javascript:alert(1)", "x"] {
                assert_eq!(check(json!({field: address})), Err(Error::Address { field }), "{address}");
            }
        }
        for change in [
            json!({"id_token_signing_alg_values_supported": ["none", "HS256"]}),
            json!({"id_token_signing_alg_values_supported": []}),
            json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}),
            json!({"code_challenge_methods_supported": ["plain"]}),
        ] {
            assert!(matches!(check(change.clone()), Err(Error::Unsupported { .. })), "{change}");
        }
    }
}
