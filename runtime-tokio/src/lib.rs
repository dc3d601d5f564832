//! Synod on tokio: replicas that talk over TCP, each with its log on a thread of its own.
#![forbid(unsafe_code)]

mod accept;
mod checksum;
mod clock;
mod config;
mod error;
mod event_loop;
mod faults;
mod framing;
mod handle;
mod handshake;
mod host;
mod link;
mod log_thread;
mod node;
mod queue;
mod read_thread;
mod sources;
mod status;

pub use clock::now;
pub use config::{Data, Member, Transport, cluster_named};
pub use error::{NodeError, StartError};
pub use faults::Fault;
pub use handle::{Ended, Handle, Submitted};
pub use node::{Builder, Node};
pub use status::{LinkStatus, NodeStatus};
