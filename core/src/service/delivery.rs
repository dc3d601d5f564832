//! Chosen decrees on their way into the state machine.

use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;

use super::batch::{Batch, Head};
use super::origin::Origin;
use super::{At, StateMachine};
use crate::contracts::{ensures, invariant, requires};
use crate::{Kind, Proposal, Slot};

/// Applies chosen decrees in the order of slots, one at a time: the replies that are kept until
/// they leave are at most those of one decree.
///
/// # Leaderships follow each other
///
/// Paxos decides slot by slot. When a leader loses its leadership, the next one proposes again
/// what it finds accepted; what it does not find may be found by a later one, behind decrees of
/// leaderships in between. So a decree that a leader left behind on one disk can be chosen long
/// after its requests were given up, behind later requests of the same origin: S64 without any
/// forwarding. Therefore each decree names the ballot in which it was proposed first and the slot
/// of its predecessor in that ballot, and
///
/// **a chosen decree has an effect only if it opens a leadership above that of the last decree with
/// an effect, or is the successor of exactly that decree in its own ballot.** Any other is void,
/// on every replica alike, since the rule looks at nothing but the decrees below.
///
/// What follows from it:
///
/// 1. *Ballots of decrees with an effect never go back, and of each leadership a prefix has an
///    effect.* This is the rule itself.
/// 2. *Once a decree of ballot b had its effect, no request offered in a ballot below b will ever
///    be applied any more*, unless it was before. Decrees name the ballot that their requests were
///    offered in, so by 1 they would be void. Requests in doubt become certain: refused, or free
///    to be offered again (`pending`). Each leader opens with an empty decree at once, so this
///    takes no longer than the election and a round trip.
/// 3. *A decree that a quorum accepted in the ballot of its first proposal is never void*, so a
///    leader that stays loses nothing. Let Q be the quorum, D the decree, c its ballot, s its slot.
///    A proposer of a higher ballot d hears of D from a member of Q, since it gets its promises
///    from a quorum and members of Q accepted D before they promised d (P2c). So d proposes
///    decrees of its own above s only: no ballot above c has a first proposal below s. By R1 the
///    members of Q accepted all earlier proposals of c too, or knew their slots to be decided; the
///    same argument makes each of them chosen. So D's predecessor had its effect, and nothing
///    above c came between.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Chosen decrees at hand, consecutive slots; those before `place` are done.
    run: Vec<Proposal<Bytes>>,
    place: usize,
    /// Chosen decrees were taken and their end was not reported.
    busy: bool,
    /// The decree that is being applied, and what is left of it.
    open: Option<(At, Batch)>,
    /// Everything below is applied.
    applied: Slot,
    /// The last decree that had an effect.
    last: Option<At>,
    /// Slots that the host is to read back from the log.
    reading: Option<Reading>,
    /// The last request applied of each origin met, for the contract only. One for each member.
    numbers: Vec<(Origin, u64)>,
}

/// Decided slots that left the window before they were applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reading {
    next: Slot,
    end: Slot,
    /// The host was asked for them.
    asked: bool,
}

/// What one step did.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing that concerns anybody.
    Idle,
    /// Everything below is applied: the run at hand is done, and nothing is being read back.
    Reached(Slot),
    /// A decree takes effect; its requests follow.
    Opened(At),
    /// A decree of an earlier leadership had no effect.
    Void,
    /// A decree that cannot be read had no effect.
    Malformed,
}

impl Delivery {
    /// `last` is the last decree whose effect the state machine holds.
    pub(super) fn new(last: Option<At>) -> Self {
        Self {
            run: Vec::new(),
            place: 0,
            busy: false,
            open: None,
            applied: last.map_or(Slot::ZERO, |at| at.slot.next()),
            last,
            reading: None,
            numbers: Vec::new(),
        }
    }

    /// Takes chosen decrees; the run before is done.
    pub(super) fn take(&mut self, chosen: &[Proposal<Bytes>]) {
        requires!(C7DeliveredInOrder, self.is_idle());
        // A state machine may know more than the log does; it is not told again.
        let known = chosen.iter().take_while(|proposal| proposal.slot < self.applied).count();
        let fresh = chosen.get(known..).unwrap_or_default();
        let first = fresh.first().map(|proposal| proposal.slot);
        requires!(C7DeliveredInOrder, first.is_some() => first == Some(self.applied));
        self.run.extend_from_slice(fresh);
        self.busy = true;
    }

    /// Whether nothing is at hand, and nothing is being read back: there is room for more.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.busy && self.reading.is_none()
    }

    /// Whether nothing is at hand to be applied.
    pub(super) fn is_idle(&self) -> bool {
        !self.busy
    }

    /// The decree that is open.
    pub(super) fn open_at(&self) -> Option<At> {
        self.open.as_ref().map(|(at, _)| *at)
    }

    /// Applies the decree that is open, and finishes it. The replies to requests of `own` go to
    /// `answer`.
    #[inline(always)]
    pub(super) fn apply_open<M: StateMachine>(
        &mut self,
        machine: &mut M,
        own: Origin,
        mut answer: impl FnMut(u64, M::Reply),
    ) {
        let Some((at, mut batch)) = self.open.take() else { return };
        while let Some(origin) = batch.next_segment() {
            let numbers = &mut self.numbers;
            if origin == own {
                batch.drain_segment(|number, body| {
                    let reply = machine.apply(at, body);
                    note(numbers, origin, number);
                    answer(number, reply);
                });
            } else {
                batch.drain_segment(|number, body| {
                    machine.apply(at, body);
                    note(numbers, origin, number);
                });
            }
        }
        machine.after_decree(at);
        self.finish_slot();
    }

    /// Opens the next decree that has an effect.
    pub(super) fn open_next<M: StateMachine>(&mut self, machine: &mut M) -> Step {
        while let Some(proposal) = self.run.get_mut(self.place) {
            let slot = proposal.slot;
            match mem::take(&mut proposal.decree) {
                Kind::Noop => self.finish_slot(),
                Kind::App(bytes) => match Batch::open(bytes) {
                    Ok((head, batch)) if self.has_effect(head) => {
                        let at = At { slot, ballot: head.ballot };
                        invariant!(A3OriginOrder, self.last.is_none_or(|last| last.slot < slot));
                        (self.last, self.open) = (Some(at), Some((at, batch)));
                        machine.before_decree(at);
                        return Step::Opened(at);
                    }
                    Ok(_) => {
                        self.finish_slot();
                        return Step::Void;
                    }
                    Err(_) => {
                        self.finish_slot();
                        return Step::Malformed;
                    }
                },
            }
        }
        if self.is_idle() {
            return Step::Idle;
        }
        self.run.clear();
        (self.place, self.busy) = (0, false);
        self.reading = self.reading.filter(|reading| reading.next < reading.end);
        if self.reading.is_some() { Step::Idle } else { Step::Reached(self.applied) }
    }

    /// The rule that keeps leaderships apart, see above.
    fn has_effect(&self, head: Head) -> bool {
        match (head.previous, self.last) {
            (None, None) => true,
            (None, Some(last)) => head.ballot > last.ballot,
            (Some(previous), Some(last)) => last == At { slot: previous, ballot: head.ballot },
            (Some(_), None) => false,
        }
    }

    fn finish_slot(&mut self) {
        self.place += 1;
        self.applied = self.applied.next();
    }

    /// The host is to read `from..end` back from the log.
    pub(super) fn read_back(&mut self, from: Slot, end: Slot) {
        requires!(C7DeliveredInOrder, self.reading.is_none());
        self.reading = Some(Reading { next: from, end, asked: false });
    }

    /// Slots that the host is to be asked for now.
    pub(super) fn pop_question(&mut self) -> Option<(Slot, Slot)> {
        let reading = self.reading.as_mut().filter(|reading| !reading.asked)?;
        if self.busy {
            return None;
        }
        reading.asked = true;
        Some((reading.next, reading.end))
    }

    /// What the host read back. What was not asked for is left aside.
    pub(super) fn take_answer(&mut self, chosen: &[Proposal<Bytes>]) {
        let Some(mut reading) = self.reading.filter(|reading| reading.asked) else { return };
        let mut next = reading.next;
        let wanted = chosen.iter().take_while(|proposal| {
            let follows = proposal.slot == next && next < reading.end;
            next = next.plus(u64::from(follows));
            follows
        });
        let count = wanted.count();
        // An answer without the first slot asked for is none.
        if count > 0 {
            reading.asked = false;
            reading.next = next;
            self.reading = Some(reading);
            self.take(&chosen[..count]);
        }
    }

    /// Everything below is applied.
    pub(super) fn applied(&self) -> Slot {
        self.applied
    }

    /// The last decree that had an effect.
    pub(super) fn last(&self) -> Option<At> {
        self.last
    }
}

/// Checks that the requests of an origin come in the order of their numbers.
fn note(numbers: &mut Vec<(Origin, u64)>, origin: Origin, number: u64) {
    if !crate::contracts::ENABLED {
        return;
    }
    match numbers.iter_mut().find(|(known, _)| known.node == origin.node) {
        Some((known, last)) => {
            ensures!(A3OriginOrder, *known == origin => number > *last);
            (*known, *last) = (origin, number);
        }
        None => numbers.push((origin, number)),
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
