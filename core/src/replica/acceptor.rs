//! The acceptor: promises and accepts, and reports what is durable (R1, R2, R3, R7).

use super::Replica;
use super::signs::Sign;
use crate::contracts::{ensures, requires};
use crate::{Action, Ballot, Decree, MemberIndex, Message, NodeSet, Proposal, Slot, WriteId};

/// The state of the acceptor.
///
/// Invariant: `promised_durably <= promised`; `durable <= accepted`.
#[derive(Clone, Debug)]
pub(super) struct Acceptor {
    /// The highest ballot promised. Never goes back, across restarts (C1).
    pub(super) promised: Ballot,
    /// As much of it as the log confirmed.
    pub(super) promised_durably: Ballot,
    /// The end of what is accepted in `promised`, counted from the durable `decided` (R2).
    pub(super) accepted: Slot,
    /// The end of what an accepted message may name: durable here, in `promised` or decided.
    pub(super) durable: Slot,
    /// The accepted message owed to the owner of `promised`.
    pub(super) answer: Answer,
    /// The promise being sent, part by part.
    pub(super) report: Option<Report>,
}

/// What is owed to the leader.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    /// The end that it was told last in this ballot.
    pub(super) told: Slot,
    /// Owed even without news: it probed, or sent what was accepted before.
    pub(super) now: bool,
    /// With the request to send again from the end.
    pub(super) resend: bool,
}

/// A promise under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) to: MemberIndex,
    /// The first slot of the next part.
    pub(super) next: Slot,
    /// The end of the last part.
    pub(super) limit: Slot,
}

impl Acceptor {
    pub(super) const fn new(promised: Ballot, decided: Slot, accepted: Slot) -> Self {
        Self {
            promised,
            promised_durably: promised,
            accepted,
            durable: accepted,
            answer: Answer { told: decided, now: false, resend: false },
            report: None,
        }
    }
}

impl<D: Decree> Replica<D> {
    /// Phase 1a arrived.
    pub(super) fn on_prepare(&mut self, from: MemberIndex, ballot: Ballot, slot: Slot) {
        if ballot < self.acceptor.promised {
            self.peers[from.place()].nack = Some(ballot);
            self.signs.raise(Sign::Nack);
            return;
        }
        if ballot > self.acceptor.promised {
            self.promise(ballot);
        }
        // Also when it asks again: a proposer that gets on must not be deposed for being slow.
        self.election_granted();
        let next = slot.max(self.learner.decided);
        let limit = self.window.end().max(next);
        self.acceptor.report = Some(Report { to: from, next, limit });
        self.signs.raise(Sign::Part);
    }

    /// Promises a ballot: everything lower is refused from here on.
    ///
    /// The cursors start again at the durable `decided` (R2). What was accepted in lower ballots
    /// stays in the window and is reported, whatever the cursors say (R7).
    pub(super) fn promise(&mut self, ballot: Ballot) {
        requires!(C1PromiseMonotonic, ballot > self.acceptor.promised);
        self.signs.raise_all();
        self.acceptor.promised = ballot;
        self.acceptor.accepted = self.learner.decided;
        self.acceptor.durable = self.learner.marked;
        self.acceptor.answer = Answer::default();
        self.acceptor.report = None;
        self.stop_proposing();
    }

    /// Phase 2a arrived.
    pub(super) fn on_accept(
        &mut self,
        from: MemberIndex,
        ballot: Ballot,
        first: Slot,
        proposals: &[Proposal<D>],
        notice: Slot,
    ) {
        let peer = &mut self.peers[from.place()];
        peer.decided = peer.decided.max(notice);
        if ballot < self.acceptor.promised {
            self.refuse(from, ballot, None);
            return;
        }
        if ballot > self.acceptor.promised {
            self.promise(ballot);
        }
        self.hear_leader(ballot, None);
        let before = self.acceptor.accepted;
        if first > before {
            // R1: in order only. Either accepts were lost, or this replica lags behind what the
            // leader still has in memory.
            self.acceptor.answer.now = true;
            self.acceptor.answer.resend = true;
            if notice > self.learner.decided {
                self.ask(from);
            }
        } else {
            self.accept_run(proposals);
        }
        // R3: the notice of a ballot covers what was accepted here in that very ballot.
        let (reach, known) = (self.acceptor.accepted, self.learner.decided);
        self.decide(notice.min(reach));
        ensures!(R3NoticeWithinBallot, notice > reach => self.learner.decided <= reach.max(known));
        if reach > before {
            self.acceptor.answer.resend = false;
        } else if self.learner.decided == known {
            // No news at all: a probe, or something sent again. A notice needs no answer.
            self.acceptor.answer.now = true;
        }
        self.signs.raise_if(self.acceptor.answer.now, Sign::Accepted);
    }

    /// A leader speaks in a ballot below the promise: it must be told. Nobody listens to a member
    /// without a vote (R10), and its promise binds nobody: it follows, and learns what it can.
    pub(super) fn refuse(&mut self, from: MemberIndex, ballot: Ballot, round: Option<u64>) {
        if self.roster.votes_durably() {
            self.peers[from.place()].nack = Some(ballot);
            self.signs.raise(Sign::Nack);
            return;
        }
        self.hear_leader(ballot, round);
        if self.peers[from.place()].decided > self.learner.decided {
            self.ask(from);
        }
    }

    /// Takes what is new in a run that does not lie ahead of the accepted end.
    fn accept_run(&mut self, proposals: &[Proposal<D>]) {
        for proposal in proposals {
            if proposal.slot != self.acceptor.accepted {
                continue;
            }
            if proposal.slot == self.window.end() && !self.make_room() {
                return;
            }
            // R1: nothing of this ballot lies above what is taken next.
            requires!(R1InOrder, self.holds_nothing_of_promise_at(proposal.slot));
            self.put(proposal.clone(), false);
            self.acceptor.accepted = proposal.slot.next();
        }
    }

    fn holds_nothing_of_promise_at(&self, slot: Slot) -> bool {
        self.window.get(slot).is_none_or(|held| held.ballot < self.acceptor.promised)
    }

    /// Moves the durable cursor over slots that are durable in the promised ballot (R2).
    pub(super) fn advance_durable(&mut self) {
        let persisted = self.writes.persisted();
        let acceptor = &mut self.acceptor;
        acceptor.durable = acceptor.durable.max(self.learner.marked);
        acceptor.accepted = acceptor.accepted.max(self.learner.decided);
        while acceptor.durable < acceptor.accepted {
            let slot = acceptor.durable;
            let counts = self.window.get(slot).is_some_and(|p| p.ballot == acceptor.promised);
            if !counts || !is_durable(self.window.write_of(slot), persisted) {
                break;
            }
            acceptor.durable = slot.next();
        }
    }

    /// Whether the durable cursor waits for a decided mark: the next slot is decided and in the
    /// log, but of an older ballot, so that only a mark makes it count (R2).
    pub(super) fn durable_waits_for_mark(&self) -> bool {
        let slot = self.acceptor.durable;
        slot < self.learner.decided
            && is_durable(self.window.write_of(slot), self.writes.persisted())
            && self.window.get(slot).is_some_and(|p| p.ballot != self.acceptor.promised)
    }

    /// Whether an accepted message is due to the owner of the promised ballot.
    pub(super) fn accepted_is_due(&self) -> bool {
        let acceptor = &self.acceptor;
        self.roster.votes_durably()
            && acceptor.promised_durably == acceptor.promised
            && self.election.followed() == Some(acceptor.promised)
            && (acceptor.answer.now || acceptor.durable > acceptor.answer.told)
    }

    /// Answers the leader `to`.
    pub(super) fn take_accepted(&mut self, to: MemberIndex) -> Action<'_, D> {
        let acceptor = &mut self.acceptor;
        let resend = acceptor.answer.resend;
        // Sending goes on at the accepted end: the wish stands until that is what was told.
        let is_behind = acceptor.durable < acceptor.accepted;
        let (told, again) = (acceptor.durable, resend && is_behind);
        acceptor.answer = Answer { told, now: false, resend: again };
        self.signs.lower(Sign::Accepted);
        let message =
            Message::Accepted { ballot: acceptor.promised, end: acceptor.durable, resend };
        self.send(NodeSet::of(to), message)
    }

    /// The part of the promise that is due: its slots are durable, and so is the promise.
    pub(super) fn part_is_due(&self) -> Option<Slot> {
        let report = self.acceptor.report?;
        if !self.roster.votes_durably()
            || self.acceptor.promised_durably != self.acceptor.promised
            || report.next < self.window.base()
        {
            return None;
        }
        let run = self.window.run(report.next, report.limit, self.run_limit());
        let persisted = self.writes.persisted();
        let is_open = |p: &Proposal<D>| !is_durable(self.window.write_of(p.slot), persisted);
        let durable = run.iter().position(is_open).unwrap_or(run.len());
        // R7: a part reports on durable slots only; the rest waits for the disk.
        (durable > 0 || report.next == report.limit).then(|| report.next.plus(durable as u64))
    }

    /// Sends the part of the promise up to `end`.
    pub(super) fn take_part(&mut self, end: Slot) -> Action<'_, D> {
        let next = Report { to: self.me, next: end, limit: end };
        let Report { to, next: from, limit } = self.acceptor.report.unwrap_or(next);
        self.acceptor.report = (end < limit).then_some(Report { to, next: end, limit });
        let message = Message::Promise {
            ballot: self.acceptor.promised,
            from,
            end,
            limit,
            decided: self.learner.decided,
            retained: self.learner.retained,
            proposals: self.window.run(from, end, self.run_limit()),
        };
        self.send(NodeSet::of(to), message)
    }
}

/// Whether the write that holds a slot is within the durable prefix.
pub(super) fn is_durable(write: Option<WriteId>, persisted: WriteId) -> bool {
    write.is_some_and(|write| write <= persisted)
}
