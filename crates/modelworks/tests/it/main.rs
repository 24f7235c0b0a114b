//! The real binary, on a port of its own, with the real model and real clients.

mod admin;
mod answers;
mod anthropic_sdk;
mod commands;
mod disk;
mod edge;
mod embeddings;
mod folders;
mod forms;
mod frameworks;
mod hang_up;
mod kills;
mod lifecycle;
mod node;
mod oidc;
mod ollama_sdk;
mod openai_sdk;
mod openapi;
mod people;
mod python;
mod responses;
mod secrets;
mod server;
mod soak;
mod usage;
mod webhooks;
