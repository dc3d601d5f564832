//! What is counted for `INFO`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The counters of a server.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Clients now connected.
    pub(super) clients: Guests,
    /// Clients that ever connected.
    pub(super) connections: Counter,
    /// Clients turned away because there were too many.
    pub(super) turned_away: Counter,
    /// Commands taken in.
    pub(super) commands: Counter,
    /// Commands answered with `UNCERTAIN`.
    pub(super) uncertain: Counter,
}

/// Something that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.add_many(1);
    }

    pub(super) fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many are here.
#[derive(Debug, Default)]
pub(super) struct Guests(Arc<AtomicUsize>);

impl Guests {
    /// One more is here until the guest is dropped.
    pub(super) fn enter(&self) -> Guest {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Guest { all: Arc::clone(&self.0), count }
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that is here.
#[derive(Debug)]
pub(super) struct Guest {
    all: Arc<AtomicUsize>,
    count: usize,
}

impl Guest {
    /// How many were here when this one came, itself included.
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
