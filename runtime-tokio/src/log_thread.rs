//! The thread that writes and syncs the log while the loop goes on.
//!
//! The loop hands records over and never waits. The thread takes whatever has piled up, writes it
//! in one go, syncs once (group commit) and reports the watermark. The first error ends it: nothing
//! is called durable after that.
//!
//! After a sync the thread looks for records for a short while before it sleeps: what was just made
//! durable mostly brings the next ones, and to be woken costs a switch, on a core that may have
//! gone idle meanwhile. It gives its core away between two looks. Without a write it sleeps at once
//! and stays asleep.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_core::{Ballot, Body, Incarnation, NodeId, Proposal, Record, Slot, WriteId};
use synod_log::{Log, LogError};
use tokio::sync::mpsc;

/// What the thread reports. After `Failed` it is gone.
#[derive(Debug)]
pub(crate) enum LogReport {
    /// Everything up to this write is durable.
    Persisted(WriteId),
    /// The log failed.
    Failed(LogError),
}

/// The way to the thread. Dropped, it has the thread settle the log and end.
#[derive(Debug)]
pub(crate) struct LogThread {
    // Not bounded by itself: a replica hands out `writes_in_flight_max` writes and then waits.
    records: Sender<(WriteId, OwnRecord)>,
}

/// A record that outlives the window that it was borrowed from. Decrees are handles.
#[derive(Debug)]
struct OwnRecord {
    promised: Ballot,
    decided: Slot,
    body: OwnBody,
}

#[derive(Debug)]
enum OwnBody {
    Mark,
    Accepted(Vec<Proposal<Bytes>>),
    Learned(Vec<Proposal<Bytes>>),
    Roster { votes: bool, members: Vec<(NodeId, Incarnation)> },
}

impl LogThread {
    /// Starts the thread for `log`. What it reports comes out of the receiver, which ends when the
    /// log is closed.
    pub(crate) fn start(
        log: impl Log + Send + 'static,
        node: NodeId,
        writes_in_flight_max: usize,
        busy_poll: Duration,
    ) -> io::Result<(Self, mpsc::Receiver<LogReport>)> {
        let (records, incoming) = channel();
        // One report per write at most, and one on the end.
        let (reports, outgoing) = mpsc::channel(writes_in_flight_max + 1);
        let name = format!("synod-log-{node}");
        thread::Builder::new().name(name).spawn(move || {
            let mut log = log;
            if let Err(error) = serve(&mut log, &incoming, &reports, busy_poll) {
                // Without a receiver the node is gone, and nobody is left to be told.
                let _ = reports.blocking_send(LogReport::Failed(error));
            }
            // The directory is free before the node counts as ended.
            drop(log);
            drop(reports);
        })?;
        Ok((Self { records }, outgoing))
    }

    /// Hands a record over.
    pub(crate) fn append(&self, id: WriteId, record: Record<'_, Bytes>) {
        let body = match record.body {
            Body::Mark => OwnBody::Mark,
            Body::Accepted(run) => OwnBody::Accepted(run.to_vec()),
            Body::Learned(run) => OwnBody::Learned(run.to_vec()),
            Body::Roster { votes, members } => OwnBody::Roster { votes, members: members.to_vec() },
        };
        let own = OwnRecord { promised: record.promised, decided: record.decided, body };
        // When the thread is gone its last report says why, and the loop is about to read it.
        let _ = self.records.send((id, own));
    }
}

impl OwnRecord {
    fn borrow(&self) -> Record<'_, Bytes> {
        let body = match &self.body {
            OwnBody::Mark => Body::Mark,
            OwnBody::Accepted(run) => Body::Accepted(run),
            OwnBody::Learned(run) => Body::Learned(run),
            OwnBody::Roster { votes, members } => Body::Roster { votes: *votes, members },
        };
        Record { promised: self.promised, decided: self.decided, body }
    }
}

fn serve(
    log: &mut impl Log,
    records: &Receiver<(WriteId, OwnRecord)>,
    reports: &mpsc::Sender<LogReport>,
    busy_poll: Duration,
) -> Result<(), LogError> {
    // Nothing has been synced yet.
    let mut awake = Duration::ZERO;
    while let Some((id, record)) = next(log, records, awake)? {
        log.stage(id, record.borrow())?;
        while let Ok((id, record)) = records.try_recv() {
            log.stage(id, record.borrow())?;
        }
        if let Some(ticket) = log.write()? {
            let upto = log.sync(ticket)?;
            if reports.blocking_send(LogReport::Persisted(upto)).is_err() {
                break;
            }
            awake = busy_poll;
        }
    }
    log.settle()?;
    Ok(())
}

/// The next record; a log that is idle is settled first (R11). `None` when the node is gone.
fn next(
    log: &mut impl Log,
    records: &Receiver<(WriteId, OwnRecord)>,
    awake: Duration,
) -> Result<Option<(WriteId, OwnRecord)>, LogError> {
    if let Some(next) = look(records, awake) {
        return Ok(Some(next));
    }
    match records.recv_timeout(IDLE) {
        Ok(next) => Ok(Some(next)),
        Err(RecvTimeoutError::Disconnected) => Ok(None),
        Err(RecvTimeoutError::Timeout) => {
            log.settle()?;
            Ok(records.recv().ok())
        }
    }
}

/// Looks for a record for as long as `awake`. `None` when none came; whether the node is gone is
/// for the caller to find out.
fn look(records: &Receiver<(WriteId, OwnRecord)>, awake: Duration) -> Option<(WriteId, OwnRecord)> {
    if awake.is_zero() {
        return None;
    }
    let since = Instant::now();
    loop {
        match records.try_recv() {
            Ok(next) => return Some(next),
            Err(TryRecvError::Disconnected) => return None,
            // Whoever else wants this core goes first.
            Err(TryRecvError::Empty) if since.elapsed() < awake => thread::yield_now(),
            Err(TryRecvError::Empty) => return None,
        }
    }
}

/// A log without a write for so long is idle.
const IDLE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use synod_core::Kind;
    use synod_log::{MemoryLog, Most, ReadBack};

    use super::*;

    fn run(from: u64, count: u64) -> Vec<Proposal<Bytes>> {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let decree = Kind::App(Bytes::from_static(b"decree"));
        (from..from + count)
            .map(|slot| Proposal { slot: Slot(slot), ballot, decree: decree.clone() })
            .collect()
    }

    fn accepted(run: &[Proposal<Bytes>]) -> Record<'_, Bytes> {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        Record { promised: ballot, decided: Slot::ZERO, body: Body::Accepted(run) }
    }

    #[tokio::test]
    async fn the_watermark_reaches_the_last_write() {
        let (log, _) = MemoryLog::new(Incarnation(1), 1 << 20);
        let mut reader = log.reader();
        let (thread, mut reports) =
            LogThread::start(log, NodeId(1), 8, Duration::ZERO).expect("a thread");
        for id in 1..=8 {
            thread.append(WriteId(id), accepted(&run((id - 1) * 2, 2)));
        }
        let mut last = WriteId(0);
        while last < WriteId(8) {
            match reports.recv().await.expect("the thread lives") {
                LogReport::Persisted(upto) => {
                    assert!(upto > last, "a watermark only rises");
                    last = upto;
                }
                LogReport::Failed(error) => panic!("{error}"),
            }
        }
        let most = Most { slots: 100, bytes: 1 << 20 };
        let held = reader.read(Slot(0), Slot(16), most).expect("memory can be read");
        assert_eq!(held, run(0, 16));
        drop(thread);
        assert!(reports.recv().await.is_none(), "the thread ends with its owner");
    }

    #[test]
    fn a_look_takes_what_came_and_ends_when_nothing_comes() {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let record =
            move || OwnRecord { promised: ballot, decided: Slot::ZERO, body: OwnBody::Mark };
        let (sender, records) = channel();
        for id in 1..=3 {
            sender.send((WriteId(id), record())).expect("somebody receives");
        }
        let ids = || look(&records, Duration::from_micros(1)).map(|(id, _)| id);
        assert!(look(&records, Duration::ZERO).is_none(), "who is to sleep does not look");
        assert_eq!([ids(), ids(), ids()], [1, 2, 3].map(|id| Some(WriteId(id))));
        assert_eq!(ids(), None, "nothing came");
        let late = thread::spawn(move || {
            thread::yield_now();
            sender.send((WriteId(4), record())).expect("somebody receives");
        });
        // However long the other thread takes: the channel ends with its sender.
        let found = look(&records, Duration::MAX).map(|(id, _)| id);
        assert_eq!(found, Some(WriteId(4)), "it came while the thread was looking");
        late.join().expect("it sends");
        assert!(look(&records, Duration::MAX).is_none(), "a look ends with the node");
    }

    #[tokio::test]
    async fn nothing_is_durable_after_an_error() {
        // The second write is more than the log can hold.
        let (log, _) = MemoryLog::new(Incarnation(1), 20);
        let (thread, mut reports) =
            LogThread::start(log, NodeId(1), 8, Duration::from_micros(100)).expect("a thread");
        thread.append(WriteId(1), accepted(&run(0, 1)));
        match reports.recv().await {
            Some(LogReport::Persisted(WriteId(1))) => {}
            other => panic!("{other:?}"),
        }
        thread.append(WriteId(2), accepted(&run(1, 9)));
        thread.append(WriteId(3), accepted(&run(10, 1)));
        match reports.recv().await {
            Some(LogReport::Failed(LogError::Full { .. })) => {}
            other => panic!("{other:?}"),
        }
        assert!(reports.recv().await.is_none());
    }
}
