//! Starts the binary on port 0 and ends it, whatever the test does.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The admin key of every server here.
pub const KEY: &str = "test-key-for-the-integration-tests-0123456789";

/// The name that the tests give to the default model.
pub const MODEL: &str = "smollm2-135m";

/// How long anything may take before a test gives up. Only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary under test.
pub fn modelworks() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modelworks"));
    // Nothing of the developer's own environment may steer a test.
    for name in [
        "MODELWORKS_DATA_DIR",
        "MODELWORKS_LISTEN",
        "MODELWORKS_PUBLIC_URL",
        "MODELWORKS_MODEL",
        "MODELWORKS_CONFIG",
        "MODELWORKS_URL",
        "MODELWORKS_KEY",
        "HF_TOKEN",
    ] {
        command.env_remove(name);
    }
    command
}

/// Puts the default model into a data folder.
pub fn pull_model(data: &Path) {
    let output = modelworks()
        .args(["pull", "--name", MODEL, "--data-dir"])
        .arg(data)
        .arg(testkit::smollm2())
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "pull failed: {}", String::from_utf8_lossy(&output.stderr));
}

/// A data folder with the default model that all tests of this binary may read.
pub fn data_with_model() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("data");
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("the last run's data stay: {error}"),
            _ => {}
        }
        pull_model(&folder);
        folder
    })
}

/// Makes every file of one folder visible in another. A server has its folder for itself, and a model is large.
pub fn link(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            std::fs::create_dir_all(&to).expect("a folder");
            link(&from, &to);
        } else {
            std::fs::hard_link(&from, &to).expect("a link");
        }
    }
}

/// How many servers run at once: each computes with all CPUs, so more would only make all of them slow.
static ROOM: Semaphore = Semaphore::const_new(2);

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// Such as `http://127.0.0.1:40123`.
    pub base: String,
    /// A client that sends the key.
    pub client: reqwest::Client,
    /// What it wrote until it said its address.
    pub said: String,
    _stdout: BufReader<ChildStdout>,
    /// A data folder of its own, where nobody named one.
    _data: Option<TempDir>,
    _room: SemaphorePermit<'static>,
}

impl Server {
    /// Starts with the default model and waits until it is ready.
    pub async fn start(flags: &[&str]) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        link(data_with_model(), data.path());
        let mut server = Self::start_in(data.path(), flags).await;
        server._data = Some(data);
        server
    }

    /// Starts over a data folder and waits until it is ready.
    pub async fn start_in(data: &Path, flags: &[&str]) -> Self {
        let server = Self::spawn(data, flags).await;
        server.wait_until_ready().await;
        server
    }

    /// Starts and returns once the address is known.
    pub async fn spawn(data: &Path, flags: &[&str]) -> Self {
        Self::spawn_with(data, flags, |_| {}).await
    }

    /// The same, with the command changed by `adjust` before it starts.
    pub async fn spawn_with(data: &Path, flags: &[&str], adjust: impl FnOnce(&mut Command)) -> Self {
        let room = ROOM.acquire().await.expect("the semaphore is never closed");
        // The client wants one even where it only speaks plain HTTP; the second call of this process changes nothing.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let mut command = modelworks();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data).args(flags);
        command.env("MODELWORKS_BOOTSTRAP_KEY", KEY).env("RUST_LOG", "warn");
        command.stdout(Stdio::piped()).stdin(Stdio::null());
        adjust(&mut command);
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut said = String::new();
        let base = loop {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("stdout is text");
            assert!(read > 0, "the server ended before it said its address");
            said.push_str(&line);
            if let Some((_, base)) = line.split_once("Modelworks answers on ") {
                break base.trim().to_owned();
            }
        };
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {KEY}").parse().expect("the key is ASCII"));
        let client = reqwest::Client::builder().default_headers(headers).timeout(PATIENCE).build().expect("a client");
        Self { child, base, client, said, _stdout: stdout, _data: None, _room: room }
    }

    /// Waits until `/readyz` says so.
    pub async fn wait_until_ready(&self) {
        self.wait_for("readiness", async || {
            let answer = reqwest::get(format!("{}/readyz", self.base)).await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// Asks `condition` until it holds.
    pub async fn wait_for(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !condition().await {
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = self.client.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        request.body(body.to_string()).send().await.expect("the server answers")
    }

    /// Posts JSON and expects JSON with status 200.
    pub async fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).await;
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The gauges and counters of `/metrics` without labels, summed over labels.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = self.client.get(format!("{}/metrics", self.base)).send().await.expect("the server answers");
        let text = answer.text().await.expect("a body");
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or(series);
            *sums.entry(name.to_owned()).or_insert(0.0) += value.parse::<f64>().unwrap_or(0.0);
        }
        sums
    }

    /// Waits until no sequence runs or waits and no KV block is held.
    pub async fn wait_until_idle(&self) {
        self.wait_for("the engine to be idle", async || {
            let metrics = self.metrics().await;
            ["modelworks_sequences_running", "modelworks_sequences_waiting", "modelworks_kv_blocks_used"]
                .iter()
                .all(|name| metrics.get(*name) == Some(&0.0))
        })
        .await;
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let mut text = String::new();
        let mut file = std::fs::File::open(format!("/proc/{}/statm", self.child.id())).expect("the process lives");
        file.read_to_string(&mut text).expect("statm is text");
        let pages: u64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("resident pages");
        pages * 4096
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process lives");
    }

    /// Waits for the process to end by itself.
    pub async fn wait_until_gone(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the server did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The JSON of every `data:` line of an SSE body, and whether it ended with `[DONE]`.
pub fn sse(body: &str) -> (Vec<Value>, bool) {
    let data: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let done = data.last() == Some(&"[DONE]");
    let chunks = data.iter().filter(|line| **line != "[DONE]");
    (chunks.map(|line| serde_json::from_str(line).expect("a chunk is JSON")).collect(), done)
}

/// The text that chat chunks of choice 0 add up to.
pub fn streamed_text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
