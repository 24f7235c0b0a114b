//! Talks to a server, as any client does.

use std::{io::Write, path::Path, time::Duration};

use account::ApiKey;
use anyhow::{Context, Result, anyhow, bail};
use reqwest::{
    Method, Url,
    header::{ETAG, HeaderValue, IF_MATCH},
};
use serde::Serialize;
use serde_json::Value;

use super::open_local_access;

/// Environment variable with the key.
const KEY_VARIABLE: &str = "MODELWORKS_KEY";

/// Where a server answers unless it is told otherwise.
const USUAL_URL: &str = "http://127.0.0.1:8080";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an export may take as a whole.
const WHOLE: Duration = Duration::from_secs(60 * 60);

/// Most parts of a list that are read.
const MOST_PARTS: usize = 10_000;

/// A server and the key for it.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: HeaderValue,
}

impl Client {
    /// The server at `url`, or the one that uses the data folder.
    pub fn open(data_dir: &Path, url: Option<&str>) -> Result<Self> {
        let local = open_local_access(data_dir)?;
        let told = std::env::var(KEY_VARIABLE).ok();
        let told = told.map(ApiKey::parse).transpose().with_context(|| format!("reading ${KEY_VARIABLE}"))?;
        let (url, key) = match (url, told, local) {
            (Some(url), Some(key), _) => (url.to_owned(), key),
            (None, Some(key), local) => (local.map_or_else(|| USUAL_URL.to_owned(), |local| local.url), key),
            // A key is only ever sent to the server that it is of.
            (Some(url), None, Some(local)) if url.trim_end_matches('/') == local.url => (local.url, local.key),
            (Some(url), None, _) => bail!("no key for {url}; set the environment variable {KEY_VARIABLE}"),
            (None, None, Some(local)) => (local.url, local.key),
            (None, None, None) => bail!(
                "no server uses the data folder {}; start one with `modelworks serve`, or set MODELWORKS_URL and {KEY_VARIABLE}",
                data_dir.display()
            ),
        };
        let base: Url = url.parse().with_context(|| format!("`{url}` is not the address of a server"))?;
        let mut builder = reqwest::Client::builder().timeout(PATIENCE).tls_backend_preconfigured(catalog::tls()?);
        // What is on this machine is not asked for through a proxy.
        if base.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]") {
            builder = builder.no_proxy();
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {}", key.expose()))?;
        header.set_sensitive(true);
        Ok(Self { http: builder.build().context("preparing HTTP")?, base, key: header })
    }

    /// Reads something.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        Ok(self.send(Method::GET, path, query, None, None).await?.0)
    }

    /// Reads all parts of a list.
    pub async fn all(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PARTS {
            let mut query = query.to_vec();
            query.push(("limit", "1000"));
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let mut part = self.get(path, &query).await?;
            match part["data"].take() {
                Value::Array(data) => all.extend(data),
                _ => bail!("the server answered {path} with something that is no list"),
            }
            match part["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
        bail!("the list {path} is too long")
    }

    /// Makes something.
    pub async fn post<T: Serialize>(&self, path: &str, body: &T) -> Result<Value> {
        Ok(self.send(Method::POST, path, &[], Some(serde_json::to_vec(body)?), None).await?.0)
    }

    /// Changes something that nobody else changes meanwhile.
    pub async fn patch<T: Serialize>(&self, path: &str, body: &T) -> Result<Value> {
        let (_, tag) = self.send(Method::GET, path, &[], None, None).await?;
        let tag = tag.with_context(|| format!("the server gave no ETag for {path}"))?;
        Ok(self.send(Method::PATCH, path, &[], Some(serde_json::to_vec(body)?), Some(tag)).await?.0)
    }

    /// Writes something that is not JSON, as it comes. It may take as long as it goes on coming.
    pub async fn copy(&self, path: &str, query: &[(&str, &str)], out: &mut dyn Write) -> Result<()> {
        let mut url = self.base.join(path).with_context(|| format!("`{path}` is no path"))?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.http.get(url).header("authorization", self.key.clone()).timeout(WHOLE);
        let mut answer = request.send().await.with_context(|| format!("asking {}", self.base))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(refusal(&self.base, status, &answer.bytes().await.context("reading the answer")?));
        }
        while let Some(part) = answer.chunk().await.context("the answer was cut off")? {
            out.write_all(&part)?;
        }
        Ok(out.flush()?)
    }

    /// Ends something; with `seen`, something that nobody else changes meanwhile.
    pub async fn delete(&self, path: &str, seen: bool) -> Result<()> {
        let tag = if seen { self.send(Method::GET, path, &[], None, None).await?.1 } else { None };
        self.send(Method::DELETE, path, &[], None, tag).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
        if_match: Option<HeaderValue>,
    ) -> Result<(Value, Option<HeaderValue>)> {
        let mut url = self.base.join(path).with_context(|| format!("`{path}` is no path"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).header("authorization", self.key.clone());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some(tag) = if_match {
            request = request.header(IF_MATCH, tag);
        }
        let answer = request.send().await.with_context(|| format!("asking {}", self.base))?;
        let (status, tag) = (answer.status(), answer.headers().get(ETAG).cloned());
        let bytes = answer.bytes().await.context("reading the answer")?;
        if status.is_success() {
            return Ok((serde_json::from_slice(&bytes).unwrap_or_default(), tag));
        }
        Err(refusal(&self.base, status, &bytes))
    }
}

/// Why the server did not do it.
fn refusal(base: &Url, status: reqwest::StatusCode, body: &[u8]) -> anyhow::Error {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    match (value["error"]["message"].as_str(), value["error"]["code"].as_str()) {
        (Some(message), Some(code)) => anyhow!("the server refused: {message} ({code})"),
        _ => anyhow!("the server at {base} answered with status {status}"),
    }
}
