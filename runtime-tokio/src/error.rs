//! Why a node does not start, and why it ended.

use std::error::Error;
use std::fmt;
use std::io;

use synod_core::{ConfigError, NodeId};
use synod_log::{LogError, OpenError};

/// Why a node did not start. It left nothing behind but, perhaps, its data directory.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The members, the limits or the timeouts cannot work.
    Config(ConfigError),
    /// The limit or timeout named is out of its range.
    Limit {
        /// Its name.
        name: &'static str,
        /// The range.
        range: &'static str,
    },
    /// The address of a member is none.
    Address {
        /// The member.
        node: NodeId,
        /// What was given as its address.
        address: String,
    },
    /// A node with peers needs an address to listen on: name this node among the members, or give
    /// the address apart.
    NoAddress(NodeId),
    /// The address to listen on cannot be had.
    Listen {
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The log did not open.
    Open(OpenError),
    /// The system gave no random numbers to name a new log with.
    Randomness(io::Error),
    /// The system gave no thread.
    Thread(io::Error),
    /// `start` was not called within a tokio runtime.
    NoRuntime,
}

/// Why a node ended other than by a shutdown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// The log failed. The node sends nothing more and calls nothing more durable; what it had
    /// called durable is. Mend the disk and start the node again.
    Log(LogError),
    /// Decided slots could not be read back from the log, so that the state cannot be rebuilt.
    ReadBack(LogError),
    /// A thread of the log is gone.
    LogThread,
    /// The node panicked, most likely in the state machine, or its runtime was shut down.
    Died,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Limit { name, range } => write!(f, "`{name}` must be {range}"),
            Self::Address { node, address } => write!(
                f,
                "`{address}` is no address of node {node}: give `host:port`, where the host is a \
                 name, an IPv4 address, or an IPv6 address in brackets"
            ),
            Self::NoAddress(node) => write!(
                f,
                "node {node} has peers and no address to listen on: name it among the members, \
                 or give it an address"
            ),
            Self::Listen { address, error } => write!(
                f,
                "cannot listen on {address}: {error}; choose an address of this machine with a \
                 free port"
            ),
            Self::Open(error) => error.fmt(f),
            Self::Randomness(error) => write!(f, "the system gave no random numbers: {error}"),
            Self::Thread(error) => write!(f, "the system gave no thread: {error}"),
            Self::NoRuntime => {
                f.write_str("a node is started within a tokio runtime with I/O and time enabled")
            }
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "the log failed, and the node stopped: {error}"),
            Self::ReadBack(error) => {
                write!(f, "the log cannot be read back, and the node stopped: {error}")
            }
            Self::LogThread => f.write_str("a thread of the log is gone, and the node stopped"),
            Self::Died => f.write_str("the node panicked, or its runtime was shut down"),
        }
    }
}

impl Error for StartError {}
impl Error for NodeError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
