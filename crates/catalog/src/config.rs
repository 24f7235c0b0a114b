//! What the catalogue can be told. Only the binary reads flags and environment; it fills these structs.

use std::{fmt, path::PathBuf, time::Duration};

/// All settings of a [`crate::Catalog`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that holds models, blobs and partial downloads. Made when it is not there, readable by its owner only.
    pub data_dir: PathBuf,
    /// Where `hf:` references and known models are looked for.
    pub hub: Hub,
    /// Bounds of a pull.
    pub limits: Limits,
    /// Commands that are tried, in order, as the user's `pip`; each is a program and its first arguments.
    pub pip: Vec<Vec<String>>,
    /// URLs of the proxies that the environment names. The HTTP client finds them there by itself; here they are listed
    /// because their addresses may be private, while those of downloads may not.
    pub proxies: Vec<String>,
}

impl Config {
    /// The defaults, for a data folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            data_dir: data_dir.into(),
            hub: Hub::default(),
            limits: Limits::default(),
            pip: vec![command(&["python3", "-m", "pip"]), command(&["pip"]), command(&["pip3"])],
            proxies: Vec::new(),
        }
    }

    /// The defaults, with what the usual environment variables say: `HF_ENDPOINT`, `HF_TOKEN`, and the proxies'. `variable`
    /// looks one up; an empty value counts as none.
    pub fn from_environment(data_dir: impl Into<PathBuf>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let mut config = Self::new(data_dir);
        if let Some(endpoint) = variable("HF_ENDPOINT") {
            config.hub.endpoint = endpoint;
        }
        config.hub.token = variable("HF_TOKEN").map(|token| Token::new(&token));
        let proxies = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
        config.proxies = proxies.iter().filter_map(|name| variable(name)).collect();
        config
    }
}

/// A server that speaks the Hugging Face hub's API.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Its address, as in `HF_ENDPOINT`. May be plain http and may be in a private network: the operator chose it.
    pub endpoint: String,
    /// Sent to the endpoint's own host and to no other, as in `HF_TOKEN`.
    pub token: Option<Token>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { endpoint: "https://huggingface.co".to_owned(), token: None }
    }
}

/// A secret that cannot be printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes the secret; surrounding white space (of a file, of a shell) is no part of it.
    pub fn new(secret: &str) -> Self {
        Self(secret.trim().to_owned())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// Bounds of a pull.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A source that has not connected by then has failed.
    pub connect: Duration,
    /// A source that sends nothing for so long has failed (and is asked again for the rest, see `retries`).
    pub stall: Duration,
    /// Longest run of one `pip download`.
    pub pip: Duration,
    /// Times that a cut download of one file is continued while hardly anything (64 KiB) comes.
    pub retries: u32,
    /// Pause before the first retry; it doubles with each.
    pub backoff: Duration,
    /// Most bytes of one file.
    pub file_bytes: u64,
    /// Most files of one model.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            pip: Duration::from_secs(3600),
            retries: 5,
            backoff: Duration::from_millis(500),
            file_bytes: 1 << 40,
            files: 512,
        }
    }
}
