//! Which incarnation of each member this replica has met, and whether it may vote (R10).
//!
//! A replica records the incarnation of each peer durably before it counts a vote of it, and drops
//! the votes of any other. A replica whose log was just formatted votes only once **every** other
//! member has it on durable record under its present incarnation: a group forms when all its
//! members have met. A wiped disk comes back under another incarnation, is on record under the old
//! one somewhere, and so never votes again by itself.

use super::Replica;
use super::signs::Sign;
use crate::{
    Decree, Header, Incarnation, MEMBERS_MAX, MemberIndex, NodeId, PeerMisbehaved, WriteId,
};

/// The incarnations on record and the right to vote.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    /// What is known now, durable or not yet.
    known: Entries,
    /// What is durable.
    durable: Entries,
    /// `known` was not handed to the log yet.
    dirty: bool,
    /// The last write in flight that holds a roster, and what it holds.
    in_flight: Option<(WriteId, Entries)>,
    /// The table lent to the record.
    table: [(NodeId, Incarnation); MEMBERS_MAX],
}

/// One state of the roster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entries {
    votes: bool,
    incarnations: [Incarnation; MEMBERS_MAX],
}

impl Roster {
    /// The roster as a log has it, for the members of `nodes`.
    pub(super) fn recovered(
        nodes: &[NodeId],
        recorded: &[(NodeId, Incarnation)],
        own: (MemberIndex, Incarnation),
        votes: bool,
    ) -> Self {
        let mut incarnations = [Incarnation::NONE; MEMBERS_MAX];
        for (place, node) in nodes.iter().enumerate() {
            let entry = recorded.iter().find(|(recorded, _)| recorded == node);
            incarnations[place] = entry.map_or(Incarnation::NONE, |(_, incarnation)| *incarnation);
        }
        let dirty = incarnations[own.0.place()] != own.1;
        incarnations[own.0.place()] = own.1;
        let durable = Entries { votes, incarnations };
        let mut table = [(NodeId(0), Incarnation::NONE); MEMBERS_MAX];
        for (place, node) in nodes.iter().enumerate() {
            table[place].0 = *node;
        }
        Self { known: durable, durable, dirty, in_flight: None, table }
    }

    /// The incarnations on durable record, by index.
    pub(super) const fn durable(&self) -> &[Incarnation; MEMBERS_MAX] {
        &self.durable.incarnations
    }

    /// Whether the right to vote is durable.
    pub(super) const fn votes_durably(&self) -> bool {
        self.durable.votes
    }

    /// Whether a roster record is due.
    pub(super) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Write `id` takes what is known now to the log.
    pub(super) fn write(&mut self, id: WriteId) {
        self.dirty = false;
        for (place, incarnation) in self.known.incarnations.iter().enumerate() {
            self.table[place].1 = *incarnation;
        }
        // Of two writes in flight the later one says all that the earlier one says.
        self.in_flight = Some((id, self.known));
    }

    /// The table that the record lends, and whether this replica votes.
    pub(super) fn lent(&self, members: usize) -> (bool, &[(NodeId, Incarnation)]) {
        (self.known.votes, &self.table[..members])
    }

    /// Write `id` is durable. Whether it held a roster.
    pub(super) fn persisted(&mut self, id: WriteId) -> bool {
        let Some((write, entries)) = self.in_flight else { return false };
        if write == id {
            self.in_flight = None;
            self.durable = entries;
        }
        write == id
    }
}

impl<D: Decree> Replica<D> {
    /// Whether a message that carries a vote comes from the incarnation on durable record.
    pub(super) fn is_on_record(&self, header: &Header, from: MemberIndex) -> bool {
        self.roster.durable.incarnations[from.place()] == header.incarnation
    }

    /// Whether the member is known under another incarnation.
    pub(super) fn is_stranger(&self, header: &Header, from: MemberIndex) -> bool {
        self.roster.known.incarnations[from.place()] != header.incarnation
    }

    /// Records the incarnation of a member met for the first time.
    ///
    /// # Errors
    /// When the member is on record under another one.
    pub(super) fn judge_incarnation(
        &mut self,
        header: &Header,
        from: MemberIndex,
    ) -> Result<(), PeerMisbehaved> {
        let known = &mut self.roster.known.incarnations[from.place()];
        if *known == Incarnation::NONE && header.incarnation != Incarnation::NONE {
            *known = header.incarnation;
            self.roster.dirty = true;
            self.signs.raise(Sign::Write);
        }
        if *known != header.incarnation || header.incarnation == Incarnation::NONE {
            return Err(PeerMisbehaved::StaleIncarnation(header.node, header.incarnation));
        }
        Ok(())
    }

    /// Takes the right to vote once every other member has this incarnation on record.
    pub(super) fn claim_vote(&mut self) {
        if self.roster.known.votes {
            return;
        }
        let own = self.header.incarnation;
        let met_by_all = self.others().all(|peer| self.peers[peer.place()].my_incarnation == own);
        if met_by_all {
            self.roster.known.votes = true;
            self.roster.dirty = true;
            self.signs.raise(Sign::Write);
        }
    }

    /// The members that do not have this replica's present disk on record. While this is not empty
    /// and the replica does not vote, the group has not formed, or the disk is not the one that
    /// this member is known by.
    #[must_use]
    pub fn unacquainted(&self) -> crate::NodeSet {
        let own = self.header.incarnation;
        let strangers = self.others().filter(|p| self.peers[p.place()].my_incarnation != own);
        strangers.fold(crate::NodeSet::EMPTY, crate::NodeSet::with)
    }
}
