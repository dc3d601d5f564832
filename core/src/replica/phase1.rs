//! Phase 1 at the proposer: collecting promises ("Paxos Made Simple", section 2.2; R6, R8).
//!
//! Promises arrive in parts. The proposer keeps, per open slot, the proposal of the highest
//! ballot reported so far; with a quorum of complete promises it re-proposes each of them (P2c).
//! It proposes nothing below what anybody of its quorum knows to be decided: it learns that first.

use alloc::vec::Vec;

use super::Replica;
use super::signs::Sign;
use crate::contracts::{ensures, invariant, requires};
use crate::{
    Action, Ballot, Decree, Instant, Kind, MEMBERS_MAX, MemberIndex, Message, NodeSet, Proposal,
    Slot,
};

/// The state of phase 1; idle while there is no ballot.
#[derive(Clone, Debug)]
pub(super) struct Phase1<D> {
    ballot: Option<Ballot>,
    /// Per open slot, the highest-ballot proposal reported: a ring as large as the window.
    best: Vec<Option<Proposal<D>>>,
    /// The end of what was reported completely.
    best_end: Slot,
    coverage: [Coverage; MEMBERS_MAX],
    /// Per member, one bit for each slot of the ring: reported. Parts may come in any order.
    reported: Vec<u64>,
    /// The highest `decided` in a promise: to be learned before anything is proposed.
    wanted: Slot,
    /// Members that a prepare is owed to.
    owed: NodeSet,
    asked_at: Instant,
    started_at: Instant,
}

/// How much of a member's promise is here.
#[derive(Clone, Copy, Debug, Default)]
struct Coverage {
    /// The end of the last part; `None` before any part.
    limit: Option<Slot>,
    /// Everything from the proposer's `decided` up to the limit is reported.
    done: bool,
}

/// One part of a promise.
pub(super) struct Part<'a, D> {
    pub(super) from: Slot,
    pub(super) end: Slot,
    pub(super) limit: Slot,
    pub(super) decided: Slot,
    pub(super) proposals: &'a [Proposal<D>],
}

impl<D: Decree> Phase1<D> {
    pub(super) fn new(capacity: usize) -> Self {
        let mut best = Vec::new();
        best.resize_with(capacity, || None);
        Self {
            ballot: None,
            reported: alloc::vec![0; words(capacity) * MEMBERS_MAX],
            best,
            best_end: Slot::ZERO,
            coverage: [Coverage::default(); MEMBERS_MAX],
            wanted: Slot::ZERO,
            owed: NodeSet::EMPTY,
            asked_at: Instant::ZERO,
            started_at: Instant::ZERO,
        }
    }

    /// The ballot being prepared.
    pub(super) const fn ballot(&self) -> Option<Ballot> {
        self.ballot
    }

    /// Back to idle. The handles on reported decrees are dropped.
    pub(super) fn stop(&mut self) {
        if self.ballot.take().is_some() {
            self.best.fill(None);
        }
    }

    fn start(&mut self, ballot: Ballot, others: NodeSet, now: Instant) {
        self.stop();
        self.ballot = Some(ballot);
        self.best_end = Slot::ZERO;
        self.coverage = [Coverage::default(); MEMBERS_MAX];
        self.reported.fill(0);
        self.wanted = Slot::ZERO;
        self.owed = others;
        self.asked_at = now;
        self.started_at = now;
    }

    fn is_done(&self, member: MemberIndex) -> bool {
        self.coverage[member.place()].done
    }

    const fn place(&self, slot: Slot) -> usize {
        slot.0 as usize & (self.best.len() - 1)
    }

    /// Notes that `member` reported on `from..end`, at most a ring of slots, and whether its
    /// promise is complete from `decided` on.
    fn cover(&mut self, member: MemberIndex, decided: Slot, part: (Slot, Slot, Slot)) {
        let (from, end, limit) = part;
        for number in from.max(decided).0..end.0 {
            let (word, bit) = self.bit(member, Slot(number));
            self.reported[word] |= bit;
        }
        let coverage = &mut self.coverage[member.place()];
        let limit = coverage.limit.map_or(limit, |known| known.max(limit));
        coverage.limit = Some(limit);
        let is_reported = |number| {
            let (word, bit) = self.bit(member, Slot(number));
            self.reported[word] & bit != 0
        };
        let fits = limit.since(decided) <= self.best.len() as u64;
        let done = fits && (decided.0..limit.0).all(is_reported);
        self.coverage[member.place()].done |= done;
        if done {
            // Only now: parts may come in any order, and what a later one names may lie behind a
            // gap until the earlier one is here.
            self.best_end = self.best_end.max(limit);
        }
    }

    /// Forgets what was reported by members that are not done: their next report starts at a
    /// higher slot, and the ring has moved.
    fn forget_open(&mut self) {
        for place in 0..MEMBERS_MAX {
            self.forget(MemberIndex(place as u8));
        }
    }

    /// Forgets what a member reported that is not done: after a restart its tail may be shorter.
    pub(super) fn forget(&mut self, member: MemberIndex) {
        if !self.coverage[member.place()].done {
            let words = words(self.best.len());
            self.coverage[member.place()] = Coverage::default();
            self.reported[member.place() * words..][..words].fill(0);
        }
    }

    /// The word and the bit of a member's slot.
    const fn bit(&self, member: MemberIndex, slot: Slot) -> (usize, u64) {
        let place = self.place(slot);
        (member.place() * words(self.best.len()) + place / 64, 1 << (place % 64))
    }

    /// Keeps a reported proposal if its ballot is the highest for its slot so far.
    fn merge(&mut self, proposal: &Proposal<D>) {
        let place = self.place(proposal.slot);
        let known = &mut self.best[place];
        let is_higher = known
            .as_ref()
            .is_none_or(|best| best.slot != proposal.slot || best.ballot < proposal.ballot);
        if is_higher {
            *known = Some(proposal.clone());
        }
    }

    /// The reported proposal of the highest ballot for `slot`.
    fn best(&self, slot: Slot) -> Option<&Proposal<D>> {
        self.best[self.place(slot)].as_ref().filter(|best| best.slot == slot)
    }
}

impl<D: Decree> Replica<D> {
    pub(super) fn start_phase1(&mut self, ballot: Ballot) {
        let others = self.config.configuration.everyone().without(self.me);
        self.phase1.start(ballot, others, self.now);
        self.signs.raise(Sign::Prepare);
    }

    /// Whether a prepare is due: the own promise is durable (R8), and nothing is left to learn.
    pub(super) fn prepare_is_due(&self) -> bool {
        self.phase1.ballot.is_some()
            && self.phase1.ballot == Some(self.acceptor.promised_durably)
            && !self.phase1.owed.is_empty()
            && self.phase1.wanted <= self.learner.decided
    }

    /// The prepare that is due. It counts as sent.
    pub(super) fn take_prepare(&mut self) -> Action<'_, D> {
        let to = core::mem::take(&mut self.phase1.owed);
        self.phase1.asked_at = self.now;
        let ballot = self.phase1.ballot.unwrap_or_default();
        self.send(to, Message::Prepare { ballot, from: self.learner.decided })
    }

    /// Phase 1b arrived: one part of it.
    pub(super) fn on_promise(&mut self, from: MemberIndex, ballot: Ballot, part: Part<'_, D>) {
        let peer = &mut self.peers[from.place()];
        peer.decided = peer.decided.max(part.decided);
        if self.phase1.ballot != Some(ballot) {
            return;
        }
        if part.decided > self.learner.decided {
            // R6: decided is an answer of its own. Learn it, then ask again.
            self.phase1.wanted = self.phase1.wanted.max(part.decided);
            self.ask(from);
            return;
        }
        let decided = self.learner.decided;
        let fits = part.end.since(decided) <= self.window.capacity() as u64;
        if self.phase1.is_done(from) || !fits {
            return;
        }
        for proposal in part.proposals {
            if proposal.slot >= decided {
                self.phase1.merge(proposal);
            }
        }
        // A part that is lost comes again with the next prepare.
        self.phase1.cover(from, decided, (part.from, part.end, part.limit));
        self.try_to_lead();
    }

    /// Something was learned while preparing: ask those again that are not done.
    pub(super) fn continue_phase1(&mut self) {
        if self.phase1.ballot.is_none() {
            return;
        }
        self.phase1.started_at = self.now;
        self.phase1.forget_open();
        if self.phase1.wanted <= self.learner.decided {
            self.phase1.owed = self.open_members();
            self.signs.raise(Sign::Prepare);
            self.try_to_lead();
        }
    }

    /// Once per tick: sends prepares again; gives up an attempt that leads nowhere.
    pub(super) fn check_phase1(&mut self) {
        if self.phase1.ballot.is_none() {
            return;
        }
        let timeouts = self.config.timeouts;
        if self.now.since(self.phase1.started_at) >= timeouts.election * 2 {
            self.step_down();
        } else if self.now.since(self.phase1.asked_at) >= timeouts.resend {
            self.phase1.owed = self.open_members();
            self.phase1.asked_at = self.now;
        }
    }

    /// The members whose promise is not complete.
    fn open_members(&self) -> NodeSet {
        let open = self.others().filter(|member| !self.phase1.is_done(*member));
        open.fold(NodeSet::EMPTY, NodeSet::with)
    }

    /// Leads, once a phase-1 quorum has promised and everything it knows is here.
    pub(super) fn try_to_lead(&mut self) {
        let Some(ballot) = self.phase1.ballot else { return };
        let others = self.others().filter(|member| self.phase1.is_done(*member)).count();
        let quorum = self.config.configuration.quorums().phase1;
        if self.acceptor.promised_durably != ballot
            || others + 1 < quorum
            || self.phase1.wanted > self.learner.decided
        {
            return;
        }
        requires!(R8OwnPromiseFirst, self.acceptor.promised_durably == self.acceptor.promised);
        let first = self.learner.decided;
        let limit = self.phase1.best_end.max(self.window.end()).max(first);
        self.window.evict_below(self.evictable());
        let needed = limit.since(self.window.base()) as usize;
        if needed > self.window.capacity() {
            // Room comes with the next mark, or when the state machine moves on.
            self.want_useful_mark();
            return;
        }
        for number in first.0..limit.0 {
            self.propose_again(Slot(number), ballot);
        }
        self.acceptor.accepted = limit;
        self.phase1.stop();
        // C3: everything that lower ballots left open is decided once the last of it is. Without
        // an open slot a no-op is the barrier. (A no-op behind each open tail would let the tail
        // grow with every leadership that decides nothing, until no ring can hold it.)
        let barrier = if limit > first { Slot(limit.0 - 1) } else { limit };
        self.start_phase2(ballot, first, barrier);
        ensures!(R6NothingBelowDecided, first >= self.phase1.wanted);
    }

    /// P2c: proposes for an open slot what the highest ballot proposed there.
    fn propose_again(&mut self, slot: Slot, ballot: Ballot) {
        let reported = self.phase1.best(slot);
        let own = self.window.get(slot);
        let best = match (reported, own) {
            (Some(reported), Some(own)) if reported.ballot < own.ballot => Some(own),
            (Some(reported), _) => Some(reported),
            (None, own) => own,
        };
        invariant!(R1InOrder, best.is_some());
        let at = |proposal: Option<&Proposal<D>>| proposal.map(|p| p.ballot);
        invariant!(R6HighestBallotWins, at(best) == at(reported).max(at(own)));
        let decree = best.map_or(Kind::Noop, |proposal| proposal.decree.clone());
        self.put(Proposal { slot, ballot, decree }, false);
    }
}

/// Words that hold one bit per slot of the ring.
const fn words(capacity: usize) -> usize {
    capacity.div_ceil(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: MemberIndex = MemberIndex(1);
    const TWO: MemberIndex = MemberIndex(2);

    #[test]
    fn parts_of_two_members_do_not_complete_each_other() {
        for capacity in [128, 64] {
            let mut phase1 = Phase1::<u8>::new(capacity);
            let (limit, middle) = (Slot(capacity as u64), Slot(capacity as u64 - 20));
            let ballot = Ballot { round: 1, node: crate::NodeId(1) };
            phase1.start(ballot, NodeSet::EMPTY, Instant::ZERO);
            phase1.cover(ONE, Slot::ZERO, (Slot::ZERO, middle, limit));
            phase1.cover(TWO, Slot::ZERO, (middle, limit, limit));
            assert!(!phase1.is_done(ONE) && !phase1.is_done(TWO));
            // What is forgotten of one member stays known of the other.
            phase1.forget(TWO);
            phase1.cover(TWO, Slot::ZERO, (Slot::ZERO, middle, limit));
            assert!(!phase1.is_done(TWO), "its end was forgotten");
            phase1.cover(ONE, Slot::ZERO, (middle, limit, limit));
            assert!(phase1.is_done(ONE));
            phase1.cover(TWO, Slot::ZERO, (middle, limit, limit));
            assert!(phase1.is_done(TWO));
        }
    }

    #[test]
    fn the_highest_ballot_is_kept_for_each_slot_and_not_for_its_place_in_the_ring() {
        let mut phase1 = Phase1::<u8>::new(4);
        let ballot = |round| Ballot { round, node: crate::NodeId(1) };
        phase1.start(ballot(9), NodeSet::EMPTY, Instant::ZERO);
        let proposal = |slot, round, decree| {
            let (slot, ballot) = (Slot(slot), ballot(round));
            Proposal { slot, ballot, decree: Kind::App(decree) }
        };
        phase1.merge(&proposal(1, 3, 30));
        phase1.merge(&proposal(1, 2, 20));
        assert_eq!(phase1.best(Slot(1)), Some(&proposal(1, 3, 30)));
        phase1.merge(&proposal(1, 4, 40));
        assert_eq!(phase1.best(Slot(1)), Some(&proposal(1, 4, 40)));
        // The ring has moved on: what stood there is decided.
        phase1.merge(&proposal(5, 1, 10));
        assert_eq!(phase1.best(Slot(5)), Some(&proposal(5, 1, 10)));
        assert_eq!(phase1.best(Slot(1)), None);
    }

    #[test]
    fn what_was_reported_in_parts_is_forgotten_and_complete_promises_stay() {
        let mut phase1 = Phase1::<u8>::new(4);
        let ballot = Ballot { round: 1, node: crate::NodeId(1) };
        phase1.start(ballot, NodeSet::EMPTY, Instant::ZERO);
        phase1.cover(ONE, Slot::ZERO, (Slot(0), Slot(2), Slot(2)));
        phase1.cover(TWO, Slot::ZERO, (Slot(0), Slot(2), Slot(4)));
        phase1.forget_open();
        assert!(phase1.is_done(ONE));
        // Four slots on, the places of the first two would pass for those of slots 4 and 5.
        phase1.cover(TWO, Slot(2), (Slot(2), Slot(4), Slot(6)));
        assert!(!phase1.is_done(TWO));
    }
}
