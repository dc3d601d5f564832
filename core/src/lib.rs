//! Multi-Paxos as a pure, IO-free core: events in, actions out.
//!
//! # What it is
//! A [`Replica`] is one member of a group of 1 to 9 that keeps one log of decrees identical on all
//! of them, as long as a quorum is there and through any crash, loss, delay or partition. It is
//! proposer, acceptor and learner of multi-Paxos ("Paxos Made Simple", Lamport 2001), with a
//! window of decrees in flight, several log writes in flight, and catch-up from any peer. The
//! [`service`] half puts a state machine on top: batching, forwarding, one outcome per request.
//! [`wire`] and [`record`] are the formats of messages and log records.
//!
//! # What it is not
//! It opens no socket and no file, starts no thread, reads no clock and draws no random number. A
//! *host* does: one of Synod's runtimes, the simulator, or an event loop of your own.
//!
//! # The contract, in one sentence
//! **Every action may be carried out the moment it is polled**: the core emits no message before
//! what it promises is durable, so no ordering rule is left to the host.
//!
//! # The loop of a host
//! 1. Wait for a socket, a completed log write, a request, or [`Replica::deadline`].
//! 2. Hand in *everything* that is ready: [`Replica::handle`] takes an [`Event`],
//!    [`Replica::propose`] a decree. Take `now` from the clock **after** the last input of the turn
//!    was read.
//! 3. Pull actions with [`Replica::poll`], or let [`drain`] hand them to your [`Host`], until there
//!    are none. Messages and records borrow from the replica: encode them where you want them.
//! 4. When the log has synced, report the durable prefix: [`Event::Persisted`]. A host whose log is
//!    durable at once answers [`Persistence::Done`] instead.
//!
//! ```
//! use synod_core::*;
//!
//! // A group of one: no network, and a log in memory.
//! let members = Configuration::first(&[NodeId(1)])?;
//! let config = Config::new(ClusterId(1), GroupId(0), NodeId(1), members);
//! let log = Recovered::<u64>::formatted(Incarnation(0xC0FFEE));
//! let mut now = Instant::ZERO;
//! let mut replica = Replica::new(config, log, now)?;
//! let mut applied = Vec::new();
//!
//! let mut proposed = None;
//! while replica.applied() < Slot(2) {
//!     now = replica.deadline().max(now); // a real host sleeps until then
//!     replica.handle(now, Event::DeadlineReached).expect("only messages are refused");
//!     if replica.standing() == Standing::Leading && proposed.is_none() {
//!         proposed = replica.propose(now, 42, None).ok();
//!     }
//!     while let Some(action) = replica.poll() {
//!         let event = match action {
//!             Action::Persist { id, record: _ } => Event::Persisted { upto: id }, // synced
//!             Action::Deliver { chosen } => {
//!                 applied.extend(chosen.iter().map(|proposal| proposal.decree.clone()));
//!                 Event::Applied { end: chosen.last().expect("not empty").slot.next() }
//!             }
//!             Action::Send { .. } | Action::CatchUp { .. } => continue, // nobody else is there
//!             Action::DeliverFromLog { .. } | Action::LeaderChanged { .. } => continue,
//!         };
//!         replica.handle(now, event).expect("only messages are refused");
//!     }
//! }
//! assert_eq!(proposed, Some(Slot(1))); // slot 0 holds the barrier of the new leader
//! assert_eq!(applied, [Kind::Noop, Kind::App(42)]);
//! # Ok::<(), ConfigError>(())
//! ```
//!
//! # A whole host
//! `core/examples/event_loop` is an event loop of one's own on plain sockets, with a log in a
//! file: three processes that elect, decide and apply. Run it with
//! `cargo run -p synod-core --example event_loop`; one member of it reads so:
//!
//! ```text
#![doc = include_str!("../examples/event_loop/member.rs")]
//! ```
//!
//! # Words
//! A **ballot** is (round, node); one proposer owns each. A **slot** is a position in the log, a
//! **decree** what it holds, a **proposal** a decree for a slot in a ballot. A proposal is
//! *accepted* in one acceptor's window; *chosen* once a phase-2 quorum accepted it, a fact about
//! the cluster; *decided* where a replica knows that; then *delivered* to the host and *applied* by
//! the state machine. *Durable* is what the log confirmed. Ranges are `from..end`, `end` exclusive.
//!
//! # Forming a group
//! A replica whose log was just formatted has no vote until **every** other member has its disk's
//! incarnation on durable record ([`Replica::unacquainted`] tells who lacks). So a group forms when
//! all its members have met once, and a wiped disk never votes by itself (rule R10).
//!
//! # Panics and errors
//! What peers say is judged, and refused as [`PeerMisbehaved`]; what a host asks too much for is
//! [`Refused`]; neither panics. Panics are for the core's own broken invariants: a gate at the exit
//! checks every message against the durable state, in release builds too, because sending it would
//! break a promise to the cluster.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod action;
mod ballot;
pub mod checksum;
mod config;
pub mod contracts;
mod decree;
mod driver;
mod error;
mod event;
mod header;
mod message;
mod node;
mod quorum;
pub mod record;
mod recovered;
mod replica;
pub mod service;
mod slot;
mod time;
mod window;
pub mod wire;

pub use action::{Action, Body, Record, WriteId};
pub use ballot::Ballot;
pub use config::{Config, Configuration, Limits, Timeouts};
pub use decree::{Decree, Kind, Proposal};
pub use driver::{Host, Persistence, drain};
pub use error::{ConfigError, PeerMisbehaved, Refusal, Refused};
pub use event::Event;
pub use header::{Epoch, Header};
pub use message::{Beat, Message};
pub use node::{
    Boot, ClusterId, GroupId, Incarnation, MEMBERS_MAX, MemberIndex, Members, NodeId, NodeSet,
};
pub use quorum::{Quorums, reached_by};
pub use recovered::Recovered;
pub use replica::{Replica, Standing};
pub use slot::Slot;
pub use time::Instant;
