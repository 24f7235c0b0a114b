//! The administrative HTTP edge: everything under `/admin/v1`.
//!
//! [`routes()`] gives the routes to whoever serves them, which must have checked the caller's key or session and put
//! [`account::Identity`] into the request: without it every route here answers 401, but for those by which people come in. What
//! somebody may do is decided by the matched route and the table in `account`; what lies in another organisation does not exist. Every change is durable, in the audit log and known to what
//! runs before it is answered.

mod attempts;
mod body;
mod caller;
mod config;
mod control;
mod convert;
mod cookie;
mod error;
mod html;
mod openapi;
mod page;
mod passwords;
mod pending;
mod precondition;
mod providers;
mod return_path;
mod router;
mod routes;
mod sign_in_page;
mod statement_page;

pub use caller::Caller;
pub use config::{Config, Cost};
pub use control::{Control, Publish};
pub use openapi::document as openapi_document;
pub use providers::{Provider, Providers};
pub use router::{Endpoint, endpoints, routes};
