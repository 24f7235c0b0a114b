//! A provider: where browsers are sent, and who comes back.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{Client, header::CONTENT_TYPE};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{sync::Mutex, time::Instant};
use url::{Url, form_urlencoded};

use crate::{
    Error, IdTokenFault, Limits, Settings,
    fetch::{self, json},
    id_token::{self, Address, Claims, Expected},
    keys::{KeySet, Keys},
    metadata::{ClientAuthentication, Document, Metadata},
};

/// A provider. Cloning it is cheap; all clones share what is known of it.
#[derive(Clone)]
pub struct Provider(Arc<Shared>);

struct Shared {
    settings: Settings,
    limits: Limits,
    client: Client,
    /// Held while it is asked, so that it is asked once however many wait: no longer than an answer may take.
    known: Mutex<Known>,
}

/// What the provider publishes, and when that was read.
#[derive(Default)]
struct Known {
    metadata: Option<(Instant, Arc<Metadata>)>,
    keys: Option<(Instant, Arc<Keys>)>,
    failed: Option<Instant>,
}

/// One request to vouch for somebody. Its secrets are of this request alone.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where the browser comes back: an address that the provider knows.
    pub redirect: &'a str,
    /// What the browser brings back.
    pub state: &'a str,
    /// What the ID token holds.
    pub nonce: &'a str,
    /// What shows the token endpoint that whoever brings the code began (RFC 7636): 43 characters or more.
    pub verifier: &'a str,
}

/// What a browser has brought back, whose state was checked.
#[derive(Clone, Copy)]
pub struct Callback<'a> {
    /// Is exchanged for the ID token, once.
    pub code: &'a str,
    /// Who the answer says that it is from (RFC 9207).
    pub issuer: Option<&'a str>,
}

/// Who somebody is, according to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Their name there, which never changes and is never another's: 1 to 255 characters of ASCII.
    pub subject: String,
    /// Their address, if the provider says one. It may be anything.
    pub email: Option<String>,
    /// Whether the provider has made sure that it is theirs.
    pub email_verified: bool,
}

/// What a token endpoint answers (OpenID Connect Core 1.0, section 3.1.3.3).
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

/// What is said of a person (section 5.3.2).
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    address: Address,
}

impl Provider {
    /// A provider. It is not asked before somebody comes.
    pub fn new(settings: Settings, limits: Limits, tls: rustls::ClientConfig) -> Result<Self, Error> {
        let client = fetch::client(tls, settings.issuer.is_local(), &limits)?;
        Ok(Self(Arc::new(Shared { settings, limits, client, known: Mutex::default() })))
    }

    /// Its name.
    pub fn issuer(&self) -> &str {
        self.0.settings.issuer.as_str()
    }

    /// Where a browser is sent with this request (OpenID Connect Core 1.0, section 3.1.2.1).
    pub async fn authorization_url(&self, request: &Request<'_>) -> Result<Url, Error> {
        let settings = &self.0.settings;
        let mut url = self.metadata().await?.authorization.clone();
        let others = settings.scopes.iter().map(|scope| &**scope).filter(|scope| *scope != "openid");
        let scopes: Vec<&str> = std::iter::once("openid").chain(others).collect();
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(request.verifier));
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &*settings.client_id),
            ("redirect_uri", request.redirect),
            ("scope", &scopes.join(" ")),
            ("state", request.state),
            ("nonce", request.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        Ok(url)
    }

    /// Who it is that has come back, at `now` in seconds since 1970.
    pub async fn authenticate(
        &self,
        callback: Callback<'_>,
        request: &Request<'_>,
        now: i64,
    ) -> Result<Authenticated, Error> {
        let metadata = self.metadata().await?;
        // Else a code of one provider could be carried to another one, who may be bad.
        let named = callback.issuer.map(|issuer| issuer == self.issuer());
        if !named.unwrap_or(!metadata.names_itself) {
            return Err(Error::WrongOrigin);
        }
        let tokens = self.exchange(&metadata, callback.code, request).await?;
        let Claims { subject, mut address } = self.verify(&metadata, &tokens.id_token, request.nonce, now).await?;
        if address.email.is_none()
            && let (Some(user_info), Some(access_token)) = (&metadata.user_info, &tokens.access_token)
        {
            let said = self.0.client.get(user_info.clone()).bearer_auth(access_token);
            let said: UserInfo = json("UserInfo", said, &self.0.limits).await?;
            if said.sub != subject {
                return Err(Error::OtherSubject);
            }
            address = said.address;
        }
        let email_verified = address.is_verified();
        Ok(Authenticated { subject, email: address.email, email_verified })
    }

    /// Exchanges a code (RFC 6749, section 4.1.3).
    async fn exchange(&self, metadata: &Metadata, code: &str, request: &Request<'_>) -> Result<Tokens, Error> {
        let settings = &self.0.settings;
        let (id, secret) = (&*settings.client_id, settings.client_secret.expose());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", request.redirect),
            ("code_verifier", request.verifier),
        ];
        let mut post = self.0.client.post(metadata.token.clone());
        match metadata.authentication {
            // Both are form-encoded first (RFC 6749, section 2.3.1).
            ClientAuthentication::Basic => post = post.basic_auth(encoded(id), Some(encoded(secret))),
            ClientAuthentication::Post => fields.extend([("client_id", id), ("client_secret", secret)]),
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let post = post.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        json("tokens", post, &self.0.limits).await
    }

    /// Checks an ID token. If it names a key that is not known, the keys may be others by now.
    async fn verify(&self, metadata: &Metadata, token: &str, nonce: &str, now: i64) -> Result<Claims, Error> {
        let Settings { issuer, client_id, .. } = &self.0.settings;
        let expected = Expected { issuer, client_id, algorithms: &metadata.algorithms, nonce, now };
        let keys = self.keys(metadata, self.0.limits.fresh).await?;
        match id_token::verify(token, &keys, &expected) {
            Err(IdTokenFault::UnknownKey) => {
                let keys = self.keys(metadata, self.0.limits.keys).await?;
                Ok(id_token::verify(token, &keys, &expected)?)
            }
            verified => Ok(verified?),
        }
    }

    /// What the provider says of itself.
    async fn metadata(&self) -> Result<Arc<Metadata>, Error> {
        let Shared { settings, limits, client, known } = &*self.0;
        let mut known = known.lock().await;
        if let Some((at, metadata)) = &known.metadata
            && at.elapsed() < limits.fresh
        {
            return Ok(Arc::clone(metadata));
        }
        known.rest(limits)?;
        let address = settings.issuer.discovery().map_err(|_| Error::Address { field: "issuer" })?;
        let document: Result<Document, Error> = json("the provider's description", client.get(address), limits).await;
        let metadata = document.and_then(|document| Metadata::check(document, &settings.issuer));
        let metadata = Arc::new(known.note(metadata)?);
        known.metadata = Some((Instant::now(), Arc::clone(&metadata)));
        Ok(metadata)
    }

    /// The provider's keys, no older than `age`.
    async fn keys(&self, metadata: &Metadata, age: std::time::Duration) -> Result<Arc<Keys>, Error> {
        let Shared { limits, client, known, .. } = &*self.0;
        let mut known = known.lock().await;
        if let Some((at, keys)) = &known.keys
            && at.elapsed() < age
        {
            return Ok(Arc::clone(keys));
        }
        known.rest(limits)?;
        let set: Result<KeySet, Error> = json("the provider's keys", client.get(metadata.keys.clone()), limits).await;
        let keys = Arc::new(Keys::of(known.note(set)?));
        known.keys = Some((Instant::now(), Arc::clone(&keys)));
        Ok(keys)
    }
}

impl Known {
    /// Refuses to ask so soon after a failure.
    fn rest(&self, limits: &Limits) -> Result<(), Error> {
        match self.failed {
            Some(at) if at.elapsed() < limits.rest => Err(Error::Resting),
            _ => Ok(()),
        }
    }

    fn note<T>(&mut self, asked: Result<T, Error>) -> Result<T, Error> {
        self.failed = asked.is_err().then(Instant::now);
        asked
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
