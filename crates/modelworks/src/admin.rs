//! Administration from the command line: `org`, `project`, `user`, `key`, `limit`, `price`, `credit`, `usage`, `ledger`,
//! `statement`, `rerate`, `retention`, `end-user`, `tag`, `webhook`, `audit`, `backup`, `restore`.
//!
//! All but the last two speak HTTP to a server that runs, as any other client does.

mod bills;
mod client;
mod command;
mod copies;
mod expiry;
mod ledger;
mod local_access;
mod names;
mod perform;
mod table;
mod user;
mod webhook;

pub use command::AdminCommand;
pub use local_access::{LocalAccess, open_local_access};
pub use perform::perform;
