//! Phase 2 at the proposer: a pipeline of accepts, one cursor per peer (R1, C5, C7 to C9).
//!
//! `sent` and `acked` of a peer are ends of prefixes. Retransmission moves `sent` back; a
//! decision is the q-th largest `acked`, the own durable end among them.

use super::Replica;
use super::acceptor::is_durable;
use super::peer::Progress;
use super::signs::Sign;
use crate::contracts::{ensures, invariant, requires};
use crate::{
    Action, Ballot, Decree, Instant, Kind, MEMBERS_MAX, MemberIndex, Message, NodeSet, Proposal,
    Slot, reached_by,
};

/// The state of a leader; idle while there is no ballot.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase2 {
    ballot: Option<Ballot>,
    /// The first slot that this ballot proposes in: everything below was decided before.
    first: Slot,
    /// The last slot that lower ballots left open, or that of the no-op proposed when they left
    /// none.
    barrier: Slot,
    /// `decided` as this leader's own count has it (R4).
    counted: Slot,
    /// When to tell what is decided to whoever no accept has told; `None` while nothing is kept
    /// back.
    tell_at: Option<Instant>,
}

/// One accept for everybody who is as far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Accepts {
    to: NodeSet,
    from: Slot,
    /// The end of what is outstanding; no more than `from` for a notice or a probe.
    end: Slot,
}

impl Phase2 {
    /// The ballot led in.
    #[inline]
    pub(super) const fn ballot(&self) -> Option<Ballot> {
        self.ballot
    }

    pub(super) const fn stop(&mut self) {
        self.ballot = None;
    }

    pub(super) const fn is_established(&self, decided: Slot) -> bool {
        self.ballot.is_some() && decided.0 > self.barrier.0
    }

    pub(super) const fn tell_at(&self) -> Option<Instant> {
        self.tell_at
    }

    pub(super) const fn first(&self) -> Slot {
        self.first
    }

    pub(super) const fn counted(&self) -> Slot {
        self.counted
    }
}

impl<D: Decree> Replica<D> {
    /// Leads in `ballot`, from `first` on, behind `barrier`.
    pub(super) fn start_phase2(&mut self, ballot: Ballot, first: Slot, barrier: Slot) {
        requires!(R8OwnPromiseFirst, self.acceptor.promised_durably == ballot);
        self.signs.raise_all();
        let counted = first;
        self.phase2 = Phase2 { ballot: Some(ballot), first, barrier, counted, tell_at: None };
        for member in self.others() {
            self.peers[member.place()].progress = Progress {
                sent: first,
                moved_at: self.now,
                // Phase 1 was an answer of a quorum; from here on rounds prove it.
                answered_at: self.now,
                ..Progress::default()
            };
        }
        self.election.begin_round(self.now);
        self.election.beat_owed = true;
        self.learner.ask = None;
        self.raise_barrier();
        self.count_votes();
    }

    /// C3: proposes the no-op that is the barrier when lower ballots left nothing open, as soon as
    /// there is room for it. Nothing is proposed before the barrier stands.
    pub(super) fn raise_barrier(&mut self) {
        let Some(ballot) = self.phase2.ballot else { return };
        let slot = self.phase2.barrier;
        if self.window.end() == slot && self.make_room() {
            self.put(Proposal { slot, ballot, decree: Kind::Noop }, false);
            self.acceptor.accepted = slot.next();
        }
    }

    /// Whether the barrier still waits for room.
    pub(super) fn barrier_is_pending(&self) -> bool {
        self.phase2.ballot.is_some() && self.window.end() == self.phase2.barrier
    }

    /// Puts a decree into the next slot; there is room.
    pub(super) fn propose_next(&mut self, decree: Kind<D>) -> Slot {
        let ballot = self.phase2.ballot.unwrap_or_default();
        let slot = self.window.end();
        requires!(C3BarrierFirst, slot > self.phase2.barrier);
        let open = slot.since(self.learner.decided);
        requires!(C5WithinWindow, open < self.config.limits.window as u64);
        self.make_room();
        self.put(Proposal { slot, ballot, decree }, false);
        self.acceptor.accepted = slot.next();
        slot
    }

    /// Phase 2b arrived.
    pub(super) fn on_accepted(
        &mut self,
        from: MemberIndex,
        ballot: Ballot,
        end: Slot,
        resend: bool,
    ) {
        if self.phase2.ballot != Some(ballot) {
            return;
        }
        if end > self.window.end() {
            // The peer has learned decisions that this leader did not make (R4).
            let peer = &mut self.peers[from.place()];
            peer.decided = peer.decided.max(end);
            self.step_down();
            return;
        }
        let floor = self.send_floor();
        let progress = &mut self.peers[from.place()].progress;
        let is_news = end > progress.acked;
        if is_news {
            progress.acked = end;
            progress.moved_at = self.now;
            progress.rewound_to = None;
        }
        progress.sent = progress.sent.max(progress.acked);
        // Whoever lags behind the window catches up from the log and asks again then. An answer
        // that was overtaken by a later one asks for nothing: each rewind for it would be answered
        // out of order again, without end.
        let can_serve = end == progress.acked && end >= floor && progress.sent > end;
        if resend && can_serve && progress.rewound_to != Some(end) {
            progress.sent = end;
            progress.rewound_to = Some(end);
        }
        // There may be room for more, or a reason to send something again.
        self.signs.raise_if(progress.sent < self.window.end(), Sign::Accept);
        // What the others hold already may be decided without this one.
        if is_news && end > self.learner.decided {
            self.count_votes();
        }
    }

    /// Decides what a phase-2 quorum accepted in this ballot (R1, R8).
    pub(super) fn count_votes(&mut self) {
        if self.phase2.ballot.is_none() {
            return;
        }
        let members = self.config.configuration.members().len();
        let mut cursors = [Slot::ZERO; MEMBERS_MAX];
        for member in self.others() {
            cursors[member.place()] = self.peers[member.place()].progress.acked;
        }
        cursors[self.me.place()] = self.acceptor.durable;
        let quorum = self.config.configuration.quorums().phase2;
        let end = reached_by(quorum, &cursors[..members]);
        let own = cursors[self.me.place()];
        let last = Slot(own.0.saturating_sub(1));
        invariant!(
            R8OwnVoteDurable,
            own > self.learner.marked
                => is_durable(self.window.write_of(last), self.writes.persisted())
        );
        self.phase2.counted = self.phase2.counted.max(end);
        self.decide(end);
    }

    /// Whether a peer is to be told now what is decided, accept or none.
    fn owes_notice(&self, progress: &Progress) -> bool {
        let decided = self.learner.decided;
        progress.told < decided
            && (progress.told < progress.waits_for.min(decided)
                || self.phase2.tell_at.is_none_or(|at| at <= self.now))
    }

    /// More is decided: the next accept brings the news, or a notice in a while.
    pub(super) fn keep_back_notice(&mut self) {
        if self.phase2.ballot.is_none() {
            return;
        }
        let notice = self.config.timeouts.notice;
        if !notice.is_zero() && self.phase2.tell_at.is_none() {
            self.phase2.tell_at = Some(self.now.after(notice));
        }
        // While it is kept back only those are told for whom somebody waits.
        let somebody_waits = |member: MemberIndex| {
            let Progress { told, waits_for, .. } = self.peers[member.place()].progress;
            waits_for > told
        };
        let is_due = self.phase2.tell_at.is_none() || self.others().any(somebody_waits);
        self.signs.raise_if(is_due, Sign::Accept);
    }

    /// What was kept back is told to whoever is heard; the others are told once they are.
    pub(super) fn tell_now(&mut self) {
        if self.accept_is_due().is_some() {
            self.signs.raise(Sign::Accept);
        } else {
            self.phase2.tell_at = None;
        }
    }

    /// Somebody at `member` waits for the slots below `end` to be decided: the member is told as
    /// soon as they are, while this replica leads.
    pub fn tell_promptly(&mut self, member: MemberIndex, end: Slot) {
        if let Some(peer) = self.peers.get_mut(member.place()) {
            peer.progress.waits_for = peer.progress.waits_for.max(end);
            self.signs.raise(Sign::Accept);
        }
    }

    /// The lowest slot that can be sent as an accept.
    fn send_floor(&self) -> Slot {
        self.phase2.first.max(self.window.base())
    }

    /// What is to be sent to a peer now, as a range of slots; an empty one for a notice or a
    /// probe.
    fn outstanding(&self, member: MemberIndex) -> Option<(Slot, Slot)> {
        let progress = &self.peers[member.place()].progress;
        let from = progress.sent.max(self.send_floor());
        let owes_word = progress.probe || self.owes_notice(progress);
        if (from >= self.window.end() && !owes_word) || !self.is_heard(member) {
            return None;
        }
        // C5: at most a window is out to a peer.
        let acked = progress.acked.max(self.phase2.first);
        let cap = acked.plus(self.config.limits.window as u64);
        let end = self.window.end().min(cap);
        if from < end {
            return Some((from, end));
        }
        owes_word.then_some((from, from))
    }

    /// The accept that is due: to the first who is owed one, and to everybody else who is as far.
    pub(super) fn accept_is_due(&self) -> Option<Accepts> {
        self.phase2.ballot?;
        let mut due: Option<Accepts> = None;
        for member in self.others() {
            let Some((from, end)) = self.outstanding(member) else { continue };
            match &mut due {
                None => due = Some(Accepts { to: NodeSet::of(member), from, end }),
                Some(due) if (due.from, due.end) == (from, end) => due.to = due.to.with(member),
                Some(_) => {}
            }
        }
        due
    }

    /// The accept that is due. It counts as sent.
    pub(super) fn take_accept(&mut self, due: Accepts) -> Action<'_, D> {
        let Accepts { to, from, end } = due;
        let sent = self.window.run_end(from, end, self.run_limit());
        let decided = self.learner.decided;
        let to_all = to == self.config.configuration.everyone().without(self.me);
        if to_all && sent.max(from) >= self.window.end() {
            self.signs.lower(Sign::Accept);
        }
        if to_all {
            self.phase2.tell_at = None;
        }
        for member in to.iter() {
            let progress = &mut self.peers[member.place()].progress;
            if progress.sent == progress.acked {
                progress.moved_at = self.now;
            }
            progress.sent = sent;
            progress.told = decided;
            progress.probe = false;
            let floor = progress.acked.max(self.phase2.first).max(from);
            invariant!(
                C5WithinWindow,
                sent > from => sent.since(floor) <= self.config.limits.window as u64
            );
        }
        let ballot = self.phase2.ballot.unwrap_or_default();
        let proposals = self.window.slice(from, sent);
        self.send(to, Message::Accept { ballot, from, proposals, decided })
    }

    /// A new run of a peer's process: it may have lost what was not durable (R2).
    pub(super) fn on_peer_rebooted(&mut self, member: MemberIndex) {
        self.phase1.forget(member);
        self.signs.raise(Sign::Accept);
        let progress = &mut self.peers[member.place()].progress;
        progress.sent = self.window.end();
        progress.moved_at = self.now;
        progress.probe = true;
    }

    /// Once per tick: probes peers that owe an answer for too long (C4), and steps down when no
    /// quorum proves this leader or its disk stalls (R12, B4).
    pub(super) fn check_phase2(&mut self) {
        if self.phase2.ballot.is_none() {
            return;
        }
        let timeouts = self.config.timeouts;
        let (now, end) = (self.now, self.window.end());
        let mut proven = 1;
        for member in self.others() {
            let progress = &mut self.peers[member.place()].progress;
            if progress.acked < end && now.since(progress.moved_at) >= timeouts.resend {
                // The answer tells the end from which to send again.
                progress.probe = true;
                progress.rewound_to = None;
                progress.moved_at = now;
            }
            proven += usize::from(now.since(progress.answered_at) < timeouts.step_down);
        }
        if proven < self.config.configuration.quorums().phase2 || self.disk_is_stalled() {
            self.step_down();
            return;
        }
        ensures!(R12LeaderProven, proven >= self.config.configuration.quorums().phase2);
    }
}
