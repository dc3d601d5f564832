//! Acquaintance (R10): a member takes the right to vote only when every other member has had its
//! present disk on durable record. One that a quorum has met is not enough: the rest could meet
//! another disk of the same member, which had promised nothing.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use synod_core::{Body, Incarnation, MemberIndex, NodeId, Record, Recovered, WriteId};

use crate::violation::{Checked, check};

/// Who has met whom.
#[derive(Clone, Debug)]
pub struct Acquaintance {
    members: Vec<NodeId>,
    nodes: Vec<Met>,
}

/// What one member knows of the disks of others.
#[derive(Clone, Debug, Default)]
struct Met {
    /// Its own present disk, once it has started on it.
    disk: Incarnation,
    /// Whether it has the right to vote, durable or not.
    votes: bool,
    /// Whose disks were durably on record here at some time, whatever became of this one.
    durable: BTreeSet<(NodeId, Incarnation)>,
    /// Rosters that were handed out and not reported durable.
    pending: VecDeque<(WriteId, Vec<(NodeId, Incarnation)>)>,
}

impl Acquaintance {
    /// Nobody has met anybody.
    #[must_use]
    pub fn new(members: &[NodeId]) -> Self {
        Self { members: members.to_vec(), nodes: vec![Met::default(); members.len()] }
    }

    /// A run starts on what the log gave back.
    pub fn on_start(&mut self, node: MemberIndex, recovered: &Recovered<Bytes>) {
        let met = &mut self.nodes[node.place()];
        met.disk = recovered.incarnation;
        met.votes = recovered.votes;
        met.pending.clear();
        met.durable.extend(&recovered.roster);
    }

    /// A record was handed to the host.
    ///
    /// # Errors
    /// Promises.
    pub fn on_persist(
        &mut self,
        node: MemberIndex,
        id: WriteId,
        record: &Record<'_, Bytes>,
    ) -> Checked {
        let Body::Roster { votes, members } = record.body else { return Ok(()) };
        let own = (self.members[node.place()], self.nodes[node.place()].disk);
        let takes_vote = votes && !self.nodes[node.place()].votes && own.1 != Incarnation::NONE;
        let stranger = self
            .nodes
            .iter()
            .zip(&self.members)
            .find(|(met, name)| **name != own.0 && !met.durable.contains(&own));
        check!(
            Promises,
            !takes_vote || stranger.is_none(),
            "member {} takes the right to vote, and {:?} never had its disk {:?} on record",
            node.0,
            stranger.map(|(_, name)| name),
            own.1
        );
        let met = &mut self.nodes[node.place()];
        met.votes |= votes;
        met.pending.push_back((id, members.to_vec()));
        Ok(())
    }

    /// The host reports everything up to `upto` durable.
    pub fn on_persisted(&mut self, node: MemberIndex, upto: WriteId) {
        let met = &mut self.nodes[node.place()];
        while met.pending.front().is_some_and(|(id, _)| *id <= upto) {
            met.durable.extend(met.pending.pop_front().into_iter().flat_map(|(_, roster)| roster));
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_core::{Ballot, Slot};

    use super::*;

    const MEMBERS: [NodeId; 3] = [NodeId(7), NodeId(8), NodeId(9)];
    const DISKS: [Incarnation; 3] = [Incarnation(1), Incarnation(2), Incarnation(3)];

    fn roster(known: [Incarnation; 3]) -> Vec<(NodeId, Incarnation)> {
        MEMBERS.into_iter().zip(known).collect()
    }

    fn write(all: &mut Acquaintance, place: u8, id: u64, votes: bool) -> Checked {
        let members = &roster(DISKS);
        let body = Body::Roster { votes, members };
        let record = Record { promised: Ballot::ZERO, decided: Slot::ZERO, body };
        all.on_persist(MemberIndex(place), WriteId(id), &record)
    }

    /// All have started, and the first two have met everybody.
    fn met_by_two() -> Acquaintance {
        let mut all = Acquaintance::new(&MEMBERS);
        for (place, disk) in DISKS.into_iter().enumerate() {
            all.on_start(MemberIndex(place as u8), &Recovered::formatted(disk));
        }
        for place in [0, 1] {
            write(&mut all, place, 1, false).expect("no vote");
            all.on_persisted(MemberIndex(place), WriteId(1));
        }
        all
    }

    #[test]
    fn a_quorum_that_has_met_a_disk_is_not_enough() {
        write(&mut met_by_two(), 0, 2, true).expect_err("the third has not met it");
        let mut all = met_by_two();
        write(&mut all, 2, 1, false).expect("no vote");
        write(&mut all, 0, 2, true).expect_err("the record of the third is not durable");
        all.on_persisted(MemberIndex(2), WriteId(1));
        write(&mut all, 0, 2, true).expect("all have met it");
    }

    #[test]
    fn whoever_met_an_earlier_disk_has_not_met_this_one() {
        let mut all = met_by_two();
        all.on_start(MemberIndex(2), &Recovered::formatted(Incarnation(33)));
        write(&mut all, 2, 1, true).expect_err("they know another disk");
        // Who had the right to vote before, has it.
        let mut voter = Recovered::formatted(Incarnation(33));
        voter.votes = true;
        all.on_start(MemberIndex(2), &voter);
        write(&mut all, 2, 1, true).expect("nothing new");
    }
}
