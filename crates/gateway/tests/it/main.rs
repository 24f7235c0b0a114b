//! The edge from outside, over a scripted backend: in process where only routes matter, over TCP where connections do.

mod anthropic;
mod api;
mod caps;
mod connections;
mod cors;
mod embeddings;
mod exercise;
mod hostile;
mod labels;
mod log;
mod ollama;
mod parameters;
mod responses;
mod security;
mod sessions;
mod stage;
mod streams;
mod tenants;
mod tools;
mod transcripts;
