//! What came of a request.

use core::fmt;

use crate::{Ballot, NodeId, Slot};

/// What came of an accepted request. Each has exactly one (A1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome<R> {
    /// Applied here; every other replica applies it in the same slot.
    Applied {
        /// What the state machine answered.
        reply: R,
        /// Where.
        slot: Slot,
        /// The leadership that took it (A10).
        ballot: Ballot,
    },
    /// For certain: it was not applied and will not be.
    Refused(Why),
    /// It may have been applied, or may be later; this service tells no more about it. It will not
    /// be applied after a request that this service took later and that was applied before it.
    Unknown {
        /// The leadership that may have taken it.
        ballot: Ballot,
    },
}

/// Why a request was refused for certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// No leader was known until the deadline of the request.
    NoLeader,
    /// This replica does not lead and does not forward; the leader that it knows of, if any.
    NotLeader(Option<NodeId>),
    /// The request was conditional on another leadership than this one, the current one (A10).
    OtherBallot(Ballot),
    /// A queue is full. Try again when something has its outcome (A8).
    Busy,
    /// Larger than `request_bytes_max`.
    TooLarge,
    /// A leader was known, but the request was still queued at its deadline.
    DeadlinePassed,
    /// This service is shutting down.
    ShuttingDown,
    /// The replica stopped because its log failed.
    Stopped,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLeader => f.write_str("no leader was known until the deadline"),
            Self::NotLeader(Some(node)) => write!(f, "not the leader; node {node} is"),
            Self::NotLeader(None) => f.write_str("not the leader; none is known"),
            Self::OtherBallot(ballot) => write!(f, "the current leadership is ballot {ballot}"),
            Self::Busy => f.write_str("too many requests are pending; try again"),
            Self::TooLarge => f.write_str("the request is larger than request_bytes_max"),
            Self::DeadlinePassed => f.write_str("the deadline passed while the request queued"),
            Self::ShuttingDown => f.write_str("the replica is shutting down"),
            Self::Stopped => f.write_str("the replica stopped because its log failed"),
        }
    }
}

impl core::error::Error for Why {}
