//! What a log gives back when a replica starts.

use alloc::vec::Vec;

use crate::{Ballot, Boot, Incarnation, NodeId, Proposal, Slot};

/// The state of a replica as its log and its state machine have it.
///
/// A log builds it by taking its valid records in order: the highest promise and ballot, the
/// highest mark, the last proposal per slot at or above the mark (a learned one is never
/// replaced), the last roster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered<D> {
    /// The life of the disk, drawn when the log was formatted.
    pub incarnation: Incarnation,
    /// This run: the generation of the log, one above that of the run before. At least 1.
    pub boot: Boot,
    /// The highest ballot in any promise or accepted proposal (R8).
    pub promised: Ballot,
    /// The highest decided mark: everything below is chosen and in the log (R5).
    pub decided: Slot,
    /// The first slot that the log can still read back.
    pub retained: Slot,
    /// The state machine holds the effect of everything below. May exceed the log's end.
    pub applied: Slot,
    /// The open tail: one proposal per slot from `decided` on, without gaps, highest ballot each.
    pub accepted: Vec<Proposal<D>>,
    /// The incarnations on record (R10).
    pub roster: Vec<(NodeId, Incarnation)>,
    /// Whether this replica may vote (R10). False for a log just formatted.
    pub votes: bool,
}

impl<D> Recovered<D> {
    /// A log just formatted: nothing promised, nothing accepted, no vote yet.
    #[must_use]
    pub const fn formatted(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            boot: Boot(1),
            promised: Ballot::ZERO,
            decided: Slot::ZERO,
            retained: Slot::ZERO,
            applied: Slot::ZERO,
            accepted: Vec::new(),
            roster: Vec::new(),
            votes: false,
        }
    }
}
