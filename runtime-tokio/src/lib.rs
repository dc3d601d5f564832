//! Synod on tokio: replicas that talk over TCP, each with its log on a thread of its own, unless
//! that is in memory.
//!
//! # What it is
//!
//! A [`Node`] is one member of one replicated group. Give it a [`StateMachine`] and the addresses
//! of its peers, [start](Builder::start) it, and [submit](Handle::submit) requests through any
//! number of [handles](Handle), on any node: each request is applied by the state machines of all
//! nodes, in the same order everywhere, and has exactly one [`Outcome`].
//!
//! ```
//! use bytes::Bytes;
//! use synod_core::NodeId;
//! use synod_core::service::{At, Outcome, Request, StateMachine};
//! use synod_tokio::{Node, cluster_named};
//!
//! /// Adds up what it is sent.
//! struct Sum(u64);
//!
//! impl StateMachine for Sum {
//!     type Reply = u64;
//!
//!     fn apply(&mut self, _: At, request: &[u8]) -> u64 {
//!         self.0 += request.len() as u64;
//!         self.0
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! // A group of one, with its log in memory: no network, no disk.
//! let builder = Node::builder(cluster_named("example"), NodeId(1));
//! let (_node, handle) = builder.start(Sum(0)).await?;
//!
//! let outcome = handle.submit(Request::new(Bytes::from_static(b"seven.."))).await;
//! match outcome {
//!     Outcome::Applied { reply, .. } => assert_eq!(reply, 7),
//!     Outcome::Refused(why) => panic!("for certain not applied: {why}"),
//!     Outcome::Unknown { .. } => panic!("perhaps applied: the leadership was lost meanwhile"),
//! }
//! handle.shutdown().await?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! A caller with many requests under way uses a [`Pipe`]: it costs a fraction of a future each.
//!
//! A group of three differs by three calls of [`Builder::member`], the same on each node, and by
//! [`Data::Directory`] for a log that outlives its process.
//!
//! # What it is not
//!
//! It holds no rule of the protocol: that is `synod-core`. It does not encrypt and does not
//! authenticate: whoever can reach the port and knows the names can speak as a member. Keep the
//! port within a network that you trust. It does not change the members of a group, nor does it
//! take snapshots: a log grows for as long as its group lives.
//!
//! # What it promises
//!
//! - **A request that was answered with [`Outcome::Applied`] is never lost** as long as the disks
//!   of a majority keep what they reported durable. One that was refused was not applied and will
//!   not be. One that is unknown may have been, or may yet be.
//! - A node whose log fails stops at once and for good ([`NodeError::Log`]): what a failed sync
//!   leaves on a disk nobody knows. Nothing that it had not synced was called durable.
//! - Everything has a limit: see [`Transport`], [`Limits`](synod_core::Limits) and
//!   [`ServiceLimits`](synod_core::service::ServiceLimits). A peer that is slow, deaf or away costs
//!   its bounded queue and slows nobody; what it misses is sent again or read back from a log when
//!   it returns.
//! - Bytes of strangers change nothing. A connection that brings garbage, or frames of another
//!   cluster, group, node or run than its handshake, is closed; the [`Fault`] is counted, and
//!   logged (through `tracing`) at most once a second per kind.
//!
//! # How it works
//!
//! One task per node owns the [`Service`](synod_core::service::Service) and with it all state of
//! the protocol. It waits for frames, watermarks of the log, requests or a deadline, takes in
//! *everything* that is ready, and only then samples the clock: had it been stopped in between, it
//! would judge fresh messages by a stale clock. It pulls all outputs, encodes each message once for
//! all its receivers, and wakes links and log once. [`StateMachine::apply`] runs in this task, so
//! a request that takes long to apply holds up the whole node.
//!
//! When a turn has told a caller its outcome, a caller on the thread of the node has a turn before
//! the other members are told what is decided: what it submits next takes the news along. A caller
//! on another thread has the time that an empty turn takes.
//!
//! Two nodes share two connections, one each way; each node dials its peers and sends on what it
//! dialled. One thread per node writes and syncs the log, and takes in one go what has piled up
//! while it was busy (group commit); another reads old decrees back, for peers that lag.
//!
//! [`StateMachine`]: synod_core::service::StateMachine
//! [`StateMachine::apply`]: synod_core::service::StateMachine::apply
//! [`Outcome`]: synod_core::service::Outcome
//! [`Outcome::Applied`]: synod_core::service::Outcome::Applied
#![forbid(unsafe_code)]

mod accept;
mod buffers;
mod busy_poll;
mod caller;
mod checksum;
mod clock;
mod config;
mod connection;
mod doorstep;
mod error;
mod event_loop;
mod faults;
mod framing;
mod handle;
mod handshake;
mod host;
mod known;
mod link;
mod log_side;
mod log_thread;
#[cfg(test)]
mod loopback;
mod node;
mod pipe;
mod queue;
mod read_thread;
mod sources;
mod status;
mod submits;

pub use clock::now;
pub use config::{Data, Member, Transport, cluster_named};
pub use error::{NodeError, StartError};
pub use faults::Fault;
pub use handle::{Ended, Handle, Submitted};
pub use node::{Builder, Node};
pub use pipe::Pipe;
pub use status::{LinkStatus, NodeStatus};
