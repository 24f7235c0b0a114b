//! ID tokens (OpenID Connect Core 1.0, section 2), and what must hold before one is believed (section 3.1.3.7).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    IdTokenFault, Issuer,
    keys::{Algorithm, Keys},
};

/// How far two clocks may be apart, in seconds.
const LEEWAY: f64 = 60.0;

/// Longest subject, in characters of ASCII.
const MOST_SUBJECT: usize = 255;

/// What a token must show.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) client_id: &'a str,
    /// What the provider announces.
    pub(crate) algorithms: &'a [Algorithm],
    pub(crate) nonce: &'a str,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// What a token says of somebody, once it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) subject: String,
    pub(crate) address: Address,
}

/// What a provider says of somebody's address, in an ID token or as UserInfo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Address {
    pub(crate) email: Option<String>,
    /// Some providers say it as text.
    #[serde(default, rename = "email_verified")]
    verified: Option<Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    #[serde(flatten)]
    address: Address,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Address {
    /// Whether the provider has made sure of it. What it does not say, it has not.
    pub(crate) fn is_verified(&self) -> bool {
        matches!(&self.verified, Some(Value::Bool(true))) || self.verified.as_ref().is_some_and(|value| value == "true")
    }
}

/// Checks a token: first who has signed it, and then what it says.
pub(crate) fn verify(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Claims, IdTokenFault> {
    let (message, signature) = token.rsplit_once('.').ok_or(IdTokenFault::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(IdTokenFault::Malformed)?;
    if payload.contains('.') {
        return Err(IdTokenFault::Malformed);
    }
    let header: Header = part(header)?;
    // An extension that must be understood is none that we do; a token of another type was made for something else.
    let is_plain = header.crit.is_none() && header.typ.is_none_or(|r#type| r#type.eq_ignore_ascii_case("JWT"));
    if !is_plain {
        return Err(IdTokenFault::Malformed);
    }
    let algorithm = Algorithm::named(&header.alg).filter(|algorithm| expected.algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or(IdTokenFault::Algorithm)?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| IdTokenFault::Malformed)?;
    keys.verify(algorithm, header.kid.as_deref(), message.as_bytes(), &signature)?;
    check(part(payload)?, expected)
}

fn check(payload: Payload, expected: &Expected<'_>) -> Result<Claims, IdTokenFault> {
    if payload.iss != expected.issuer.as_str() {
        return Err(IdTokenFault::Issuer);
    }
    let audiences = match payload.aud {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    };
    // Of several, the one that it was made for is named.
    let is_ours = audiences.iter().any(|audience| audience == expected.client_id);
    let is_for_us = match payload.azp {
        Some(party) => party == expected.client_id,
        None => audiences.len() == 1,
    };
    if !is_ours || !is_for_us {
        return Err(IdTokenFault::Audience);
    }
    let now = expected.now as f64;
    let began = payload.iat <= now + LEEWAY && payload.nbf.is_none_or(|from| from <= now + LEEWAY);
    if !began || payload.exp <= now - LEEWAY {
        return Err(IdTokenFault::Time);
    }
    if payload.nonce.as_deref() != Some(expected.nonce) {
        return Err(IdTokenFault::Nonce);
    }
    let subject = payload.sub;
    if subject.is_empty() || subject.len() > MOST_SUBJECT || !subject.is_ascii() {
        return Err(IdTokenFault::Subject);
    }
    Ok(Claims { subject, address: payload.address })
}

/// One part of a token.
fn part<T: DeserializeOwned>(text: &str) -> Result<T, IdTokenFault> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| IdTokenFault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| IdTokenFault::Malformed)
}

#[cfg(test)]
mod tests {
    use ring::{
        hmac,
        rand::SystemRandom,
        signature::{Ed25519KeyPair, KeyPair},
    };
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_764_086_400;

    struct Stage {
        pair: Ed25519KeyPair,
        keys: Keys,
        issuer: Issuer,
    }

    fn stage() -> Stage {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let x = encode(pair.public_key().as_ref());
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]});
        let keys = Keys::of(serde_json::from_value(set).unwrap());
        Stage { pair, keys, issuer: Issuer::parse("https://a.example").unwrap() }
    }

    fn encode(bytes: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn header() -> Value {
        json!({"alg": "EdDSA", "kid": "k", "typ": "JWT"})
    }

    fn payload() -> Value {
        json!({"iss": "https://a.example", "sub": "s", "aud": "us", "exp": NOW + 300, "iat": NOW, "nonce": "n",
            "email": "ann@example.org", "email_verified": true})
    }

    impl Stage {
        fn sign(&self, header: &Value, payload: &Value) -> String {
            let message =
                format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.to_string().as_bytes()));
            let signature = encode(self.pair.sign(message.as_bytes()).as_ref());
            format!("{message}.{signature}")
        }

        fn verify(&self, token: &str) -> Result<Claims, IdTokenFault> {
            let algorithms = &Algorithm::ALL;
            let expected = Expected { issuer: &self.issuer, client_id: "us", algorithms, nonce: "n", now: NOW };
            verify(token, &self.keys, &expected)
        }

        /// A sound token but for this.
        fn check(&self, header_change: Value, payload_change: Value, expect: Option<IdTokenFault>) {
            let changed = |mut value: Value, change: &Value| {
                for (name, new) in change.as_object().unwrap() {
                    match new {
                        Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
                        new => value[name] = new.clone(),
                    }
                }
                value
            };
            let (header, payload) = (changed(header(), &header_change), changed(payload(), &payload_change));
            assert_eq!(self.verify(&self.sign(&header, &payload)).err(), expect, "{header} {payload}");
        }
    }

    #[test]
    fn a_sound_token_says_who_somebody_is() {
        let stage = stage();
        let claims = stage.verify(&stage.sign(&header(), &payload())).unwrap();
        assert_eq!((claims.subject.as_str(), claims.address.email.as_deref()), ("s", Some("ann@example.org")));
        assert!(claims.address.is_verified());
    }

    #[test]
    fn what_is_not_sound_is_refused_for_its_reason() {
        use IdTokenFault as F;
        let stage = stage();
        let payload = |change| stage.check(json!({}), change, None);
        let wrong = |change, fault| stage.check(json!({}), change, Some(fault));
        let head = |change, fault| stage.check(change, json!({}), Some(fault));
        for issuer in ["https://a.example/", "https://b.example", "HTTPS://a.example", ""] {
            wrong(json!({"iss": issuer}), F::Issuer);
        }
        payload(json!({"aud": ["us"]}));
        payload(json!({"aud": ["us", "them"], "azp": "us"}));
        payload(json!({"azp": "us"}));
        for aud in [json!("them"), json!(["them"]), json!([]), json!(""), json!(["us", "them"]), json!("us,them")] {
            wrong(json!({"aud": aud}), F::Audience);
        }
        wrong(json!({"azp": "them"}), F::Audience);
        wrong(json!({"aud": ["us", "them"], "azp": "them"}), F::Audience);
        wrong(json!({"aud": "them", "azp": "us"}), F::Audience);
        payload(json!({"exp": NOW - 59}));
        payload(json!({"iat": NOW + 60, "nbf": NOW + 60}));
        for change in [json!({"exp": NOW - 60}), json!({"exp": 0}), json!({"iat": NOW + 61}), json!({"nbf": NOW + 61})]
        {
            wrong(change, F::Time);
        }
        for nonce in [json!("m"), json!(""), json!("N"), Value::Null] {
            wrong(json!({"nonce": nonce}), F::Nonce);
        }
        payload(json!({"sub": "x".repeat(255)}));
        for subject in [String::new(), "x".repeat(256), "ä".into()] {
            wrong(json!({"sub": subject}), F::Subject);
        }
        for absent in ["iss", "sub", "aud", "exp", "iat"] {
            wrong(json!({absent: null}), F::Malformed);
            wrong(json!({absent: {"a": 1}}), F::Malformed);
        }
        for algorithm in ["none", "None", "", "HS256", "RS512", "PS256", "ES384", "eddsa"] {
            head(json!({"alg": algorithm}), F::Algorithm);
        }
        head(json!({"alg": "RS256"}), F::UnknownKey);
        head(json!({"kid": "other"}), F::UnknownKey);
        head(json!({"typ": "at+jwt"}), F::Malformed);
        head(json!({"crit": ["exp"]}), F::Malformed);
        head(json!({"alg": null}), F::Malformed);
        stage.check(json!({"kid": null, "typ": null}), json!({}), None);
    }

    #[test]
    fn an_algorithm_that_the_provider_does_not_announce_is_refused() {
        let stage = stage();
        let token = stage.sign(&header(), &payload());
        let algorithms = &[Algorithm::Rs256, Algorithm::Es256];
        let expected = Expected { issuer: &stage.issuer, client_id: "us", algorithms, nonce: "n", now: NOW };
        assert_eq!(verify(&token, &stage.keys, &expected).err(), Some(IdTokenFault::Algorithm));
    }

    #[test]
    fn nobody_signs_but_the_provider() {
        let (stage, stranger) = (stage(), stage());
        assert_eq!(stage.verify(&stranger.sign(&header(), &payload())), Err(IdTokenFault::Signature));
        let sound = stage.sign(&header(), &payload());
        let parts: Vec<&str> = sound.split('.').collect();
        let mut other = payload();
        other["sub"] = json!("t");
        let other = encode(other.to_string().as_bytes());
        let none = encode(json!({"alg": "none"}).to_string().as_bytes());
        let hmac_header = encode(json!({"alg": "HS256", "kid": "k"}).to_string().as_bytes());
        let message = format!("{hmac_header}.{other}");
        // The public key, which everybody knows, as if it were a secret.
        let secret = hmac::Key::new(hmac::HMAC_SHA256, stage.pair.public_key().as_ref());
        let forged = encode(hmac::sign(&secret, message.as_bytes()).as_ref());
        for (token, fault) in [
            (format!("{}.{other}.{}", parts[0], parts[2]), IdTokenFault::Signature),
            (format!("{}.{}.", parts[0], parts[1]), IdTokenFault::Signature),
            (format!("{none}.{other}."), IdTokenFault::Algorithm),
            (format!("{none}.{other}.{}", parts[2]), IdTokenFault::Algorithm),
            (format!("{message}.{forged}"), IdTokenFault::Algorithm),
            (format!("{sound}.{}", parts[2]), IdTokenFault::Malformed),
            (format!("{}.{}", parts[0], parts[1]), IdTokenFault::Malformed),
            (format!("{sound}="), IdTokenFault::Malformed),
            (String::new(), IdTokenFault::Malformed),
            ("..".into(), IdTokenFault::Malformed),
        ] {
            assert_eq!(stage.verify(&token), Err(fault), "{token}");
        }
    }

    #[test]
    fn an_address_is_verified_only_where_the_provider_says_so() {
        let verified = |value: Value| {
            let address: Address = serde_json::from_value(json!({"email": "a@b", "email_verified": value})).unwrap();
            address.is_verified()
        };
        assert!(verified(json!(true)) && verified(json!("true")));
        for value in [json!(false), json!("false"), json!(1), json!("yes"), json!([true]), Value::Null] {
            assert!(!verified(value.clone()), "{value}");
        }
        assert!(!serde_json::from_value::<Address>(json!({"email": "a@b"})).unwrap().is_verified());
    }
}
