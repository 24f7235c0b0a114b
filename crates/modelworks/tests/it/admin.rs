//! Administration of the real binary: the walk of a new user, and what holds at once.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use futures::StreamExt;
use serde_json::{Value, json};

use crate::server::{KEY, MODEL, Server, data_with_model, link, modelworks};

/// Runs a command beside a server, which it finds by the data folder. Returns what it wrote.
fn command(data: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = modelworks().args(arguments).arg("--data-dir").arg(data).stdin(Stdio::null()).output();
    let output = output.expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

pub(crate) fn run(data: &Path, arguments: &[&str]) -> String {
    command(data, arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

pub(crate) fn run_json(data: &Path, arguments: &[&str]) -> Value {
    let text = run(data, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// Asks for so many tokens, all of which will come; returns status and body.
pub(crate) async fn ask(server: &Server, key: &str, tokens: u32) -> (u16, Value) {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": tokens,
        "ignore_eos": true, "temperature": 0});
    let request = server.client.post(format!("{}/v1/chat/completions", server.base));
    let request = request.header("authorization", format!("Bearer {key}")).body(body.to_string());
    let answer = request.send().await.expect("the server answers");
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON"))
}

async fn start(data: &Path) -> Server {
    link(data_with_model(), data);
    Server::start_in(data, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_makes_an_organisation_runs_out_of_money_and_checks_the_bill() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let data = folder.path();
    assert!(command(data, &["org", "list"]).unwrap_err().contains("modelworks serve"), "no server runs yet");
    let server = start(data).await;

    let org = run_json(data, &["org", "create", "Acme", "--prepaid", "--time-zone", "Europe/Berlin"]);
    assert_eq!(org["time_zone"], "Europe/Berlin");
    run(data, &["project", "create", "web", "--org", "Acme"]);
    let key = |name: &str, limits: &[&str]| {
        let arguments = ["key", "create", "--org", "Acme", "--project", "web", "--name", name, "--quiet"];
        let secret = run(data, &[&arguments, limits].concat());
        assert!(secret.starts_with("mw-") && secret.lines().count() == 1, "the secret stands alone");
        secret.trim_end().to_owned()
    };
    let slow = key("slow", &["--rpm", "2", "--models", MODEL]);
    let frugal = key("frugal", &["--tpm", "100000", "--budget-day", "0.05"]);
    // A thousandth a token of the answer, so that 10 tokens cost 0.01; the prompt is free.
    run(data, &["price", "set", MODEL, "--input", "0", "--output", "1000"]);

    let (status, refused) = ask(&server, &frugal, 10).await;
    assert_eq!((status, &refused["error"]["code"]), (429, &json!("insufficient_quota")), "no credit yet: {refused}");
    for _ in 0..2 {
        run(data, &["credit", "grant", "0.07", "--org", "Acme", "--external-id", "invoice 1"]);
    }
    for _ in 0..5 {
        assert_eq!(ask(&server, &frugal, 10).await.0, 200);
    }
    let (status, refused) = ask(&server, &frugal, 10).await;
    assert_eq!((status, &refused["error"]["code"]), (429, &json!("insufficient_quota")));
    let message = refused["error"]["message"].as_str().expect("a text");
    assert!(message.contains("budget_day") && message.contains("0.05"), "{message}");
    // The other key has no budget of its own: it is the balance that ends, after two requests of the same minute.
    assert_eq!([ask(&server, &slow, 10).await.0, ask(&server, &slow, 10).await.0], [200, 200]);
    let (status, refused) = ask(&server, &slow, 10).await;
    assert_eq!(status, 429);
    let message = refused["error"]["message"].as_str().expect("a text");
    assert!(message.contains("balance") || message.contains("requests_per_minute"), "{message}");
    run(data, &["limit", "set", "--org", "Acme", "--key", "slow", "--rpm", "none"]);
    let (status, refused) = ask(&server, &slow, 10).await;
    assert_eq!(status, 429);
    assert!(refused["error"]["message"].as_str().expect("a text").contains("balance"), "{refused}");

    let usage = run_json(data, &["usage", "--org", "Acme", "--by", "month"]);
    let sums = usage.as_array().expect("a list");
    let requests: u64 = sums.iter().map(|sum| sum["requests"].as_u64().expect("a number")).sum();
    let cost: i64 = sums.iter().map(|sum| sum["cost_nano"].as_i64().expect("a number")).sum();
    assert_eq!((cost, sums.len()), (70_000_000, 2), "{usage}");
    assert!(requests >= 7, "{usage}");
    let balance = run_json(data, &["credit", "balance", "--org", "Acme"]);
    assert_eq!((&balance["balance"], &balance["lines"]), (&json!("0"), &json!(8)));

    let head = balance["head"].as_str().expect("a hash");
    let bill = data.join("bill.txt");
    std::fs::write(&bill, run(data, &["ledger", "export", "--org", "Acme"])).expect("the folder can be written to");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify_ledger.py");
    let checked = Command::new("python3").arg(program).arg(&bill).arg(head).output().expect("python starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && said.contains("lines 8") && said.trim_end().ends_with("balance 0"),
        "{checked:?}"
    );
    let verified = run(data, &["ledger", "verify", "--org", "Acme", "--expect-head", head]);
    assert!(verified.starts_with("valid: 8 lines, balance 0"), "{verified}");
    let text = std::fs::read_to_string(&bill).expect("it was written");
    let shorter: String = text.lines().take(7).map(|line| format!("{line}\n")).collect();
    std::fs::write(&bill, shorter).expect("the folder can be written to");
    let cut = ["ledger", "verify", "--expect-head", head, "--file", bill.to_str().expect("UTF-8")];
    assert!(command(data, &cut).unwrap_err().contains("cut off"));

    let log = run(data, &["audit", "--org", "Acme"]);
    for what in ["organisation.add", "project.add", "key.add", "limits.set", "credit.add"] {
        assert!(log.contains(what), "{log}");
    }
    assert!(run(data, &["audit", "--installation"]).contains("price.add"));
    for secret in [&slow, &frugal] {
        assert!(!log.contains(secret.as_str()));
    }
    run(data, &["key", "revoke", "slow", "--org", "Acme"]);
    assert_eq!(ask(&server, &slow, 1).await.0, 401);
    assert!(command(data, &["key", "show", "nobody", "--org", "Acme"]).unwrap_err().contains("no key `nobody`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_ends_what_runs_with_it() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let server = start(folder.path()).await;
    let secret = run(folder.path(), &["key", "create", "--name", "short-lived", "--quiet"]);
    let body =
        json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": true, "ignore_eos": true});
    let request = server.client.post(format!("{}/v1/chat/completions", server.base));
    let request = request.header("authorization", format!("Bearer {}", secret.trim_end())).body(body.to_string());
    let mut answer = request.send().await.expect("the server answers").bytes_stream();
    answer.next().await.expect("the stream has begun").expect("bytes");
    run(folder.path(), &["key", "revoke", "short-lived"]);
    let mut rest = Vec::new();
    while let Some(bytes) = answer.next().await {
        rest.extend_from_slice(&bytes.expect("the stream is not cut"));
    }
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("revoked") && !rest.contains("[DONE]"), "{rest}");
    server.wait_until_idle().await;
    let bill = run(folder.path(), &["ledger", "export"]);
    assert!(bill.contains("cause=key_revoked"), "what ran is in the ledger: {bill}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_administrative_route_wants_a_key_with_its_scope() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let server = start(folder.path()).await;
    let key = ["key", "create", "--name", "reads", "--scope", "models:read", "--quiet"];
    let secret = run(folder.path(), &key);
    let stranger = reqwest::Client::new();
    for endpoint in control::endpoints().into_iter().filter(|endpoint| !endpoint.public) {
        let zeros = "0".repeat(32);
        let path = endpoint.path.replace("{org}", &format!("org_{zeros}"));
        let path = path.replace("{project}", &format!("proj_{zeros}")).replace("{key}", &format!("key_{zeros}"));
        let path = path.replace("{user}", &format!("user_{zeros}")).replace("{invite}", &format!("invite_{zeros}"));
        let address = format!("{}{path}", server.base);
        let ask = |key: Option<&str>| {
            let request = stranger.request(endpoint.method.clone(), &address).body("{}");
            match key {
                Some(key) => request.header("authorization", format!("Bearer {key}")),
                None => request,
            }
        };
        let status = async |key| ask(key).send().await.expect("the server answers").status().as_u16();
        assert_eq!(status(None).await, 401, "{path}");
        assert_eq!(status(Some("mw-wrong-but-long-enough-to-be-a-key-0123456789")).await, 401, "{path}");
        let expect = match endpoint.needs {
            // A key has no session.
            None if endpoint.path.starts_with("/admin/v1/session") => [400, 404].as_slice(),
            None | Some(account::Action::ReadModels) => &[200],
            Some(_) => &[403],
        };
        let status = status(Some(secret.trim_end())).await;
        assert!(expect.contains(&status), "{path}: {status}");
    }
    let document = server.client.get(format!("{}/openapi.json", server.base)).send().await.expect("the server answers");
    let document: Value = serde_json::from_slice(&document.bytes().await.expect("a body")).expect("JSON");
    for path in ["/admin/v1/organisations", "/v1/chat/completions"] {
        assert!(document["paths"][path].is_object(), "{path} is in the served document");
    }
    let me = server.client.get(format!("{}/admin/v1/me", server.base)).send().await.expect("the server answers");
    let me: Value = serde_json::from_slice(&me.bytes().await.expect("a body")).expect("JSON");
    assert!(me["scopes"].as_array().expect("a list").len() > 10, "the key {} is the admin's: {me}", KEY.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_the_first_key_is_in_a_file_of_its_owner_and_in_no_output() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    link(data_with_model(), folder.path());
    let server = Server::spawn_with(folder.path(), &[], |command| {
        command.env_remove("MODELWORKS_BOOTSTRAP_KEY");
    })
    .await;
    let path = folder.path().join("admin.key");
    let key = std::fs::read_to_string(&path).expect("the key is in a file");
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(server.said.contains("admin.key") && !server.said.contains(key.trim_end()), "{}", server.said);
    let me = reqwest::Client::new().get(format!("{}/admin/v1/me", server.base));
    let me = me.header("authorization", format!("Bearer {}", key.trim_end())).send().await.expect("the server answers");
    assert_eq!(me.status(), 200);
}
