//! The administrative routes over a real store.

mod access;
mod bills;
mod changes;
mod invites;
mod money;
mod owned_keys;
mod people;
mod sign_in;
mod stage;
mod webhooks;
