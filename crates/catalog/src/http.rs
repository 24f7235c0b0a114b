//! HTTP for pulls: redirects followed by hand, so that each hop is checked and the hub's token stays with the hub.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LOCATION, RANGE},
    redirect,
};

use crate::{
    Config, Error, Limits, Token,
    address::{PublicOnly, is_public, refused},
};

/// Most redirects of one request.
const MOST_REDIRECTS: usize = 10;
/// Longest URL that is followed, in bytes.
const MOST_URL_BYTES: usize = 8192;
/// Longest JSON answer that is read, in bytes: a listing of a large repository has some hundred kilobytes.
const MOST_JSON_BYTES: usize = 16 << 20;

/// Two clients: one for the hub's endpoint, which the operator chose, and one for all other hosts.
pub(crate) struct Http {
    endpoint: Url,
    token: Option<Token>,
    trusted: Client,
    guarded: Client,
    proxies: Vec<String>,
    pub(crate) limits: Limits,
}

/// Why a request failed: public text, and what may be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpError {
    pub(crate) reason: String,
    pub(crate) kind: Kind,
    /// The status, when the server answered.
    pub(crate) status: Option<StatusCode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No connection: another source may be quicker.
    Connect,
    /// It may work when tried again.
    Transient,
    /// It will not.
    Permanent,
}

impl HttpError {
    pub(crate) fn permanent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), kind: Kind::Permanent, status: None }
    }

    pub(crate) fn transient(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), kind: Kind::Transient, status: None }
    }

    fn of(error: reqwest::Error) -> Self {
        let kind = match () {
            () if error.is_connect() => Kind::Connect,
            () if error.is_builder() => Kind::Permanent,
            () => Kind::Transient,
        };
        let error = error.without_url();
        // The outermost texts only say that something failed; the last says what.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let reason = match kind {
            Kind::Connect => format!("cannot connect: {cause}"),
            _ => cause.to_string(),
        };
        Self { reason, kind, status: None }
    }
}

/// What the hub says about a file, in the headers of its own answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Linked {
    /// Of the content: SHA-256 for large files, the git blob's SHA-1 for others.
    pub(crate) etag: Option<String>,
    pub(crate) bytes: Option<u64>,
    pub(crate) commit: Option<String>,
}

/// Bytes from `start` to the end.
pub(crate) struct From<'a> {
    pub(crate) start: u64,
    /// Only when this is still the ETag; otherwise from the beginning.
    pub(crate) if_range: Option<&'a str>,
}

/// The last answer of a chain of redirects.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) linked: Linked,
}

impl Http {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let endpoint = endpoint(&config.hub.endpoint)?;
        let proxies = config
            .proxies
            .iter()
            .filter_map(|proxy| {
                // As in curl, a proxy may be given without a scheme.
                let url = Url::parse(proxy).ok().filter(Url::has_host);
                url.or_else(|| Url::parse(&format!("http://{proxy}")).ok())?.host_str().map(str::to_owned)
            })
            .collect::<Vec<_>>();
        let builder = || {
            Ok::<_, Error>(
                Client::builder()
                    .tls_backend_preconfigured(tls()?)
                    .redirect(redirect::Policy::none())
                    .connect_timeout(config.limits.connect)
                    .pool_max_idle_per_host(1)
                    .user_agent(concat!("modelworks/", env!("CARGO_PKG_VERSION"))),
            )
        };
        let build =
            |builder: ClientBuilder| builder.build().map_err(|error| Error::Client(HttpError::of(error).reason));
        // No proxy reaches what this machine serves to itself.
        let trusted = if is_loopback(&endpoint) { builder()?.no_proxy() } else { builder()? };
        let guard = PublicOnly { proxies: proxies.clone() };
        Ok(Self {
            endpoint,
            token: config.hub.token.clone(),
            trusted: build(trusted)?,
            guarded: build(builder()?.dns_resolver(Arc::new(guard)))?,
            proxies,
            limits: config.limits.clone(),
        })
    }

    /// The address of something on the hub; `path` is split at its slashes, and each segment is escaped.
    pub(crate) fn hub_url(&self, path: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.iter().flat_map(|part| part.split('/')));
        }
        url
    }

    /// The host of the hub, for texts.
    pub(crate) fn hub_host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    /// Whether the operator gave a token for the hub.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn is_hub(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    /// Sends a request and follows its redirects. An answer that is neither success nor "range not satisfiable" is an error.
    /// A `HEAD` ends at the first answer in which the hub describes the file.
    pub(crate) async fn send(&self, method: Method, url: &Url, from: Option<From<'_>>) -> Result<Answer, HttpError> {
        let mut url = url.clone();
        let mut linked = Linked::default();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.request(&method, &url)?;
            if let Some(from) = &from {
                request = request.header(RANGE, format!("bytes={}-", from.start));
                if let Some(etag) = from.if_range {
                    request = request.header(IF_RANGE, etag);
                }
            }
            let response = self.in_time(request.send()).await?.map_err(HttpError::of)?;
            if self.is_hub(&url) {
                linked.take(response.headers());
            }
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                if method == Method::HEAD && linked.etag.is_some() {
                    return Ok(Answer { response, linked });
                }
                url = redirected(&url, response.headers())?;
                continue;
            }
            if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                if self.is_hub(&url) && linked.etag.is_none() {
                    linked.etag = text(response.headers(), ETAG.as_str()).map(|etag| bare(&etag).to_owned());
                }
                return Ok(Answer { response, linked });
            }
            return Err(refusal(&url, status));
        }
        Err(HttpError::permanent(format!("more than {MOST_REDIRECTS} redirects")))
    }

    /// One hop: the client that may ask, and the token when it is the hub that is asked.
    fn request(&self, method: &Method, url: &Url) -> Result<RequestBuilder, HttpError> {
        let request = self
            .client_for(url)?
            .request(method.clone(), url.clone())
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(match self.token.as_ref().filter(|_| self.is_hub(url)) {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        })
    }

    /// A JSON answer of the hub.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(&self, url: &Url) -> Result<T, HttpError> {
        let mut response = self.send(Method::GET, url, None).await?.response;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if bytes.len() + chunk.len() > MOST_JSON_BYTES {
                return Err(HttpError::permanent(format!("the answer has more than {MOST_JSON_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| HttpError::permanent(format!("the answer is not as expected: {error}")))
    }

    /// The next bytes of a body, waiting no longer than a stall may take.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, HttpError> {
        self.in_time(response.chunk()).await?.map_err(|error| {
            let HttpError { reason, .. } = HttpError::of(error);
            HttpError::transient(format!("the connection was cut: {reason}"))
        })
    }

    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, HttpError> {
        let stall: Duration = self.limits.stall;
        let elapsed = |_| HttpError::transient(format!("nothing was sent for {stall:?}"));
        tokio::time::timeout(stall, future).await.map_err(elapsed)
    }

    /// The client that may ask for `url`.
    fn client_for(&self, url: &Url) -> Result<&Client, HttpError> {
        if url.as_str().len() > MOST_URL_BYTES {
            return Err(HttpError::permanent(format!("a URL has more than {MOST_URL_BYTES} bytes")));
        }
        if self.is_hub(url) {
            return Ok(&self.trusted);
        }
        check_public(url)?;
        // A name is exempt in the resolver when it is the proxy's; it is not exempt as the target.
        if url.host_str().is_some_and(|host| self.proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(host))) {
            return Err(HttpError::permanent("a download may not ask the proxy itself"));
        }
        Ok(&self.guarded)
    }
}

/// Refuses what is not https, or has a password in it, or names an address that is not public. Names are checked when
/// they are resolved; addresses are never resolved.
pub(crate) fn check_public(url: &Url) -> Result<(), HttpError> {
    if url.scheme() != "https" {
        return Err(HttpError::permanent(format!("only https is accepted, not `{}:`", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::permanent("a URL with a user name or password in it is not accepted"));
    }
    match literal(url) {
        Some(address) if !is_public(address) => Err(HttpError::permanent(refused(address).to_string())),
        _ => Ok(()),
    }
}

impl Linked {
    fn take(&mut self, headers: &HeaderMap) {
        if let Some(etag) = text(headers, "x-linked-etag") {
            self.etag = Some(bare(&etag).to_owned());
        }
        if let Some(bytes) = text(headers, "x-linked-size").and_then(|bytes| bytes.parse().ok()) {
            self.bytes = Some(bytes);
        }
        if let Some(commit) = text(headers, "x-repo-commit") {
            self.commit = Some(commit);
        }
    }
}

impl Answer {
    /// The ETag, when it stands for the very bytes (a weak one does not).
    pub(crate) fn strong_etag(&self) -> Option<String> {
        text(self.response.headers(), ETAG.as_str()).filter(|etag| etag.starts_with('"'))
    }

    /// First byte and total length of `Content-Range: bytes 5-9/10`; the total may be left out.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let value = text(self.response.headers(), CONTENT_RANGE.as_str())?;
        let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, _last) = range.split_once('-')?;
        Some((first.parse().ok()?, total.parse().ok()))
    }
}

fn endpoint(text: &str) -> Result<Url, Error> {
    let wrong = |problem: &str| Error::Endpoint { endpoint: text.to_owned(), problem: problem.to_owned() };
    let url = Url::parse(text.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err(wrong("it must begin with https:// or http:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("a user name or password has no place in it; use a token"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("a query or fragment has no place in it"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    literal(url).map_or(url.host_str() == Some("localhost"), |address| address.is_loopback())
}

/// The address in a URL that names no host but an address.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// What clients of HTTPS in this process trust: what the operating system does.
pub fn tls() -> Result<rustls::ClientConfig, Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;

    // Given by hand, and not as the process's default: whoever else uses rustls here may choose for himself.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| {
        Error::Client(format!("{error}; install the system's CA certificates, or set SSL_CERT_FILE to a file of them"))
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(failed)?.with_platform_verifier().map_err(failed)?.with_no_client_auth())
}

fn redirected(url: &Url, headers: &HeaderMap) -> Result<Url, HttpError> {
    let location =
        text(headers, LOCATION.as_str()).ok_or_else(|| HttpError::permanent("a redirect does not say where to"))?;
    url.join(&location).map_err(|error| HttpError::permanent(format!("a redirect leads to no URL: {error}")))
}

fn refusal(url: &Url, status: StatusCode) -> HttpError {
    let transient =
        status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    let kind = if transient { Kind::Transient } else { Kind::Permanent };
    let host = url.host_str().unwrap_or_default();
    HttpError { reason: format!("{host} answers {status}"), kind, status: Some(status) }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|value| value.trim().to_owned())
}

/// An ETag without its quotes and its mark of weakness.
fn bare(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hub;

    fn http(endpoint: &str) -> Http {
        let mut config = Config::new("/nowhere");
        config.hub.endpoint = endpoint.to_owned();
        config.proxies = vec!["http://proxy.example:3128".to_owned(), "other.example:80".to_owned()];
        Http::new(&config).unwrap()
    }

    #[test]
    fn only_public_https_is_asked_apart_from_the_endpoint() {
        let http = http("http://127.0.0.1:4000/mirror/");
        let refused = [
            "http://example.org/x",
            "ftp://example.org/x",
            "file:///etc/passwd",
            "https://user:secret@example.org/x",
            "https://127.0.0.1/x",
            "https://127.0.0.1:4000/x",
            "http://127.0.0.1:4001/x",
            "https://0x7f.1/x",
            "https://2130706433/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://169.254.169.254/latest/meta-data",
            "https://proxy.example/x",
            "https://OTHER.example/x",
        ];
        for url in refused {
            assert!(http.client_for(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in ["https://example.org/x", "https://1.1.1.1/x", "http://127.0.0.1:4000/elsewhere"] {
            assert!(http.client_for(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_token_goes_to_the_endpoint_alone() {
        let mut config = Config::new("/nowhere");
        config.hub = Hub { endpoint: "https://hub.example/mirror".to_owned(), token: Some(Token::new(" secret\n")) };
        let http = Http::new(&config).unwrap();
        let token = |url: &str| {
            let request = http.request(&Method::GET, &Url::parse(url).unwrap()).unwrap().build().unwrap();
            request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(token("https://hub.example/o/r").as_deref(), Some("Bearer secret"));
        assert_eq!(token("https://hub.example:443/o/r").as_deref(), Some("Bearer secret"));
        for other in ["https://cdn.hub.example/o/r", "https://hub.example:444/o/r", "https://hub.example.org/o/r"] {
            assert_eq!(token(other), None, "{other}");
        }
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn paths_on_the_hub_keep_the_endpoints_own_path_and_are_escaped() {
        let http = http("http://127.0.0.1:4000/mirror/");
        let url = http.hub_url(&["owner/repo", "resolve/main", "a b?#.gguf"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:4000/mirror/owner/repo/resolve/main/a%20b%3F%23.gguf");
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused_with_the_reason() {
        for text in ["", "huggingface.co", "ftp://h", "https://u:p@h", "https://h?x", "https://h#x"] {
            assert!(matches!(endpoint(text), Err(Error::Endpoint { .. })), "{text}");
        }
    }
}
