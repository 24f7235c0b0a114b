//! The keys that a provider signs with (RFC 7517, RFC 7518, RFC 8037).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use crate::IdTokenFault;

/// Most keys of a set that are looked at. Providers publish two or three.
const MOST: usize = 64;

/// How an ID token may be signed: always with a key that only the provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// The keys of a provider.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A set of keys as it is published.
#[derive(Debug, Deserialize)]
pub(crate) struct KeySet {
    keys: Vec<Value>,
}

/// One of them.
#[derive(Debug, Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Whether it has this name. RFC 9864 has given EdDSA on this curve another one.
    pub(crate) fn is(self, name: &str) -> bool {
        match self {
            Self::Rs256 => name == "RS256",
            Self::Es256 => name == "ES256",
            Self::EdDsa => name == "EdDSA" || name == "Ed25519",
        }
    }

    /// The one that has this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.is(name))
    }
}

impl Keys {
    /// Those of a set that we can use; a set may have others.
    pub(crate) fn of(set: KeySet) -> Self {
        Self(set.keys.into_iter().take(MOST).filter_map(Key::of).collect())
    }

    /// Checks the signature of `message`. Without an `id` there must be one key that it can be.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), IdTokenFault> {
        let can_be = |key: &&Key| key.algorithm() == algorithm && (id.is_none() || key.id.as_deref() == id);
        let mut found = self.0.iter().filter(can_be);
        match (found.next(), found.next()) {
            (Some(key), None) if key.verify(message, signature) => Ok(()),
            (Some(_), None) => Err(IdTokenFault::Signature),
            _ => Err(IdTokenFault::UnknownKey),
        }
    }
}

impl Key {
    fn of(value: Value) -> Option<Self> {
        let key: Published = serde_json::from_value(value).ok()?;
        let bytes = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let material = match (key.kty.as_str(), key.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: without_zeros(bytes(&key.n)?), e: without_zeros(bytes(&key.e)?) },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&key.x)?, bytes(&key.y)?);
                if (x.len(), y.len()) != (32, 32) {
                    return None;
                }
                Material::P256([&[4], &x[..], &y[..]].concat())
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&key.x)?),
            _ => return None,
        };
        let known = Self { id: key.kid, material };
        let signs = key.r#use.is_none_or(|r#use| r#use == "sig");
        let verifies = key.key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        let fits = key.alg.is_none_or(|name| known.algorithm().is(&name));
        (signs && verifies && fits).then_some(known)
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.material {
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
            Material::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
        };
        verified.is_ok()
    }
}

fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(published: Value) -> Keys {
        Keys::of(serde_json::from_value(json!({ "keys": published })).unwrap())
    }

    fn verify(keys: &Keys, algorithm: Algorithm, id: Option<&str>, token: &str) -> Result<(), IdTokenFault> {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        keys.verify(algorithm, id, message.as_bytes(), &signature)
    }

    /// RFC 7515, appendix A.2.
    fn rsa() -> (Value, &'static str) {
        let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs\
                 D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV\
                 MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                     cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1d\
                     nZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e\
                     OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        (json!({"kty": "RSA", "kid": "r", "n": n, "e": "AQAB"}), token)
    }

    /// RFC 7515, appendix A.3.
    fn p256() -> (Value, &'static str) {
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                     DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let key = json!({"kty": "EC", "kid": "p", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        (key, token)
    }

    /// RFC 8037, appendix A.4.
    fn ed25519() -> (Value, &'static str) {
        let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                     hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        (json!({"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}), token)
    }

    #[test]
    fn the_signatures_of_the_specifications_are_right_and_any_other_is_not() {
        let all = [(Algorithm::Rs256, rsa()), (Algorithm::Es256, p256()), (Algorithm::EdDsa, ed25519())];
        let set = keys(all.iter().map(|(_, (key, _))| key.clone()).collect());
        for (algorithm, (key, token)) in &all {
            assert_eq!(verify(&set, *algorithm, key["kid"].as_str(), token), Ok(()), "{algorithm:?}");
            assert_eq!(verify(&set, *algorithm, None, token), Ok(()), "{algorithm:?} is of one key alone");
            let (message, signature) = token.rsplit_once('.').unwrap();
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
            for place in [0, bytes.len() / 2, bytes.len() - 1] {
                bytes[place] ^= 1;
                let wrong = set.verify(*algorithm, key["kid"].as_str(), message.as_bytes(), &bytes);
                assert_eq!(wrong, Err(IdTokenFault::Signature), "{algorithm:?}");
                bytes[place] ^= 1;
            }
            for signature in [&b""[..], &bytes[1..]] {
                let wrong = set.verify(*algorithm, None, message.as_bytes(), signature);
                assert_eq!(wrong, Err(IdTokenFault::Signature), "{algorithm:?}");
            }
            let other = set.verify(*algorithm, None, &message.as_bytes()[1..], &bytes);
            assert_eq!(other, Err(IdTokenFault::Signature), "{algorithm:?}");
            assert_eq!(verify(&set, *algorithm, Some("x"), token), Err(IdTokenFault::UnknownKey), "{algorithm:?}");
            for (another, _) in all.iter().filter(|(another, _)| another != algorithm) {
                let mistaken = verify(&set, *another, key["kid"].as_str(), token);
                assert_eq!(mistaken, Err(IdTokenFault::UnknownKey), "{algorithm:?} as {another:?}");
            }
        }
    }

    #[test]
    fn a_key_for_something_else_is_none() {
        let (key, token) = p256();
        for (name, value) in [
            ("use", json!("enc")),
            ("alg", json!("ES384")),
            ("alg", json!("HS256")),
            ("key_ops", json!(["deriveKey"])),
            ("kty", json!("oct")),
            ("crv", json!("P-384")),
            ("x", json!("AAAA")),
            ("y", Value::Null),
        ] {
            let mut key = key.clone();
            key[name] = value;
            let refused = verify(&keys(json!([key])), Algorithm::Es256, Some("p"), token);
            assert_eq!(refused, Err(IdTokenFault::UnknownKey), "{key}");
        }
        let fits = json!({"use": "sig", "alg": "ES256", "key_ops": ["verify"]});
        let mut key = key;
        key.as_object_mut().unwrap().extend(fits.as_object().unwrap().clone());
        assert_eq!(verify(&keys(json!([key, {"kty": "oct", "k": "AAAA"}, 7])), Algorithm::Es256, None, token), Ok(()));
    }

    #[test]
    fn of_two_keys_that_it_can_be_a_token_must_name_one() {
        let ((first, token), (mut second, _)) = (p256(), p256());
        second["kid"] = json!("q");
        let set = keys(json!([first, second]));
        assert_eq!(verify(&set, Algorithm::Es256, None, token), Err(IdTokenFault::UnknownKey));
        assert_eq!(verify(&set, Algorithm::Es256, Some("q"), token), Ok(()));
    }
}
