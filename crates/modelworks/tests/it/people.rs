//! People at the real binary: made on the command line, signed in over HTTP.

use std::{
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::server::{MODEL, Server, data_with_model, link, modelworks};

const PASSWORD: &str = "correct horse battery";

/// Runs a command beside a server, with `input` on standard input.
fn command(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = modelworks();
    command.args(arguments).arg("--data-dir").arg(data);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("stdin is piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn run(data: &Path, arguments: &[&str], input: &str) -> String {
    let output = command(data, arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn run_json(data: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(data, &[arguments, &["--json"]].concat(), "")).expect("JSON")
}

/// A browser: its cookie, and what its page knows.
struct Browser {
    base: String,
    http: reqwest::Client,
    cookie: String,
    csrf: String,
}

impl Browser {
    async fn sign_in(server: &Server, email: &str, password: &str) -> Result<Self, u16> {
        let http = reqwest::Client::new();
        let body = json!({"email": email, "password": password}).to_string();
        let answer = http.post(format!("{}/admin/v1/session", server.base)).body(body).send().await;
        let answer = answer.expect("the server answers");
        if answer.status() != 201 {
            return Err(answer.status().as_u16());
        }
        let cookie = answer.headers()["set-cookie"].to_str().expect("ASCII");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        let info = json(answer).await;
        let csrf = info["csrf_token"].as_str().expect("a token").to_owned();
        Ok(Self { base: server.base.clone(), http, cookie, csrf })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).header("cookie", &self.cookie);
        request.header("x-csrf-token", &self.csrf).header("sec-fetch-site", "same-origin")
    }

    async fn ask(&self, method: Method, path: &str, body: Value, expect: u16) -> Response {
        let answer = self.request(method, path).body(body.to_string()).send().await.expect("the server answers");
        assert_eq!(answer.status(), expect, "{path}");
        answer
    }
}

async fn json(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_made_signs_in_asks_a_model_and_is_taken_out() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let data = folder.path();
    link(data_with_model(), data);
    let server = Server::start_in(data, &[]).await;
    let org = run_json(data, &["org", "create", "Acme"]);
    let project = run_json(data, &["project", "create", "web", "--org", "Acme"]);
    let owner = ["user", "create", "Ann@example.org", "--org", "Acme", "--role", "owner", "--password"];
    run(data, &owner, &format!("{PASSWORD}\n"));
    let token = run(data, &["user", "invite", "ben@example.org", "--role", "member", "--org", "Acme", "--quiet"], "");
    let accept = json!({"token": token.trim_end(), "password": PASSWORD});
    let path = "/admin/v1/invites/accept";
    let stranger = reqwest::Client::new();
    let accepted = stranger.post(format!("{}{path}", server.base)).body(accept.to_string()).send().await;
    assert_eq!(accepted.expect("the server answers").status(), 201);
    let listed = run(data, &["user", "list", "--org", "Acme"], "");
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    let expect = [["address", "role"], ["ann@example.org", "owner"], ["ben@example.org", "member"]];
    assert_eq!(rows, expect);

    let ann = Browser::sign_in(&server, "ann@example.org", PASSWORD).await.expect("the password is right");
    let ben = Browser::sign_in(&server, "BEN@example.org", PASSWORD).await.expect("the password is right");
    let info = json(ann.ask(Method::GET, "/admin/v1/session", Value::Null, 200).await).await;
    assert_eq!(info["organisations"], json!([{"organisation_id": org["id"], "name": "Acme", "role": "owner"}]));
    let chat = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2});
    let ask = |browser: &Browser| {
        let request = browser.request(Method::POST, "/v1/chat/completions").body(chat.to_string());
        request.header("x-modelworks-project", project["id"].as_str().expect("an id")).send()
    };
    assert_eq!(ask(&ben).await.expect("the server answers").status(), 200);
    let foreign = ben.request(Method::POST, "/v1/chat/completions").body(chat.to_string());
    let me = server.client.get(format!("{}/admin/v1/me", server.base)).send().await.expect("the server answers");
    let me = json(me).await;
    let foreign = foreign.header("x-modelworks-project", me["project_id"].as_str().expect("an id")).send().await;
    assert_eq!(foreign.expect("the server answers").status(), 404);
    let usage = run_json(data, &["usage", "--org", "Acme"]);
    let sums = usage.as_array().expect("a list");
    assert_eq!((sums.len(), &sums[0]["requests"], &sums[0]["project_id"]), (1, &json!(1), &project["id"]));
    let digits = |text: &Value| text.as_str().expect("an id").split_once('_').expect("a prefix").1.to_owned();
    let ben_id = json(ben.ask(Method::GET, "/admin/v1/session", Value::Null, 200).await).await["user_id"].clone();
    assert_eq!(digits(&sums[0]["key_id"]), digits(&ben_id));

    // What the page of another site sends is not what ben wants.
    let forged = ben.http.post(format!("{}/v1/chat/completions", server.base)).header("cookie", &ben.cookie);
    let forged = forged.header("sec-fetch-site", "cross-site").body(chat.to_string()).send().await;
    assert_eq!(forged.expect("the server answers").status(), 403);

    let keys = format!("/admin/v1/organisations/{}/keys", org["id"].as_str().expect("an id"));
    let new = json!({"project_id": project["id"], "name": "k"});
    let secret = |issued: Value| issued["secret"].as_str().expect("a secret").to_owned();
    let of_ben = secret(json(ben.ask(Method::POST, &keys, new.clone(), 201).await).await);
    let of_ann = secret(json(ann.ask(Method::POST, &keys, new, 201).await).await);
    let listed = run_json(data, &["key", "list", "--org", "Acme", "--owner", "ben@example.org"]);
    assert_eq!((listed.as_array().expect("a list").len(), &listed[0]["owner_id"]), (1, &ben_id));
    let with = |key: String| {
        let long = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": true, "ignore_eos": true});
        let request = stranger.post(format!("{}/v1/chat/completions", server.base)).body(long.to_string());
        request.header("authorization", format!("Bearer {key}")).send()
    };
    let mut running = with(of_ben.clone()).await.expect("the server answers");
    running.chunk().await.expect("the stream has begun").expect("bytes");
    run(data, &["user", "role", "ben@example.org", "viewer", "--org", "Acme"], "");
    // A viewer asks no model: the key that does has ended, and so has what ran with it.
    let rest = running.text().await.expect("the stream is not cut");
    assert!(rest.contains("revoked") && !rest.contains("[DONE]"), "{rest}");
    assert_eq!(with(of_ben).await.expect("the server answers").status(), 401);
    assert_eq!(with(of_ann).await.expect("the server answers").status(), 200);
    ben.ask(Method::GET, "/admin/v1/session", Value::Null, 401).await;
    let ben = Browser::sign_in(&server, "ben@example.org", PASSWORD).await.expect("the password is right");
    assert_eq!(ask(&ben).await.expect("the server answers").status(), 403);
    run(data, &["user", "password", "ben@example.org"], "another password\n");
    ben.ask(Method::GET, "/admin/v1/session", Value::Null, 401).await;
    assert_eq!(Browser::sign_in(&server, "ben@example.org", PASSWORD).await.err(), Some(401));
    Browser::sign_in(&server, "ben@example.org", "another password").await.expect("it was set");
    run(data, &["user", "remove", "ben@example.org"], "");
    assert_eq!(Browser::sign_in(&server, "ben@example.org", "another password").await.err(), Some(401));
    let refused = command(data, &["user", "remove", "ann@example.org", "--org", "Acme"], "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("last_owner"), "{refused:?}");
    ann.ask(Method::DELETE, "/admin/v1/session", Value::Null, 204).await;
    ann.ask(Method::GET, "/admin/v1/session", Value::Null, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_restart_and_over_tls_its_cookie_says_so() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let data = folder.path();
    link(data_with_model(), data);
    let server = Server::start_in(data, &[]).await;
    run(data, &["user", "create", "op@example.org", "--operator", "--password"], &format!("{PASSWORD}\n"));
    let mut browser = Browser::sign_in(&server, "op@example.org", PASSWORD).await.expect("the password is right");
    assert!(browser.cookie.starts_with("modelworks-session="), "{}", browser.cookie);
    drop(server);
    let server = Server::start_in(data, &[]).await;
    browser.base = server.base.clone();
    browser.ask(Method::GET, "/admin/v1/users", Value::Null, 200).await;
    drop(server);
    let server = Server::start_in(data, &["--public-url", "https://models.example.org"]).await;
    let browser = Browser::sign_in(&server, "op@example.org", PASSWORD).await.expect("the password is right");
    assert!(browser.cookie.starts_with("__Host-modelworks-session="), "{}", browser.cookie);
    browser.ask(Method::GET, "/admin/v1/users", Value::Null, 200).await;
    let change = |origin: &'static str| {
        let request = browser.http.post(format!("{}/admin/v1/organisations", browser.base));
        let request = request.header("cookie", &browser.cookie).header("x-csrf-token", &browser.csrf);
        request.header("origin", origin).body(json!({"name": "made"}).to_string()).send()
    };
    assert_eq!(change("https://evil.example").await.expect("the server answers").status(), 403);
    assert_eq!(change("https://models.example.org").await.expect("the server answers").status(), 201);
}
