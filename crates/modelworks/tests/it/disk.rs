//! A disk that is full and a database that somebody else locks: nothing is served that cannot be recorded, nothing that ran is
//! lost, and all goes on by itself.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

use crate::server::{MODEL, Server, data_with_model, link, modelworks};

/// Runs the server so that a write beyond a limit of size fails and does not end it.
fn survive_limits(command: &mut Command) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    // Its log may go to a file, too.
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    *command = shell;
}

async fn start(data: &Path) -> Server {
    link(data_with_model(), data);
    let server = Server::spawn_with(data, &["--context", "512"], survive_limits).await;
    server.wait_until_ready().await;
    let price = ["price", "set", MODEL, "--input", "1", "--output", "2", "--data-dir"];
    let set = modelworks().args(price).arg(data).output().expect("the binary starts");
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    server
}

/// Asks for three tokens; returns status, request id and body.
async fn ask(server: &Server) -> (u16, String, Value) {
    let body =
        json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "ignore_eos": true});
    let answer = server.post("/v1/chat/completions", &body).await;
    let (status, id) = (answer.status().as_u16(), answer.headers()["x-request-id"].to_str().expect("ASCII").to_owned());
    (status, id, serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON"))
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let answer = server.client.get(format!("{}{path}", server.base)).send().await.expect("the server answers");
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
}

/// Asks while nothing can be written until it is refused, and then, once it can be `mended`, until it is answered.
async fn check(server: &Server, data: &Path, mend: impl AsyncFnOnce()) {
    let (mut ran, mut refused) = (Vec::new(), Vec::new());
    loop {
        let (status, id, body) = ask(server).await;
        match status {
            // It ran, and nobody could say that it is recorded.
            500 => ran.push(id),
            503 => {
                assert_eq!(body["error"]["code"], "storage_unavailable", "{body}");
                refused.push(id);
                break;
            }
            other => panic!("answered {other} while nothing can be recorded: {body}"),
        }
        assert!(ran.len() < 3, "it must be known by now that nothing can be recorded");
    }
    assert_eq!(get(server, "/healthz").await.0, 200);
    assert_eq!(get(server, "/v1/models").await.0, 200);
    assert_eq!(get(server, "/v1/usage").await.0, 200, "what is recorded can be read");
    let price = ["price", "set", MODEL, "--input", "9", "--output", "9", "--data-dir"];
    let set = modelworks().args(price).arg(data).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&set.stderr).into_owned();
    assert!(!set.status.success() && said.contains("storage_unavailable"), "{said}");

    mend().await;
    server
        .wait_for("requests to be served again", async || {
            let (status, id, body) = ask(server).await;
            match status {
                200 => ran.push(id),
                503 => refused.push(id),
                other => panic!("{other}: {body}"),
            }
            status == 200
        })
        .await;
    for id in &ran {
        let (status, report) = get(server, &format!("/v1/requests/{id}")).await;
        assert_eq!((status, &report["output_tokens"]), (200, &json!(3)), "{id} ran and is recorded");
    }
    for id in &refused {
        assert_eq!(get(server, &format!("/v1/requests/{id}")).await.0, 404, "{id} did not run");
    }
    let verify = modelworks().args(["ledger", "verify", "--data-dir"]).arg(data).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&verify.stdout).into_owned();
    // One request was answered before.
    assert!(said.contains(&format!("valid: {} lines", ran.len() + 1)), "{said}{:?}", verify.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_served_and_with_room_all_goes_on() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let server = start(folder.path()).await;
    assert_eq!(ask(&server).await.0, 200);
    let pid = server.pid();
    // Like a full disk, but for the number of the error: no file can grow or be written.
    let before = prlimit(Some(pid), Resource::Fsize, Rlimit { current: Some(0), maximum: None }).expect("a limit");
    check(&server, folder.path(), async || {
        prlimit(Some(pid), Resource::Fsize, before).expect("the limit of before");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_locked_nothing_is_served_and_then_all_goes_on() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let server = start(folder.path()).await;
    assert_eq!(ask(&server).await.0, 200);
    let file = SqliteConnectOptions::new().filename(folder.path().join("modelworks.db"));
    let mut stranger = file.connect().await.expect("the file opens");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut stranger).await.expect("the lock is free for a moment");
    check(&server, folder.path(), async || {
        sqlx::raw_sql("ROLLBACK").execute(&mut stranger).await.expect("the lock is let go");
    })
    .await;
}
