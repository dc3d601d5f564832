//! The settings of `synod-kv serve`: from flags, from a TOML file, or from both.
//!
//! Flags win over the file. Everything is checked before anything starts, and a [`Mistake`] names
//! the key, what it was set to, and what is allowed.
//!
//! ```toml
//! id = 1                          # this node, one of the peers
//! cluster = "orders"              # keeps two clusters apart
//! client = "0.0.0.0:6379"         # where clients connect
//! listen = "0.0.0.0:7001"         # where replicas connect; by default its own address in `peers`
//! peers = ["1=10.0.0.1:7001", "2=10.0.0.2:7001", "3=10.0.0.3:7001"]
//! data = "/var/lib/synod-kv"      # where the log lies
//! log = "file"                    # or "memory"
//!
//! [limits]                        # see `NUMBERS` for all of them and their ranges
//! clients_max = 10000
//!
//! [timeouts]
//! election_ms = 500
//! ```
//!
//! The id of the cluster, which every message and log record carries, is the 64-bit FNV-1a hash of
//! its name.

mod check;
mod file;
mod mistake;
mod nearest;
mod numbers;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use synod_core::service::ServiceLimits;
use synod_core::{Limits, NodeId, Timeouts};
use synod_tokio::{Member, Transport};

pub use mistake::Mistake;
pub use numbers::{NUMBERS, Number};

use crate::server::ClientLimits;

/// Settings as they were given, each at most once, nothing checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Given {
    /// `id`
    pub id: Option<String>,
    /// `cluster`
    pub cluster: Option<String>,
    /// `listen`
    pub listen: Option<String>,
    /// `client`
    pub client: Option<String>,
    /// `peers`, each `id=host:port`
    pub peers: Option<Vec<String>>,
    /// `data`
    pub data: Option<String>,
    /// `log`
    pub log: Option<String>,
    /// The names of [`NUMBERS`], as `section.key`, and their values.
    pub numbers: Vec<(&'static str, u64)>,
}

/// Settings that were checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// The name of the cluster.
    pub cluster: String,
    /// Where replicas connect.
    pub listen: String,
    /// Where clients connect.
    pub client: String,
    /// The members, this node among them.
    pub peers: Vec<Member>,
    /// Where the log is kept.
    pub log: LogKind,
    /// The numbers.
    pub tuning: Tuning,
}

/// Where decrees are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogKind {
    /// In files in this directory.
    File(PathBuf),
    /// In memory: what this replica accepted is gone when it stops.
    Memory,
}

impl LogKind {
    /// Its name in the settings.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Memory => "memory",
        }
    }
}

/// All limits and timeouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Of the client port.
    pub clients: ClientLimits,
    /// Of the replica.
    pub replica: Limits,
    /// Of the replica.
    pub timeouts: Timeouts,
    /// Of the service.
    pub service: ServiceLimits,
    /// Of the links between replicas.
    pub transport: Transport,
    /// The most bytes in a log in memory.
    pub memory_log_bytes_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            clients: ClientLimits::default(),
            replica: Limits::default(),
            timeouts: Timeouts::default(),
            service: ServiceLimits::default(),
            transport: Transport::default(),
            memory_log_bytes_max: 1 << 30,
        }
    }
}
