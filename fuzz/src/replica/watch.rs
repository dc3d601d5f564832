//! The word of the replica: what it says must be covered by its disk, now and after any crash.
//!
//! Nothing here looks at the cursors of the replica; it is judged by its messages and its records.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::{Ballot, Kind, Limits, Message, NodeId, Slot};

use super::disk::Facts;

/// What the replica said so far, in all its runs.
#[derive(Debug)]
pub(crate) struct Watch {
    node: NodeId,
    limits: Limits,
    /// The highest ballot in any promise or accepted message.
    promised: Ballot,
    /// What it proposed, by ballot and slot.
    proposed: BTreeMap<(Ballot, Slot), Kind<Bytes>>,
}

impl Watch {
    pub(crate) const fn new(node: NodeId, limits: Limits) -> Self {
        Self { node, limits, promised: Ballot::ZERO, proposed: BTreeMap::new() }
    }

    /// Judges a message against what is durable.
    pub(crate) fn on_send(&mut self, message: &Message<'_, Bytes>, durable: &Facts) {
        match message {
            Message::Beat(beat) => {
                assert!(beat.promised <= durable.promised, "C1: a beat tells a promise too early");
            }
            Message::Prepare { ballot, from: _ } => {
                assert_eq!(ballot.node, self.node, "C2: a ballot has one owner");
                assert!(*ballot <= durable.promised, "R8: a prepare before its own promise");
                assert!(*ballot >= self.promised, "C1: a prepare below a promise");
                assert!(durable.votes, "R10: a prepare without a vote");
            }
            Message::Promise { .. } => self.on_promise(message, durable),
            Message::Accept { ballot, from: _, proposals, decided: _ } => {
                assert_eq!(ballot.node, self.node, "an accept of a ballot of its own");
                assert!(*ballot <= durable.promised, "R8: an accept before its own promise");
                assert!(*ballot >= self.promised, "C1: an accept below a promise");
                assert!(proposals.len() <= self.limits.run_slots_max, "C5: a run too long");
                for proposal in *proposals {
                    assert_eq!(proposal.ballot, *ballot);
                    let known = self.proposed.entry((*ballot, proposal.slot));
                    let first = known.or_insert_with(|| proposal.decree.clone());
                    assert_eq!(*first, proposal.decree, "one decree per ballot and slot");
                }
            }
            Message::Accepted { ballot, end, resend: _ } => {
                self.on_accepted(*ballot, *end, durable);
            }
            Message::Nack { refused, promised } => {
                assert!(promised > refused, "a refusal of the ballot promised");
                assert!(*promised <= durable.promised, "C1: a nack tells a promise too early");
            }
            Message::Learn { .. } => {}
            Message::Learned { from, proposals, decided } => {
                assert!(proposals.len() <= self.limits.run_slots_max, "C5: a run too long");
                let end = from.plus(proposals.len() as u64);
                assert!(end <= *decided, "what is not decided is told as chosen");
            }
        }
    }

    /// C1, R7: the promise and what it reports are durable, and nothing is left out.
    fn on_promise(&mut self, message: &Message<'_, Bytes>, durable: &Facts) {
        let Message::Promise { ballot, from, end, limit, decided, retained: _, proposals } =
            message
        else {
            return;
        };
        assert!(durable.votes, "R10: a promise without a vote");
        assert!(*ballot <= durable.promised, "C1: a promise that is not durable");
        assert!(*ballot >= self.promised, "C1: a promise below another");
        self.promised = *ballot;
        assert!(proposals.len() <= self.limits.run_slots_max, "C5: a run too long");
        for proposal in *proposals {
            let fact = durable.slots.get(&proposal.slot).expect("R7: only what is durable");
            let same = fact.latest.ballot >= proposal.ballot || fact.learned;
            assert!(same, "R7: a report of {proposal:?} where the log has {fact:?}");
        }
        let open = durable.slots.range((*from).max(*decided)..);
        // What was accepted in this very ballot came from the one who asks.
        for (slot, fact) in open.filter(|(_, fact)| fact.accepted < *ballot) {
            if *slot >= *end {
                assert!(end < limit, "R7: {slot} is durable and left out of the last part");
                break;
            }
            let reported = proposals.iter().find(|proposal| proposal.slot == *slot);
            let reported = reported.expect("R7: a durable accept is left out");
            let covers = reported.ballot >= fact.accepted || fact.learned;
            assert!(covers, "R7: {reported:?} hides {fact:?}");
        }
    }

    /// R2: everything below `end` is durable, in this very ballot or marked as decided.
    fn on_accepted(&mut self, ballot: Ballot, end: Slot, durable: &Facts) {
        assert!(durable.votes, "R10: an accepted without a vote");
        assert!(ballot <= durable.promised, "C1: an accepted before the promise");
        assert!(ballot >= self.promised, "C1: an accepted below a promise");
        self.promised = ballot;
        for slot in (durable.mark.0..end.0).map(Slot) {
            let fact = durable.slots.get(&slot).expect("R2: an accepted of what is not durable");
            assert_eq!(fact.latest.ballot, ballot, "R2: an accepted of another ballot's {slot}");
        }
    }
}
