//! What commands tell about the server they run on.

use core::time::Duration;

use synod_core::{Ballot, NodeId, Slot};

/// The settings that `CONFIG GET` shows, by Redis's names.
pub type Settings = Vec<(&'static str, String)>;

/// How things stand on this replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The name of the cluster.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// The members, by id.
    pub members: Vec<NodeId>,
    /// The ballot of the leader that this replica knows; the node in it leads.
    pub leader: Option<Ballot>,
    /// Whether this replica votes.
    pub votes: bool,
    /// Everything below is known here to be chosen.
    pub decided: Slot,
    /// Everything below is applied here.
    pub applied: Slot,
    /// The digest of the state when everything below `applied` was applied.
    pub digest: u64,
    /// The number of keys.
    pub keys: u64,
    /// The links to the peers.
    pub links: Vec<Link>,
    /// Where decrees are kept: `file` or `memory`.
    pub log: &'static str,
    /// The port for clients.
    pub client_port: u16,
    /// Clients now connected.
    pub clients: u64,
    /// The most clients at one time.
    pub clients_max: u64,
    /// Clients since the start.
    pub connections: u64,
    /// Clients turned away since the start, because there were too many.
    pub turned_away: u64,
    /// Commands since the start.
    pub commands: u64,
    /// Commands answered with `UNCERTAIN` since the start.
    pub uncertain: u64,
    /// Since when the process runs.
    pub uptime: Duration,
}

impl Facts {
    /// Whether this replica leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leader.is_some_and(|ballot| ballot.node == self.node)
    }
}

/// The link between this replica and one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The peer.
    pub peer: NodeId,
    /// Whether the two are connected.
    pub is_up: bool,
    /// Bytes that wait to be sent to it.
    pub queued_bytes: usize,
}
