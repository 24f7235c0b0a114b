//! Where responses are kept.

use account::{ResponseId, Tenant};
use futures::{FutureExt, future::BoxFuture};
use store::{Chain, Error, Store, StoredResponse, now};

/// Keeps responses for whoever asked for them. The real one is the [`Store`]; tests have one in memory.
pub trait ResponseStore: Send + Sync + 'static {
    /// Keeps a response.
    fn keep(&self, response: StoredResponse) -> BoxFuture<'_, Result<(), Error>>;

    /// Replaces what one says, and whether it is still being made; `false` where it is gone.
    fn change(&self, response: StoredResponse) -> BoxFuture<'_, Result<bool, Error>>;

    /// One of a project.
    fn read<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<Option<StoredResponse>, Error>>;

    /// One of a project, and those that it continues.
    fn chain<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<Option<Chain>, Error>>;

    /// Deletes one of a project; `false` where there is none.
    fn delete<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<bool, Error>>;
}

impl ResponseStore for Store {
    fn keep(&self, response: StoredResponse) -> BoxFuture<'_, Result<(), Error>> {
        self.keep_response(response).boxed()
    }

    fn change(&self, response: StoredResponse) -> BoxFuture<'_, Result<bool, Error>> {
        self.change_response(response).boxed()
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<Option<StoredResponse>, Error>> {
        self.response(tenant, id, now()).boxed()
    }

    fn chain<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<Option<Chain>, Error>> {
        self.response_chain(tenant, id, now()).boxed()
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, id: ResponseId) -> BoxFuture<'a, Result<bool, Error>> {
        self.delete_response(tenant, id).boxed()
    }
}
