//! The state machine: the part that the user of the library writes.

use crate::{Ballot, Slot};

/// Where and under which leadership a decree was applied.
///
/// From one decree to the next the slot grows and **the ballot never goes back**: a decree that an
/// earlier leadership left behind is not applied after one of a later leadership. The ballot is a
/// fencing token (A10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct At {
    /// The slot of the decree.
    pub slot: Slot,
    /// The leadership that proposed it first.
    pub ballot: Ballot,
}

/// A deterministic state machine. Every replica applies the same requests in the same order, so
/// `apply` must depend on the state and on its arguments alone: no clock, no chance, no address,
/// no iteration over a randomly seeded hash map.
pub trait StateMachine {
    /// What a request gives back to the one who submitted it.
    type Reply;

    /// Applies one request. Called once per request, in the order of slots, on every replica; the
    /// reply counts on the replica where the request was submitted and is dropped elsewhere.
    ///
    /// `request` is what was submitted, byte for byte. It must not panic on bytes that it does not
    /// understand: they are in the log, and every replica would panic on them for ever.
    fn apply(&mut self, at: At, request: &[u8]) -> Self::Reply;

    /// Called before the first request of each decree. A decree may be empty: each leadership
    /// opens with an empty one.
    fn before_decree(&mut self, _at: At) {}

    /// Called after the last request of each decree.
    fn after_decree(&mut self, _at: At) {}

    /// For a state machine that keeps its state on disk by itself: the last decree whose effect it
    /// holds, exactly as `after_decree` named it, stored together with the state. It may lie beyond
    /// the end of the log. Decrees up to it are not applied again. `None`, the default, means that
    /// the state is empty and is rebuilt from the log.
    fn applied(&self) -> Option<At> {
        None
    }

    /// A digest of the state, by which replicas that applied the same slots are compared. It is
    /// asked for with every [`Status`](super::Status), so it should be kept up to date as requests
    /// are applied rather than computed from the whole state.
    fn digest(&self) -> u64 {
        0
    }
}
