//! The learner: what is decided, and its way into the state machine (R3, R4, R5).

use super::Replica;
use super::signs::Sign;
use crate::contracts::ensures;
use crate::{Action, Decree, Instant, MemberIndex, Proposal, Slot};

/// The state of the learner.
///
/// Invariant: `marked <= decided`; `applied <= delivered`.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    /// Everything below is known here to be chosen, and in the window or the log.
    pub(super) decided: Slot,
    /// The decided mark that is durable.
    pub(super) marked: Slot,
    /// Everything below was handed out to be applied. Starts at what the state machine holds,
    /// which may lie ahead of `decided`.
    pub(super) delivered: Slot,
    /// Everything below is applied.
    pub(super) applied: Slot,
    /// The end of what the host reads back from the log; nothing else is delivered before that
    /// is applied.
    pub(super) read_back_to: Slot,
    /// The first slot that the log can read back.
    pub(super) retained: Slot,
    /// A request for chosen decrees that was not answered yet.
    pub(super) ask: Option<Ask>,
    /// `decided` at the last tick: without progress, help is needed.
    pub(super) at_last_tick: Slot,
}

/// A request for chosen decrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) peer: MemberIndex,
    pub(super) since: Instant,
    pub(super) sent: bool,
}

impl<D: Decree> Replica<D> {
    /// Moves `decided` to `end`, if that is further. The caller knows that everything below is
    /// chosen and that the window holds exactly that.
    pub(super) fn decide(&mut self, end: Slot) {
        if end <= self.learner.decided {
            return;
        }
        let was_established = self.is_established();
        self.learner.decided = end;
        if self.is_established() != was_established {
            self.signs.raise(Sign::Leader);
        }
        self.signs.raise(Sign::Deliver);
        self.keep_back_notice();
        self.signs.raise_if(self.phase1.ballot().is_some(), Sign::Prepare);
        self.signs.raise_if(self.acceptor.report.is_some(), Sign::Part);
        self.signs.raise_if(self.acceptor.durable < end, Sign::Write);
        self.signs.raise_if(self.somebody_asks(), Sign::Serve);
        self.acceptor.accepted = self.acceptor.accepted.max(end);
        if let Some(report) = &mut self.acceptor.report {
            // What is decided is reported as that (R6), not as accepted.
            report.next = report.next.max(end);
            report.limit = report.limit.max(end);
        }
        ensures!(C7CursorsOrdered, end <= self.window.end());
    }

    /// Chosen decrees arrived.
    pub(super) fn on_learned(
        &mut self,
        from: MemberIndex,
        proposals: &[Proposal<D>],
        decided: Slot,
    ) {
        let peer = &mut self.peers[from.place()];
        peer.decided = peer.decided.max(decided);
        let before = self.learner.decided;
        for proposal in proposals {
            if proposal.slot == self.learner.decided && !self.learn(proposal) {
                break;
            }
        }
        if self.learner.ask.is_some_and(|ask| ask.peer == from) {
            self.learner.ask = None;
        }
        if self.learner.decided == before {
            return;
        }
        // Tell the leader where to go on, now that the prefix is here (R1).
        self.acceptor.answer.now = true;
        self.acceptor.answer.resend = true;
        self.signs.raise(Sign::Accepted);
        if self.peers[from.place()].decided > self.learner.decided && self.may_ask() {
            self.ask(from);
        }
        self.continue_phase1();
    }

    /// Learns the decree of the next slot; `false` when the window has no room for it.
    fn learn(&mut self, proposal: &Proposal<D>) -> bool {
        if proposal.slot == self.window.end() && !self.make_room() {
            return false;
        }
        // R4: another count than its own decided in a leader's slots: a higher ballot has won.
        if self.phase2.ballot().is_some() {
            self.step_down();
        }
        // One ballot proposes one decree per slot: the same ballot confirms what is here.
        let confirms = self.window.get(proposal.slot).is_some_and(|p| p.ballot == proposal.ballot);
        if !confirms {
            self.put(proposal.clone(), true);
            self.acceptor.durable = self.acceptor.durable.min(proposal.slot);
        }
        self.decide(proposal.slot.next());
        true
    }

    /// The slots that may be delivered now.
    pub(super) fn deliverable(&self) -> Option<(Slot, Slot)> {
        let learner = &self.learner;
        let from = learner.delivered;
        let is_reading_back = learner.applied < learner.read_back_to;
        let in_hand = from.since(learner.applied) as usize;
        if from >= learner.decided || is_reading_back || in_hand >= self.config.limits.window {
            return None;
        }
        let end = if from < self.window.base() { self.window.base() } else { learner.decided };
        (from < end).then_some((from, end))
    }

    /// Hands out the slots from `from` on.
    pub(super) fn take_delivery(&mut self, from: Slot, end: Slot) -> Action<'_, D> {
        ensures!(C7DeliveredInOrder, from == self.learner.delivered);
        ensures!(C7DeliveredInOrder, end <= self.learner.decided);
        if from < self.window.base() {
            self.learner.delivered = end;
            self.learner.read_back_to = end;
            return Action::DeliverFromLog { from, end };
        }
        let chosen = self.window.run(from, end, self.run_limit());
        self.learner.delivered = from.plus(chosen.len() as u64);
        if self.learner.delivered == self.learner.decided {
            self.signs.lower(Sign::Deliver);
        }
        Action::Deliver { chosen }
    }

    /// The state machine has applied everything below `end`.
    pub(super) fn on_applied(&mut self, end: Slot) {
        let end = end.min(self.learner.delivered);
        self.learner.applied = self.learner.applied.max(end);
        self.signs.raise_if(self.learner.delivered < self.learner.decided, Sign::Deliver);
    }

    /// Up to where slots may leave memory: delivered, and durably known to be decided.
    pub(super) fn evictable(&self) -> Slot {
        self.learner.delivered.min(self.learner.marked)
    }

    /// Makes room for one more slot; `false` when everything in the window is still needed.
    pub(super) fn make_room(&mut self) -> bool {
        if self.window.room() == 0 {
            // An eighth at a time: the slots decided lately serve laggards from memory.
            let some = self.window.base().plus(self.window.capacity() as u64 / 8 + 1);
            self.window.evict_below(self.evictable().min(some));
        }
        let has_room = self.window.room() > 0;
        if !has_room {
            self.want_useful_mark();
        }
        has_room
    }

    /// Drops decrees that nothing here needs any more, beyond what is kept for laggards.
    pub(super) fn forget_past(&mut self) {
        let (bytes_max, floor) = (self.config.limits.past_bytes_max, self.evictable());
        self.window.evict_beyond(bytes_max, floor);
    }

    /// Puts a proposal into the window; it is unwritten from here on.
    pub(super) fn put(&mut self, proposal: Proposal<D>, learned: bool) {
        let slot = proposal.slot;
        self.window.put(proposal, learned);
        self.writes.rewrite_from(slot);
        self.signs.raise_if(self.phase2.ballot().is_some(), Sign::Accept);
        self.signs.raise(Sign::Write);
    }
}
