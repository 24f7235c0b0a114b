//! Webhooks of the real binary: told once of each share, signed so that others verify it, whoever is killed meanwhile, and never
//! sent where only this machine may send.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    admin::{ask, run, run_json},
    server::{MODEL, Server, data_with_model, link, modelworks},
};

const NETWORK: [&str; 2] = ["--webhook-network", "127.0.0.0/8"];

/// How a receiver answers.
#[derive(Clone)]
enum Answer {
    Status(&'static str),
    Redirect(String),
    /// With more than anybody wants to read.
    Endless,
    Never,
}

/// What a receiver was told.
#[derive(Clone)]
struct Told {
    headers: BTreeMap<String, String>,
    body: String,
}

/// Somebody who is told.
struct Receiver {
    url: String,
    told: Arc<Mutex<Vec<Told>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Receiver {
    async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), Answer::Status("204 No Content"))
    }

    fn on(listener: TcpListener, answer: Answer) -> Self {
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (told, answer): (Arc<Mutex<Vec<Told>>>, _) = (Arc::default(), Arc::new(Mutex::new(answer)));
        let (noted, how) = (Arc::clone(&told), Arc::clone(&answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, how) = (Arc::clone(&noted), Arc::clone(&how));
                tokio::spawn(async move {
                    let how = how.lock().unwrap().clone();
                    receive(stream, &noted, how).await;
                });
            }
        });
        Self { url, told, answer }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    async fn wait_for(&self, server: &Server, count: usize) -> Vec<Told> {
        server.wait_for("deliveries", async || self.told().len() >= count).await;
        self.told()
    }
}

/// Reads one request and answers it. A connection that breaks off is no request.
async fn receive(mut stream: TcpStream, told: &Mutex<Vec<Told>>, answer: Answer) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers: BTreeMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers["content-length"].parse().expect("a number");
        if body.len() == length {
            break (headers, body.to_owned());
        }
    };
    told.lock().unwrap().push(Told { headers: head, body: length });
    let text = match &answer {
        Answer::Status(status) => format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"),
        Answer::Redirect(to) => format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
        Answer::Endless => "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n".to_owned(),
        Answer::Never => return std::future::pending().await,
    };
    let mut written = stream.write_all(text.as_bytes()).await;
    while matches!(answer, Answer::Endless) && written.is_ok() {
        written = stream.write_all(&[b'x'; 65_536]).await;
    }
}

/// The program of docs/webhooks.md, asked whether it takes what a receiver was told.
fn verifies(secret: &str, told: &Told) -> bool {
    let document = include_str!("../../../../docs/webhooks.md");
    let program = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let asks = "\nimport json, sys\nasked = json.load(sys.stdin)\n\
                verify(asked['secret'], asked['headers'], asked['body'].encode())\n";
    let mut child = Command::new("python3")
        .args(["-c", &format!("{program}{asks}")])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python starts");
    let asked = json!({"secret": secret, "headers": told.headers, "body": told.body});
    child.stdin.take().expect("stdin is piped").write_all(asked.to_string().as_bytes()).expect("it reads");
    child.wait().expect("it ends").success()
}

fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    link(data_with_model(), folder.path());
    folder
}

/// Makes a webhook; its id and its secret.
fn hook(data: &Path, url: &str, flags: &[&str]) -> (String, String) {
    let made = run_json(data, &[&["webhook", "create", url], flags].concat());
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    (text("id"), text("secret"))
}

fn deliveries(data: &Path, id: &str) -> Vec<Value> {
    run_json(data, &["webhook", "deliveries", id]).as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_share_of_a_budget_is_told_once_however_many_ask_and_anybody_can_verify_it() {
    let folder = data();
    let data = folder.path();
    let server = Server::start_in(data, &NETWORK).await;
    run(data, &["price", "set", MODEL, "--input", "0", "--output", "1000"]);
    let key = ["key", "create", "--name", "frugal", "--budget-day", "0.1", "--quiet"];
    let key = run(data, &key).trim_end().to_owned();
    run(data, &["limit", "set", "--budget-month", "0.16"]);
    let receiver = Receiver::start().await;
    let (id, secret) = hook(data, &receiver.url, &["--description", "to the till"]);

    // Ten tokens cost 0.01: ten requests are the key's budget.
    let asked = futures::future::join_all((0..20).map(|_| ask(&server, &key, 10))).await;
    assert_eq!(asked.iter().filter(|(status, _)| *status == 200).count(), 10);
    let told = receiver.wait_for(&server, 4).await;
    let mut shares = Vec::new();
    for told in &told {
        let event: Value = serde_json::from_str(&told.body).expect("JSON");
        assert_eq!(event["type"], "budget.threshold");
        let data = &event["data"];
        shares.push((data["limit"].as_str().expect("a text").to_owned(), data["percent"].as_u64().expect("a number")));
        assert!(verifies(&secret, told), "{}", told.body);
        let forged = Told { body: told.body.replace("budget", "Budget"), ..told.clone() };
        assert!(!verifies(&secret, &forged) && !verifies("whsec_AAAA", told));
    }
    shares.sort();
    let expect = [("budget_day", 50), ("budget_day", 80), ("budget_day", 100), ("budget_month", 50)];
    assert_eq!(shares, expect.map(|(limit, percent)| (limit.to_owned(), percent)));
    server.wait_for("the outbox", async || deliveries(data, &id).iter().all(|one| one["status"] == "delivered")).await;
    assert_eq!((deliveries(data, &id).len(), receiver.told().len()), (4, 4), "nothing is told twice");

    // Another limit is another budget: 0.1 of 0.12 is more than 80 percent.
    run(data, &["limit", "set", "--budget-month", "0.12"]);
    let told = receiver.wait_for(&server, 5).await;
    let event: Value = serde_json::from_str(&told[4].body).expect("JSON");
    assert_eq!((&event["data"]["percent"], &event["data"]["allowed"]), (&json!(80), &json!("0.12")));

    // While both secrets hold, either receiver is content.
    let rotated = run(data, &["webhook", "rotate", &id, "--grace", "1h", "--quiet"]);
    let event_id = run_json(data, &["webhook", "ping", &id])["event_id"].clone();
    let told = receiver.wait_for(&server, 6).await;
    assert_eq!(told[5].headers["webhook-id"], event_id.as_str().expect("an id"));
    assert!(verifies(&secret, &told[5]) && verifies(rotated.trim_end(), &told[5]));
    let log = run(data, &["audit"]);
    for what in ["webhook.add", "webhook.change", "webhook.ping"] {
        assert!(log.contains(what), "{log}");
    }
    run(data, &["webhook", "remove", &id]);
    assert_eq!(run_json(data, &["webhook", "list"]), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_before_a_kill_is_told_after_it() {
    let folder = data();
    let data = folder.path();
    let server = Server::start_in(data, &NETWORK).await;
    run(data, &["price", "set", MODEL, "--input", "0", "--output", "1000"]);
    let key = run(data, &["key", "create", "--name", "k", "--budget-day", "0.02", "--quiet"]);
    // Nobody takes connections yet: the first attempt hangs until the kill.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (id, _) = hook(data, &url, &["--thresholds", "50"]);
    assert_eq!(ask(&server, key.trim_end(), 10).await.0, 200);
    server.signal(Signal::KILL);
    drop(server);
    let receiver = Receiver::on(listener, Answer::Status("200 OK"));
    let server = Server::start_in(data, &NETWORK).await;
    let told = receiver.wait_for(&server, 1).await;
    assert!(told[0].body.contains("\"percent\":50"), "{}", told[0].body);
    server.wait_for("the outbox", async || deliveries(data, &id)[0]["status"] == "delivered").await;
    assert_eq!(deliveries(data, &id).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_misbehave_hold_up_nobody_else_and_are_tried_again() {
    let folder = data();
    let data = folder.path();
    let server = Server::start_in(data, &NETWORK).await;
    let good = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let start = async |answer| Receiver::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), answer);
    let silent = start(Answer::Never).await;
    let broken = start(Answer::Status("500 Internal Server Error")).await;
    let endless = start(Answer::Endless).await;
    let redirects = start(Answer::Redirect(elsewhere.url.clone())).await;
    let ids: Vec<String> = [&silent, &broken, &endless, &redirects, &good]
        .iter()
        .map(|receiver| hook(data, &receiver.url, &[]).0)
        .collect();
    for id in &ids {
        run(data, &["webhook", "ping", id]);
    }
    good.wait_for(&server, 1).await;
    let first = async |id: &str| deliveries(data, id).pop().expect("a delivery");
    let until = async |id: &str, part: &str| {
        let tried = async || first(id).await["error"].as_str().is_some_and(|error| error.contains(part));
        server.wait_for(part, tried).await;
        assert_eq!(first(id).await["status"], "pending");
    };
    until(&ids[1], "answered 500").await;
    until(&ids[3], "redirects are not followed").await;
    server.wait_for("the endless one", async || first(&ids[2]).await["status"] == "delivered").await;
    until(&ids[0], "no answer within 10 seconds").await;
    assert!(elsewhere.told().is_empty(), "a redirect was followed");
    *broken.answer.lock().unwrap() = Answer::Status("200 OK");
    server.wait_for("another attempt", async || first(&ids[1]).await["status"] == "delivered").await;
    let told = broken.told();
    assert!(told.len() >= 2 && told.iter().all(|one| one.headers["webhook-id"] == told[0].headers["webhook-id"]));

    // Who is disabled is told nothing, and what waits for them waits.
    run(data, &["webhook", "set", &ids[4], "--enabled", "no"]);
    let refused = modelworks().args(["webhook", "ping", &ids[4], "--data-dir"]).arg(data).output().expect("it starts");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("disabled"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_setting_nothing_private_is_reached_and_nothing_is_sent_without_tls() {
    let folder = data();
    let data = folder.path();
    let server = Server::start_in(data, &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let refused = modelworks().args(["webhook", "create", "http://example.org/", "--data-dir"]).arg(data).output();
    assert!(String::from_utf8_lossy(&refused.expect("it starts").stderr).contains("https://"));
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let (id, _) = hook(data, &format!("https://{host}:{port}/"), &[]);
        run(data, &["webhook", "ping", &id]);
        let tried =
            async || deliveries(data, &id)[0]["error"].as_str().is_some_and(|error| error.contains("private network"));
        server.wait_for(host, tried).await;
    }
    tokio::select! {
        biased;
        _ = listener.accept() => panic!("a private address was reached"),
        () = std::future::ready(()) => {}
    }
}
