//! What goes into a service and what comes out of it.

use bytes::Bytes;

use crate::service::{Outcome, RequestId, ServiceMessage};
use crate::wire::Payload;
use crate::{Ballot, Event, Header, NodeId, NodeSet, Proposal, Record, Slot, WriteId};

/// Something that happened outside. Pushed in with [`Service::handle`](super::Service::handle).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input<'a> {
    /// An event for the replica. `Event::Applied` is the service's own to say and has no effect.
    Replica(Event<'a, Bytes>),
    /// A message of another service arrived.
    Service {
        /// Who says it.
        header: Header,
        /// What.
        message: ServiceMessage,
    },
    /// Answers [`Output::ReadBack`]: the decided decrees from `from` on, in order, at least one;
    /// when there are fewer than asked for, the service asks again for the rest. A host that
    /// cannot read its log reports [`Event::PersistFailed`] instead.
    ReadBack {
        /// The decrees.
        chosen: &'a [Proposal<Bytes>],
    },
}

/// Something for the host to do. Pulled out with [`Service::poll`](super::Service::poll).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output<'a, R> {
    /// Append to the log: see [`Action::Persist`](crate::Action::Persist).
    Persist {
        /// Names the write.
        id: WriteId,
        /// What to write.
        record: Record<'a, Bytes>,
    },
    /// Send to each of `to`; may leave at once, may be lost.
    Send {
        /// Receivers, by index in the configuration.
        to: NodeSet,
        /// One payload for all of them: encode it once.
        payload: Payload<'a>,
    },
    /// Read decided slots back from the log and answer with [`Input::ReadBack`].
    ReadBack {
        /// First slot.
        from: Slot,
        /// End, exclusive.
        end: Slot,
    },
    /// Serve a peer from the log: see [`Action::CatchUp`](crate::Action::CatchUp).
    CatchUp {
        /// The peer that lags.
        to: NodeId,
        /// First slot.
        from: Slot,
        /// End, exclusive.
        end: Slot,
        /// The `decided` to put into the message.
        decided: Slot,
    },
    /// The leader that this replica knows of has changed. A service that does not forward says so
    /// of its own lost leadership only after each of its requests has its outcome (A11).
    LeaderChanged {
        /// `None` while nobody is known to lead.
        leader: Option<Ballot>,
    },
    /// What came of a request.
    Outcome {
        /// As [`Service::submit`](super::Service::submit) returned it.
        id: RequestId,
        /// The one and only outcome.
        outcome: Outcome<R>,
    },
}
