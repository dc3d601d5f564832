//! How a replica is: a snapshot of its cursors and counters for people and programs.

use crate::{Ballot, NodeId, Slot, Standing};

/// How a replica is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// Where its proposer is.
    pub standing: Standing,
    /// The leadership that it knows of, if any.
    pub leader: Option<Ballot>,
    /// The highest ballot that it promised.
    pub ballot: Ballot,
    /// Everything below is known to be chosen.
    pub decided: Slot,
    /// Everything below is applied.
    pub applied: Slot,
    /// Requests accepted here that have no outcome yet, those in flight included.
    pub pending: usize,
    /// Of these, the ones that a leader was offered.
    pub in_flight: usize,
    /// The state machine's digest of its state after `applied`.
    pub digest: u64,
    /// Whether the replica may vote (R10).
    pub votes: bool,
    /// Whether the log failed.
    pub stopped: bool,
    /// What happened in this run.
    pub counters: Counters,
}

/// What happened in one run of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests accepted.
    pub accepted: u64,
    /// Outcomes: applied.
    pub applied: u64,
    /// Outcomes: refused for certain.
    pub refused: u64,
    /// Outcomes: unknown.
    pub unknown: u64,
    /// Requests not accepted because a queue was full.
    pub busy: u64,
    /// Decrees proposed here.
    pub proposed: u64,
    /// Forwards sent, those sent again included.
    pub forwarded: u64,
    /// Requests offered to a leader once more because an earlier one lost its leadership.
    pub offered_again: u64,
    /// Decrees that had no effect because a later leadership had already begun.
    pub void: u64,
    /// Decrees that had no effect because they could not be read. Anything but 0 is a fault.
    pub malformed: u64,
}
