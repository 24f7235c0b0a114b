//! The rows: SQL, migrations and the one writer.
//!
//! One SQLite file in the data folder, in WAL mode with full synchronisation. Everything that is written goes through one
//! task, which commits in groups and answers only when the commit is on the disk. Reads have connections of their own and
//! never wait for it. This is the one crate that contains SQL; only bound parameters reach it, and whatever belongs to a
//! tenant is asked for with the tenant's id.
//!
//! Rules are in `account`: nothing here decides what may be done or what it costs.

mod audit;
mod backup;
mod change;
mod changes;
mod clock;
mod codes;
mod columns;
mod deliveries;
mod erasure;
mod error;
mod identities;
mod invites;
mod keys;
mod labels;
mod ledger;
mod limits;
mod migrations;
mod notices;
mod people;
mod pepper;
mod prices;
mod recovery;
mod rerating;
mod responses;
mod retention;
mod sessions;
mod settlement;
mod statements;
mod store;
mod sums;
mod tenants;
mod usage;
mod webhooks;
mod writer;

pub use audit::{Act, AuditEntry};
pub use backup::{backup, restore};
pub use change::{Change, Code};
pub use changes::{Applied, Once};
pub use clock::now;
pub use codes::CodeRecord;
pub use deliveries::{Attempt, Delivery, DeliveryStatus, DueDelivery};
pub use error::Error;
pub use identities::ExternalIdentity;
pub use invites::{Invite, InviteRecord, Reset};
pub use keys::{KeyRecord, KeysOf};
pub use ledger::{Correction, Credit};
pub use people::User;
pub use rerating::{Difference, Reratings};
pub use responses::{Chain, MAX_RESPONSE_BYTES, StoredResponse};
pub use retention::Retention;
pub use sessions::Credentials;
pub use settlement::{OpenRequest, Settled, UsageRow};
pub use store::{Config, Store};
pub use tenants::{Made, Organisation, Project};
pub use usage::{Apart, Bucket, Part, RequestRecord, UsageOf, UsageSum};
pub use webhooks::Webhook;
pub use writer::Slot;
