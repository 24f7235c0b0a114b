//! The public JSON types, one file per API family.
//!
//! The types do nothing but serialisation and description: every rule about values (ranges, combinations, what is not
//! supported) is the edge's, so that a refusal can name the parameter and say what would be accepted. For that reason
//! numbers are as wide as JSON allows, choices are strings, and unknown fields are ignored, except in [`admin`]. [`json`] reads
//! them for every edge.

pub mod admin;
pub mod anthropic;
pub mod csv;
pub mod json;
pub mod models;
pub mod native;
pub mod ollama;
pub mod openai;
pub mod rerank;
pub mod tenant;
mod text_or_list;
mod text_or_map;
