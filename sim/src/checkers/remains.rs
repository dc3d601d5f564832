//! Remains (R11): what a start did not find is gone. A later start finds what that one found and
//! what was handed out since, and nothing else: no record that was cut off comes back.

use std::collections::BTreeSet;

use bytes::Bytes;
use synod_core::{Ballot, Body, MemberIndex, Proposal, Record, Recovered, Slot};

use super::images::DecreeId;
use crate::violation::{Checked, check};

/// What the log of each member may hold.
#[derive(Clone, Debug)]
pub struct Remains {
    nodes: Vec<Option<Held>>,
}

/// What one log may hold, since its last start.
#[derive(Clone, Debug, Default)]
struct Held {
    promised: Ballot,
    slots: BTreeSet<(Slot, Ballot, DecreeId)>,
}

impl Held {
    fn add(&mut self, promised: Ballot, run: &[Proposal<Bytes>]) {
        self.promised = self.promised.max(promised);
        for proposal in run {
            self.promised = self.promised.max(proposal.ballot);
            self.slots.insert(key(proposal));
        }
    }
}

fn key(proposal: &Proposal<Bytes>) -> (Slot, Ballot, DecreeId) {
    (proposal.slot, proposal.ballot, DecreeId::of(&proposal.decree))
}

impl Remains {
    /// Nothing is known of any log.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { nodes: vec![None; members] }
    }

    /// The disk of `node` is lost.
    pub fn on_wiped(&mut self, node: MemberIndex) {
        self.nodes[node.place()] = None;
    }

    /// A record was handed to the host of `node`.
    pub fn on_persist(&mut self, node: MemberIndex, record: &Record<'_, Bytes>) {
        let run = match record.body {
            Body::Accepted(run) | Body::Learned(run) => run,
            Body::Mark | Body::Roster { .. } => &[],
        };
        self.nodes[node.place()].get_or_insert_default().add(record.promised, run);
    }

    /// A start of `node` found this.
    ///
    /// # Errors
    /// Recovery.
    pub fn on_start(&mut self, node: MemberIndex, found: &Recovered<Bytes>) -> Checked {
        if let Some(held) = &self.nodes[node.place()] {
            check!(
                Recovery,
                found.promised <= held.promised,
                "member {} comes back with the promise {}, and the last start found, or was handed \
                 out since, {} at most",
                node.0,
                found.promised,
                held.promised
            );
            let back = found.accepted.iter().find(|proposal| !held.slots.contains(&key(proposal)));
            check!(
                Recovery,
                back.is_none(),
                "member {} comes back with {back:?}, which its last start did not find, and which \
                 was not written since",
                node.0
            );
        }
        let mut held = Held::default();
        held.add(found.promised, &found.accepted);
        self.nodes[node.place()] = Some(held);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use synod_core::{Incarnation, Kind, NodeId};

    use super::*;
    use crate::violation::Property;

    const A: MemberIndex = MemberIndex(0);

    fn ballot(round: u64) -> Ballot {
        Ballot { round, node: NodeId(1) }
    }

    fn at(slot: u64, round: u64) -> Proposal<Bytes> {
        Proposal { slot: Slot(slot), ballot: ballot(round), decree: Kind::Noop }
    }

    fn found(promised: u64, accepted: &[Proposal<Bytes>]) -> Recovered<Bytes> {
        let mut recovered = Recovered::formatted(Incarnation(1));
        (recovered.promised, recovered.accepted) = (ballot(promised), accepted.to_vec());
        recovered
    }

    #[test]
    fn what_a_start_did_not_find_stays_away() {
        let mut remains = Remains::new(1);
        remains.on_start(A, &found(1, &[at(3, 1)])).expect("the first start");
        let run = [at(4, 2)];
        let record = Record { promised: ballot(2), decided: Slot(3), body: Body::Accepted(&run) };
        remains.on_persist(A, &record);
        let both = found(2, &[at(3, 1), at(4, 2)]);
        remains.clone().on_start(A, &both).expect("it was written since");
        remains.clone().on_start(A, &found(3, &[])).expect_err("nobody promised that");
        remains.on_start(A, &found(1, &[at(3, 1)])).expect("the last record is lost");
        remains.clone().on_start(A, &found(2, &[at(3, 1)])).expect_err("its promise is back");
        let back = remains.clone().on_start(A, &found(1, &[at(4, 1)])).expect_err("it is back");
        assert_eq!(back.property, Property::Recovery);
        remains.on_wiped(A);
        remains.on_start(A, &both).expect("another disk");
    }
}
