//! The public HTTP edge: routes per API family, admission, streaming, one terminal outcome for each request.
//!
//! A handler converts its family's JSON into an [`inference::Request`], passes admission, asks a backend of the
//! catalogue and encodes the events that come. The crate sees backends and no engine; content and keys never reach a log.
//!
//! [`serve`] runs the whole on a listener; [`router()`] is the same without connections, for tests and embedding.

mod admission;
mod annex;
mod apart;
mod body;
mod caller;
mod config;
mod cors;
mod embedding;
mod error;
mod exchange;
mod family;
mod form;
mod generation;
mod journal;
mod labels;
mod metering;
mod metrics;
mod notes;
mod openapi;
mod parameter;
mod people;
mod rate_limit;
mod response_store;
mod router;
mod routes;
mod server;
mod service;
mod session;
mod sse;
mod tenancy;
mod thinking;
mod timestamp;

pub use annex::Annex;
pub use config::{Config, InvalidConfig};
pub use journal::{Journal, Place};
pub use openapi::document as openapi_document;
pub use response_store::ResponseStore;
pub use router::{Endpoint, Surface, endpoints, router};
pub use routes::openai::responses::fail_interrupted_responses;
pub use server::{Certificate, CertificateError, Drained, Listener, serve};
pub use service::Service;
pub use tenancy::Tenancy;
