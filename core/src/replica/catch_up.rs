//! Catching up: a replica that lags asks any peer for chosen decrees (C5, E1).
//!
//! The one that lags pulls: one request is out at a time, and goes to another peer when it is not
//! answered. The one that serves answers from its window, or lets its host read the log.

use super::Replica;
use super::learner::Ask;
use super::signs::Sign;
use crate::{Action, Decree, MemberIndex, Message, NodeId, NodeSet, Slot};

impl<D: Decree> Replica<D> {
    /// Asks `peer` for chosen decrees, unless another request is out.
    pub(super) fn ask(&mut self, peer: MemberIndex) {
        if self.learner.ask.is_none() && self.may_ask() {
            self.learner.ask = Some(Ask { peer, since: self.now, sent: false });
            self.signs.raise(Sign::Ask);
        }
    }

    /// A leader decides by its own count and asks nobody (R4).
    pub(super) const fn may_ask(&self) -> bool {
        self.phase2.ballot().is_none()
    }

    /// Once per tick: gives up on a request without an answer, and asks when others are ahead
    /// and nothing moved since the last tick.
    pub(super) fn check_lag(&mut self) {
        let timeout = self.config.timeouts.resend;
        let last = self.learner.ask.map(|ask| ask.peer);
        if self.learner.ask.is_some_and(|ask| self.now.since(ask.since) >= timeout) {
            self.learner.ask = None;
        }
        let stuck = self.learner.at_last_tick == self.learner.decided;
        self.learner.at_last_tick = self.learner.decided;
        if (stuck || self.phase1.ballot().is_some())
            && let Some(peer) = self.ahead(last)
        {
            self.ask(peer);
        }
    }

    /// A peer that is heard and ahead; another one than `last`, if there is one.
    fn ahead(&self, last: Option<MemberIndex>) -> Option<MemberIndex> {
        let is_ahead = |peer: &MemberIndex| {
            self.peers[peer.place()].decided > self.learner.decided && self.is_heard(*peer)
        };
        // Round robin from the place behind `last`.
        let members = self.config.configuration.members().len();
        let start = last.map_or(0, |peer| peer.place() + 1);
        let turn = (0..members).map(|step| MemberIndex(((start + step) % members) as u8));
        turn.filter(|peer| *peer != self.me).find(is_ahead)
    }

    /// A peer asks for chosen decrees.
    pub(super) fn on_learn(&mut self, from: MemberIndex, slot: Slot) {
        self.peers[from.place()].asks = Some(slot);
        self.signs.raise(Sign::Serve);
    }

    /// The host served a peer from the log.
    pub(super) fn on_caught_up(&mut self, to: NodeId, _end: Slot) {
        if let Some(peer) = self.config.configuration.index_of(to) {
            self.peers[peer.place()].is_being_served = false;
        }
    }

    /// Whether a peer waits for chosen decrees.
    pub(super) fn somebody_asks(&self) -> bool {
        self.others().any(|peer| self.peers[peer.place()].asks.is_some())
    }

    /// The peer that can be served now.
    pub(super) fn servable(&self) -> Option<MemberIndex> {
        self.others().find(|peer| {
            let peer = &self.peers[peer.place()];
            peer.asks.is_some_and(|from| !peer.is_being_served && self.can_serve(from))
        })
    }

    /// Whether the slots from `from` on are decided and in memory or in the log.
    fn can_serve(&self, from: Slot) -> bool {
        let in_memory = from >= self.window.base() && from < self.learner.decided;
        let in_log = from >= self.learner.retained && from < self.learner.marked;
        in_memory || in_log
    }

    /// Serves a peer: from memory if it can, else the host reads the log.
    pub(super) fn take_serving(&mut self, to: MemberIndex) -> Action<'_, D> {
        let decided = self.learner.decided;
        let peer = &mut self.peers[to.place()];
        let from = peer.asks.take().unwrap_or(decided);
        if from >= self.window.base() {
            let proposals = self.window.run(from, decided, self.run_limit());
            let message = Message::Learned { from, proposals, decided };
            return self.send(NodeSet::of(to), message);
        }
        peer.is_being_served = true;
        let node = self.config.configuration.members()[to.place()];
        Action::CatchUp { to: node, from, end: self.learner.marked, decided }
    }
}
