//! Signing in with a provider: who comes in, and everything that somebody bad might send.

use std::sync::Arc;

use account::{
    Identity, IdentityId, InviteId, KeyedHash, ListedDomain, OrgId, PasswordHash, Purpose, Role, Session, Timestamp,
    Token, UserId,
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use control::{Provider, Providers};
use futures::future::join_all;
use oidc::{ClientSecret, Issuer, Limits, Settings};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use store::{Change, ExternalIdentity, Invite, Reset};
use url::Url;

use crate::{
    provider::{CLIENT, FakeProvider, SECRET, Signing},
    stage::*,
};

const ORIGIN: &str = "https://models.example.org";
const START: &str = "/admin/v1/oidc/one/start";
const CALLBACK: &str = "/admin/v1/oidc/one/callback";

fn provider(name: &str, fake: &FakeProvider, limits: Limits) -> Provider {
    let settings = Settings {
        issuer: Issuer::parse(&fake.issuer).unwrap(),
        client_id: CLIENT.into(),
        client_secret: ClientSecret::new(SECRET),
        scopes: vec!["email".into()],
    };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let listed = [("listed.example", ORG), ("lost.example", OrgId::from_bytes([9; 16]))]
        .map(|(domain, org)| ListedDomain { domain: domain.into(), org, role: Role::Member });
    let oidc = oidc::Provider::new(settings, limits, tls).unwrap();
    Provider::new(name, format!("Provider {name}"), oidc, listed.into())
}

async fn stage_of(fake: &FakeProvider, limits: Limits) -> Stage {
    stage_with(Providers::new(ORIGIN, vec![provider("one", fake, limits)])).await
}

/// A provider, and a service where its people sign in.
async fn both() -> (FakeProvider, Stage) {
    let fake = FakeProvider::start().await;
    let stage = stage_of(&fake, Limits::default()).await;
    (fake, stage)
}

/// What an answer sets, by the cookie's name; what it takes away is empty.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all("set-cookie").into_iter().map(|value| value.to_str().unwrap());
    let mut pairs = cookies.filter_map(|cookie| cookie.split(';').next()?.split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// A browser that has begun: its cookie, and where it is sent.
struct Begun {
    kept: String,
    address: String,
}

async fn begin(app: &Router, path: &str) -> Begun {
    let answer = check(app, "GET", path, Value::Null, 303).await;
    let kept = cookie(&answer.headers, "modelworks-sign-in").unwrap();
    Begun { kept, address: answer.headers["location"].to_str().unwrap().to_owned() }
}

fn query(pairs: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// What somebody who comes back sends.
async fn come_back(app: &Router, kept: &str, path: &str, query: &str) -> Answer {
    let request =
        Request::builder().uri(format!("{path}?{query}")).header("cookie", format!("a=b; modelworks-sign-in={kept}"));
    send(app, request.body(Body::empty()).unwrap()).await
}

/// The whole way, with this query at the start.
async fn sign_in_with(stage: &Stage, fake: &FakeProvider, begun_with: &str) -> Answer {
    let app = stage.stranger();
    let begun = begin(&app, &format!("{START}{begun_with}")).await;
    come_back(&app, &begun.kept, CALLBACK, &query(&fake.authorize(&begun.address))).await
}

async fn sign_in(stage: &Stage, fake: &FakeProvider) -> Answer {
    sign_in_with(stage, fake, "").await
}

/// Status and code of a page.
fn told(answer: &Answer) -> (u16, String) {
    let page = String::from_utf8(answer.bytes.to_vec()).unwrap();
    let code = page.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>"));
    (answer.status.as_u16(), code.map(|(code, _)| code.to_owned()).unwrap_or_default())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The session that an answer begins, if it does.
async fn session(stage: &Stage, answer: &Answer) -> Option<Session> {
    let token = cookie(&answer.headers, "modelworks-session")?;
    let hash = stage.store.pepper().hash_token(&Token::parse(Purpose::Session, &token).unwrap());
    stage.store.sessions().await.unwrap().into_iter().find(|session| session.hash == hash)
}

/// Who is signed in by an answer that must do so.
async fn user(stage: &Stage, answer: &Answer) -> UserId {
    assert_eq!(answer.status, 303, "{:?}", answer.bytes);
    session(stage, answer).await.expect("a session").user
}

/// That nobody came in, or was made.
async fn nobody(stage: &Stage) {
    assert!(stage.store.sessions().await.unwrap().is_empty());
    assert!(stage.store.user_page(None, None, 9).await.unwrap().is_empty());
}

async fn invite(stage: &Stage, number: u8, email: &str) -> String {
    let token = Token::generate(Purpose::Invite).unwrap();
    let invite = Invite {
        id: InviteId::from_bytes([number; 16]),
        org: OTHER,
        hash: stage.store.pepper().hash_token(&token),
        email: email.into(),
        role: Role::Admin,
        expires: Timestamp::from_millis(i64::MAX),
    };
    apply(&stage.store, Change::AddInvite(invite)).await;
    token.expose().to_owned()
}

#[tokio::test]
async fn somebody_of_a_listed_domain_joins_and_is_the_same_one_ever_after() {
    let (fake, stage) = both().await;
    let listed = check(&stage.stranger(), "GET", "/admin/v1/oidc", Value::Null, 200).await.json();
    assert_eq!(listed, json!({"data": [{"name": "one", "display_name": "Provider one", "start": START}]}));
    let app = stage.stranger();
    let begun = begin(&app, &format!("{START}?return_to=/console%3Fa%3Db")).await;
    let sent: std::collections::HashMap<_, _> =
        Url::parse(&begun.address).unwrap().query_pairs().into_owned().collect();
    assert_eq!(sent["redirect_uri"], format!("{ORIGIN}{CALLBACK}"));
    assert_eq!(sent["scope"], "openid email");
    let answer = come_back(&app, &begun.kept, CALLBACK, &query(&fake.authorize(&begun.address))).await;
    let ann = user(&stage, &answer).await;
    assert_eq!(answer.headers["location"], format!("{ORIGIN}/console?a=b"));
    assert_eq!(
        (&answer.headers["cache-control"], &answer.headers["referrer-policy"]),
        (&"no-store".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    assert_eq!(cookie(&answer.headers, "modelworks-sign-in").as_deref(), Some(""));
    for set in answer.headers.get_all("set-cookie") {
        let set = set.to_str().unwrap();
        assert!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
    }
    let known = stage.store.user(ann).await.unwrap().unwrap().what;
    assert_eq!((&*known.email, known.operator), ("ann@listed.example", false));
    assert_eq!(stage.store.person(ann).await.unwrap().unwrap().roles, [(ORG, Role::Member)].into());
    let identity = stage.store.identity(&fake.issuer, "ann").await.unwrap().unwrap();
    assert_eq!((identity.user, identity.verified), (ann, true));
    let published: Vec<String> = stage.published.lock().unwrap().iter().map(|change| format!("{change:?}")).collect();
    assert!(published.iter().any(|change| change.starts_with("AddMember")), "{published:?}");
    let logged = async |org| {
        let log = stage.store.audit(org, None, 9).await.unwrap();
        log.into_iter()
            .filter(|entry| *entry.actor == ann.to_string())
            .map(|entry| entry.action.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(logged(Some(ORG)).await, ["member.add"]);
    assert_eq!(logged(None).await, ["session.begin", "identity.link", "user.add", "identity.use"]);
    // The subject is who somebody is, whatever becomes of the address.
    for claims in
        [json!({}), json!({"email": "other@elsewhere.example", "email_verified": false}), json!({"email": null})]
    {
        fake.does().claims = claims;
        assert_eq!(user(&stage, &sign_in(&stage, &fake).await).await, ann);
    }
    assert_eq!(stage.store.user_page(None, None, 9).await.unwrap().len(), 1);
    assert_eq!((fake.asked("description"), fake.asked("keys")), (1, 1), "what is published is read once");
}

#[tokio::test]
async fn a_sign_in_ends_the_session_that_the_browser_had() {
    let (fake, stage) = both().await;
    let first = sign_in(&stage, &fake).await;
    let before = session(&stage, &first).await.unwrap();
    let person = stage.store.person(before.user).await.unwrap().unwrap();
    let app = stage.app_of(Identity::Person(Arc::new(person), before));
    let begun = begin(&app, START).await;
    let second = come_back(&app, &begun.kept, CALLBACK, &query(&fake.authorize(&begun.address))).await;
    let after = session(&stage, &second).await.unwrap();
    assert!(after.hash != before.hash && session(&stage, &first).await.is_none());
}

#[tokio::test]
async fn nobody_comes_back_who_was_not_sent_from_this_browser() {
    let fake = FakeProvider::start().await;
    let (one, two) = (provider("one", &fake, Limits::default()), provider("two", &fake, Limits::default()));
    let stage = stage_with(Providers::new(ORIGIN, vec![one, two])).await;
    let app = stage.stranger();
    let (mine, theirs) = (begin(&app, START).await, begin(&app, START).await);
    let pairs = fake.authorize(&mine.address);
    let (code, state) = (pairs[0].clone(), pairs[1].1.clone());
    let with = |state: &str| query(&[code.clone(), ("state".into(), state.into())]);
    let mut changed = mine.kept.clone().into_bytes();
    changed[60] ^= 1;
    let changed = String::from_utf8(changed).unwrap();
    let other_state = fake.authorize(&theirs.address)[1].1.clone();
    for (kept, path, query) in [
        ("", CALLBACK, with(&state)),
        ("x", CALLBACK, with(&state)),
        (&*changed, CALLBACK, with(&state)),
        (&*theirs.kept, CALLBACK, with(&state)),
        (&*mine.kept, CALLBACK, with(&other_state)),
        (&*mine.kept, CALLBACK, with("")),
        (&*mine.kept, CALLBACK, with(&"0".repeat(64))),
        (&*mine.kept, CALLBACK, with(&state[1..])),
        (&*mine.kept, CALLBACK, query(std::slice::from_ref(&code))),
        (&*mine.kept, CALLBACK, format!("state={state}")),
        (&*mine.kept, "/admin/v1/oidc/two/callback", with(&state)),
    ] {
        let answer = come_back(&app, kept, path, &query).await;
        assert_eq!(told(&answer), refused(400, "sign_in_lost"), "{query}");
        assert_eq!(cookie(&answer.headers, "modelworks-session"), None);
    }
    let twice = come_back(&app, &mine.kept, CALLBACK, &format!("{}&state={state}", with(&state))).await;
    assert_eq!(told(&twice), refused(400, "invalid_value"));
    let unknown = come_back(&app, &mine.kept, "/admin/v1/oidc/three/callback", &with(&state)).await;
    assert_eq!(told(&unknown), refused(404, "not_found"));
    assert_eq!(fake.asked("token"), 0, "the provider hears nothing of it");
    nobody(&stage).await;
    // None of it has used up what is right.
    user(&stage, &come_back(&app, &mine.kept, CALLBACK, &with(&state)).await).await;
}

#[tokio::test]
async fn nothing_that_the_browser_holds_redeems_the_code_or_is_said_twice() {
    let (_fake, stage) = both().await;
    let app = stage.stranger();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..2 {
        let begun = begin(&app, START).await;
        let sent: std::collections::HashMap<_, _> =
            Url::parse(&begun.address).unwrap().query_pairs().into_owned().collect();
        for held in sent.values().chain([&begun.kept]) {
            let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, held.as_bytes()));
            assert_ne!(challenge, sent["code_challenge"], "{held} is the verifier");
        }
        for name in ["state", "nonce", "code_challenge"] {
            assert!(seen.insert(sent[name].clone()), "{name}");
        }
    }
}

#[tokio::test]
async fn a_sign_in_works_once_however_often_it_is_sent() {
    let (fake, stage) = both().await;
    let app = stage.stranger();
    let begun = begin(&app, START).await;
    let sent = query(&fake.authorize(&begun.address));
    let answers = join_all((0..10).map(|_| come_back(&app, &begun.kept, CALLBACK, &sent))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 303) {
        assert_eq!(told(answer), refused(400, "sign_in_lost"));
    }
    let asked = fake.asked("token");
    assert_eq!(told(&come_back(&app, &begun.kept, CALLBACK, &sent).await), refused(400, "sign_in_lost"));
    assert_eq!(fake.asked("token"), asked);
    assert_eq!(stage.store.sessions().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_sign_in_is_over_after_ten_minutes() {
    let (fake, stage) = both().await;
    let app = stage.stranger();
    let begun = begin(&app, START).await;
    let mut kept: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(&begun.kept).unwrap()).unwrap();
    let lasts = kept["expires"].as_i64().unwrap() - store::now().as_millis();
    assert!((1..=600_000).contains(&lasts), "{lasts}");
    // As it would be later: with the state that belongs to it.
    kept["expires"] = json!(store::now().as_millis());
    let kept = BASE64_URL_SAFE_NO_PAD.encode(kept.to_string());
    let state = stage.store.pepper().request_secrets(&kept).state();
    let late = come_back(&app, &kept, CALLBACK, &query(&[("code".into(), "c".into()), ("state".into(), state)])).await;
    assert_eq!(told(&late), refused(400, "sign_in_lost"));
    assert_eq!(fake.asked("token"), 0);
}

#[tokio::test]
async fn nobody_is_sent_to_another_server_afterwards() {
    let (_fake, stage) = both().await;
    for path in [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "%2F%2Fevil.example",
        "/%09/evil.example",
        "x",
        "",
    ] {
        let answer = check(&stage.stranger(), "GET", &format!("{START}?return_to={path}"), Value::Null, 400).await;
        assert_eq!(told(&answer), refused(400, "invalid_value"), "{path}");
        assert!(!answer.headers.contains_key("location"));
    }
    for query in ["?return_to=/a&return_to=//evil.example", "?more=1", "?invite=mwi-0"] {
        check(&stage.stranger(), "GET", &format!("{START}{query}"), Value::Null, 400).await;
    }
}

#[tokio::test]
async fn a_token_that_is_not_sound_lets_nobody_in() {
    let (fake, stage) = both().await;
    let now = store::now().as_millis() / 1000;
    let wrong = [
        json!({"iss": "https://elsewhere.example"}),
        json!({"iss": format!("{}/", fake.issuer)}),
        json!({"aud": "another client"}),
        json!({"aud": [CLIENT, "another client"]}),
        json!({"azp": "another client"}),
        json!({"exp": now - 61}),
        json!({"iat": now + 120}),
        json!({"nbf": now + 120}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"sub": ""}),
        json!({"sub": null}),
        json!({"exp": null}),
    ];
    let lost = refused(502, "provider_failed");
    for claims in wrong {
        fake.does().claims = claims.clone();
        assert_eq!(told(&sign_in(&stage, &fake).await), lost, "{claims}");
    }
    fake.does().claims = json!({});
    for signing in [Signing::Stranger, Signing::None, Signing::PublicKeyAsSecret, Signing::ChangedPayload] {
        fake.does().signing = signing;
        assert_eq!(told(&sign_in(&stage, &fake).await), lost);
    }
    fake.does().signing = Signing::Sound;
    for header in [json!({"alg": "HS256"}), json!({"alg": "none"}), json!({"alg": "RS256"}), json!({"kid": "unknown"})]
    {
        fake.does().header = header.clone();
        assert_eq!(told(&sign_in(&stage, &fake).await), lost, "{header}");
    }
    nobody(&stage).await;
    fake.does().header = json!({});
    let page = {
        fake.does().signing = Signing::Stranger;
        sign_in(&stage, &fake).await
    };
    let text = String::from_utf8(page.bytes.to_vec()).unwrap();
    assert!(!text.contains(&fake.does().last_token) && !text.contains("ann"), "{text}");
    assert!(text.contains(&format!("href=\"{START}\"")), "{text}");
    fake.does().signing = Signing::Sound;
    user(&stage, &sign_in(&stage, &fake).await).await;
}

#[tokio::test]
async fn keys_are_read_again_when_they_change_but_not_as_often_as_strangers_like() {
    let fake = FakeProvider::start().await;
    let stage = stage_of(&fake, Limits { keys: std::time::Duration::ZERO, ..Limits::default() }).await;
    let ann = user(&stage, &sign_in(&stage, &fake).await).await;
    fake.rotate("second");
    assert_eq!(user(&stage, &sign_in(&stage, &fake).await).await, ann);
    assert_eq!(fake.asked("keys"), 2);

    let (fake, stage) = both().await;
    fake.does().header = json!({"kid": "unknown"});
    for _ in 0..5 {
        assert_eq!(told(&sign_in(&stage, &fake).await), refused(502, "provider_failed"));
    }
    assert_eq!(fake.asked("keys"), 1);
}

#[tokio::test]
async fn an_answer_that_says_whom_it_is_from_must_be_from_there() {
    let (fake, stage) = both().await;
    let back = async |iss: Option<&str>| {
        let app = stage.stranger();
        let begun = begin(&app, START).await;
        let mut pairs = fake.authorize(&begun.address);
        pairs.extend(iss.map(|iss| ("iss".to_owned(), iss.to_owned())));
        come_back(&app, &begun.kept, CALLBACK, &query(&pairs)).await
    };
    assert_eq!(told(&back(Some("https://elsewhere.example")).await), refused(502, "provider_failed"));
    assert_eq!(told(&back(Some("")).await), refused(502, "provider_failed"));
    assert_eq!(fake.asked("token"), 0, "a code goes to nobody but its provider");
    user(&stage, &back(Some(&fake.issuer)).await).await;
    user(&stage, &back(None).await).await;
    let stage = {
        fake.does().document = json!({"authorization_response_iss_parameter_supported": true});
        stage_of(&fake, Limits::default()).await
    };
    let app = stage.stranger();
    let begun = begin(&app, START).await;
    let silent = come_back(&app, &begun.kept, CALLBACK, &query(&fake.authorize(&begun.address))).await;
    assert_eq!(told(&silent), refused(502, "provider_failed"));
}

#[tokio::test]
async fn who_is_turned_away_by_the_provider_is_told_so_in_our_words() {
    let (fake, stage) = both().await;
    let app = stage.stranger();
    let begun = begin(&app, START).await;
    let state = fake.authorize(&begun.address)[1].clone();
    let said = [state, ("error".into(), "<script>".into()), ("error_description".into(), "<b>call 0900</b>".into())];
    let answer = come_back(&app, &begun.kept, CALLBACK, &query(&said)).await;
    assert_eq!(told(&answer), refused(403, "sign_in_denied"));
    let page = String::from_utf8(answer.bytes.to_vec()).unwrap();
    assert!(!page.contains("script") && !page.contains("0900"), "{page}");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(cookie(&answer.headers, "modelworks-sign-in").as_deref(), Some(""), "it was this one's turn");
}

#[tokio::test]
async fn what_a_provider_says_badly_is_neither_waited_for_nor_followed() {
    let failed = refused(502, "provider_failed");
    for path in ["description", "keys", "token", "user info"] {
        for how in ["huge", "redirecting"] {
            let (fake, stage) = both().await;
            fake.does().claims = json!({"email": null});
            match how {
                "huge" => fake.does().huge = Some(path),
                _ => fake.does().redirecting = Some(path),
            }
            let answer = match path {
                "description" => send(&stage.stranger(), Request::get(START).body(Body::empty()).unwrap()).await,
                _ => sign_in(&stage, &fake).await,
            };
            assert_eq!(told(&answer), failed, "{how} {path}");
            assert_eq!(fake.asked(path), 1, "{how} {path}");
            nobody(&stage).await;
        }
    }
    // Each of these waits as long as it is granted, so all at once.
    let limits = Limits { answer: std::time::Duration::from_secs(3), ..Limits::default() };
    let all = ["keys", "token", "user info"].into_iter().flat_map(|path| [(path, true), (path, false)]);
    let waits = all.map(|(path, silent)| {
        let (limits, failed) = (limits.clone(), failed.clone());
        async move {
            let fake = FakeProvider::start().await;
            let stage = stage_of(&fake, limits).await;
            fake.does().claims = json!({"email": null});
            if silent {
                fake.does().silent = Some(path);
            } else {
                fake.does().endless = Some(path);
            }
            assert_eq!(told(&sign_in(&stage, &fake).await), failed, "{path}");
            nobody(&stage).await;
        }
    });
    join_all(waits).await;
}

#[tokio::test]
async fn a_description_that_is_not_the_providers_own_is_not_believed_and_not_asked_for_again_and_again() {
    for document in [
        json!({"issuer": "https://elsewhere.example"}),
        json!({"token_endpoint": "http://elsewhere.example/token"}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"id_token_signing_alg_values_supported": ["none", "HS256"]}),
        json!({"jwks_uri": null}),
    ] {
        let (fake, stage) = both().await;
        fake.does().document = document.clone();
        for _ in 0..5 {
            let answer = send(&stage.stranger(), Request::get(START).body(Body::empty()).unwrap()).await;
            assert_eq!(told(&answer), refused(502, "provider_failed"), "{document}");
        }
        assert_eq!(fake.asked("description"), 1);
    }
}

#[tokio::test]
async fn an_address_that_stands_elsewhere_is_asked_for_and_must_be_of_the_same_person() {
    let (fake, stage) = both().await;
    fake.does().claims = json!({"email": null, "email_verified": null});
    fake.does().user_info = json!({"sub": "ben", "email": "ann@listed.example", "email_verified": true});
    assert_eq!(told(&sign_in(&stage, &fake).await), refused(502, "provider_failed"));
    nobody(&stage).await;
    fake.does().user_info = json!({"sub": "ann", "email": "ann@listed.example", "email_verified": false});
    assert_eq!(told(&sign_in(&stage, &fake).await), refused(403, "email_not_verified"));
    fake.does().user_info = json!({"sub": "ann", "email": "ann@listed.example", "email_verified": "true"});
    user(&stage, &sign_in(&stage, &fake).await).await;
}

#[tokio::test]
async fn a_provider_that_wants_the_secret_in_the_body_gets_it_there() {
    let (fake, stage) = both().await;
    fake.does().document = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    user(&stage, &sign_in(&stage, &fake).await).await;
}

#[tokio::test]
async fn who_is_neither_invited_nor_listed_stays_out() {
    let (fake, stage) = both().await;
    for (claims, expect) in [
        (json!({"email_verified": false}), refused(403, "email_not_verified")),
        (json!({"email_verified": null}), refused(403, "email_not_verified")),
        (json!({"email": "no address"}), refused(403, "email_not_verified")),
        (json!({"email": "ann@elsewhere.example"}), refused(403, "not_invited")),
        // Its organisation does not exist.
        (json!({"email": "ann@lost.example"}), refused(403, "not_invited")),
        (json!({"email": "ann@sub.listed.example"}), refused(403, "not_invited")),
        (json!({"email": "ann@listed.example.evil.example"}), refused(403, "not_invited")),
    ] {
        fake.does().claims = claims.clone();
        assert_eq!(told(&sign_in(&stage, &fake).await), expect, "{claims}");
    }
    nobody(&stage).await;
    fake.does().claims = json!({"email": "Ann@LISTED.example"});
    user(&stage, &sign_in(&stage, &fake).await).await;
}

#[tokio::test]
async fn an_invitation_is_carried_there_and_back_and_lets_in_whom_it_is_for() {
    let (fake, stage) = both().await;
    let token = invite(&stage, 1, "ann@elsewhere.example").await;
    let with = format!("?invite={token}");
    fake.does().claims = json!({"email": "ben@elsewhere.example"});
    assert_eq!(told(&sign_in_with(&stage, &fake, &with).await), refused(403, "not_invited"));
    nobody(&stage).await;
    fake.does().claims = json!({"email": "ann@elsewhere.example", "email_verified": null});
    let ann = user(&stage, &sign_in_with(&stage, &fake, &with).await).await;
    assert_eq!(stage.store.person(ann).await.unwrap().unwrap().roles, [(OTHER, Role::Admin)].into());
    assert!(!stage.store.identity(&fake.issuer, "ann").await.unwrap().unwrap().verified);
    fake.does().claims = json!({"sub": "ben", "email": "ann@elsewhere.example", "email_verified": null});
    assert_eq!(told(&sign_in_with(&stage, &fake, &with).await), refused(403, "email_not_verified"), "it was used");
    // Who has the address already is not taken over by an invitation.
    let again = invite(&stage, 2, "ann@elsewhere.example").await;
    assert_eq!(told(&sign_in_with(&stage, &fake, &format!("?invite={again}")).await), refused(409, "email_taken"));
}

#[tokio::test]
async fn an_invitation_verifies_no_address_that_the_provider_does_not_say() {
    let (fake, stage) = both().await;
    for (number, said, expect) in [
        (1, json!({"email": "1@elsewhere.example", "email_verified": true}), true),
        (2, json!({"email": "2@elsewhere.example", "email_verified": false}), false),
        (3, json!({"email_verified": true}), false),
    ] {
        let subject = number.to_string();
        let token = invite(&stage, number, &format!("{number}@elsewhere.example")).await;
        fake.does().claims = json!({"sub": subject, "email": null});
        fake.does().user_info = said.clone();
        fake.does().user_info["sub"] = json!(subject);
        user(&stage, &sign_in_with(&stage, &fake, &format!("?invite={token}")).await).await;
        assert_eq!(stage.store.identity(&fake.issuer, &subject).await.unwrap().unwrap().verified, expect, "{said}");
    }
}

#[tokio::test]
async fn a_verified_address_links_an_account_and_takes_it_from_whoever_had_it() {
    let (fake, stage) = both().await;
    let ann = stage.user("ann", Some(Role::Viewer)).await;
    let now = store::now();
    let hash = KeyedHash::from_bytes([9; 32]);
    apply(&stage.store, Change::SetPassword { user: ann, hash: PasswordHash::new("somebody's") }).await;
    apply(&stage.store, Change::AddReset(Reset { user: ann, hash, expires: Timestamp::from_millis(i64::MAX) })).await;
    apply(&stage.store, Change::AddSession(Session { hash, user: ann, begun: now, seen: now })).await;
    let link = |number: u8, issuer: &str, verified| ExternalIdentity {
        id: IdentityId::from_bytes([number; 16]),
        user: ann,
        issuer: issuer.into(),
        subject: format!("{number}").into(),
        verified,
    };
    let unproved = [link(1, &fake.issuer, false), link(2, "https://b.example", false)];
    let proved = link(3, "https://c.example", true);
    for identity in unproved.iter().chain([&proved]) {
        apply(&stage.store, Change::LinkIdentity(identity.clone())).await;
    }
    fake.does().claims = json!({"email": "ann@example.org", "email_verified": false});
    assert_eq!(told(&sign_in(&stage, &fake).await), refused(403, "email_not_verified"));
    assert_eq!(stage.store.sessions().await.unwrap().len(), 1);
    fake.does().claims = json!({"email": "ANN@example.org"});
    let answer = sign_in(&stage, &fake).await;
    assert_eq!(user(&stage, &answer).await, ann);
    assert_eq!(stage.store.credentials_of(ann).await.unwrap().unwrap().password, None);
    assert_eq!(stage.store.reset(&hash).await.unwrap(), None);
    let sessions = stage.store.sessions().await.unwrap();
    assert_eq!(sessions, [session(&stage, &answer).await.unwrap()], "what was open is closed");
    let left = stage.store.identity_page(ann, None, 9).await.unwrap();
    let left: Vec<_> = left.iter().map(|made| (&*made.what.issuer, made.what.verified)).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&("https://c.example", true)) && left.contains(&(&*fake.issuer, true)), "{left:?}");
    let log = stage.store.audit(None, None, 9).await.unwrap();
    let actions: Vec<_> = log.iter().map(|entry| &*entry.action).take(6).collect();
    let expect =
        ["session.begin", "identity.link", "identity.unlink", "identity.unlink", "password.drop", "identity.use"];
    assert_eq!(actions, expect);
    // Whoever gets the address next, or a second account with it, is somebody else.
    fake.does().claims = json!({"sub": "other", "email": "ann@example.org"});
    assert_eq!(told(&sign_in(&stage, &fake).await), refused(409, "email_taken"));
    assert!(stage.store.identity(&fake.issuer, "other").await.unwrap().is_none());
}

#[tokio::test]
async fn who_comes_back_too_often_is_told_to_wait() {
    let (fake, stage) = both().await;
    let app = stage.stranger();
    let mut allowed = 0;
    let limited = loop {
        let begun = begin(&app, START).await;
        let state = fake.authorize(&begun.address)[1].clone();
        let guess = query(&[("code".into(), "guess".into()), state]);
        let answer = come_back(&app, &begun.kept, CALLBACK, &guess).await;
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(told(&answer), refused(502, "provider_failed"));
        allowed += 1;
        assert!(allowed < 1000);
    };
    assert!(allowed >= 60 && limited.headers.contains_key("retry-after"), "{allowed}");
    assert_eq!(fake.asked("token"), allowed);
}

#[tokio::test]
async fn links_are_listed_and_taken_away_by_whoever_runs_the_installation() {
    let (fake, stage) = both().await;
    let ann = user(&stage, &sign_in(&stage, &fake).await).await;
    let path = format!("/admin/v1/users/{ann}/identities");
    let operator = stage.operator().await;
    let listed = check(&operator, "GET", &path, Value::Null, 200).await.json();
    let link = &listed["data"][0];
    assert_eq!(
        (&link["issuer"], &link["subject"], &link["user_id"]),
        (&json!(fake.issuer), &json!("ann"), &json!(ann.to_string()))
    );
    let one = format!("{path}/{}", link["id"].as_str().unwrap());
    assert_eq!(check(&stage.owner().await, "GET", &path, Value::Null, 403).await.code(), "missing_scope");
    assert_eq!(check(&stage.owner().await, "DELETE", &one, Value::Null, 403).await.code(), "missing_scope");
    let other = stage.user("other", None).await;
    check(&operator, "DELETE", &one.replace(&ann.to_string(), &other.to_string()), Value::Null, 404).await;
    check(&operator, "DELETE", &one, Value::Null, 204).await;
    check(&operator, "DELETE", &one, Value::Null, 404).await;
    assert!(stage.store.sessions().await.unwrap().is_empty());
    let log = stage.store.audit(None, None, 1).await.unwrap();
    assert_eq!(
        (&*log[0].action, log[0].before.as_deref().is_some_and(|before| before.contains(&fake.issuer))),
        ("identity.unlink", true)
    );
    // The address is verified, so it finds the same person anew.
    assert_eq!(user(&stage, &sign_in(&stage, &fake).await).await, ann);
    check_with(&operator, "DELETE", &format!("/admin/v1/users/{ann}"), Value::Null, &[("if-match", "*")], 204).await;
    assert!(stage.store.identity(&fake.issuer, "ann").await.unwrap().is_none());
}
