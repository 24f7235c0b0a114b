//! The real binary, on a port of its own, with the real model and real clients.

mod answers;
mod anthropic_sdk;
mod commands;
mod folders;
mod forms;
mod hang_up;
mod lifecycle;
mod openai_sdk;
mod python;
mod server;
mod usage;
