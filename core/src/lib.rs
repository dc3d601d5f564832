//! Placeholder, replaced below.
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
pub use node::{Boot, ClusterId, GroupId, Incarnation, MEMBERS_MAX, MemberIndex, NodeId, NodeSet};
pub use quorum::{Quorums, reached_by};
pub use recovered::Recovered;
pub use replica::{Replica, Standing};
pub use slot::Slot;
pub use time::Instant;
