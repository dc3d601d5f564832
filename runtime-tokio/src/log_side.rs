//! Where the log of a node is written: on a thread of its own when it may have to wait for a
//! device, in the loop itself when it never does.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use synod_core::{NodeId, Record, WriteId};
use synod_log::{Log, LogError};
use tokio::sync::mpsc;

use crate::log_thread::{LogReport, LogThread};

/// The log, as the loop sees it.
pub(crate) enum LogSide {
    /// Written and synced elsewhere.
    Thread(LogThread),
    /// Written and synced here and now.
    Inline(InlineLog),
}

/// A log that is durable at once.
pub(crate) struct InlineLog {
    log: Box<dyn AtOnce>,
    /// The first error, and with the end of the log the end of the reports.
    reports: mpsc::Sender<LogReport>,
    failed: bool,
}

/// A log whose writes are durable when they return, as far as the loop needs it.
trait AtOnce: Send {
    fn append(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Result<WriteId, LogError>;
    fn settle(&mut self) -> Result<(), LogError>;
}

impl<L: Log + Send> AtOnce for L {
    fn append(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Result<WriteId, LogError> {
        self.stage(id, record)?;
        match self.write()? {
            Some(ticket) => self.sync(ticket),
            None => Ok(self.durable()),
        }
    }

    fn settle(&mut self) -> Result<(), LogError> {
        Log::settle(self).map(drop)
    }
}

impl LogSide {
    /// Starts the thread for `log`, if it needs one. What it reports comes out of the receiver,
    /// which ends when the log is closed.
    pub(crate) fn start(
        log: impl Log + Send + 'static,
        node: NodeId,
        writes_in_flight_max: usize,
        busy_poll: Duration,
    ) -> io::Result<(Self, mpsc::Receiver<LogReport>)> {
        if log.is_instant() {
            let (reports, outgoing) = mpsc::channel(1);
            let inline = InlineLog { log: Box::new(log), reports, failed: false };
            return Ok((Self::Inline(inline), outgoing));
        }
        let (thread, outgoing) = LogThread::start(log, node, writes_in_flight_max, busy_poll)?;
        Ok((Self::Thread(thread), outgoing))
    }

    /// Whether a record is durable once it was handed over.
    pub(crate) const fn is_instant(&self) -> bool {
        matches!(self, Self::Inline(_))
    }

    /// Hands a record over. Returns up to where the log is durable, if that is known now;
    /// otherwise it is reported.
    pub(crate) fn append(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Option<WriteId> {
        match self {
            Self::Thread(thread) => {
                thread.append(id, record);
                None
            }
            Self::Inline(inline) => inline.append(id, record),
        }
    }
}

impl InlineLog {
    fn append(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Option<WriteId> {
        if self.failed {
            return None;
        }
        match self.log.append(id, record) {
            Ok(upto) => Some(upto),
            Err(error) => {
                self.failed = true;
                // There is room for the only report there will be, or nobody to read it.
                let _ = self.reports.try_send(LogReport::Failed(error));
                None
            }
        }
    }
}

impl Drop for InlineLog {
    fn drop(&mut self) {
        if !self.failed {
            // The node has ended, and nothing is called durable any more that was not before.
            let _ = self.log.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_core::{Ballot, Body, Incarnation, Kind, Proposal, Slot};
    use synod_log::MemoryLog;

    use super::*;

    fn append(side: &mut LogSide, id: u64, bytes: usize) -> Option<WriteId> {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let decree = Kind::App(Bytes::from(vec![7; bytes]));
        let run = [Proposal { slot: Slot(id - 1), ballot, decree }];
        let body = Body::Accepted(&run);
        side.append(WriteId(id), Record { promised: ballot, decided: Slot::ZERO, body })
    }

    #[tokio::test]
    async fn memory_is_durable_at_once_and_nothing_is_after_an_error() {
        let (log, _) = MemoryLog::new(Incarnation(1), 100);
        let (mut side, mut reports) =
            LogSide::start(log, NodeId(1), 8, Duration::ZERO).expect("no thread");
        assert!(matches!(side, LogSide::Inline(_)));
        assert_eq!(append(&mut side, 1, 10), Some(WriteId(1)));
        assert_eq!(append(&mut side, 2, 10), Some(WriteId(2)));
        assert!(reports.try_recv().is_err(), "nothing to report");

        assert_eq!(append(&mut side, 3, 200), None, "there is no room");
        assert_eq!(append(&mut side, 4, 1), None);
        match reports.recv().await {
            Some(LogReport::Failed(LogError::Full { .. })) => {}
            other => panic!("{other:?}"),
        }
        drop(side);
        assert!(reports.recv().await.is_none(), "the reports end with the log");
    }
}
