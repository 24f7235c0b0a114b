//! Who may do what, what may be used, and what it costs: rules as pure functions over integers.
//!
//! - Who: [`Role`], [`Scopes`] and the one table behind [`Authority`]; a [`Key`] and the hash of its secret; a [`Person`]
//!   and their [`Session`]; both are an [`Identity`]; whom a provider's word lets in says [`Applicant`].
//! - What: [`Limits`] of organisations, projects and keys, held by the [`Meter`] however requests interleave.
//! - What it costs: [`Price`] and its versions, [`Cause`] (who pays), and the hash-chained [`ledger`].
//! - Who is told: [`passed`] and [`falls_below`] say when, an [`Event`] of what, a [`WebhookSecret`] shows from whom.
//!
//! The crate does no IO beyond asking the operating system for randomness, and knows no clock, no HTTP and no SQL.

mod action;
mod api_key;
mod authority;
mod cause;
mod csrf_token;
mod email;
mod entrance;
mod event;
mod gauges;
mod hex;
mod id;
mod identity;
mod key;
mod key_hash;
mod keyed_hash;
mod labels;
pub mod ledger;
mod limit;
mod meter;
mod money;
mod name;
mod password_hash;
mod person;
mod price;
mod refusal;
mod request_secrets;
mod role;
mod scope;
mod session;
mod spending;
mod threshold;
mod time;
mod token;
mod webhook_secret;
mod window;

pub use action::{Action, Actions};
pub use api_key::{ApiKey, InvalidKey, NoRandomness};
pub use authority::{Authority, Forbidden, Reach};
pub use cause::{Cause, Payer};
pub use csrf_token::CsrfToken;
pub use email::{Email, InvalidEmail};
pub use entrance::{Applicant, Entrance, ListedDomain, NoEntrance};
pub use event::{Event, EventKind};
pub use id::{
    CodeId, EventId, IdentityId, InvalidId, InviteId, KeyId, OrgId, PriceId, ProjectId, RequestId, ResponseId, UserId,
    WebhookId,
};
pub use identity::Identity;
pub use key::{Key, KeyRefusal, ModelAccess, PreviousSecret};
pub use key_hash::{InvalidKeyHash, KeyHash};
pub use keyed_hash::{InvalidPepper, KeyedHash, Pepper};
pub use labels::{InvalidLabels, Labels};
pub use limit::{LimitKind, Limits, Owner, Tenant};
pub use meter::{Ask, Billing, LEASE_TOKENS, LeaseError, Meter, Output, Settlement, Ticket};
pub use money::{AmountOverflow, InvalidAmount, Nano};
pub use name::{InvalidName, Name};
pub use password_hash::PasswordHash;
pub use person::Person;
pub use price::{
    Class, Counts, InvalidPrice, NotPriced, PerClass, Price, PriceHistory, PriceVersion, Rates, Service,
    UNITS_OF_A_PRICE,
};
pub use refusal::{Refusal, Resets, Standing};
pub use request_secrets::RequestSecrets;
pub use role::{Role, UnknownRole};
pub use scope::{Scope, Scopes, UnknownScope};
pub use session::Session;
pub use spending::Periods;
pub use threshold::{BudgetState, falls_below, passed};
pub use time::{InvalidMonth, InvalidTimestamp, Period, Timestamp, UnknownZone, Zone};
pub use token::{InvalidToken, Purpose, Token};
pub use webhook_secret::WebhookSecret;
pub use window::Window;
