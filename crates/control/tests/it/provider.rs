//! A provider that is asked over HTTP and can be made to do everything wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    digest, hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

pub const CLIENT: &str = "our client";
pub const SECRET: &str = "s3cret:&=% of ours";

/// A provider. What it does may be changed at any time.
#[derive(Clone)]
pub struct FakeProvider {
    pub issuer: String,
    state: Arc<Mutex<Behaviour>>,
}

/// What it does.
pub struct Behaviour {
    /// Changes its description; null takes a field away.
    pub document: Value,
    /// Changes what its tokens say.
    pub claims: Value,
    /// Changes their heads.
    pub header: Value,
    /// What it says of whoever has the access token.
    pub user_info: Value,
    /// How tokens are signed.
    pub signing: Signing,
    /// Paths that answer with more than anybody reads.
    pub huge: Option<&'static str>,
    /// Paths that never answer.
    pub silent: Option<&'static str>,
    /// Paths that begin an answer and never end it.
    pub endless: Option<&'static str>,
    /// Paths that send elsewhere.
    pub redirecting: Option<&'static str>,
    /// How often each path was asked.
    pub asked: HashMap<&'static str, u32>,
    key: EcdsaKeyPair,
    key_id: String,
    grants: HashMap<String, Grant>,
    /// What the last token was.
    pub last_token: String,
}

/// How tokens are signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    Sound,
    /// With a key that it does not publish.
    Stranger,
    /// Not at all, and the head says so.
    None,
    /// With the public key, as if it were a secret.
    PublicKeyAsSecret,
    /// The payload is changed afterwards.
    ChangedPayload,
}

struct Grant {
    nonce: String,
    challenge: String,
    redirect: String,
}

impl FakeProvider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Behaviour {
            document: json!({}),
            claims: json!({}),
            header: json!({}),
            user_info: json!({"sub": "ann"}),
            signing: Signing::Sound,
            huge: None,
            silent: None,
            endless: None,
            redirecting: None,
            asked: HashMap::new(),
            key: key(),
            key_id: "first".into(),
            grants: HashMap::new(),
            last_token: String::new(),
        };
        let provider = Self { issuer, state: Arc::new(Mutex::new(behaviour)) };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/me", get(user_info))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        provider
    }

    pub fn does(&self) -> MutexGuard<'_, Behaviour> {
        self.state.lock().unwrap()
    }

    pub fn asked(&self, path: &str) -> u32 {
        self.does().asked.get(path).copied().unwrap_or(0)
    }

    /// What a person with this browser does there: what it brings back.
    pub fn authorize(&self, address: &str) -> Vec<(String, String)> {
        let url = Url::parse(address).unwrap();
        assert!(address.starts_with(&format!("{}/auth?", self.issuer)), "{address}");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!((&*query["response_type"], &*query["client_id"]), ("code", CLIENT));
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(query["scope"].split(' ').any(|scope| scope == "openid"), "{}", query["scope"]);
        let mut does = self.does();
        let code = format!("code-{}", does.grants.len());
        let grant = Grant {
            nonce: query["nonce"].clone(),
            challenge: query["code_challenge"].clone(),
            redirect: query["redirect_uri"].clone(),
        };
        does.grants.insert(code.clone(), grant);
        vec![("code".into(), code), ("state".into(), query["state"].clone())]
    }

    /// Another key from now on. The one before is not published any more.
    pub fn rotate(&self, id: &str) {
        let mut does = self.does();
        (does.key, does.key_id) = (key(), id.into());
    }

    /// What is wrong with the answers of this path.
    async fn spoil(&self, path: &'static str) -> Option<Response> {
        let (huge, silent, endless, redirecting) = {
            let mut does = self.does();
            *does.asked.entry(path).or_insert(0) += 1;
            let is = |of: Option<&str>| of == Some(path);
            (is(does.huge), is(does.silent), is(does.endless), is(does.redirecting))
        };
        if silent {
            std::future::pending::<()>().await;
        }
        let endless_body = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        match () {
            () if huge => Some(format!("{{\"x\": \"{}\"}}", "x".repeat(300 << 10)).into_response()),
            () if endless => Some(endless_body().into_response()),
            () if redirecting => {
                let elsewhere = format!("{}{path}?again", self.issuer);
                self.does().redirecting = None;
                Some((StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere)]).into_response())
            }
            () => None,
        }
    }
}

fn key() -> EcdsaKeyPair {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn changed(mut value: Value, change: &Value) -> Value {
    for (name, new) in change.as_object().unwrap() {
        match new {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            new => value[name] = new.clone(),
        }
    }
    value
}

async fn describe(State(provider): State<FakeProvider>) -> Response {
    if let Some(spoilt) = provider.spoil("description").await {
        return spoilt;
    }
    let issuer = &provider.issuer;
    let document = json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"), "userinfo_endpoint": format!("{issuer}/me"),
        "id_token_signing_alg_values_supported": ["ES256"], "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
    });
    let change = provider.does().document.clone();
    Json(changed(document, &change)).into_response()
}

async fn keys(State(provider): State<FakeProvider>) -> Response {
    if let Some(spoilt) = provider.spoil("keys").await {
        return spoilt;
    }
    let does = provider.does();
    let point = does.key.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    Json(json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": does.key_id, "x": x, "y": y}]}))
        .into_response()
}

async fn token(State(provider): State<FakeProvider>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(spoilt) = provider.spoil("token").await {
        return spoilt;
    }
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let mut does = provider.does();
    let basic = does.document["token_endpoint_auth_methods_supported"] == Value::Null;
    let authentic = if basic {
        // As RFC 6749, section 2.3.1 says: each form-encoded, then together in base64.
        let expect = base64::prelude::BASE64_STANDARD.encode("our+client:s3cret%3A%26%3D%25+of+ours");
        headers.get("authorization").is_some_and(|value| value.to_str().unwrap() == format!("Basic {expect}"))
    } else {
        (form["client_id"].as_str(), form["client_secret"].as_str()) == (CLIENT, SECRET)
    };
    if !authentic {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    let proved = |grant: &&Grant| {
        let challenge = encode(digest::digest(&digest::SHA256, form["code_verifier"].as_bytes()));
        grant.challenge == challenge && grant.redirect == form["redirect_uri"]
    };
    let Some(grant) = does.grants.get(&form["code"]).filter(proved) else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response();
    };
    let now = store::now().as_millis() / 1000;
    let payload = json!({"iss": provider.issuer, "sub": "ann", "aud": CLIENT, "exp": now + 60, "iat": now,
        "nonce": grant.nonce, "email": "ann@listed.example", "email_verified": true});
    let payload = encode(changed(payload, &does.claims).to_string());
    let header = json!({"alg": "ES256", "kid": does.key_id});
    let stranger = key();
    let sign = |key: &EcdsaKeyPair, message: &str| encode(key.sign(&SystemRandom::new(), message.as_bytes()).unwrap());
    let head = |change: Value| encode(changed(changed(header.clone(), &change), &does.header).to_string());
    let id_token = match does.signing {
        Signing::Sound | Signing::Stranger => {
            let message = format!("{}.{payload}", head(json!({})));
            let key = if does.signing == Signing::Sound { &does.key } else { &stranger };
            format!("{message}.{}", sign(key, &message))
        }
        Signing::None => format!("{}.{payload}.", head(json!({"alg": "none", "kid": null}))),
        Signing::PublicKeyAsSecret => {
            let message = format!("{}.{payload}", head(json!({"alg": "HS256"})));
            let secret = hmac::Key::new(hmac::HMAC_SHA256, does.key.public_key().as_ref());
            format!("{message}.{}", encode(hmac::sign(&secret, message.as_bytes())))
        }
        Signing::ChangedPayload => {
            let message = format!("{}.{payload}", head(json!({})));
            let mut other: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(&payload).unwrap()).unwrap();
            other["sub"] = json!("somebody else");
            format!("{}.{}.{}", head(json!({})), encode(other.to_string()), sign(&does.key, &message))
        }
    };
    does.last_token = id_token.clone();
    Json(json!({"access_token": "marked-access-token", "token_type": "Bearer", "id_token": id_token})).into_response()
}

async fn user_info(State(provider): State<FakeProvider>, headers: HeaderMap) -> Response {
    if let Some(spoilt) = provider.spoil("user info").await {
        return spoilt;
    }
    if headers.get("authorization").is_none_or(|value| value != "Bearer marked-access-token") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(provider.does().user_info.clone()).into_response()
}
