//! Actions: what the host pulls out of a replica.

use crate::{Ballot, Incarnation, Message, NodeId, NodeSet, Proposal, Slot};

/// Numbers the writes of a replica, from 1, in the order they are handed out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WriteId(pub u64);

/// Something for the host to do. Pulled out with [`Replica::poll`](crate::Replica::poll).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<'a, D> {
    /// Append `record` to the log, behind all earlier ones, and report the durable prefix with
    /// [`Event::Persisted`](crate::Event::Persisted). Several writes may be in flight.
    Persist {
        /// Names the write.
        id: WriteId,
        /// What to write.
        record: Record<'a, D>,
    },
    /// Send `message` to each of `to`. May leave the moment it is polled; may be lost.
    Send {
        /// Receivers, by index in the configuration.
        to: NodeSet,
        /// One message for all of them: encode it once.
        message: Message<'a, D>,
    },
    /// Hand these decrees to the state machine, in this order, then report
    /// [`Event::Applied`](crate::Event::Applied). Each slot is delivered once per run.
    Deliver {
        /// Chosen, consecutive slots.
        chosen: &'a [Proposal<D>],
    },
    /// Read these decided slots back from the log and hand them to the state machine, then report
    /// [`Event::Applied`](crate::Event::Applied). Nothing else is delivered until then.
    DeliverFromLog {
        /// First slot.
        from: Slot,
        /// End, exclusive.
        end: Slot,
    },
    /// Read decided slots from the log and send them to `to` as
    /// [`Message::Learned`], as many as one message holds, then report
    /// [`Event::CaughtUp`](crate::Event::CaughtUp). One is out per peer at any time.
    CatchUp {
        /// The peer that lags.
        to: NodeId,
        /// First slot.
        from: Slot,
        /// End, exclusive: everything below is decided and in the log.
        end: Slot,
        /// The `decided` to put into the message.
        decided: Slot,
    },
    /// The leader that this replica knows of has changed. For the host's own use.
    LeaderChanged {
        /// `None` while nobody is known to lead. A replica names itself only once a quorum
        /// accepted its barrier (A11).
        leader: Option<Ballot>,
    },
}

/// One log record: the promise and the decided mark as of this record, and a body.
///
/// Every record repeats both, so that a lost promise record is provably superseded (R10) and the
/// log knows how far its decrees are chosen (R5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a, D> {
    /// The highest ballot that this replica promised.
    pub promised: Ballot,
    /// Everything below is chosen and in the log at or before this record (R5).
    pub decided: Slot,
    /// What else the record holds.
    pub body: Body<'a, D>,
}

/// The body of a [`Record`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body<'a, D> {
    /// Nothing else: a promise, or the mark of an idle log.
    Mark,
    /// Consecutive slots that this acceptor accepted.
    Accepted(&'a [Proposal<D>]),
    /// Consecutive slots that were learned as chosen. Outranks every ballot in recovery (R5).
    Learned(&'a [Proposal<D>]),
    /// Which incarnation of each member this replica has met, and whether it may vote (R10).
    Roster {
        /// Whether this replica votes.
        votes: bool,
        /// Node and incarnation, by index; [`Incarnation::NONE`] for a member never met.
        members: &'a [(NodeId, Incarnation)],
    },
}
