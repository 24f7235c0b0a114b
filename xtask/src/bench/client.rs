//! One streamed request for a chat completion, on a connection of its own.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::json;

use super::recording::Recording;

/// Longer than any request of a case takes on a server that is worth measuring.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Server {
    pub name: String,
    pub address: SocketAddr,
    key: String,
}

/// What is asked.
#[derive(Debug)]
pub struct Question<'a> {
    pub model: &'a str,
    pub system: Option<&'a str>,
    pub user: String,
    /// The answer has exactly so many tokens, where the server knows `ignore_eos`.
    pub tokens: usize,
}

impl Server {
    /// # Errors
    /// When the URL is not one of this machine.
    pub fn new(name: &str, url: &str, key: &str) -> Result<Self> {
        let place = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').trim_end_matches("/v1"));
        let address = place.and_then(|place| place.replace("localhost", "127.0.0.1").parse::<SocketAddr>().ok());
        let address = address.with_context(|| format!("a server is http://ADDRESS:PORT, not {url:?}"))?;
        ensure!(address.ip().is_loopback(), "load goes to this machine only, and {url} is another");
        Ok(Self { name: name.to_owned(), address, key: key.to_owned() })
    }

    /// Sends the question and records the answer to its end.
    pub async fn ask(&self, question: &Question<'_>, recording: &Recording) -> Result<()> {
        tokio::time::timeout(TIME_LIMIT, self.exchange(question, recording))
            .await
            .with_context(|| format!("no end after {TIME_LIMIT:?}"))?
    }

    async fn exchange(&self, question: &Question<'_>, recording: &Recording) -> Result<()> {
        let system = question.system.map(|system| json!({"role": "system", "content": system}));
        let user = json!({"role": "user", "content": question.user});
        let body = json!({
            "model": question.model,
            "messages": system.into_iter().chain([user]).collect::<Vec<_>>(),
            "max_tokens": question.tokens,
            "temperature": 0,
            "ignore_eos": true,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        let request = Request::post("/v1/chat/completions")
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;

        recording.start();
        let stream = tokio::net::TcpStream::connect(self.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let mut body = response.into_body();
            if !status.is_success() {
                let body = body.collect().await?.to_bytes();
                bail!("status {status}: {}", String::from_utf8_lossy(&body[..body.len().min(400)]));
            }
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame?.into_data() {
                    recording.push(data);
                }
            }
            Ok(())
        };
        // The connection ends when the exchange has dropped its sender, and an exchange that is dropped hangs up.
        let (result, _) = tokio::join!(exchange, async {
            let _ = connection.await; // what went wrong shows in the exchange
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_server() {
        for url in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/v1", "http://localhost:1/", "http://[::1]:80/v1/"] {
            assert!(Server::new("a", url, "k").is_ok(), "{url}");
        }
        for url in ["http://192.0.2.1:80", "https://127.0.0.1:80", "http://127.0.0.1", "example.org:80", ""] {
            assert!(Server::new("a", url, "k").is_err(), "{url}");
        }
    }
}
