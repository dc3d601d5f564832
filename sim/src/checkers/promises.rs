//! Promises kept: every 1a, 1b, 2a and 2b that a node ever sent is remembered, across restarts,
//! and no later one may contradict it; nor may any run ahead of what its disk is known to hold.
//!
//! Rules of ARCHITECTURE.md seen from outside: R2, R5, R6, R7, R8, and C1.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::{Ballot, Boot, MemberIndex, Message, NodeId, Proposal, Slot};

use super::images::{DecreeId, Images, Vote};
use crate::violation::{Checked, check};

/// What one node has said so far.
#[derive(Clone, Debug, Default)]
struct Said {
    /// The highest ballot in which it prepared, promised, proposed or accepted.
    highest: Ballot,
    /// In which run it used each ballot of its own.
    used: BTreeMap<Ballot, Boot>,
}

/// One part of a promise.
struct Part<'a> {
    node: MemberIndex,
    ballot: Ballot,
    from: Slot,
    end: Slot,
    limit: Slot,
    decided: Slot,
    proposals: &'a [Proposal<Bytes>],
}

/// Remembers what every node said.
#[derive(Clone, Debug)]
pub struct Promises {
    members: Vec<NodeId>,
    said: Vec<Said>,
}

impl Promises {
    /// Nobody has said anything.
    #[must_use]
    pub fn new(members: &[NodeId]) -> Self {
        Self { members: members.to_vec(), said: vec![Said::default(); members.len()] }
    }

    /// `node` sends `message` in its run `boot`.
    ///
    /// # Errors
    /// Promises.
    pub fn on_send(
        &mut self,
        images: &Images,
        node: MemberIndex,
        boot: Boot,
        message: &Message<'_, Bytes>,
    ) -> Checked {
        let durable = images.of(node).promised;
        match *message {
            Message::Beat(beat) => {
                check!(
                    Promises,
                    beat.promised <= durable,
                    "member {} beats with promise {}, but only {durable} is durable",
                    node.0,
                    beat.promised
                );
                Self::claims_decided(images, node, beat.decided, "beat")
            }
            Message::Prepare { ballot, from } => {
                self.speaks(images, node, ballot, "1a")?;
                self.owns(node, boot, ballot, "1a")?;
                Self::claims_decided(images, node, from, "1a")
            }
            Message::Promise { ballot, from, end, limit, decided, retained: _, proposals } => {
                self.speaks(images, node, ballot, "1b")?;
                Self::claims_decided(images, node, decided, "1b")?;
                let part = Part { node, ballot, from, end, limit, decided, proposals };
                Self::reports(images, &part)
            }
            Message::Accept { ballot, from: _, proposals: _, decided } => {
                self.speaks(images, node, ballot, "2a")?;
                self.owns(node, boot, ballot, "2a")?;
                Self::claims_decided(images, node, decided, "2a")
            }
            Message::Accepted { ballot, end, resend: _ } => self.accepts(images, node, ballot, end),
            Message::Nack { refused, promised } => {
                check!(
                    Promises,
                    promised > refused && promised <= durable,
                    "member {} refuses {refused} and teaches {promised}, which is no higher",
                    node.0
                );
                Ok(())
            }
            Message::Learn { from } => Self::claims_decided(images, node, from, "learn"),
            Message::Learned { from: _, proposals, decided } => {
                Self::claims_decided(images, node, decided, "learned")?;
                Self::teaches(images, node, proposals)
            }
        }
    }

    /// 1a, 1b and 2a rest on a promise of exactly that ballot, durable before they leave.
    fn speaks(
        &mut self,
        images: &Images,
        node: MemberIndex,
        ballot: Ballot,
        kind: &str,
    ) -> Checked {
        let durable = images.of(node).promised;
        check!(
            Promises,
            durable == ballot,
            "member {} sends {kind} of ballot {ballot} while its durable promise is {durable}",
            node.0
        );
        self.stays(images, node, ballot, kind)
    }

    /// Nothing is said below what was said before, and nothing without the right to vote (R10).
    fn stays(&mut self, images: &Images, node: MemberIndex, ballot: Ballot, kind: &str) -> Checked {
        check!(
            Promises,
            images.of(node).votes,
            "member {} sends {kind} of ballot {ballot} without a durable right to vote",
            node.0
        );
        check!(
            Promises,
            !images.of(node).replaced,
            "member {} sends {kind} of ballot {ballot} from a disk that replaced another",
            node.0
        );
        let said = &mut self.said[node.place()];
        check!(
            Promises,
            ballot >= said.highest,
            "member {} sends {kind} of ballot {ballot} after it spoke in {}",
            node.0,
            said.highest
        );
        said.highest = ballot;
        Ok(())
    }

    /// A proposer speaks in ballots of its own, and in each in one run only.
    fn owns(&mut self, node: MemberIndex, boot: Boot, ballot: Ballot, kind: &str) -> Checked {
        check!(
            Promises,
            ballot.node == self.members[node.place()],
            "member {} sends {kind} of ballot {ballot}, which is not its own",
            node.0
        );
        let first = *self.said[node.place()].used.entry(ballot).or_insert(boot);
        check!(
            Promises,
            first == boot,
            "member {} uses ballot {ballot} of its run {} again in run {}",
            node.0,
            first.0,
            boot.0
        );
        Ok(())
    }

    /// 2b: everything below `end` is durable here, decided or accepted in exactly this ballot.
    fn accepts(
        &mut self,
        images: &Images,
        node: MemberIndex,
        ballot: Ballot,
        end: Slot,
    ) -> Checked {
        let image = images.of(node);
        check!(
            Promises,
            image.promised <= ballot,
            "member {} sends 2b of ballot {ballot} after it promised {} durably",
            node.0,
            image.promised
        );
        let mut slot = image.decided;
        while slot < end {
            let vote = image.accepted.get(&slot);
            let held =
                vote.is_some_and(|vote| vote.ballot == ballot) || image.learned.contains_key(&slot);
            check!(
                Promises,
                held,
                "member {} sends 2b of ballot {ballot} with end {end}, but slot {slot} is {} on \
                 its disk, decided below {}",
                node.0,
                vote.map_or_else(|| "absent".into(), |vote| format!("of ballot {}", vote.ballot)),
                image.decided
            );
            slot = slot.next();
        }
        self.stays(images, node, ballot, "2b")
    }

    /// 1b: the durable vote of every slot in the part, no more and no less (R7).
    fn reports(images: &Images, part: &Part<'_>) -> Checked {
        let image = images.of(part.node);
        let reported = |slot| {
            let found = part.proposals.iter().find(|proposal| proposal.slot == slot);
            found.map(|p| Vote { ballot: p.ballot, decree: DecreeId::of(&p.decree) })
        };
        let from = part.from.max(part.decided);
        for (slot, vote) in image.accepted.range(from..part.end.max(from)) {
            if image.learned.contains_key(slot) {
                continue;
            }
            check!(
                Promises,
                reported(*slot) == Some(*vote),
                "member {} promises {} and reports {:?} for slot {slot}; its disk has {vote:?}",
                part.node.0,
                part.ballot,
                reported(*slot)
            );
        }
        for (slot, decree) in image.learned.range(from..part.end.max(from)) {
            check!(
                Promises,
                reported(*slot).is_some_and(|vote| vote.decree == *decree),
                "member {} promises {} and reports {:?} for slot {slot}, which it learned",
                part.node.0,
                part.ballot,
                reported(*slot)
            );
        }
        for proposal in part.proposals {
            let vote = Vote { ballot: proposal.ballot, decree: DecreeId::of(&proposal.decree) };
            let slot = proposal.slot;
            let held = image.accepted.get(&slot) == Some(&vote)
                || image.learned.get(&slot) == Some(&vote.decree);
            check!(
                Promises,
                held,
                "member {} promises {} and reports {vote:?} for slot {slot}, which is not durable",
                part.node.0,
                part.ballot
            );
        }
        let mut behind = image.accepted.range(part.limit.max(part.decided)..);
        let omitted = behind.find(|(_, vote)| vote.ballot < part.ballot);
        check!(
            Promises,
            omitted.is_none(),
            "member {} promises {} with limit {}, and leaves out {omitted:?}",
            part.node.0,
            part.ballot,
            part.limit
        );
        Ok(())
    }

    /// What is taught as chosen is chosen.
    fn teaches(images: &Images, node: MemberIndex, proposals: &[Proposal<Bytes>]) -> Checked {
        for proposal in proposals {
            let chosen = images.chosen(proposal.slot);
            check!(
                Promises,
                chosen.is_some_and(|chosen| chosen.decree == DecreeId::of(&proposal.decree)),
                "member {} teaches {:?} for slot {}; chosen there: {chosen:?}",
                node.0,
                proposal.decree,
                proposal.slot
            );
        }
        Ok(())
    }

    /// What is claimed to be decided is chosen.
    fn claims_decided(images: &Images, node: MemberIndex, decided: Slot, kind: &str) -> Checked {
        check!(
            Durability,
            decided <= images.chosen_end(),
            "member {} says in a {kind} that everything below {decided} is decided; chosen by \
             durable votes is everything below {}",
            node.0,
            images.chosen_end()
        );
        Ok(())
    }
}
