//! Names, sources and pulls of models, what is on disk and what is loaded.
//!
//! A [`Catalog`] owns one data folder. Names in it refer to files by their SHA-256 digest; a model's files come from the
//! first of its sources that answers. A name resolves to an [`inference::Backend`], which a [`Loader`] builds on first
//! use: the catalogue holds backends and makes none. It reads no environment and no flags (see [`Config`]), and knows
//! nothing about what is inside a model's files.

mod address;
mod catalog;
mod choice;
mod config;
mod crash;
mod digest;
mod disk;
mod download;
mod durable;
mod entry;
mod error;
mod file_name;
mod folder;
mod http;
mod known;
mod loading;
mod lock;
mod manifest;
mod name;
mod part;
mod progress;
mod pull;
mod reference;
mod source;
#[cfg(test)]
mod tests;

pub use address::is_public;
pub use catalog::Catalog;
pub use config::{Config, Hub, Limits, Token};
pub use digest::{Digest, InvalidDigest};
pub use entry::Entry;
pub use error::Error;
pub use file_name::{FileName, InvalidFileName};
pub use http::tls;
pub use known::{KNOWN, Known, KnownFile, known};
pub use loading::{LoadError, Loader};
pub use name::{InvalidName, Name};
pub use progress::{Attempt, Progress, Stage};
pub use pull::Pull;
pub use reference::{InvalidReference, Reference};
pub use reqwest::Url;
pub use source::{HubPath, Repository};
