//! The share of one connection in the requests that may be in flight.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The permits that a connection holds, one per request in flight. A permit goes back as soon as
/// the outcome is there, whether or not the client takes its answers: one that does not must not
/// hold up the others. All go back when the connection is gone.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    held: usize,
}

impl Permits {
    pub(super) const fn new(all: Arc<Semaphore>) -> Self {
        Self { all, held: 0 }
    }

    /// Takes one more, unless there is none.
    pub(super) fn try_take(&mut self) -> bool {
        let Ok(permit) = self.all.try_acquire() else { return false };
        permit.forget();
        self.held += 1;
        true
    }

    /// Waits for one more, in the order of these calls.
    pub(super) fn wait(
        &self,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + use<> {
        Arc::clone(&self.all).acquire_owned()
    }

    /// Adds one that was waited for.
    pub(super) fn add(&mut self, permit: OwnedSemaphorePermit) {
        permit.forget();
        self.held += 1;
    }

    pub(super) fn give_back(&mut self, count: usize) {
        debug_assert!(count <= self.held, "one permit for each request in flight");
        let count = count.min(self.held);
        self.held -= count;
        self.all.add_permits(count);
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        self.give_back(self.held);
    }
}
