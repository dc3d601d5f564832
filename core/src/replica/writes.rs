//! Log writes: what to write next, what is in flight, what is durable (R5, R8, R11, C9).

use alloc::collections::VecDeque;

use super::Replica;
use super::signs::Sign;
use crate::contracts::{ensures, requires};
use crate::{Action, Ballot, Body, Decree, Instant, Record, Slot, WriteId};

/// The state of the log writes.
///
/// Invariant: `persisted < next`; the writes in flight are exactly those between them.
#[derive(Clone, Debug)]
pub(super) struct Writes {
    next: WriteId,
    persisted: WriteId,
    in_flight: VecDeque<InFlight>,
    /// Every slot of the window below has been handed to the log with its present content.
    written: Slot,
    /// The promise in the latest record.
    promised: Ballot,
    /// The decided mark in the latest record.
    mark: Slot,
    /// The latest record is not one that was written when everything before it was durable: rot
    /// of the tail could not be told from a torn write (R11).
    unproven: bool,
    /// A mark record is wanted even if nothing else is due.
    mark_wanted: bool,
}

/// One write that the log has not confirmed.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    id: WriteId,
    promised: Ballot,
    mark: Slot,
    since: Instant,
}

/// What the next record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The roster.
    Roster,
    /// The unwritten slots from here on, of one kind.
    Slots(Slot),
    /// The promise and the mark alone.
    Mark,
}

impl Writes {
    pub(super) fn new(in_flight_max: usize, promised: Ballot, decided: Slot, end: Slot) -> Self {
        Self {
            next: WriteId(1),
            persisted: WriteId(0),
            in_flight: VecDeque::with_capacity(in_flight_max),
            written: end,
            promised,
            mark: decided,
            unproven: true,
            mark_wanted: false,
        }
    }

    /// The durable prefix, inclusive.
    pub(super) const fn persisted(&self) -> WriteId {
        self.persisted
    }

    /// The content of `slot` is new.
    pub(super) fn rewrite_from(&mut self, slot: Slot) {
        self.written = self.written.min(slot);
    }

    /// Wants a mark record soon.
    pub(super) const fn want_mark(&mut self) {
        self.mark_wanted = true;
    }

    /// Since when the oldest write is in flight.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.in_flight.front().map(|write| write.since)
    }

    /// Whether the log is quiet and its tail is not yet proven durable by a later record.
    pub(super) fn tail_is_unproven(&self) -> bool {
        self.unproven && self.in_flight.is_empty()
    }

    /// The decided mark that the next record may hold: it covers written slots only (R5).
    pub(super) fn mark_now(&self, decided: Slot) -> Slot {
        self.mark.max(decided.min(self.written))
    }

    /// The mark in the latest record.
    pub(super) const fn mark(&self) -> Slot {
        self.mark
    }
}

impl<D: Decree> Replica<D> {
    /// Wants a mark record soon, if it would say more than the latest record.
    pub(super) fn want_useful_mark(&mut self) {
        if self.writes.mark_now(self.learner.decided) > self.writes.mark {
            self.writes.mark_wanted = true;
            self.signs.raise(Sign::Write);
        }
    }

    /// Whether so many writes are in flight that the next one has to wait.
    fn writes_are_full(&self) -> bool {
        self.writes.in_flight.len() >= self.config.limits.writes_in_flight_max
    }

    /// What to write next, if a write may start now. What piles up meanwhile makes the next
    /// record longer: group commit that adapts by itself.
    pub(super) fn write_is_due(&self) -> Option<Next> {
        if self.writes_are_full() {
            return None;
        }
        let writes = &self.writes;
        if self.roster.is_dirty() {
            return Some(Next::Roster);
        }
        if writes.written < self.window.end() {
            return Some(Next::Slots(writes.written));
        }
        let promise_is_new = self.acceptor.promised > writes.promised;
        let mark_is_new = writes.mark_now(self.learner.decided) > writes.mark;
        let mark_helps = mark_is_new && self.durable_waits_for_mark();
        (promise_is_new || mark_helps || writes.mark_wanted).then_some(Next::Mark)
    }

    /// Hands out the next record.
    pub(super) fn take_write(&mut self, next: Next) -> Action<'_, D> {
        let id = self.writes.next;
        self.writes.next = WriteId(id.0 + 1);
        let mut end = Slot::ZERO;
        match next {
            Next::Roster => self.roster.write(id),
            Next::Slots(from) => end = self.write_slots(from, id),
            Next::Mark => {}
        }
        let writes = &mut self.writes;
        let (promised, mark) = (self.acceptor.promised, writes.mark_now(self.learner.decided));
        requires!(R5MarkCoversWritten, mark > writes.mark => mark <= writes.written);
        writes.unproven = next != Next::Mark || !writes.in_flight.is_empty();
        writes.mark_wanted = false;
        writes.promised = promised;
        writes.mark = mark;
        let since = self.now;
        writes.in_flight.push_back(InFlight { id, promised, mark, since });
        if writes.written == self.window.end() && !self.roster.is_dirty() {
            self.signs.lower(Sign::Write);
        }
        let members = self.config.configuration.members().len();
        let body = match next {
            Next::Slots(from) => {
                let run = self.window.slice(from, end);
                if self.window.is_learned(from) { Body::Learned(run) } else { Body::Accepted(run) }
            }
            Next::Roster => {
                let (votes, members) = self.roster.lent(members);
                Body::Roster { votes, members }
            }
            Next::Mark => Body::Mark,
        };
        Action::Persist { id, record: Record { promised, decided: mark, body } }
    }

    /// Notes the unwritten slots from `from` on, of one kind, as written by `id`; returns their
    /// end.
    fn write_slots(&mut self, from: Slot, id: WriteId) -> Slot {
        let learned = self.window.is_learned(from);
        let run = self.window.run(from, self.window.end(), self.run_limit());
        let alike = run.iter().take_while(|proposal| {
            let slot = proposal.slot;
            self.window.write_of(slot).is_none() && self.window.is_learned(slot) == learned
        });
        let end = from.plus(alike.count() as u64);
        self.window.written(from, end, id);
        // Slots behind may have been written before, in an older ballot.
        let mut written = end;
        while written < self.window.end() && self.window.write_of(written).is_some() {
            written = written.next();
        }
        self.writes.written = written;
        ensures!(R5MarkCoversWritten, learned => self.learner.decided >= end);
        end
    }

    /// The log confirmed all writes up to `upto`.
    pub(super) fn on_persisted(&mut self, upto: WriteId) {
        if self.stopped {
            return;
        }
        let was_full = self.writes_are_full();
        while let Some(write) = self.writes.in_flight.front().filter(|write| write.id <= upto) {
            let write = *write;
            self.writes.in_flight.pop_front();
            self.writes.persisted = write.id;
            requires!(R11MarkMonotonic, write.mark >= self.learner.marked);
            let acceptor = &mut self.acceptor;
            if write.promised > acceptor.promised_durably {
                acceptor.promised_durably = write.promised;
                self.signs.raise_all();
            }
            self.learner.marked = self.learner.marked.max(write.mark);
            if self.roster.persisted(write.id) {
                self.signs.raise_all();
            }
        }
        self.forget_past();
        let durable_before = self.acceptor.durable;
        self.advance_durable();
        let durable = self.acceptor.durable;
        self.signs.raise_if(durable > durable_before, Sign::Accepted);
        self.signs.raise_if(self.acceptor.report.is_some(), Sign::Part);
        self.signs.raise_if(was_full || durable < self.learner.decided, Sign::Write);
        self.signs.raise_if(self.somebody_asks(), Sign::Serve);
        // The own promise may be durable now.
        self.try_to_lead();
        self.count_votes();
    }

    /// The log failed. Nothing that is in flight will ever be called durable.
    pub(super) fn on_persist_failed(&mut self) {
        self.stopped = true;
        self.signs.raise_all();
        self.stop_proposing();
        self.lose_leader();
    }
}
