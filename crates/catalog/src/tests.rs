//! The catalogue as a whole: against a small server that speaks the hub's API, and against a scripted loader.

mod crash;
mod fixture;
mod loads;
mod local;
mod pulls;
mod python;
mod server;
