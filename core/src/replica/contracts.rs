//! The invariants between events, and the gate at the exit.

use super::Replica;
use super::acceptor::is_durable;
use crate::contracts::{ENABLED, invariant};
use crate::{Decree, Incarnation, Message, Proposal, Slot};

impl<D: Decree> Replica<D> {
    /// Runs at the end of every `handle` and `propose`, under `debug_assertions` or with the
    /// feature `contracts`.
    pub(super) fn check_invariants(&self) {
        if !ENABLED {
            return;
        }
        let (learner, acceptor, window) = (&self.learner, &self.acceptor, &self.window);
        invariant!(C1PromiseMonotonic, acceptor.promised_durably <= acceptor.promised);
        invariant!(C7CursorsOrdered, window.base() <= learner.marked);
        invariant!(C7CursorsOrdered, learner.marked <= learner.decided);
        invariant!(C7CursorsOrdered, learner.decided <= window.end());
        invariant!(C7CursorsOrdered, learner.applied <= learner.delivered);
        invariant!(R1InOrder, acceptor.accepted <= window.end());
        invariant!(R1InOrder, acceptor.accepted >= learner.decided);
        invariant!(R2CursorsDurable, acceptor.durable <= acceptor.accepted);
        let persisted = self.writes.persisted();
        let last = Slot(acceptor.durable.0.saturating_sub(1));
        invariant!(
            R2CursorsDurable,
            acceptor.durable > learner.marked => is_durable(window.write_of(last), persisted)
        );
        invariant!(
            R2CursorsDurable,
            acceptor.durable > learner.marked
                => window.get(last).is_some_and(|held| held.ballot == acceptor.promised)
        );
        let leads = self.phase2.ballot();
        invariant!(R8OwnPromiseFirst, leads.is_some() => leads == Some(acceptor.promised_durably));
        invariant!(R8OwnPromiseFirst, leads.is_some() => leads == Some(acceptor.promised));
        invariant!(
            R4LeaderCountsItself,
            leads.is_some() => learner.decided == self.phase2.counted()
        );
        invariant!(R10NoVote, !self.roster.votes_durably() => leads.is_none());
        let preparing = self.phase1.ballot();
        invariant!(C2BallotFresh, preparing.is_some() => preparing == Some(acceptor.promised));
        invariant!(C3BarrierFirst, leads.is_some() => acceptor.accepted == window.end());
        let known = self.others().all(|member| {
            let acked = self.peers[member.place()].progress.acked;
            acked == Slot::ZERO || self.roster.durable()[member.place()] != Incarnation::NONE
        });
        invariant!(R10KnownIncarnation, leads.is_some() => known);
    }

    /// The gate at the exit, on in release builds too: restates per message what the conditions
    /// of `due` have already met. A message that fails it would break a promise to the cluster, so
    /// stopping is the smaller harm.
    pub(super) fn assert_may_send(&self, message: &Message<'_, D>) {
        assert!(!self.stopped, "a stopped replica sends nothing");
        let acceptor = &self.acceptor;
        let durably = acceptor.promised_durably;
        match message {
            Message::Beat(beat) => {
                assert!(beat.promised <= durably, "C1: a beat tells a promise that is not durable");
                assert!(beat.decided <= self.learner.decided, "a beat tells an undecided slot");
            }
            Message::Prepare { ballot, from: _ } => {
                assert!(ballot.node == self.config.node, "a ballot has one owner");
                assert!(*ballot == acceptor.promised, "R8: a prepare of another ballot");
                assert!(*ballot == durably, "R8: a prepare before the own promise is durable");
                assert!(self.roster.votes_durably(), "R10: a prepare without a vote");
            }
            Message::Promise { ballot, from, end, proposals, decided, .. } => {
                assert!(self.roster.votes_durably(), "R10: a promise without a vote");
                assert!(*ballot == acceptor.promised, "C1: a promise of another ballot");
                assert!(*ballot == durably, "C1: a promise that is not durable");
                assert!(*decided <= self.learner.decided, "a promise tells an undecided slot");
                assert!(self.are_durable(proposals), "R7: a promise reports what is not durable");
                // A slot that is held must not be told as absent (R6).
                let told = from.plus(proposals.len() as u64);
                invariant!(R7ReportsDurable, *from < self.window.end() => told == *end);
            }
            Message::Accept { ballot, from, proposals, decided } => {
                assert!(self.phase2.ballot() == Some(*ballot), "an accept of a ballot not led");
                assert!(*ballot == acceptor.promised, "an accept below the own promise");
                assert!(*ballot == durably, "R8: an accept before the own promise is durable");
                assert!(*from >= self.phase2.first(), "R6: an accept below the first slot");
                assert!(*decided <= self.learner.decided, "R4: a notice of an undecided slot");
                let own = proposals.iter().all(|proposal| proposal.ballot == *ballot);
                assert!(own, "an accept of another ballot's proposal");
            }
            Message::Accepted { ballot, end, resend: _ } => {
                assert!(self.roster.votes_durably(), "R10: an accepted without a vote");
                assert!(*ballot == acceptor.promised, "an accepted below the promise");
                assert!(*ballot == durably, "C1: an accepted before the promise is durable");
                assert!(*end <= acceptor.durable, "R2: an accepted names what is not durable");
            }
            Message::Nack { refused, promised } => {
                assert!(refused < promised, "a refusal of the ballot promised");
                assert!(*promised <= durably, "C1: a nack tells a promise that is not durable");
            }
            Message::Learn { from } => {
                assert!(*from == self.learner.decided, "a request from somewhere else");
            }
            Message::Learned { from, proposals, decided } => {
                let end = from.plus(proposals.len() as u64);
                assert!(end <= self.learner.decided, "a decree that is not decided, as chosen");
                assert!(*decided <= self.learner.decided, "a notice of an undecided slot");
            }
        }
    }

    fn are_durable(&self, proposals: &[Proposal<D>]) -> bool {
        let persisted = self.writes.persisted();
        proposals.iter().all(|proposal| is_durable(self.window.write_of(proposal.slot), persisted))
    }
}
