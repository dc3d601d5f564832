//! What is due next, computed from cursors at pull time. No output queue exists.
//!
//! `due` looks and `take` advances: one function that did both could not lend (E0499).

use super::Replica;
use super::writes::Next;
use crate::{Action, Decree, MemberIndex, Message, NodeSet, Slot};

/// The action that is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    Leader,
    Accept(MemberIndex),
    Accepted(MemberIndex),
    Part(Slot),
    Prepare,
    Nack(MemberIndex),
    Ask(MemberIndex),
    Beat(NodeSet),
    Write(Next),
    Serve(MemberIndex),
    Deliver(Slot, Slot),
}

/// What the next [`Replica::poll`] will return, for the service: it takes decrees itself and lends
/// everything else on, which one loop over `poll` could not do (E0499).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ahead {
    Nothing,
    /// `Deliver` or `DeliverFromLog`.
    Delivery,
    Other,
}

impl<D: Decree> Replica<D> {
    /// Looks at what is due without taking it.
    pub(crate) fn lies_ahead(&self) -> Ahead {
        match self.due() {
            None => Ahead::Nothing,
            Some(Due::Deliver(..)) => Ahead::Delivery,
            Some(
                Due::Leader
                | Due::Accept(_)
                | Due::Accepted(_)
                | Due::Part(_)
                | Due::Prepare
                | Due::Nack(_)
                | Due::Ask(_)
                | Due::Beat(_)
                | Due::Write(_)
                | Due::Serve(_),
            ) => Ahead::Other,
        }
    }

    /// Sends come before writes: they overlap the own disk (C9).
    pub(super) fn due(&self) -> Option<Due> {
        if self.election.announced != self.visible_leader() {
            return Some(Due::Leader);
        }
        if self.stopped {
            return None;
        }
        self.due_message()
            .or_else(|| self.write_is_due().map(Due::Write))
            .or_else(|| self.deliverable().map(|(from, end)| Due::Deliver(from, end)))
            .or_else(|| self.servable().map(Due::Serve))
    }

    fn due_message(&self) -> Option<Due> {
        if let Some(member) = self.accept_is_due() {
            return Some(Due::Accept(member));
        }
        if self.accepted_is_due()
            && let Some(leader) = self.owner_of_promise()
        {
            return Some(Due::Accepted(leader));
        }
        if let Some(end) = self.part_is_due() {
            return Some(Due::Part(end));
        }
        if self.prepare_is_due() {
            return Some(Due::Prepare);
        }
        if let Some(member) = self.others().find(|member| self.nack_is_due(*member)) {
            return Some(Due::Nack(member));
        }
        if let Some(ask) = self.learner.ask.filter(|ask| !ask.sent) {
            return Some(Due::Ask(ask.peer));
        }
        self.beat_is_due().map(Due::Beat)
    }

    /// Carries out one thing that is due: advances its cursor and builds the action.
    pub(super) fn take(&mut self, due: Due) -> Action<'_, D> {
        match due {
            Due::Leader => {
                let leader = self.visible_leader();
                self.election.announced = leader;
                Action::LeaderChanged { leader }
            }
            Due::Accept(member) => self.take_accept(member),
            Due::Accepted(to) => self.take_accepted(to),
            Due::Part(end) => self.take_part(end),
            Due::Prepare => self.take_prepare(),
            Due::Nack(to) => {
                let refused = self.peers[to.place()].nack.take().unwrap_or_default();
                let promised = self.acceptor.promised_durably;
                self.send(NodeSet::of(to), Message::Nack { refused, promised })
            }
            Due::Ask(to) => {
                if let Some(ask) = &mut self.learner.ask {
                    ask.sent = true;
                    ask.since = self.now;
                }
                let from = self.learner.decided;
                self.send(NodeSet::of(to), Message::Learn { from })
            }
            Due::Beat(to) => {
                self.election.beat_owed = false;
                self.election.answer_owed = None;
                let beat = self.beat();
                self.send(to, Message::Beat(beat))
            }
            Due::Write(next) => self.take_write(next),
            Due::Serve(to) => self.take_serving(to),
            Due::Deliver(from, end) => self.take_delivery(from, end),
        }
    }

    /// The only way out for a message: through the gate.
    pub(super) fn send<'a>(&self, to: NodeSet, message: Message<'a, D>) -> Action<'a, D> {
        self.assert_may_send(&message);
        Action::Send { to, message }
    }

    /// A refusal tells the promise, and so waits until that is durable (C1).
    fn nack_is_due(&self, member: MemberIndex) -> bool {
        let refused = self.peers[member.place()].nack;
        refused.is_some_and(|refused| refused < self.acceptor.promised_durably)
    }

    /// The member that owns the promised ballot, when that is somebody else.
    fn owner_of_promise(&self) -> Option<MemberIndex> {
        let owner = self.config.configuration.index_of(self.acceptor.promised.node);
        owner.filter(|owner| *owner != self.me)
    }

    /// Whom a beat is owed to.
    fn beat_is_due(&self) -> Option<NodeSet> {
        let to = if self.election.beat_owed {
            self.config.configuration.everyone().without(self.me)
        } else {
            self.election.answer_owed.map_or(NodeSet::EMPTY, NodeSet::of)
        };
        (!to.is_empty()).then_some(to)
    }
}
