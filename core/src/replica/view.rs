//! What a host may look at. Nothing here changes a replica.

use super::Replica;
use crate::{Ballot, Config, Decree, Header, NodeId, PeerMisbehaved, Slot};

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

impl<D: Decree> Replica<D> {
    /// Judges a header as [`handle`](Self::handle) does, for messages that the host itself adds to
    /// the protocol.
    ///
    /// # Errors
    /// When the message is not one of another member of this group, configuration and life.
    pub fn judge(&mut self, header: &Header) -> Result<(), PeerMisbehaved> {
        let from = self.judge_header(header)?;
        self.judge_incarnation(header, from)
    }

    /// Where this replica's proposer is.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        if self.phase2.ballot().is_some() {
            Standing::Leading
        } else if self.phase1.ballot().is_some() {
            Standing::Preparing
        } else {
            Standing::Following
        }
    }

    /// The header of everything that this replica sends and writes.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// What the replica was told when it started.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The ballot of the leader that this replica hears, or its own while it leads.
    #[must_use]
    pub fn leader(&self) -> Option<Ballot> {
        self.phase2.ballot().or_else(|| self.election.followed())
    }

    /// The leader that this replica hears, or itself while it leads.
    #[must_use]
    pub fn leader_node(&self) -> Option<NodeId> {
        self.leader().map(|ballot| ballot.node)
    }

    /// Whether this replica leads and its barrier is decided: everything that earlier leaders may
    /// have got chosen is decided here.
    #[must_use]
    pub const fn is_established(&self) -> bool {
        self.phase2.is_established(self.learner.decided)
    }

    /// The highest ballot promised, durable or not yet.
    #[must_use]
    pub const fn promised(&self) -> Ballot {
        self.acceptor.promised
    }

    /// Everything below is known here to be chosen.
    #[must_use]
    pub const fn decided(&self) -> Slot {
        self.learner.decided
    }

    /// Everything below was handed out for the state machine to apply.
    #[must_use]
    pub const fn delivered(&self) -> Slot {
        self.learner.delivered
    }

    /// Everything below is applied, as the host reported it.
    #[must_use]
    pub const fn applied(&self) -> Slot {
        self.learner.applied
    }

    /// The end of the slots held in memory: the next slot of a leader.
    #[must_use]
    pub const fn next_slot(&self) -> Slot {
        self.window.end()
    }

    /// How many more decrees this replica would take now; 0 unless it leads.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.stopped || self.phase2.ballot().is_none() || self.barrier_is_pending() {
            return 0;
        }
        let end = self.window.end();
        let open = self.learner.decided.plus(self.config.limits.window as u64).since(end);
        // A slot that is delivered and marked makes room when it is needed.
        let evictable = self.evictable().since(self.window.base());
        (open as usize).min(self.window.room() + evictable as usize)
    }

    /// Whether this replica may vote (R10), durably.
    #[must_use]
    pub const fn votes(&self) -> bool {
        self.roster.votes_durably()
    }

    /// Whether the log failed. Terminal.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }
}
