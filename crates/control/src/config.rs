//! Settings of the administrative edge.

/// Settings of the administrative edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Whether browsers reach it over TLS: then their cookie is sent over nothing else.
    pub secure: bool,
    /// What it takes to hash a password.
    pub cost: Cost,
    /// Whether webhooks may be sent to without TLS; to where, whoever sends decides.
    pub webhooks_without_tls: bool,
}

/// What it takes to hash a password: for us at a sign-in, and for whoever has stolen the rows at each guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for Cost {
    /// What OWASP's Password Storage Cheat Sheet recommends for Argon2id with one lane.
    fn default() -> Self {
        Self { memory_kib: 19 << 10, passes: 2 }
    }
}
