//! Limits and times of the edge.

use std::time::Duration;

use axum::http::HeaderValue;
use ipnet::IpNet;
use thiserror::Error;

/// Limits and times of the edge. [`Config::default`] suits a server on the open network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where browsers find the service, such as `https://models.example.org`; none: at the host that they ask.
    pub origin: Option<Box<str>>,
    /// Whether browsers reach it over TLS, which may end before it: then their cookies are sent over nothing else.
    pub secure: bool,
    /// Largest request body, in bytes; a larger one is answered with 413.
    pub max_body_bytes: usize,
    /// Connections held at a time, by each listener for itself, so that a flood at one leaves the others open. More wait in the
    /// kernel's queue.
    pub max_connections: usize,
    /// Choices (`n` times the number of prompts) that one request may ask for.
    pub max_choices: u32,
    /// Responses that may be made in the background at a time.
    pub max_background: u32,
    /// How long a response is kept; zero keeps none.
    pub response_retention: Duration,
    /// Time for a request's head to arrive, counted from the opening of the connection or the end of its previous
    /// answer. It therefore bounds how long a connection may idle too.
    pub header_timeout: Duration,
    /// Time for a request's body to arrive.
    pub body_timeout: Duration,
    /// A client that takes nothing for this long, though there is something to send, is cut off.
    pub write_timeout: Duration,
    /// A stream's status line waits this long for the first event, so that an early failure still has its own status.
    pub status_wait: Duration,
    /// A stream that has nothing else to send says so this often.
    pub ping_interval: Duration,
    /// After the call to shut down, running requests have this long to finish.
    pub grace: Duration,
    /// Networks of proxies that are believed who their client is (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call the public API, such as `https://app.example.org`; never with cookies, and never the
    /// routes of administration.
    pub cors_origins: Vec<HeaderValue>,
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the gateway's {name} must be greater than zero")]
pub struct InvalidConfig {
    /// The setting.
    pub name: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            origin: None,
            secure: false,
            max_body_bytes: 8 << 20,
            max_connections: 4096,
            max_choices: 128,
            max_background: 256,
            response_retention: Duration::from_secs(30 * 24 * 60 * 60),
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            status_wait: Duration::from_secs(2),
            ping_interval: Duration::from_secs(2),
            grace: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
        }
    }
}

impl Config {
    /// Checks what would otherwise show only when the first request comes. Zero is meaningful for `status_wait`,
    /// `grace` and `response_retention` alone.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let zeros = [
            ("max_body_bytes", self.max_body_bytes == 0),
            ("max_connections", self.max_connections == 0),
            ("max_choices", self.max_choices == 0),
            ("max_background", self.max_background == 0),
            ("header_timeout", self.header_timeout.is_zero()),
            ("body_timeout", self.body_timeout.is_zero()),
            ("write_timeout", self.write_timeout.is_zero()),
            ("ping_interval", self.ping_interval.is_zero()),
        ];
        match zeros.into_iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(InvalidConfig { name }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_works_and_a_zero_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(
            Config { status_wait: Duration::ZERO, grace: Duration::ZERO, ..Config::default() }.validate(),
            Ok(())
        );
        let broken = Config { ping_interval: Duration::ZERO, ..Config::default() };
        assert_eq!(broken.validate(), Err(InvalidConfig { name: "ping_interval" }));
    }
}
