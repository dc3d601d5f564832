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
    when_full: WhenFull,
    /// Of the record staged last.
    decided: Slot,
    held: Arc<Mutex<Held>>,
    failed: Option<LogError>,
}

/// What an in-memory log does when it is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// It fails like a full disk, and the replica stops.
    Fail,
    /// It forgets the oldest decided decrees. A replica that lags behind further than that cannot
    /// catch up from this log any more.
    ForgetOldest,
}

/// Reads from a [`MemoryLog`].
#[derive(Clone, Debug)]
pub struct MemoryReader {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    slots: Slots,
    /// The first slot that was not forgotten.
    retained: Slot,
}

impl MemoryLog {
    /// An empty log that takes decrees of up to `bytes_max` bytes in all, and what the replica
    /// starts from. A log that is full fails like a full disk.
    #[must_use]
    pub fn new(incarnation: Incarnation, bytes_max: usize) -> (Self, Recovered<Bytes>) {
        Self::with(incarnation, bytes_max, WhenFull::Fail)
    }

    /// [`new`](Self::new), and what to do when it is full.
    #[must_use]
    pub fn with(
        incarnation: Incarnation,
        bytes_max: usize,
        when_full: WhenFull,
    ) -> (Self, Recovered<Bytes>) {
        let log = Self {
            staged: Vec::new(),
            staged_upto: WriteId(0),
            durable: WriteId(0),
            bytes_max,
            when_full,
            decided: Slot::ZERO,
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
        self.decided = record.decided;
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
            held.slots.put(learned, proposal);
        }
        while self.when_full == WhenFull::ForgetOldest && held.slots.bytes() > self.bytes_max {
            // What is not decided is never forgotten.
            let Some(retained) = held.slots.forget_first(self.decided) else { break };
            held.retained = retained;
        }
        let over = held.slots.bytes().saturating_sub(self.bytes_max);
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

    fn is_instant(&self) -> bool {
        true
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
        Ok(held.slots.run(from, end, most))
    }

    fn retained(&self) -> Slot {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retained
    }
}

#[cfg(test)]
mod tests {
    use synod_core::{Ballot, Kind, NodeId};

    use super::*;

    fn put(log: &mut MemoryLog, slot: u64, decided: u64) -> Result<(), LogError> {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let run =
            [Proposal { slot: Slot(slot), ballot, decree: Kind::App(Bytes::from(vec![0; 40])) }];
        let (decided, body) = (Slot(decided), Body::Accepted(&run));
        log.stage(WriteId(slot + 1), Record { promised: ballot, decided, body })?;
        log.write().map(drop)
    }

    #[test]
    fn only_what_is_decided_is_forgotten() {
        let (mut log, _) = MemoryLog::with(Incarnation(1), 100, WhenFull::ForgetOldest);
        for slot in 0..5 {
            put(&mut log, slot, slot).expect("the oldest is forgotten");
        }
        let mut reader = log.reader();
        assert_eq!(reader.retained(), Slot(3));
        let most = Most { slots: 10, bytes: 1000 };
        assert_eq!(reader.read(Slot(2), Slot(5), most), Ok(vec![]));
        assert_eq!(reader.read(Slot(3), Slot(5), most).map(|run| run.len()), Ok(2));
        // Nothing is decided, so nothing can be forgotten.
        let (mut log, _) = MemoryLog::with(Incarnation(1), 100, WhenFull::ForgetOldest);
        for slot in 0..2 {
            put(&mut log, slot, 0).expect("there is space");
        }
        assert!(matches!(put(&mut log, 2, 0), Err(LogError::Full { wanted_bytes: 20, .. })));
    }
}
