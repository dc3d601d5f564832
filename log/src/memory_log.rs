//! A log in memory: for tests, for the simulator's first steps, and for measuring without a disk.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use synod_core::{Body, Incarnation, Proposal, Record, Recovered, Slot, WriteId};

use crate::slots::Slots;
use crate::{Log, LogError, Most, ReadBack, Ticket};

/// A log that is durable at once, as far as memory is, and gone with its process.
///
/// A replica on such a log must come back under a new incarnation after each start, and so without
/// a vote (R10): draw the incarnation anew each time.
#[derive(Debug)]
pub struct MemoryLog {
    /// Staged and not written; order matters, so records are taken apart only in `write`.
    staged: Vec<(bool, Proposal<Bytes>)>,
    /// Invariant: `durable <= staged_upto`.
    staged_upto: WriteId,
    durable: WriteId,
    bytes_max: usize,
    held: Arc<Mutex<Slots>>,
    failed: Option<LogError>,
}

/// Reads from a [`MemoryLog`].
#[derive(Clone, Debug)]
pub struct MemoryReader {
    held: Arc<Mutex<Slots>>,
}

impl MemoryLog {
    /// An empty log that takes decrees of up to `bytes_max` bytes in all, and what the replica
    /// starts from. A log that is full fails like a full disk.
    #[must_use]
    pub fn new(incarnation: Incarnation, bytes_max: usize) -> (Self, Recovered<Bytes>) {
        let log = Self {
            staged: Vec::new(),
            staged_upto: WriteId(0),
            durable: WriteId(0),
            bytes_max,
            held: Arc::default(),
            failed: None,
        };
        (log, Recovered::formatted(incarnation))
    }

    fn fail<T>(&mut self, error: LogError) -> Result<T, LogError> {
        self.failed = Some(error.clone());
        Err(error)
    }

    fn check(&self) -> Result<(), LogError> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

impl Log for MemoryLog {
    type Reader = MemoryReader;

    fn stage(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Result<(), LogError> {
        self.check()?;
        if id <= self.staged_upto {
            return self.fail(LogError::OutOfOrder { last: self.staged_upto, id });
        }
        self.staged_upto = id;
        match record.body {
            Body::Accepted(run) => self.staged.extend(run.iter().map(|p| (false, p.clone()))),
            Body::Learned(run) => self.staged.extend(run.iter().map(|p| (true, p.clone()))),
            Body::Mark | Body::Roster { .. } => {}
        }
        Ok(())
    }

    fn write(&mut self) -> Result<Option<Ticket>, LogError> {
        self.check()?;
        if self.durable == self.staged_upto {
            return Ok(None);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (learned, proposal) in self.staged.drain(..) {
            held.put(learned, proposal);
        }
        let over = held.bytes().saturating_sub(self.bytes_max);
        drop(held);
        if over > 0 {
            let what = format!("the in-memory log of {} bytes", self.bytes_max);
            return self.fail(LogError::Full { what, wanted_bytes: over as u64 });
        }
        self.durable = self.staged_upto;
        Ok(Some(Ticket::new(self.durable)))
    }

    fn sync(&mut self, ticket: Ticket) -> Result<WriteId, LogError> {
        self.check()?;
        debug_assert!(ticket.upto() <= self.durable, "a ticket of another log");
        Ok(self.durable)
    }

    fn durable(&self) -> WriteId {
        self.durable
    }

    fn settle(&mut self) -> Result<WriteId, LogError> {
        self.write()?;
        Ok(self.durable)
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader { held: Arc::clone(&self.held) }
    }
}

impl ReadBack for MemoryReader {
    fn read(
        &mut self,
        from: Slot,
        end: Slot,
        most: Most,
    ) -> Result<Vec<Proposal<Bytes>>, LogError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.run(from, end, most))
    }

    fn retained(&self) -> Slot {
        Slot::ZERO
    }
}
