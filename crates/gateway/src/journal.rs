//! Where the ends of requests are made durable.

use account::{OrgId, RequestId};
use futures::{FutureExt, future::BoxFuture};
use store::{OpenRequest, RequestRecord, Slot, Store, UsageOf, UsageRow, UsageSum};

use crate::ResponseStore;

/// Keeps settlements. The real one is the [`Store`]; tests have one in memory.
pub trait Journal: Send + Sync + 'static {
    /// A place for one request's settlement, taken before it runs. `None` while nothing can be made durable.
    fn reserve(&self) -> Option<Box<dyn Place>>;

    /// Sums of an organisation's usage.
    fn usage<'a>(&'a self, asked: UsageOf<'a>) -> BoxFuture<'a, Result<Vec<UsageSum>, store::Error>>;

    /// One request of an organisation, once it has ended. The outer `None` says that it cannot be read.
    fn request(&self, org: OrgId, request: RequestId) -> BoxFuture<'_, Option<Option<RequestRecord>>>;

    /// Where responses are kept, in the same rows.
    fn responses(&self) -> &dyn ResponseStore;
}

/// A place that was reserved: what is handed over through it arrives.
pub trait Place: Send {
    /// Notes that the request has a lease.
    fn open(&mut self, request: OpenRequest);

    /// Hands over how it ended. Whoever waits learns whether that is durable; who does not want to know drops the answer.
    fn settle(self: Box<Self>, row: UsageRow) -> BoxFuture<'static, bool>;
}

impl Journal for Store {
    fn reserve(&self) -> Option<Box<dyn Place>> {
        Store::reserve(self).ok().map(|slot| Box::new(slot) as Box<dyn Place>)
    }

    fn usage<'a>(&'a self, asked: UsageOf<'a>) -> BoxFuture<'a, Result<Vec<UsageSum>, store::Error>> {
        Store::usage(self, asked).boxed()
    }

    fn request(&self, org: OrgId, request: RequestId) -> BoxFuture<'_, Option<Option<RequestRecord>>> {
        async move {
            let record = Store::request(self, org, request).await;
            record
                .inspect_err(|error| {
                    tracing::error!(error = error as &dyn std::error::Error, "reading a request failed")
                })
                .ok()
        }
        .boxed()
    }

    fn responses(&self) -> &dyn ResponseStore {
        self
    }
}

impl Place for Slot {
    fn open(&mut self, request: OpenRequest) {
        Slot::open(self, request);
    }

    fn settle(self: Box<Self>, row: UsageRow) -> BoxFuture<'static, bool> {
        let durable = Slot::settle(*self, row);
        async { matches!(durable.await, Ok(Ok(_))) }.boxed()
    }
}
