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

mod config;
mod input;
mod machine;
mod message;
mod outcome;
mod request;
mod status;

pub use config::{ServiceConfig, ServiceLimits};
pub use input::{Input, Output};
pub use machine::{At, StateMachine};
pub use message::ServiceMessage;
pub use outcome::{Outcome, Why};
pub use request::{Rejected, Request, RequestId};
pub use status::{Counters, Status};

use bytes::Bytes;

use crate::{ConfigError, Instant, PeerMisbehaved, Recovered, Replica};

/// A replica and the state machine on top of it.
#[derive(Debug)]
pub struct Service<M> {
    replica: Replica<Bytes>,
    machine: M,
}

#[allow(unused_variables, clippy::todo, clippy::missing_const_for_fn)]
impl<M: StateMachine> Service<M> {
    /// Builds a service from what its log recovered. Sets `recovered.applied` to what the state
    /// machine says that it holds. All memory of the queues is reserved here.
    ///
    /// # Errors
    /// When a limit, a timeout or the log does not fit.
    pub fn new(
        config: ServiceConfig,
        recovered: Recovered<Bytes>,
        machine: M,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        todo!()
    }

    /// Takes a request. Its outcome comes out of [`Service::poll`] under the id returned. The
    /// state machine never runs in here.
    ///
    /// # Errors
    /// Gives the request back when it was not taken: it was not and will not be applied.
    pub fn submit(&mut self, now: Instant, request: Request) -> Result<RequestId, Rejected> {
        todo!()
    }

    /// Takes in something that happened outside.
    ///
    /// # Errors
    /// Blames the sender of a message that was dropped without effect.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), PeerMisbehaved> {
        todo!()
    }

    /// Pulls the next thing to do; `None` when there is nothing left in this turn. Chosen decrees
    /// are applied to the state machine in here.
    pub fn poll(&mut self) -> Option<Output<'_, M::Reply>> {
        todo!()
    }

    /// When to hand in [`Event::DeadlineReached`](crate::Event::DeadlineReached), at the latest.
    pub fn deadline(&self) -> Instant {
        todo!()
    }

    /// Begins the end: later submits are rejected, queued requests are refused, requests in flight
    /// still get their outcome. The replica goes on until the host drops it.
    pub fn shut_down(&mut self, now: Instant) {
        todo!()
    }

    /// Whether every accepted request has had its outcome.
    pub fn is_drained(&self) -> bool {
        todo!()
    }

    /// How this replica is.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// The state machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The state machine, for what is no part of the replicated state.
    pub fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The replica below.
    pub fn replica(&self) -> &Replica<Bytes> {
        &self.replica
    }
}
