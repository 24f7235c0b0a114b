//! Real connections: clients that leave, stall, dawdle or ask for too much, and the shutdown.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use gateway::{Config, Drained, Service, serve};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::stage::{KEY, Script, Scripted, done, finished, says, service, text};

/// A server on a free port.
struct Server {
    address: SocketAddr,
    service: Service,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Drained>,
}

impl Server {
    async fn start(config: Config, backend: Arc<Scripted>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = service(config, backend);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(serve(listener, service.clone(), async { drop(stopped.await) }));
        Self { address, service, stop, running }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Ends a test that would hang. Nothing is measured by it.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn chat(stream: bool) -> String {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": stream});
    post("/v1/chat/completions", &body.to_string())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n")
}

/// Reads until `mark` has come.
async fn read_until(connection: &mut TcpStream, mark: &str) -> String {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(mark) {
        let count = soon(mark, connection.read_buf(&mut text)).await.unwrap();
        assert_ne!(count, 0, "the connection ended before {mark}: {}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap()
}

async fn read_to_end(connection: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = soon("the end of the connection", connection.read_to_end(&mut text)).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_whether_or_not_it_streams() {
    for stream in [false, true] {
        let (_events, script) = mpsc::channel(1);
        let backend = Scripted::once(Script::Channel(script));
        let server = Server::start(Config::default(), backend.clone()).await;
        let mut connection = server.connect().await;
        connection.write_all(chat(stream).as_bytes()).await.unwrap();
        soon("the start", backend.until_live(1)).await;
        drop(connection);
        soon("the cancellation", backend.until_live(0)).await;
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_silent_stream_cancels() {
    let (events, script) = mpsc::channel(1);
    let backend = Scripted::once(Script::Channel(script));
    // No ping could find out for us.
    let config = Config { ping_interval: Duration::from_secs(3600), ..Config::default() };
    let server = Server::start(config, backend.clone()).await;
    let mut connection = server.connect().await;
    connection.write_all(chat(true).as_bytes()).await.unwrap();
    events.send(text(0, "first")).await.unwrap();
    read_until(&mut connection, "first").await;
    drop(connection);
    soon("the cancellation", backend.until_live(0)).await;
    soon("the end of the request", async {
        while server.service.requests_in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_and_holds_nobody_up() {
    let backend = Scripted::new(|request| match request.max_tokens {
        Some(1) => Script::Events(says("quick")),
        _ => Script::Endless,
    });
    let config = Config { write_timeout: Duration::from_millis(200), ..Config::default() };
    let server = Server::start(config, backend.clone()).await;
    let mut stalled = server.connect().await;
    stalled.write_all(chat(true).as_bytes()).await.unwrap();
    soon("the start", backend.until_live(1)).await;
    let mut other = server.connect().await;
    let body = json!({"model": "m", "prompt": "x", "max_tokens": 1}).to_string();
    other.write_all(post("/v1/completions", &body).as_bytes()).await.unwrap();
    read_until(&mut other, "quick").await;
    soon("the cut", backend.until_live(0)).await;
    drop(stalled);
}

#[tokio::test]
async fn a_head_or_body_that_does_not_come_is_not_waited_for() {
    let short = Duration::from_millis(100);
    let config = Config { header_timeout: short, body_timeout: short, ..Config::default() };
    let server = Server::start(config, Scripted::new(|_| Script::Panic)).await;
    for head in ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nhost: x\r\n"] {
        let mut connection = server.connect().await;
        connection.write_all(head.as_bytes()).await.unwrap();
        read_to_end(&mut connection).await;
    }
    // Between two requests too.
    let mut connection = server.connect().await;
    connection.write_all(get("/healthz").as_bytes()).await.unwrap();
    assert!(read_to_end(&mut connection).await.starts_with("HTTP/1.1 200"));
    let mut connection = server.connect().await;
    let request = post("/v1/completions", "0123456789");
    connection.write_all(&request.as_bytes()[..request.len() - 1]).await.unwrap();
    let answer = read_until(&mut connection, "request_timeout").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_told_so() {
    let config = Config { max_body_bytes: 1 << 20, ..Config::default() };
    let server = Server::start(config, Scripted::new(|_| Script::Panic)).await;
    let mut connection = server.connect().await;
    let (mut reader, mut writer) = connection.split();
    let request = post("/v1/completions", &"x".repeat(3 << 20));
    // The client sends all before it reads, as many do.
    soon("sending", writer.write_all(request.as_bytes())).await.unwrap();
    let mut answer = vec![0; 12];
    soon("the answer", reader.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");

    let mut connection = server.connect().await;
    let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(40 << 10));
    connection.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut connection, "HTTP/1.1 431").await;
}

#[tokio::test]
async fn connections_above_the_bound_wait_for_a_place() {
    let config = Config { max_connections: 1, ..Config::default() };
    let server = Server::start(config, Scripted::new(|_| Script::Panic)).await;
    let mut first = server.connect().await;
    first.write_all(get("/healthz").as_bytes()).await.unwrap();
    read_until(&mut first, "\"ok\"").await;
    let mut second = server.connect().await;
    second.write_all(get("/healthz").as_bytes()).await.unwrap();
    // The first is still served, so the second cannot be the one that was taken.
    first.write_all(get("/readyz").as_bytes()).await.unwrap();
    read_until(&mut first, "\"ok\"").await;
    let mut nothing = [0; 1];
    assert!(second.try_read(&mut nothing).is_err(), "the second connection has no answer yet");
    drop(first);
    read_until(&mut second, "\"ok\"").await;
}

#[tokio::test]
async fn a_shutdown_lets_running_answers_finish_and_refuses_new_ones() {
    let (events, script) = mpsc::channel(8);
    let backend = Scripted::once(Script::Channel(script));
    let server = Server::start(Config::default(), backend.clone()).await;
    let mut idle = server.connect().await;
    idle.write_all(get("/readyz").as_bytes()).await.unwrap();
    read_until(&mut idle, "\"ok\"").await;
    let mut streaming = server.connect().await;
    streaming.write_all(chat(true).as_bytes()).await.unwrap();
    events.send(text(0, "before")).await.unwrap();
    read_until(&mut streaming, "before").await;

    server.stop.send(()).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed");
    let mut late = TcpStream::connect(server.address).await.unwrap();
    late.write_all(get("/readyz").as_bytes()).await.unwrap();
    assert!(read_to_end(&mut late).await.starts_with("HTTP/1.1 503"));
    let mut late = TcpStream::connect(server.address).await.unwrap();
    late.write_all(chat(false).as_bytes()).await.unwrap();
    assert!(read_to_end(&mut late).await.contains("shutting_down"));

    for event in [text(0, "after"), finished(0), done(1, 2)] {
        events.send(event).await.unwrap();
    }
    let rest = read_to_end(&mut streaming).await;
    assert!(rest.contains("after") && rest.contains("[DONE]"), "{rest}");
    assert_eq!(soon("the end", server.running).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn what_does_not_finish_in_the_grace_period_is_cut() {
    let (_events, script) = mpsc::channel(1);
    let backend = Scripted::once(Script::Channel(script));
    let config = Config { grace: Duration::from_millis(50), ..Config::default() };
    let server = Server::start(config, backend.clone()).await;
    let mut connection = server.connect().await;
    connection.write_all(chat(false).as_bytes()).await.unwrap();
    soon("the start", backend.until_live(1)).await;
    server.stop.send(()).unwrap();
    assert_eq!(soon("the end", server.running).await.unwrap(), Drained { cut: 1 });
    soon("the cancellation", backend.until_live(0)).await;
    assert_eq!(read_to_end(&mut connection).await, "");
}
