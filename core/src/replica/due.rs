//! What is due next, computed from cursors at pull time. No output queue exists.
//!
//! `due` looks and `take` advances: one function that did both could not lend (E0499).

use super::Replica;
use super::phase2::Accepts;
use super::signs::{Sign, Signs};
use super::writes::Next;
use crate::contracts::ensures;
use crate::{Action, Decree, MemberIndex, Message, NodeSet, Slot};

/// The action that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    Leader,
    Accept(Accepts),
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

impl<D: Decree> Replica<D> {
    /// What is due first. Sends come before writes: they overlap the own disk (C9).
    pub(crate) fn due(&mut self) -> Option<Due> {
        let mut found = None;
        while let Some(sign) = self.signs.first() {
            found = self.look(sign);
            if found.is_some() {
                break;
            }
            self.signs.lower_first();
        }
        ensures!(C4NothingForgotten, found.is_none() => self.look_everywhere().is_none());
        found
    }

    /// Whether nothing can be due: no sign is raised.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.signs.is_empty()
    }

    /// Moves whenever a promise, a leadership or the state of the log has changed.
    pub(crate) const fn changes(&self) -> u64 {
        self.signs.changes()
    }

    /// What is due first, without a hint where to look.
    fn look_everywhere(&self) -> Option<Due> {
        let mut signs = Signs::ALL;
        while let Some(sign) = signs.first() {
            if let Some(due) = self.look(sign) {
                return Some(due);
            }
            signs.lower_first();
        }
        None
    }

    /// Looks whether an action of one kind is due.
    // Inlined into a loop, what each kind looks at would be read before the first look.
    #[inline(never)]
    fn look(&self, sign: Sign) -> Option<Due> {
        if self.stopped && sign != Sign::Leader {
            return None;
        }
        match sign {
            Sign::Leader => {
                (self.election.announced != self.visible_leader()).then_some(Due::Leader)
            }
            Sign::Accept => self.accept_is_due().map(Due::Accept),
            Sign::Accepted if !self.accepted_is_due() => None,
            Sign::Accepted => self.owner_of_promise().map(Due::Accepted),
            Sign::Part => self.part_is_due().map(Due::Part),
            Sign::Prepare => self.prepare_is_due().then_some(Due::Prepare),
            Sign::Nack => self.others().find(|member| self.nack_is_due(*member)).map(Due::Nack),
            Sign::Ask => {
                let ask = self.learner.ask.filter(|ask| !ask.sent);
                ask.map(|ask| Due::Ask(ask.peer))
            }
            Sign::Beat => self.beat_is_due().map(Due::Beat),
            Sign::Write => self.write_is_due().map(Due::Write),
            Sign::Deliver => self.deliverable().map(|(from, end)| Due::Deliver(from, end)),
            Sign::Serve => self.servable().map(Due::Serve),
        }
    }

    /// Carries out one thing that is due: advances its cursor and builds the action.
    pub(crate) fn take(&mut self, due: Due) -> Action<'_, D> {
        match due {
            Due::Leader => {
                let leader = self.visible_leader();
                self.election.announced = leader;
                Action::LeaderChanged { leader }
            }
            Due::Accept(accepts) => self.take_accept(accepts),
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
