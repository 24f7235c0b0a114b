//! The administrative routes over a real store.

mod access;
mod bills;
mod changes;
mod invites;
mod money;
mod oidc;
mod owned_keys;
mod people;
mod provider;
mod sign_in;
mod stage;
mod webhooks;
