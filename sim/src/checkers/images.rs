//! What each disk is known to hold, seen from outside: the records handed to the host, and the
//! watermarks that the host reported back. Every checker that speaks of durability reads this.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use synod_core::{
    Ballot, Body, Kind, MemberIndex, NodeSet, Proposal, Quorums, Record, Recovered, Slot, WriteId,
};

use crate::violation::{Checked, check};

/// The identity of a decree: equal exactly when the bytes are (up to chance of 1 in 2^64).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DecreeId(pub u64);

impl DecreeId {
    /// The no-op.
    pub const NOOP: Self = Self(0);

    /// The identity of `decree`.
    #[must_use]
    pub fn of(decree: &Kind<Bytes>) -> Self {
        match decree {
            Kind::Noop => Self::NOOP,
            Kind::App(bytes) => Self(hash(bytes).max(1)),
        }
    }
}

/// A 64-bit hash of bytes, the same on every machine. Guards against chance, not against malice.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0x9E37_79B9_7F4A_7C15 ^ bytes.len() as u64;
    let mut mix = |word: u64| {
        let product = u128::from(state ^ word) * 0xA076_1D64_78BD_642F;
        state = product as u64 ^ (product >> 64) as u64;
    };
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        mix(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
    }
    for byte in chunks.remainder() {
        mix(u64::from(*byte) | 0x100);
    }
    mix(0x5157);
    state
}

/// A vote: this acceptor accepted that decree in that ballot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote {
    /// In which ballot.
    pub ballot: Ballot,
    /// What.
    pub decree: DecreeId,
}

/// A record that was handed out and not yet reported durable.
#[derive(Clone, Debug)]
struct Pending {
    id: WriteId,
    promised: Ballot,
    decided: Slot,
    learned: bool,
    votes: bool,
    slots: Vec<(Slot, Vote)>,
}

/// What one disk holds for certain, and what may reach it.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The highest promise that is durable.
    pub promised: Ballot,
    /// The highest promise that was durable on this disk or on one that it replaced: a member
    /// whose disk was replaced never votes again, and so keeps its promises.
    pub promised_ever: Ballot,
    /// Whether the right to vote is durable (R10).
    pub votes: bool,
    /// Whether this disk replaced one that was lost: such a member never votes again by itself.
    pub replaced: bool,
    /// The highest decided mark that is durable.
    pub decided: Slot,
    /// The last durable vote per slot.
    pub accepted: BTreeMap<Slot, Vote>,
    /// What is durable as learned.
    pub learned: BTreeMap<Slot, DecreeId>,
    pending: VecDeque<Pending>,
}

/// The proposals of one slot in one ballot, and who voted for them.
#[derive(Clone, Copy, Debug)]
pub struct Ballots {
    /// The ballot.
    pub ballot: Ballot,
    /// What was voted for first in it. A second decree is a violation, found when it is seen.
    pub decree: DecreeId,
    /// Votes that were durable at some time.
    pub durable: NodeSet,
    /// Votes that were handed to a disk, and not lost in a crash since.
    pub written: NodeSet,
}

/// Chosen: accepted by a phase-2 quorum in one ballot, each vote durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The lowest ballot in which it is known to be chosen.
    pub ballot: Ballot,
    /// What.
    pub decree: DecreeId,
    /// The decree itself.
    pub bytes: Kind<Bytes>,
}

/// All disks, and all votes that ever were.
#[derive(Clone, Debug)]
pub struct Images {
    nodes: Vec<Image>,
    quorums: Quorums,
    votes: BTreeMap<Slot, Vec<Ballots>>,
    chosen: BTreeMap<Slot, Chosen>,
    chosen_end: Slot,
    bytes: BTreeMap<DecreeId, Kind<Bytes>>,
}

impl Images {
    /// Empty disks.
    #[must_use]
    pub fn new(nodes: usize, quorums: Quorums) -> Self {
        Self {
            nodes: vec![Image::default(); nodes],
            quorums,
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            chosen_end: Slot::ZERO,
            bytes: BTreeMap::new(),
        }
    }

    /// The quorum sizes.
    #[must_use]
    pub const fn quorums(&self) -> Quorums {
        self.quorums
    }

    /// The disk of `node`.
    #[must_use]
    pub fn of(&self, node: MemberIndex) -> &Image {
        &self.nodes[node.place()]
    }

    /// All disks.
    #[must_use]
    pub fn all(&self) -> &[Image] {
        &self.nodes
    }

    /// All votes for `slot`, by ballot in the order they were first seen.
    #[must_use]
    pub fn votes(&self, slot: Slot) -> &[Ballots] {
        self.votes.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// What is chosen for `slot`.
    #[must_use]
    pub fn chosen(&self, slot: Slot) -> Option<&Chosen> {
        self.chosen.get(&slot)
    }

    /// Everything below is chosen.
    #[must_use]
    pub const fn chosen_end(&self) -> Slot {
        self.chosen_end
    }

    /// Writes that `node` has handed out and that were not reported durable.
    #[must_use]
    pub fn in_flight(&self, node: MemberIndex) -> usize {
        self.nodes[node.place()].pending.len()
    }

    /// A record was handed to the host.
    pub fn on_persist(&mut self, node: MemberIndex, id: WriteId, record: &Record<'_, Bytes>) {
        let (proposals, learned) = match record.body {
            Body::Accepted(proposals) => (proposals, false),
            Body::Learned(proposals) => (proposals, true),
            Body::Mark | Body::Roster { .. } => (&[][..], false),
        };
        let slots = proposals.iter().map(|proposal| (proposal.slot, self.intern(proposal)));
        let slots: Vec<(Slot, Vote)> = slots.collect();
        if !learned {
            for (slot, vote) in &slots {
                self.ballots(*slot, *vote).written = self.ballots(*slot, *vote).written.with(node);
            }
        }
        let Record { promised, decided, .. } = *record;
        let votes = matches!(record.body, Body::Roster { votes: true, .. });
        let pending = Pending { id, promised, decided, learned, votes, slots };
        self.nodes[node.place()].pending.push_back(pending);
    }

    /// The host reported everything up to `upto` durable. Fails when that makes a second decree
    /// chosen in one slot.
    ///
    /// # Errors
    /// Agreement.
    pub fn on_persisted(&mut self, node: MemberIndex, upto: WriteId) -> Checked {
        while let Some(pending) = self.nodes[node.place()].pending.pop_front() {
            if pending.id > upto {
                self.nodes[node.place()].pending.push_front(pending);
                break;
            }
            self.settle(node, &pending)?;
        }
        Ok(())
    }

    /// The disk of `node` is lost. The votes that were durable there stay counted: whoever relied
    /// on them may have told others what was chosen.
    pub fn on_wiped(&mut self, node: MemberIndex) {
        let image = std::mem::take(&mut self.nodes[node.place()]);
        self.nodes[node.place()].promised_ever = image.promised_ever;
        self.nodes[node.place()].replaced = true;
        for (slot, vote) in image.pending.iter().filter(|p| !p.learned).flat_map(|p| &p.slots) {
            let ballots = self.ballots(*slot, *vote);
            if !ballots.durable.contains(node) {
                ballots.written = ballots.written.without(node);
            }
        }
    }

    /// The process of `node` is gone and its log was read: what it holds now is durable, the rest
    /// of what was in flight is lost.
    ///
    /// # Errors
    /// Agreement.
    pub fn on_recovered(&mut self, node: MemberIndex, recovered: &Recovered<Bytes>) -> Checked {
        let lost: Vec<Pending> = self.nodes[node.place()].pending.drain(..).collect();
        for (slot, vote) in lost.iter().filter(|p| !p.learned).flat_map(|p| &p.slots) {
            let ballots = self.ballots(*slot, *vote);
            if !ballots.durable.contains(node) {
                ballots.written = ballots.written.without(node);
            }
        }
        let image = &mut self.nodes[node.place()];
        image.promised = image.promised.max(recovered.promised);
        image.promised_ever = image.promised_ever.max(image.promised);
        image.decided = image.decided.max(recovered.decided);
        image.votes |= recovered.votes;
        for proposal in &recovered.accepted {
            let vote = self.intern(proposal);
            let image = &mut self.nodes[node.place()];
            if image.learned.contains_key(&proposal.slot) {
                continue;
            }
            // A learned record that survived by luck looks like an accepted one from here. A vote
            // is counted only when that vote was written by this node.
            let was_vote = lost.iter().filter(|p| !p.learned).flat_map(|p| &p.slots);
            if was_vote.clone().any(|(slot, lost)| *slot == proposal.slot && *lost == vote) {
                image.accepted.insert(proposal.slot, vote);
                let ballots = self.ballots(proposal.slot, vote);
                ballots.written = ballots.written.with(node);
                ballots.durable = ballots.durable.with(node);
                self.look(proposal.slot)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, node: MemberIndex, record: &Pending) -> Checked {
        let image = &mut self.nodes[node.place()];
        image.promised = image.promised.max(record.promised);
        image.promised_ever = image.promised_ever.max(image.promised);
        image.decided = image.decided.max(record.decided);
        image.votes |= record.votes;
        for (slot, vote) in &record.slots {
            let image = &mut self.nodes[node.place()];
            if record.learned {
                image.learned.insert(*slot, vote.decree);
                continue;
            }
            image.promised = image.promised.max(vote.ballot);
            image.accepted.insert(*slot, *vote);
            let ballots = self.ballots(*slot, *vote);
            ballots.durable = ballots.durable.with(node);
            self.look(*slot)?;
        }
        Ok(())
    }

    /// Looks whether the votes for `slot` choose something.
    fn look(&mut self, slot: Slot) -> Checked {
        let Some(votes) = self.votes.get(&slot) else { return Ok(()) };
        for ballots in votes.iter().filter(|b| b.durable.len() >= self.quorums.phase2) {
            let bytes = self.bytes.get(&ballots.decree).cloned().unwrap_or_default();
            let now = Chosen { ballot: ballots.ballot, decree: ballots.decree, bytes };
            let first = self.chosen.entry(slot).or_insert_with(|| now.clone());
            check!(
                Agreement,
                first.decree == now.decree,
                "slot {slot}: {:?} is chosen in ballot {}, and {:?} in ballot {}",
                first.bytes,
                first.ballot,
                now.bytes,
                now.ballot
            );
        }
        while self.chosen.contains_key(&self.chosen_end) {
            self.chosen_end = self.chosen_end.next();
        }
        Ok(())
    }

    fn ballots(&mut self, slot: Slot, vote: Vote) -> &mut Ballots {
        let votes = self.votes.entry(slot).or_default();
        let same = |b: &Ballots| b.ballot == vote.ballot && b.decree == vote.decree;
        let place = votes.iter().position(same).unwrap_or(votes.len());
        if place == votes.len() {
            let (durable, written) = (NodeSet::EMPTY, NodeSet::EMPTY);
            let Vote { ballot, decree } = vote;
            votes.push(Ballots { ballot, decree, durable, written });
        }
        &mut votes[place]
    }

    fn intern(&mut self, proposal: &Proposal<Bytes>) -> Vote {
        let decree = DecreeId::of(&proposal.decree);
        self.bytes.entry(decree).or_insert_with(|| proposal.decree.clone());
        Vote { ballot: proposal.ballot, decree }
    }
}
