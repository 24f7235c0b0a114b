//! The providers with which people sign in.

use account::ListedDomain;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{error::ApiError, return_path::ReturnPath};

/// People about whom one provider is asked at a time. Each may wait as long as an answer may take; those of another provider
/// do not wait with them.
const AT_ONCE: usize = 32;

/// The providers with which people sign in, and where those send them back to.
#[derive(Default)]
pub struct Providers {
    origin: Box<str>,
    list: Vec<Provider>,
}

/// A provider with which people sign in.
pub struct Provider {
    pub(crate) name: Box<str>,
    pub(crate) display_name: Box<str>,
    pub(crate) oidc: oidc::Provider,
    pub(crate) domains: Vec<ListedDomain>,
    places: Semaphore,
}

impl Provider {
    /// A provider with a name in addresses and one for people. People of `domains` join without an invitation.
    pub fn new(
        name: impl Into<Box<str>>,
        display_name: impl Into<Box<str>>,
        oidc: oidc::Provider,
        domains: Vec<ListedDomain>,
    ) -> Self {
        let (name, display_name) = (name.into(), display_name.into());
        Self { name, display_name, oidc, domains, places: Semaphore::new(AT_ONCE) }
    }

    /// The right to ask it, or that too many do.
    pub(crate) fn place(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.places.try_acquire().map_err(|_| ApiError::Busy)
    }
}

impl Providers {
    /// These providers. `origin` is where browsers find the service, without a slash at the end.
    pub fn new(origin: impl Into<Box<str>>, list: Vec<Provider>) -> Self {
        Self { origin: origin.into(), list }
    }

    pub(crate) fn list(&self) -> &[Provider] {
        &self.list
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Provider, ApiError> {
        self.list.iter().find(|provider| &*provider.name == name).ok_or(ApiError::NOT_FOUND)
    }

    /// Where a provider sends browsers back to: what is registered there.
    pub(crate) fn redirect(&self, provider: &Provider) -> String {
        format!("{}/admin/v1/oidc/{}/callback", self.origin, provider.name)
    }

    /// The whole address of a path here. With the host before it nothing that the path holds can lead elsewhere.
    pub(crate) fn address(&self, path: &ReturnPath) -> String {
        format!("{}{}", self.origin, path.as_str())
    }
}
