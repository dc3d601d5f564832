//! One simulated node: a disk and a clock that last, and a process that comes and goes.

use std::collections::BTreeMap;

use synod_core::service::{Request, RequestId, Service};
use synod_core::wire::Decoder;
use synod_core::{Boot, Header, Instant, MemberIndex, NodeId, Slot, WriteId};

use crate::checkers::RequestKey;
use crate::clock::{Clock, Moment};
use crate::disk::Disk;
use crate::machine::Machine;
use crate::network::Envelope;
use crate::starting::Trouble;
use synod_log::{Keep, Ticket};

/// A node, up or down.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its clock.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// What is left of its state machine while it is down.
    pub machine: Machine,
    /// Whether its disk was replaced: it has no vote any more.
    pub wiped: bool,
    /// What is wrong with its disk.
    pub trouble: Trouble,
    /// Counts what its processes did: the outputs that they carried out.
    pub actions: u64,
    /// Its process dies right behind the action of this number, once, and this much of what was
    /// not synced is kept.
    pub dies_behind: Option<(u64, Keep)>,
    /// Counts its starts: what was scheduled for an earlier life is dropped.
    pub life: u32,
    /// It takes no turn before.
    pub paused_until: Moment,
    /// Its timers go off no earlier.
    pub starved_until: Moment,
    /// How much longer its turns take, in the mean.
    pub slow_nanos: u64,
    /// Whether the disk keeps its completions back.
    pub stalled: bool,
    /// The completions kept back.
    pub kept_back: Vec<Ticket>,
    /// The process, while it is up. Boxed, because a turn takes it out and puts it back.
    pub process: Option<Box<Process>>,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    /// The replica and its state machine.
    pub service: Service<Machine>,
    /// The header of everything it says.
    pub header: Header,
    /// Its frame decoder.
    pub decoder: Decoder,
    /// What waits for its next turn.
    pub inbox: Vec<Item>,
    /// When that turn is due.
    pub turn_at: Option<Moment>,
    /// When its timer is due.
    pub timer_at: Moment,
    /// A clock sample taken before the process was stopped in the middle of a turn.
    pub sampled: Option<Instant>,
    /// The time that it was told last.
    pub told: Instant,
    /// The requests it took, by the id it gave them.
    pub requests: BTreeMap<RequestId, RequestKey>,
    /// How many requests it took.
    pub taken: u64,
    /// Syncs complete in order: the next not before this.
    pub sync_at: Moment,
    /// What was handed to the disk last.
    pub last_write: Option<Ticket>,
    /// Whether what it handed out to be written last was a mark alone.
    pub tail_is_mark: bool,
    /// How far it said that it had decided.
    pub decided: Slot,
    /// Whether a sync failed.
    pub log_failed: bool,
    /// Whether it was told to shut down.
    pub shutting_down: bool,
}

/// Something that waits for the next turn of a process.
#[derive(Clone, Debug)]
pub enum Item {
    /// A frame arrived.
    Frame(Envelope),
    /// Everything up to this write is durable.
    Synced(WriteId),
    /// A sync failed.
    SyncFailed,
    /// A read of the log is ready.
    Read(Read),
    /// A client submits.
    Submit(Request),
    /// The link to a peer came up.
    PeerUp(MemberIndex),
    /// The link to a peer broke.
    PeerDown(MemberIndex),
    /// The process is asked to end.
    ShutDown,
    /// The timer.
    Deadline,
}

/// A read of the log, and whom it is for.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// For a peer that lags.
    CatchUp {
        /// The peer.
        to: NodeId,
        /// First slot.
        from: Slot,
        /// End, exclusive.
        end: Slot,
        /// To put into the message.
        decided: Slot,
    },
    /// For the state machine.
    Back {
        /// First slot.
        from: Slot,
        /// End, exclusive.
        end: Slot,
    },
}

impl Node {
    /// The run it is in, when it is up.
    #[must_use]
    pub fn boot(&self) -> Option<Boot> {
        self.process.as_ref().map(|process| process.header.boot)
    }
}
