//! Proposals: one decree per (ballot, slot), and P2c: what a ballot proposes cannot contradict
//! what a lower ballot has chosen or may still choose.
//!
//! P2c (Lamport, "Paxos Made Simple"): for any proposal of v in ballot b there is a quorum of
//! which no member accepted below b, or v is what was accepted in the highest ballot below b by
//! any of them. Its consequence, checked here, is that no lower ballot can choose otherwise: an
//! acceptor counts for a lower ballot if it voted there, or if its durable promise still lets it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use synod_core::{Ballot, MemberIndex, Message, NodeSet, Proposal, Slot};

use super::images::{DecreeId, Images};
use crate::violation::{Checked, check};

/// Remembers everything that was ever proposed.
#[derive(Clone, Debug)]
pub struct Proposals {
    window: u64,
    proposed: BTreeMap<(Ballot, Slot), DecreeId>,
    known: BTreeSet<DecreeId>,
    /// The ballots that were active.
    joined: BTreeSet<Ballot>,
}

impl Proposals {
    /// Nothing was proposed yet. A new decree is proposed at most `window` slots ahead.
    #[must_use]
    pub fn new(window: usize) -> Self {
        let window = window as u64;
        let (known, joined) = (BTreeSet::new(), BTreeSet::new());
        Self { window, proposed: BTreeMap::new(), known, joined }
    }

    /// Someone sends `message`.
    ///
    /// # Errors
    /// One decree, Choosable.
    pub fn on_send(&mut self, images: &Images, message: &Message<'_, Bytes>) -> Checked {
        let Message::Accept { ballot, from, proposals, decided: _ } = message else {
            return Ok(());
        };
        for (place, proposal) in proposals.iter().enumerate() {
            let run = proposal.slot == from.plus(place as u64) && proposal.ballot == *ballot;
            check!(
                OneDecree,
                run,
                "2a {ballot} from {from} holds {} of ballot {} at place {place}",
                proposal.slot,
                proposal.ballot
            );
            self.propose(images, proposal)?;
        }
        Ok(())
    }

    /// How many proposals were made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.proposed.len()
    }

    /// Whether none was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.proposed.is_empty()
    }

    fn propose(&mut self, images: &Images, proposal: &Proposal<Bytes>) -> Checked {
        let Proposal { slot, ballot, decree } = proposal;
        let id = DecreeId::of(decree);
        if let Some(first) = self.proposed.get(&(*ballot, *slot)) {
            check!(
                OneDecree,
                *first == id,
                "ballot {ballot} proposes {decree:?} in slot {slot}, where it proposed another"
            );
            return Ok(());
        }
        self.proposed.insert((*ballot, *slot), id);
        if id != DecreeId::NOOP && self.known.insert(id) {
            let limit = images.chosen_end().plus(self.window);
            check!(
                Bounds,
                *slot < limit,
                "ballot {ballot} proposes a new decree in slot {slot}; its window ends at {limit}"
            );
        }
        if self.joined.insert(*ballot) {
            Self::quorum_joined(images, *ballot)?;
        }
        Self::safe(images, *ballot, *slot, id)
    }

    /// A ballot is active only after a phase-1 quorum joined it, durably.
    fn quorum_joined(images: &Images, ballot: Ballot) -> Checked {
        let joined = images.all().iter().filter(|image| image.promised_ever >= ballot).count();
        check!(
            Choosable,
            joined >= images.quorums().phase1,
            "ballot {ballot} proposes while only {joined} members promised it durably"
        );
        Ok(())
    }

    fn safe(images: &Images, ballot: Ballot, slot: Slot, id: DecreeId) -> Checked {
        for lower in images.votes(slot).iter().filter(|b| b.ballot < ballot && b.decree != id) {
            let mut able = NodeSet(lower.durable.0 | lower.written.0);
            for (place, image) in images.all().iter().enumerate() {
                if image.votes && image.promised <= lower.ballot {
                    able = able.with(MemberIndex(place as u8));
                }
            }
            check!(
                Choosable,
                able.len() < images.quorums().phase2,
                "ballot {ballot} proposes {id:?} in slot {slot}, where ballot {} proposed {:?} \
                 and {able:?} may still choose it",
                lower.ballot,
                lower.decree
            );
        }
        Ok(())
    }
}
