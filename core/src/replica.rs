//! The replica: one struct holds all protocol state; five doors lead in and out.

use crate::{
    Action, Ballot, Config, ConfigError, Decree, Event, Header, Instant, NodeId, PeerMisbehaved,
    Recovered, Refused, Slot,
};

/// One member of one group: proposer, acceptor and learner.
#[derive(Clone, Debug)]
pub struct Replica<D> {
    _decree: core::marker::PhantomData<D>,
}

/// Where the proposer of a replica is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It proposes nothing.
    Following,
    /// Phase 1 of a ballot of its own is under way.
    Preparing,
    /// It completed phase 1 of the highest ballot it knows.
    Leading,
}

#[allow(missing_docs, unused_variables, clippy::todo, clippy::missing_const_for_fn)]
impl<D: Decree> Replica<D> {
    pub fn new(config: Config, recovered: Recovered<D>, now: Instant) -> Result<Self, ConfigError> {
        todo!()
    }
    /// Proposes; leader only. `only_in`: refuse unless this replica leads in exactly that ballot.
    pub fn propose(
        &mut self,
        now: Instant,
        decree: D,
        only_in: Option<Ballot>,
    ) -> Result<Slot, Refused<D>> {
        todo!()
    }
    pub fn handle(&mut self, now: Instant, event: Event<'_, D>) -> Result<(), PeerMisbehaved> {
        todo!()
    }
    pub fn poll(&mut self) -> Option<Action<'_, D>> {
        todo!()
    }
    pub fn deadline(&self) -> Instant {
        todo!()
    }
    /// Judges a header without taking a message (the service's own messages): Ok iff a member of
    /// this group speaks, in its known incarnation and latest boot.
    pub fn judge(&mut self, header: &Header) -> Result<(), PeerMisbehaved> {
        todo!()
    }
    pub fn standing(&self) -> Standing {
        todo!()
    }
    /// The header of everything this replica sends and writes.
    pub fn header(&self) -> Header {
        todo!()
    }
    pub fn config(&self) -> &Config {
        todo!()
    }
    /// The leader's ballot this replica knows (its own when it leads and may propose).
    pub fn leader(&self) -> Option<Ballot> {
        todo!()
    }
    pub fn leader_node(&self) -> Option<NodeId> {
        todo!()
    }
    pub fn promised(&self) -> Ballot {
        todo!()
    }
    /// Everything below is known to be chosen here.
    pub fn decided(&self) -> Slot {
        todo!()
    }
    /// Handed out by `Deliver`/`DeliverFromLog`.
    pub fn delivered(&self) -> Slot {
        todo!()
    }
    pub fn applied(&self) -> Slot {
        todo!()
    }
    /// Leader: the next slot it would propose in.
    pub fn next_slot(&self) -> Slot {
        todo!()
    }
    /// Room for so many more proposals in the window now (0 when not leading).
    pub fn room(&self) -> usize {
        todo!()
    }
    pub fn votes(&self) -> bool {
        todo!()
    }
    /// The log failed; terminal.
    pub fn is_stopped(&self) -> bool {
        todo!()
    }
}
