//! A small HTTP/1.1 server: one request a connection, each answered by a function.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::Digest;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// With the query.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
}

impl Request {
    /// The first byte that is asked for.
    pub(super) fn from(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server answers.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// The `Content-Length`, when it is to be another than the body's.
    pub(super) announced: Option<usize>,
    /// Leave the connection open after this and never say anything more.
    pub(super) hang: bool,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), announced: None, hang: false }
    }

    /// No answer, on an open connection.
    pub(super) fn silence() -> Self {
        Self { hang: true, ..Self::status(0) }
    }

    pub(super) fn body(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::status(200) }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Ends the connection after so many bytes of the body.
    pub(super) fn cut(mut self, after: usize) -> Self {
        self.announced.get_or_insert(self.body.len());
        self.body.truncate(after);
        self
    }
}

pub(super) struct Server {
    pub(super) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, answer) = (requests.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, answer) = (log.clone(), answer.clone());
                connections.spawn(async move {
                    // The other side may be killed at any moment.
                    let _ended = serve(stream, &log, answer.as_ref()).await;
                });
            }
        });
        Self { address, requests, task }
    }

    /// All requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// First bytes of the bodies that were asked for.
    pub(super) fn bodies(&self) -> Vec<usize> {
        let is_body = |request: &&Request| request.method == "GET" && !request.target.starts_with("/api/");
        self.requests().iter().filter(is_body).map(|request| request.from().unwrap_or(0)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let request = Request { method, target, headers };
    let reply = answer(&request);
    log.lock().unwrap().push(request.clone());
    if reply.status == 0 {
        return std::future::pending().await;
    }
    let mut text = format!("HTTP/1.1 {} -\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n", reply.announced.unwrap_or(reply.body.len()));
    stream.write_all(text.as_bytes()).await?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body).await?;
    }
    if reply.hang {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}

/// One file, as the hub serves a large one: described and redirected by the hub, sent with ranges from elsewhere.
pub(super) fn hub_file(request: &Request, path: &str, bytes: &[u8]) -> Option<Reply> {
    let target = request.target.split('?').next().unwrap_or_default();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    if target.ends_with(&format!("/resolve/main/{path}")) || target.ends_with(&format!("/resolve/{commit}/{path}")) {
        let reply = Reply::status(302)
            .header("X-Linked-Etag", format!("\"{}\"", Digest::of(bytes).hex()))
            .header("X-Linked-Size", bytes.len().to_string())
            .header("X-Repo-Commit", commit)
            .header("Location", format!("/cdn/{path}?signature=abc"));
        return Some(reply);
    }
    (target == format!("/cdn/{path}")).then(|| ranged(request, bytes, "\"cdn-1\""))
}

/// Bytes with an ETag, from where they are asked for.
pub(super) fn ranged(request: &Request, bytes: &[u8], etag: &str) -> Reply {
    let current = request.headers.get("if-range").is_none_or(|wanted| wanted == etag);
    let reply = match request.from().filter(|_| current) {
        None => Reply::body(bytes),
        Some(from) if from >= bytes.len() => {
            Reply::status(416).header("Content-Range", format!("bytes */{}", bytes.len()))
        }
        Some(from) => Reply { status: 206, ..Reply::body(&bytes[from..]) }
            .header("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
    };
    reply.header("ETag", etag)
}
