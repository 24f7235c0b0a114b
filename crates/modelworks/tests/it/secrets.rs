//! A secret stays with those to whom it was shown.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    oidc,
    server::{KEY, MODEL, Server, data_with_model, link, modelworks},
};

/// Stands in every secret that the test makes up itself.
const WRONG: &str = "mw-wrong-and-marked-0123456789abcdef0123456789abcdef";

/// Every file below `folder` that is no model and not the file by which this machine's owner is let in.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.metadata().expect("a file").len() < 64 << 20 && !path.ends_with("local-access.json") {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_a_row_or_a_backup() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    std::fs::create_dir(&data).expect("a folder");
    link(data_with_model(), &data);
    let file = File::create(&log).expect("a file");
    // Apart from what is searched: there the secret belongs.
    let settings = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let provider = oidc::Provider::start().await;
    let config = provider.configure(settings.path(), &format!("org_{}", "0".repeat(32)));
    let mut server = Server::spawn_with(&data, &["--config", &config, "--webhook-network", "127.0.0.0/8"], |command| {
        command.env("RUST_LOG", "trace").stderr(Stdio::from(file));
    })
    .await;
    server.wait_until_ready().await;

    let me: Value = ask(&server, "GET", "/admin/v1/me", KEY, json!({})).await;
    let org = format!("/admin/v1/organisations/{}", me["organisation_id"].as_str().expect("an id"));
    let new = json!({"project_id": me["project_id"], "name": "k"});
    let key = ask(&server, "POST", &format!("{org}/keys"), KEY, new).await;
    let path = format!("{org}/keys/{}", key["id"].as_str().expect("an id"));
    let rotated = ask(&server, "POST", &format!("{path}/rotate"), KEY, json!({"grace_seconds": 600})).await;
    let code = ask(&server, "POST", "/admin/v1/codes", KEY, json!({"amount": "1"})).await;
    ask(&server, "POST", &format!("{org}/redeem"), KEY, json!({"code": code["secret"]})).await;
    let new = json!({"url": "http://127.0.0.1:1/hook"});
    let hook = ask(&server, "POST", &format!("{org}/webhooks"), KEY, new).await;
    let path_of_hook = format!("{org}/webhooks/{}", hook["id"].as_str().expect("an id"));
    let hook_rotated =
        ask(&server, "POST", &format!("{path_of_hook}/rotate"), KEY, json!({"grace_seconds": 600})).await;
    ask(&server, "POST", &format!("{path_of_hook}/ping"), KEY, json!({})).await;
    let is_tried = async || {
        let told = ask(&server, "GET", &format!("{path_of_hook}/deliveries"), KEY, json!({})).await;
        told["data"][0]["attempts"] != 0
    };
    server.wait_for("a signed delivery", is_tried).await;
    let people = people(&server, &org).await;
    let mut secrets = vec![KEY.to_owned(), WRONG.to_owned()];
    secrets.extend(people);
    secrets.extend(
        [&key, &rotated, &code, &hook, &hook_rotated]
            .map(|issued| issued["secret"].as_str().expect("a secret").to_owned()),
    );
    let chat = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1});
    for secret in &secrets {
        // As a key, as another scheme, in a wrong place of the address and of the body.
        ask(&server, "POST", "/v1/chat/completions", secret, chat.clone()).await;
        ask(&server, "GET", &format!("/v1/{secret}?key={secret}"), secret, json!({})).await;
        ask(&server, "POST", &format!("{org}/redeem"), KEY, json!({"code": secret, "more": secret})).await;
        ask(&server, "PATCH", &format!("{org}/keys/{secret}"), KEY, json!({"name": 7})).await;
        let other = server.client.get(format!("{}/v1/models", server.base)).header("x-api-key", secret);
        other.send().await.expect("the server answers");
    }
    secrets.extend(by_provider(&server, &org).await);
    let copy = folder.path().join("copy");
    let backup = modelworks().arg("backup").arg(&copy).arg("--data-dir").arg(&data).output();
    assert!(backup.expect("the binary starts").status.success());
    server.signal(Signal::TERM);
    assert!(server.wait_until_gone().await.success());

    let mut searched = Vec::new();
    files(folder.path(), &mut searched);
    let named = |name: &str| searched.iter().any(|path| path.ends_with(name));
    assert!(named("data/modelworks.db") && named("copy/modelworks.db") && named("log"), "{searched:?}");
    for path in searched {
        let bytes = std::fs::read(&path).expect("a file");
        for secret in &secrets {
            // A part of it is too much, too.
            let part = &secret.as_bytes()[3..35];
            let found = bytes.windows(part.len()).any(|window| window == part);
            assert!(!found, "{} holds {secret}", path.display());
        }
    }
}

/// Somebody is made known, invited, signs in, sets other passwords: with what must be found nowhere.
async fn people(server: &Server, org: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let passwords =
        ["first", "second", "third", "wrong"].map(|which| format!("password-{which}-marked-0123456789abcdef"));
    let [first, second, third, wrong] = &passwords;
    let sign_in = async |email: &str, password: &str| {
        let body = json!({"email": email, "password": password}).to_string();
        let answer = reqwest::Client::new().post(format!("{}/admin/v1/session", server.base)).body(body).send().await;
        let answer = answer.expect("the server answers");
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().expect("ASCII").to_owned());
        let body: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        (cookie, body)
    };
    let new = json!({"email": "ann@example.org", "password": first});
    let user = ask(server, "POST", "/admin/v1/users", KEY, new).await;
    let invite = json!({"email": "ben@example.org", "role": "viewer"});
    let invite = ask(server, "POST", &format!("{org}/invites"), KEY, invite).await;
    let accept = json!({"token": invite["secret"], "password": second});
    ask(server, "POST", "/admin/v1/invites/accept", KEY, accept.clone()).await;
    ask(server, "POST", "/admin/v1/invites/accept", KEY, accept).await;
    let open =
        ask(server, "POST", &format!("{org}/invites"), KEY, json!({"email": "c@example.org", "role": "viewer"})).await;
    let (cookie, info) = sign_in("ann@example.org", first).await;
    assert_eq!(sign_in("ann@example.org", wrong).await.0, None);
    assert_eq!(sign_in(wrong, wrong).await.0, None);
    let cookie = cookie.expect("the password is right").split(';').next().expect("a pair").to_owned();
    let csrf = text(&info["csrf_token"]);
    let changed = reqwest::Client::new().post(format!("{}/admin/v1/session/password", server.base));
    let changed =
        changed.header("cookie", &cookie).header("x-csrf-token", &csrf).header("sec-fetch-site", "same-origin");
    let changed = changed.body(json!({"current": first, "new": third}).to_string()).send().await;
    assert_eq!(changed.expect("the server answers").status(), 204);
    let reset = format!("/admin/v1/users/{}/reset", text(&user["id"]));
    let used = ask(server, "POST", &reset, KEY, json!({})).await;
    ask(server, "POST", "/admin/v1/resets/accept", KEY, json!({"token": used["secret"], "password": second})).await;
    let left = ask(server, "POST", &reset, KEY, json!({})).await;
    let (again, info) = sign_in("ann@example.org", second).await;
    let again = again.expect("the password was set");
    let token = |cookie: &str| cookie.split(['=', ';']).nth(1).expect("a value").to_owned();
    let mut secrets = vec![token(&cookie), token(&again), csrf, text(&info["csrf_token"])];
    secrets.extend([&invite, &open, &used, &left].map(|issued| text(&issued["secret"])));
    secrets.extend(passwords);
    secrets
}

/// Somebody comes with an invitation and signs in with a provider: with what must be found nowhere.
async fn by_provider(server: &Server, org: &str) -> Vec<String> {
    let invite = json!({"email": "dora@listed.example", "role": "viewer"});
    let invite = ask(server, "POST", &format!("{org}/invites"), KEY, invite).await;
    let invite = invite["secret"].as_str().expect("a token");
    let mut browser = oidc::Browser::new(server);
    let (answer, way) = browser.sign_in(&format!("/admin/v1/oidc/test/start?invite={invite}"), "dora").await;
    assert_eq!(answer.status(), 303);
    let sent = |name: &str| {
        let mut pairs = way.iter().flat_map(|url| url.query_pairs());
        pairs.find(|(found, _)| found == name).expect("it was sent").1.into_owned()
    };
    let mut secrets = vec![oidc::SECRET.to_owned(), oidc::ENCODED_SECRET.to_owned(), invite.to_owned()];
    secrets.push(browser.session().expect("a session").to_owned());
    secrets.extend(["state", "nonce", "code"].map(sent));
    // Once more, so that what is refused is searched for, too.
    let (_, way) = oidc::Browser::new(server).sign_in("/admin/v1/oidc/test/start", "unproved").await;
    let pairs = way.last().expect("the last").query_pairs().into_owned();
    secrets.extend(pairs.filter(|(name, _)| name == "code" || name == "state").map(|(_, value)| value));
    secrets
}

async fn ask(server: &Server, method: &str, path: &str, key: &str, body: Value) -> Value {
    let method = method.parse().expect("a method");
    let request = reqwest::Client::new().request(method, format!("{}{path}", server.base));
    let request = request.header("authorization", format!("Bearer {key}")).header("if-match", "*");
    let answer = request.body(body.to_string()).send().await.expect("the server answers");
    serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default()
}
