//! Events: what the host pushes into a replica.

use crate::{Header, Message, NodeId, Slot, WriteId};

/// Something that happened outside. Pushed in with [`Replica::handle`](crate::Replica::handle).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a, D> {
    /// A message arrived. Messages may be lost, doubled, delayed and reordered.
    Received {
        /// Who says it; the host has authenticated `header.node` as far as its links can.
        header: Header,
        /// What.
        message: Message<'a, D>,
    },
    /// A link to the peer was made. A hint: what may have been lost is sent again at once.
    PeerUp {
        /// The other end.
        peer: NodeId,
    },
    /// The link to the peer broke. A hint: the peer counts as silent.
    PeerDown {
        /// The other end.
        peer: NodeId,
    },
    /// All writes up to this one are durable. Completion is a watermark.
    Persisted {
        /// Inclusive. Anything at or below an earlier watermark has no effect.
        upto: WriteId,
    },
    /// A write or sync failed. Terminal: the replica sends nothing and calls nothing durable from
    /// now on (rule C1; a failed sync says nothing about the pages it dropped).
    PersistFailed,
    /// The state machine has applied everything below `end`.
    Applied {
        /// Exclusive.
        end: Slot,
    },
    /// The host is done with an [`Action::CatchUp`](crate::Action::CatchUp).
    CaughtUp {
        /// The peer that was served.
        to: NodeId,
        /// The end of what was sent; the `from` of the action when nothing could be read.
        end: Slot,
    },
    /// The time that [`Replica::deadline`](crate::Replica::deadline) named has come.
    DeadlineReached,
}
