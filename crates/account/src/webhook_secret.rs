//! What shows a receiver that a delivery comes from here.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that a webhook and its receiver share. It follows from the installation's pepper
/// ([`crate::Pepper::webhook_secret`]), so nobody keeps it.
#[derive(Clone)]
pub struct WebhookSecret(pub(crate) [u8; 32]);

impl WebhookSecret {
    /// The text for the receiver, as the Standard Webhooks specification writes secrets: `whsec_` and base64.
    pub fn expose(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.0))
    }

    /// The signature of a delivery (Standard Webhooks, section "Signature scheme"): HMAC-SHA-256 over its id, the moment in
    /// seconds since 1970 and its body.
    pub fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        sign(&self.0, id, seconds, body)
    }
}

fn sign(secret: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pepper, WebhookId};

    /// The example that libraries of the specification test themselves with.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_webhook_version_and_installation_has_another_secret() {
        let (one, other) = (Pepper::from_bytes(&[1; 32]).unwrap(), Pepper::from_bytes(&[2; 32]).unwrap());
        let secret =
            |pepper: &Pepper, id, version| pepper.webhook_secret(WebhookId::from_bytes([id; 16]), version).expose();
        let first = secret(&one, 1, 1);
        assert!(first.starts_with("whsec_") && first.len() == 50);
        assert_eq!(secret(&one, 1, 1), first);
        for another in [secret(&other, 1, 1), secret(&one, 2, 1), secret(&one, 1, 2)] {
            assert_ne!(another, first);
        }
        let hidden = format!("{:?}", one.webhook_secret(WebhookId::from_bytes([1; 16]), 1));
        assert_eq!(hidden, "WebhookSecret(…)");
    }
}
