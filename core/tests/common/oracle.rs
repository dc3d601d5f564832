//! An oracle that watches a cluster from outside: messages and deliveries, never cursors.
//!
//! It is told of every message as it leaves and of every delivery, across restarts, and panics at
//! the first that contradicts an earlier one.

use std::collections::BTreeMap;

use synod_core::{Ballot, Boot, Header, Incarnation, Kind, Message, NodeId, Proposal, Slot};

use super::Letter;

/// One life of a disk.
type Disk = (NodeId, Incarnation);

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Peers are made up and may say anything: what they claim to be chosen need not agree.
    pub(crate) peers_lie: bool,
    /// Agreement: the decree that anybody delivered in a slot.
    chosen: BTreeMap<Slot, (Kind<Letter>, NodeId)>,
    /// One decree per ballot and slot (S10).
    proposed: BTreeMap<(Ballot, Slot), Kind<Letter>>,
    /// The highest ballot that a disk promised, in a 1b or a 2b (C1).
    promised: BTreeMap<Disk, Ballot>,
    /// What comes next at each run of a process.
    next: BTreeMap<(Disk, Boot), Slot>,
}

impl Oracle {
    /// A message left.
    pub(crate) fn sent(&mut self, header: &Header, message: &Message<'_, Letter>) {
        match message {
            Message::Promise { ballot, proposals, .. } => {
                self.no_promise_is_broken(header, *ballot);
                self.one_decree_per_ballot(proposals);
            }
            Message::Accepted { ballot, .. } => self.no_promise_is_broken(header, *ballot),
            Message::Accept { proposals, .. } => self.one_decree_per_ballot(proposals),
            Message::Learned { proposals, .. } => {
                proposals.iter().for_each(|p| self.agree(header, p))
            }
            Message::Nack { .. }
            | Message::Beat(_)
            | Message::Prepare { .. }
            | Message::Learn { .. } => {}
        }
    }

    /// Chosen decrees were handed to the state machine.
    pub(crate) fn delivered(&mut self, header: &Header, chosen: &[Proposal<Letter>]) {
        for proposal in chosen {
            self.agree(header, proposal);
            let run = ((header.node, header.incarnation), header.boot);
            let next = self.next.entry(run).or_insert(proposal.slot);
            assert_eq!(*next, proposal.slot, "{:?} delivers out of order", header.node);
            *next = proposal.slot.next();
        }
    }

    fn agree(&mut self, header: &Header, proposal: &Proposal<Letter>) {
        if self.peers_lie {
            return;
        }
        let first = || (proposal.decree.clone(), header.node);
        let (decree, by) = self.chosen.entry(proposal.slot).or_insert_with(first);
        let (slot, node) = (proposal.slot, header.node);
        assert_eq!(*decree, proposal.decree, "slot {slot}: {by:?} and {node:?} disagree");
    }

    fn one_decree_per_ballot(&mut self, proposals: &[Proposal<Letter>]) {
        if self.peers_lie {
            return;
        }
        for Proposal { slot, ballot, decree } in proposals {
            let known = self.proposed.entry((*ballot, *slot)).or_insert_with(|| decree.clone());
            assert_eq!(known, decree, "two decrees for slot {slot} in ballot {ballot}");
        }
    }

    fn no_promise_is_broken(&mut self, header: &Header, ballot: Ballot) {
        let disk = (header.node, header.incarnation);
        let highest = self.promised.entry(disk).or_insert(ballot);
        assert!(ballot >= *highest, "{:?} promised {highest} and then {ballot}", header.node);
        *highest = ballot;
    }
}
