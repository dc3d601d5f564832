//! The application half of a replica: requests go in, outcomes come out.
//!
//! A [`Service`] owns a [`Replica`], a [`StateMachine`] and everything between them. It is as pure
//! as the core below it: a request, an input and the time go in; outputs are pulled out; no clock,
//! no thread, no socket.
//!
//! # The contract
//!
//! **Every request that [`Service::submit`] accepts has exactly one [`Outcome`] here** (A1):
//! applied with its reply, refused for certain, or unknown. Requests of one service are applied in
//! the order of their submission, each at most once (A3), also when they are forwarded to a leader
//! elsewhere, when messages are lost, doubled, delayed or reordered, and when leaders change (A13,
//! rule R14).
//!
//! # The loop
//!
//! 1. Wait for a socket, the log, a caller or [`Service::deadline`].
//! 2. Hand in *everything* that is ready, with [`Service::handle`] and [`Service::submit`]. Sample
//!    the clock after the last input was read.
//! 3. Pull every [`Output`] with [`Service::poll`] until it returns `None`, and do what it says.
//!
//! ```
//! use synod_core::service::*;
//! use synod_core::*;
//!
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     type Reply = u64;
//!
//!     fn apply(&mut self, _at: At, request: &[u8]) -> u64 {
//!         self.0 += request.len() as u64;
//!         self.0
//!     }
//! }
//!
//! // A group of one: no network, and a log that is durable at once.
//! let members = Configuration::first(&[NodeId(1)])?;
//! let config = ServiceConfig::new(Config::new(ClusterId(1), GroupId(0), NodeId(1), members));
//! let log = Recovered::formatted(Incarnation(0xC0FFEE));
//! let mut now = Instant::ZERO;
//! let mut service = Service::new(config, log, Counter(0), now)?;
//!
//! // There is no leader yet: the request waits for one.
//! let id = service.submit(now, Request::new("12345".into())).map_err(|rejected| rejected.why)?;
//! let outcome = 'done: loop {
//!     now = service.deadline(); // a real host sleeps until then, or until something happens
//!     service.handle(now, Input::Replica(Event::DeadlineReached))?;
//!     while let Some(output) = service.poll() {
//!         match output {
//!             Output::Persist { id, record: _ } => {
//!                 // a real host writes the record, syncs, and says so later
//!                 service.handle(now, Input::Replica(Event::Persisted { upto: id }))?;
//!             }
//!             Output::Outcome { id: done, outcome } if done == id => break 'done outcome,
//!             Output::Outcome { .. } | Output::LeaderChanged { .. } => {}
//!             Output::Send { .. } | Output::CatchUp { .. } => {} // nobody else is there
//!             Output::ReadBack { .. } => unreachable!("the window holds a single request"),
//!         }
//!     }
//! };
//! assert!(matches!(outcome, Outcome::Applied { reply: 5, .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it holds
//!
//! Each part is a module with the rule that it keeps, and why that suffices: `pending` (requests in
//! doubt are offered in one ballot at a time), `intake` (a leader takes a request once, in order,
//! in the ballot it was meant for), `delivery` (of each leadership a prefix has an effect, and none
//! has an effect after a later one). Together: when a leadership has begun, whatever was offered to
//! earlier ones and is not applied never will be, **for certain**. So it is offered again, in
//! order, and a caller sees a change of leaders as a delay. `Unknown` is left for what is in flight
//! at its deadline, for a log that failed, and for the lost leadership of a service that does not
//! forward.

mod batch;
mod chunks;
mod config;
mod delivery;
mod forwarding;
mod input;
mod intake;
mod leading;
mod machine;
mod message;
mod origin;
mod outcome;
mod pending;
mod request;
mod share;
mod status;

pub use config::{ServiceConfig, ServiceLimits};
pub use input::{Input, Output};
pub use machine::{At, StateMachine};
pub use message::ServiceMessage;
pub use outcome::{Outcome, Why};
pub use request::{Rejected, Request, RequestId};
pub use status::{Counters, Status};

use alloc::collections::VecDeque;
use core::fmt;

use bytes::Bytes;

use crate::Slot;
use crate::contracts::{ensures, requires};
use crate::replica::Due;
use crate::wire::Payload;
use crate::{
    Action, Ballot, ConfigError, Event, Instant, MemberIndex, NodeSet, PeerMisbehaved, Recovered,
    Replica, Timeouts,
};
use chunks::Chunks;
use delivery::{Delivery, Step};
use forwarding::Line;
use intake::Intake;
use origin::Origin;
use pending::{Ended, Pending};

/// A replica and the state machine on top of it.
pub struct Service<M: StateMachine> {
    replica: Replica<Bytes>,
    machine: M,
    limits: ServiceLimits,
    forward: bool,
    /// This run of this node.
    origin: Origin,
    /// The latest time the host told.
    now: Instant,
    /// The end has begun.
    closing: bool,
    /// Requests accepted here.
    pending: Pending,
    /// Requests accepted elsewhere, forwarded to here.
    intake: Intake,
    /// What was sent to the leader elsewhere.
    line: Line,
    /// Chosen decrees on their way into the machine.
    delivery: Delivery,
    /// What came of the requests of the decree applied last, and was not polled yet.
    outcomes: Outcomes<M::Reply>,
    /// The last decree proposed here.
    tail: Option<At>,
    /// Whether own requests go first into the next decree.
    own_first: bool,
    /// `settle` has something to do, whoever leads.
    restless: bool,
    /// Who leads, as of the last `settle`.
    stance: Stance,
    chunks: Chunks,
    counters: Counters,
}

/// The replies of one decree.
struct Outcomes<R> {
    at: At,
    /// By the number of the request.
    replies: VecDeque<(u64, R)>,
}

impl<R> Outcomes<R> {
    fn new() -> Self {
        Self { at: At { slot: Slot::ZERO, ballot: Ballot::ZERO }, replies: VecDeque::new() }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(RequestId, Outcome<R>)> {
        let (number, reply) = self.replies.pop_front()?;
        let At { slot, ballot } = self.at;
        Some((RequestId(number), Outcome::Applied { reply, slot, ballot }))
    }
}

impl<M: StateMachine> fmt::Debug for Service<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("origin", &self.origin)
            .field("replica", &self.replica)
            .field("pending", &self.pending)
            .field("intake", &self.intake)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

/// Who leads: derived anew only when the replica says that it may have changed.
#[derive(Clone, Copy, Debug, Default)]
struct Stance {
    /// As the replica counts them.
    changes: u64,
    /// The ballot in which this replica leads.
    leads: Option<Ballot>,
    /// The leadership elsewhere that requests are forwarded to.
    elsewhere: Option<(Ballot, MemberIndex)>,
    /// The log has failed.
    is_stopped: bool,
}

impl<M: StateMachine> Service<M> {
    /// Builds a service from what its log recovered. Sets `recovered.applied` to what the state
    /// machine says that it holds. The queue of requests is reserved here; the other queues grow
    /// up to the limits and keep their memory.
    ///
    /// # Errors
    /// When a limit, a timeout or the log does not fit.
    pub fn new(
        config: ServiceConfig,
        mut recovered: Recovered<Bytes>,
        machine: M,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let ServiceConfig { replica, limits, forward } = config;
        let last = machine.applied();
        recovered.applied = last.map_or(Slot::ZERO, |at| at.slot.next());
        let replica = Replica::new(replica, recovered, now)?;
        let origin = Origin::of(&replica.header());
        Ok(Self {
            replica,
            machine,
            limits,
            forward,
            origin,
            now,
            closing: false,
            pending: Pending::new(limits),
            intake: Intake::new(limits),
            line: Line::default(),
            delivery: Delivery::new(last),
            outcomes: Outcomes::new(),
            tail: None,
            own_first: true,
            restless: true,
            stance: Stance::default(),
            chunks: Chunks::default(),
            counters: Counters::default(),
        })
    }

    /// Takes a request. Its outcome comes out of [`Service::poll`] under the id returned. The
    /// state machine never runs in here.
    ///
    /// # Errors
    /// Gives the request back when it was not taken: it was not and will not be applied.
    #[inline]
    pub fn submit(&mut self, now: Instant, request: Request) -> Result<RequestId, Rejected> {
        self.now = self.now.max(now);
        if let Some(why) = self.objection(&request) {
            return Err(Rejected { request, why });
        }
        match self.pending.push(self.now, request) {
            Ok(id) => {
                self.counters.accepted += 1;
                Ok(id)
            }
            Err(request) => {
                self.counters.busy += 1;
                Err(Rejected { request, why: Why::Busy })
            }
        }
    }

    fn objection(&self, request: &Request) -> Option<Why> {
        if self.replica.is_stopped() {
            return Some(Why::Stopped);
        }
        if self.closing {
            return Some(Why::ShuttingDown);
        }
        if request.body.len() > self.limits.request_bytes_max {
            return Some(Why::TooLarge);
        }
        let is_elsewhere = !self.forward && self.leads_in().is_none();
        is_elsewhere.then(|| Why::NotLeader(self.replica.leader_node()))
    }

    /// Takes in something that happened outside.
    ///
    /// # Errors
    /// Blames the sender of a message that was dropped without effect.
    #[inline]
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), PeerMisbehaved> {
        self.now = self.now.max(now);
        match input {
            // What is applied is the service's own to say.
            Input::Replica(Event::Applied { .. }) => Ok(()),
            Input::Replica(ref event) => self.replica.take_in(self.now, event),
            Input::Service { header, message } => self.on_message(&header, message),
            Input::ReadBack { chosen } => {
                self.delivery.take_answer(chosen);
                Ok(())
            }
        }
    }

    /// Pulls the next thing to do; `None` when there is nothing left in this turn. Chosen decrees
    /// are applied to the state machine in here.
    ///
    /// What others wait for comes first: messages, then log writes, then the state machine, decree
    /// by decree.
    #[inline]
    pub fn poll(&mut self) -> Option<Output<'_, M::Reply>> {
        // While replies wait nothing else is looked at: it would cost more than most requests.
        match self.outcomes.pop() {
            Some((id, outcome)) => Some(Output::Outcome { id, outcome }),
            None if self.is_at_rest() => None,
            None => self.poll_further(),
        }
    }

    /// Whether a few looks tell that nothing is to be done. Most turns end so.
    fn is_at_rest(&mut self) -> bool {
        let is_at_rest = self.replica.is_quiet()
            && self.delivery.is_at_rest()
            && self.pending.is_at_rest()
            && self.intake.is_at_rest()
            && !self.must_open()
            && !self.may_ask()
            && !self.must_settle();
        ensures!(C4NothingForgotten, is_at_rest => self.poll_further().is_none());
        is_at_rest
    }

    /// The next thing to do when no reply waits.
    // Inlined into the loop of a host, its addresses would be worked out before the first turn.
    #[inline(never)]
    fn poll_further(&mut self) -> Option<Output<'_, M::Reply>> {
        loop {
            if self.must_settle() {
                self.settle();
            }
            self.propose_what_piled_up();
            if self.must_settle() {
                // The replica looked at the clock when it was asked to propose, and leads no more.
                continue;
            }
            if let Some((to, message)) = self.pop_message() {
                return Some(Output::Send { to, payload: Payload::Service(message) });
            }
            // Behind both that may refuse requests on their way.
            if let Some((id, ended)) = self.pending.pop_ended() {
                let outcome = self.count(ended);
                return Some(Output::Outcome { id, outcome });
            }
            match self.replica.due() {
                Some(due @ Due::Deliver(..)) if self.delivery.is_at_rest() => {
                    self.take_delivery(due);
                    continue;
                }
                None | Some(Due::Deliver(..)) => {}
                Some(due) => return outward(self.replica.take(due)),
            }
            if let Some((from, end)) = self.delivery.pop_question() {
                return Some(Output::ReadBack { from, end });
            }
            if self.delivery.is_idle() {
                ensures!(C4NothingForgotten, self.is_settled());
                return None;
            }
            self.finish_decree();
            if let Some((id, outcome)) = self.outcomes.pop() {
                return Some(Output::Outcome { id, outcome });
            }
        }
    }

    /// Whether a look at everything finds nothing to do.
    fn is_settled(&mut self) -> bool {
        let before = (self.tail, self.own_first);
        self.settle();
        self.propose_what_piled_up();
        let is_told = self.pending.pop_ended().is_none() && self.pop_message().is_none();
        // The look itself must change nothing either, or checked builds would go other ways.
        is_told && (self.tail, self.own_first) == before
    }

    /// When to hand in [`Event::DeadlineReached`], at the latest.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let ask_at = self.ask_at().unwrap_or(Instant::NEVER);
        self.replica.deadline().min(self.pending.deadline()).min(ask_at)
    }

    /// Changes the timeouts of the running replica (B1). They apply from its next tick on.
    ///
    /// # Errors
    /// When one is out of its range; nothing changes then.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), ConfigError> {
        self.replica.set_timeouts(timeouts)
    }

    /// Begins the end: later submits are rejected, queued requests are refused, requests in flight
    /// still get their outcome. The replica goes on until the host drops it.
    pub fn shut_down(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.closing = true;
        self.restless = true;
    }

    /// Whether every accepted request has had its outcome.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.pending.is_drained()
    }

    /// How this replica is.
    #[must_use]
    pub fn status(&self) -> Status {
        let replica = &self.replica;
        Status {
            node: self.origin.node,
            standing: replica.standing(),
            leader: replica.leader(),
            ballot: replica.promised(),
            decided: replica.decided(),
            applied: self.delivery.applied(),
            pending: self.pending.live().requests,
            in_flight: self.pending.in_doubt().requests,
            digest: self.machine.digest(),
            votes: replica.votes(),
            stopped: replica.is_stopped(),
            counters: self.counters,
        }
    }

    /// The state machine.
    #[must_use]
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// The state machine, for what is no part of the replicated state.
    #[must_use]
    pub const fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The replica below.
    #[must_use]
    pub const fn replica(&self) -> &Replica<Bytes> {
        &self.replica
    }

    /// Whether something has changed that `settle` has not seen.
    fn must_settle(&self) -> bool {
        self.restless
            || self.stance.changes != self.replica.changes()
            || self.now >= self.pending.deadline()
    }

    /// Draws the conclusions from how things stand: who leads, what time it is.
    // Not inlined, like all that few polls need: each poll would make room for it.
    #[inline(never)]
    fn settle(&mut self) {
        self.restless = false;
        self.stance = Stance {
            changes: self.replica.changes(),
            leads: self.leads_in(),
            elsewhere: self.leader_elsewhere(),
            is_stopped: self.replica.is_stopped(),
        };
        self.intake.enter(self.acts_in());
        let leader = self.replica.leader_node();
        if self.replica.is_stopped() {
            self.pending.refuse_queued(Why::Stopped);
            self.pending.give_up();
        }
        if self.closing {
            self.pending.refuse_queued(Why::ShuttingDown);
        }
        if !self.forward && self.leads_in().is_none() {
            // A11: every request has its outcome before the host hears of the lost leadership.
            self.pending.refuse_queued(Why::NotLeader(leader));
            self.pending.give_up();
        }
        let why = if leader.is_some() { Why::DeadlinePassed } else { Why::NoLeader };
        self.pending.expire(self.now, why);
    }

    fn count(&mut self, ended: Ended) -> Outcome<M::Reply> {
        match ended {
            Ended::Refused(why) => {
                self.counters.refused += 1;
                Outcome::Refused(why)
            }
            Ended::Unknown(ballot) => {
                self.counters.unknown += 1;
                Outcome::Unknown { ballot }
            }
        }
    }

    fn pop_message(&mut self) -> Option<(NodeSet, ServiceMessage)> {
        if self.stance.is_stopped {
            return None;
        }
        self.pop_forward().or_else(|| self.pop_taken())
    }

    /// Takes chosen decrees out of the replica.
    fn take_delivery(&mut self, due: Due) {
        match self.replica.take(due) {
            Action::Deliver { chosen } => self.delivery.take(chosen),
            Action::DeliverFromLog { from, end } => self.delivery.read_back(from, end),
            Action::Persist { .. }
            | Action::Send { .. }
            | Action::CatchUp { .. }
            | Action::LeaderChanged { .. } => requires!(C7DeliveredInOrder, false),
        }
    }

    /// Applies the decrees at hand, up to the first one that somebody here waits for.
    #[inline(never)]
    fn finish_decree(&mut self) {
        loop {
            if let Some(at) = self.delivery.open_at() {
                self.apply(at);
            }
            self.open_next();
            if self.delivery.open_at().is_none() || !self.outcomes.replies.is_empty() {
                return;
            }
        }
    }

    /// Applies the decree that is open.
    fn apply(&mut self, at: At) {
        let Self { delivery, machine, pending, outcomes, origin, .. } = self;
        requires!(A1OneOutcome, outcomes.replies.is_empty());
        outcomes.at = at;
        let mut settling = pending.settle(at.ballot);
        delivery.apply_open(machine, *origin, |number, reply| {
            if settling.take(number) {
                outcomes.replies.push_back((number, reply));
            }
        });
        settling.end();
        let answered = outcomes.replies.len() as u64;
        if answered > 0 {
            self.counters.applied += answered;
            self.put_off_asking();
        }
    }

    /// Opens the next decree at hand.
    fn open_next(&mut self) {
        match self.delivery.open_next(&mut self.machine) {
            Step::Idle => {}
            Step::Reached(end) => {
                self.replica.note_applied(end);
            }
            Step::Opened(at) => {
                if at.ballot > self.pending.ballot() && self.pending.in_doubt().requests > 0 {
                    self.restless = true;
                    // What was offered to earlier leaderships and is not applied never will be.
                    self.counters.offered_again += self.pending.offer_again() as u64;
                }
            }
            Step::Void => self.counters.void += 1,
            Step::Malformed => self.counters.malformed += 1,
        }
    }
}

/// What the host is to do with an action of the replica.
fn outward<R>(action: Action<'_, Bytes>) -> Option<Output<'_, R>> {
    match action {
        Action::Persist { id, record } => Some(Output::Persist { id, record }),
        Action::Send { to, message } => {
            Some(Output::Send { to, payload: Payload::Replica(message) })
        }
        Action::CatchUp { to, from, end, decided } => {
            Some(Output::CatchUp { to, from, end, decided })
        }
        Action::LeaderChanged { leader } => Some(Output::LeaderChanged { leader }),
        // Announced as such, and taken by the service itself.
        Action::Deliver { .. } | Action::DeliverFromLog { .. } => None,
    }
}
