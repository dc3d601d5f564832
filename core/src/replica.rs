//! The replica: one struct holds all protocol state; five doors lead in and out.

mod acceptor;
mod catch_up;
mod contracts;
mod due;
mod election;
mod judge;
mod learner;
mod peer;
mod phase1;
mod phase2;
mod recovery;
mod roster;
mod signs;
mod timers;
mod view;
mod writes;

use acceptor::Acceptor;
use election::Election;
use learner::Learner;
use peer::Peer;
use phase1::Phase1;
use phase2::Phase2;
use roster::Roster;
use signs::{Sign, Signs};
use writes::Writes;

use crate::window::{RunLimit, Window};
use crate::{
    Action, Ballot, Config, ConfigError, Decree, Event, Header, Instant, MEMBERS_MAX, MemberIndex,
    Message, PeerMisbehaved, Recovered, Refusal, Refused, Slot,
};

pub(crate) use due::Due;
pub use view::Standing;

/// One member of one group: proposer, acceptor and learner ("Paxos Made Simple", section 2).
///
/// It does no I/O. The host pushes events in with [`handle`](Self::handle) and pulls actions out
/// with [`poll`](Self::poll) until there are none, once per turn of its loop.
///
/// Invariant: `base <= marked <= decided <= end`, where `base..end` are the slots in memory, and
/// everything below `marked` is durably known to be decided here.
#[derive(Clone, Debug)]
pub struct Replica<D> {
    config: Config,
    me: MemberIndex,
    header: Header,
    /// The latest time the host told.
    now: Instant,
    /// The log failed. Terminal: nothing is sent, nothing is called durable.
    stopped: bool,
    window: Window<D>,
    acceptor: Acceptor,
    learner: Learner,
    phase1: Phase1<D>,
    phase2: Phase2,
    election: Election,
    roster: Roster,
    writes: Writes,
    signs: Signs,
    /// The election timeout in nanoseconds: asked for with every message.
    patience: u64,
    /// By [`MemberIndex`]; the places beyond the members and the own one stay unused.
    peers: [Peer; MEMBERS_MAX],
}

impl<D: Decree> Replica<D> {
    /// A replica that goes on where its log stopped. All memory is taken here.
    ///
    /// # Errors
    /// When the configuration is unsound, or the log is not one contiguous run above its mark.
    pub fn new(config: Config, recovered: Recovered<D>, now: Instant) -> Result<Self, ConfigError> {
        recovery::recover(config, recovered, now)
    }

    /// Proposes a decree for the next slot, if this replica leads, and names the slot. With
    /// `only_in` it does so only if it leads in exactly that ballot (A10).
    ///
    /// Whether the decree is chosen shows in what is delivered in that slot.
    ///
    /// # Errors
    /// Gives the decree back; it was not and will not be proposed.
    pub fn propose(
        &mut self,
        now: Instant,
        decree: D,
        only_in: Option<Ballot>,
    ) -> Result<Slot, Refused<D>> {
        self.advance_clock(now);
        // A leader that was stopped for long must not act before it has looked at the clock (A10).
        self.run_timers();
        if let Err(why) = self.may_propose(&decree, only_in) {
            return Err(Refused { decree, why });
        }
        let slot = self.propose_next(crate::Kind::App(decree));
        self.check_invariants();
        Ok(slot)
    }

    /// Takes an event in. Moves cursors and flags; what follows from it comes out of
    /// [`poll`](Self::poll).
    ///
    /// # Errors
    /// The sender of the message is to blame; the message had no effect.
    #[inline]
    pub fn handle(&mut self, now: Instant, event: Event<'_, D>) -> Result<(), PeerMisbehaved> {
        self.take_in(now, &event)
    }

    /// As [`handle`](Self::handle), without a move of the event: it is the larger part of a call.
    pub(crate) fn take_in(
        &mut self,
        now: Instant,
        event: &Event<'_, D>,
    ) -> Result<(), PeerMisbehaved> {
        self.advance_clock(now);
        let outcome = match *event {
            Event::Received { ref header, ref message } => self.on_received(header, message),
            Event::PeerUp { peer } => {
                self.signs.raise_all();
                self.on_peer_up(peer);
                Ok(())
            }
            Event::PeerDown { peer } => {
                self.signs.raise_all();
                self.on_peer_down(peer);
                Ok(())
            }
            Event::Persisted { upto } => {
                self.on_persisted(upto);
                Ok(())
            }
            Event::PersistFailed => {
                self.on_persist_failed();
                Ok(())
            }
            Event::Applied { end } => {
                self.on_applied(end);
                Ok(())
            }
            Event::CaughtUp { to, end } => {
                self.signs.raise(Sign::Serve);
                self.on_caught_up(to, end);
                Ok(())
            }
            Event::DeadlineReached => Ok(()),
        };
        self.run_timers();
        self.check_invariants();
        outcome
    }

    /// [`Event::Applied`], at the time told last.
    pub(crate) fn note_applied(&mut self, end: Slot) {
        self.on_applied(end);
        self.run_timers();
        self.check_invariants();
    }

    /// The next action that is due; `None` when the host may wait for the next event or
    /// [`deadline`](Self::deadline). Each action may be carried out the moment it is polled.
    pub fn poll(&mut self) -> Option<Action<'_, D>> {
        let due = self.due()?;
        Some(self.take(due))
    }

    /// When to come back with [`Event::DeadlineReached`], if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        if self.stopped { Instant::NEVER } else { self.next_deadline() }
    }

    /// Judges a message and hands it to its role (STYLE habit 3: this only dispatches).
    fn on_received(
        &mut self,
        header: &Header,
        message: &Message<'_, D>,
    ) -> Result<(), PeerMisbehaved> {
        if self.stopped {
            return Ok(());
        }
        let from = self.judge_header(header)?;
        self.judge_message(header, from, message)?;
        // Votes count once the voter's disk is on durable record (R10); they are sent again.
        let is_vote = matches!(message, Message::Promise { .. } | Message::Accepted { .. });
        if is_vote && !self.is_on_record(header, from) {
            return Ok(());
        }
        if !self.is_stranger(header, from) {
            // What a leader owes to a peer depends on hearing it.
            self.signs.raise_if(!self.is_heard(from), Sign::Accept);
            self.peers[from.place()].heard_at = Some(self.now);
        }
        match *message {
            Message::Beat(beat) => self.on_beat(from, beat),
            Message::Prepare { ballot, from: slot } => self.on_prepare(from, ballot, slot),
            Message::Promise {
                ballot,
                from: slot,
                end,
                limit,
                decided,
                retained: _,
                proposals,
            } => {
                self.on_promise(
                    from,
                    ballot,
                    phase1::Part { from: slot, end, limit, decided, proposals },
                );
            }
            Message::Accept { ballot, from: slot, proposals, decided } => {
                self.on_accept(from, ballot, slot, proposals, decided);
            }
            Message::Accepted { ballot, end, resend } => {
                self.on_accepted(from, ballot, end, resend)
            }
            Message::Nack { refused, promised } => self.on_nack(refused, promised),
            Message::Learn { from: slot } => self.on_learn(from, slot),
            Message::Learned { from: _, proposals, decided } => {
                self.on_learned(from, proposals, decided);
            }
        }
        Ok(())
    }

    fn may_propose(&self, decree: &D, only_in: Option<Ballot>) -> Result<(), Refusal> {
        if self.stopped {
            return Err(Refusal::Stopped);
        }
        let Some(ballot) = self.phase2.ballot() else {
            return Err(Refusal::NotLeader(self.leader_node()));
        };
        if only_in.is_some_and(|wanted| wanted != ballot) {
            return Err(Refusal::OtherBallot(ballot));
        }
        if decree.size_bytes() > self.config.limits.decree_bytes_max {
            return Err(Refusal::TooLarge);
        }
        if self.room() == 0 {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    fn advance_clock(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    const fn run_limit(&self) -> RunLimit {
        let limits = &self.config.limits;
        RunLimit { slots: limits.run_slots_max, bytes: limits.run_bytes_max }
    }

    /// The other members, by index.
    fn others(&self) -> impl Iterator<Item = MemberIndex> + use<D> {
        self.config.configuration.everyone().without(self.me).iter()
    }
}
