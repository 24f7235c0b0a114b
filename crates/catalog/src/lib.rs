//! Names, sources and pulls of models, what is on disk and what is loaded.
//!
//! A [`Catalog`] owns one data folder. Names in it refer to files by their SHA-256 digest; a model's files come from the
//! first of its sources that answers. A name resolves to an [`inference::Backend`], which a [`Loader`] builds on first
//! use: the catalogue holds backends and makes none. It reads no environment and no flags (see [`Config`]), and knows
//! nothing about what is inside a model's files.

mod catalog;
mod config;
mod entry;
mod error;
mod loading;
mod name;

pub use catalog::Catalog;
pub use config::{Config, Hub, Limits, Token};
pub use entry::Entry;
pub use error::Error;
pub use loading::{LoadError, Loader};
pub use name::{InvalidName, Name};
