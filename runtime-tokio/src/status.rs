//! How a node is, for people and programs.

use synod_core::NodeId;
use synod_core::service::Status;

use crate::Fault;

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// The replica and its state machine.
    pub service: Status,
    /// The link to each peer, in the order of node ids.
    pub links: Vec<LinkStatus>,
    /// Each kind of fault and how often it occurred since the node started.
    pub faults: Vec<(Fault, u64)>,
}

/// The link between a node and one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkStatus {
    /// The peer.
    pub peer: NodeId,
    /// Whether the two are connected.
    pub is_up: bool,
    /// Bytes that wait to be sent to it. At most `send_queue_bytes_max`.
    pub queued_bytes: usize,
    /// Frames handed to its link.
    pub frames_sent: u64,
    /// Frames dropped, for want of room or of a link.
    pub frames_dropped: u64,
    /// Frames that came from it.
    pub frames_received: u64,
}

impl NodeStatus {
    /// The members that this node cannot talk with, as long as it has no vote. A new group forms
    /// only when every member has met every other (rule R10): these are the ones it waits for.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<NodeId> {
        if self.service.votes {
            return Vec::new();
        }
        self.links.iter().filter(|link| !link.is_up).map(|link| link.peer).collect()
    }

    /// How often `fault` occurred.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> u64 {
        self.faults.iter().find(|(kind, _)| *kind == fault).map_or(0, |(_, count)| *count)
    }
}
