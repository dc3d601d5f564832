//! Errors: what peers, hosts and configurations can get wrong.

use core::fmt;

use crate::{Ballot, Boot, ClusterId, Epoch, GroupId, Incarnation, NodeId, Slot};

/// A message was dropped: nothing that the protocol decides on has changed. The sender's fault, or
/// that of a network that delivers what an earlier run sent; never a reason to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerMisbehaved {
    /// The sender belongs to another cluster.
    WrongCluster(ClusterId),
    /// The message is about another group.
    WrongGroup(GroupId),
    /// The sender acts under another configuration.
    WrongEpoch(Epoch),
    /// The sender is not a member, or is this node itself.
    NotAMember(NodeId),
    /// The sender's disk is not the one that this member is known by (R10).
    StaleIncarnation(NodeId, Incarnation),
    /// The message is of an earlier run of the sender.
    StaleBoot(NodeId, Boot),
    /// The sender names a ballot that it does not own, or one beyond all bounds.
    BadBallot(NodeId, Ballot),
    /// Proposals that are not one run of consecutive slots from the slot named, or beyond all
    /// bounds.
    SlotsNotContiguous(NodeId, Slot),
    /// A larger decree than `decree_bytes_max` allows.
    TooLarge(NodeId),
    /// Forwarded requests that cannot be read.
    MalformedRequests(NodeId),
}

/// Why [`Replica::propose`](crate::Replica::propose) gave a decree back. It was not and will not
/// be proposed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused<D> {
    /// The decree, given back.
    pub decree: D,
    /// Why.
    pub why: Refusal,
}

/// Why a decree was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// This replica does not lead; the leader it knows of, if any.
    NotLeader(Option<NodeId>),
    /// This replica does not lead in the ballot that the proposal was conditional on (A10).
    OtherBallot(Ballot),
    /// The window is full: try again when something was decided.
    Busy,
    /// Larger than `decree_bytes_max`.
    TooLarge,
    /// The replica stopped: its log failed.
    Stopped,
}

/// A configuration that cannot work, or a log that does not fit it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// A set of members needs 1 to [`MEMBERS_MAX`](crate::MEMBERS_MAX) of them.
    MemberCount(usize),
    /// A node id occurs twice.
    DuplicateMember(NodeId),
    /// Node id 0 is reserved.
    ReservedNodeId,
    /// This node is not in the set.
    NotAMember(NodeId),
    /// A phase-1 and a phase-2 quorum could have no member in common.
    QuorumsDoNotIntersect,
    /// The limit named is zero, not a power of two where it must be one, or at odds with another.
    Limit(&'static str),
    /// The timeout named is zero or at odds with another.
    Timeout(&'static str),
    /// The log is not one contiguous run above its decided mark: it is damaged.
    LogNotContiguous(Slot),
    /// The log has no incarnation or no boot number: it was not formatted.
    LogNotFormatted,
    /// The log starts at the second slot, but the state machine holds only what lies below the
    /// first: what lies between is lost.
    StateBehindLog(Slot, Slot),
}

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongCluster(id) => write!(f, "message of another cluster ({:#x})", id.0),
            Self::WrongGroup(id) => write!(f, "message of another group ({})", id.0),
            Self::WrongEpoch(epoch) => write!(f, "message of another configuration ({epoch})"),
            Self::NotAMember(node) => write!(f, "node {node} is no other member of this group"),
            Self::StaleIncarnation(node, incarnation) => write!(
                f,
                "node {node} has another disk than the one on record (incarnation {:#x}): it may \
                 not vote until it is re-admitted",
                incarnation.0
            ),
            Self::StaleBoot(node, boot) => {
                write!(f, "message of an earlier run of node {node} (boot {})", boot.0)
            }
            Self::BadBallot(node, ballot) => {
                write!(f, "node {node} used ballot {ballot}, which is not its own or out of range")
            }
            Self::SlotsNotContiguous(node, slot) => {
                write!(f, "node {node} sent slots that are no run from {slot}, or out of range")
            }
            Self::TooLarge(node) => write!(f, "node {node} sent more than the limits allow"),
            Self::MalformedRequests(node) => {
                write!(f, "node {node} forwarded requests that cannot be read")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader(Some(node)) => write!(f, "not the leader; node {node} is"),
            Self::NotLeader(None) => f.write_str("not the leader; none is known"),
            Self::OtherBallot(ballot) => write!(f, "this replica leads in ballot {ballot}"),
            Self::Busy => f.write_str("the window is full"),
            Self::TooLarge => f.write_str("the decree is larger than decree_bytes_max"),
            Self::Stopped => f.write_str("the replica stopped because its log failed"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MemberCount(count) => {
                write!(f, "a group has 1 to {} members, not {count}", crate::MEMBERS_MAX)
            }
            Self::DuplicateMember(node) => write!(f, "node {node} is listed twice"),
            Self::ReservedNodeId => f.write_str("node id 0 is reserved; number nodes from 1"),
            Self::NotAMember(node) => write!(f, "node {node} is not in its own member list"),
            Self::QuorumsDoNotIntersect => {
                f.write_str("phase-1 and phase-2 quorums must share a member")
            }
            Self::Limit(name) => write!(f, "limit `{name}` is out of its range"),
            Self::Timeout(name) => write!(f, "timeout `{name}` is out of its range"),
            Self::LogNotContiguous(slot) => {
                write!(f, "the log has a gap at slot {slot} above its decided mark")
            }
            Self::LogNotFormatted => f.write_str("the log has no incarnation or no boot number"),
            Self::StateBehindLog(applied, retained) => write!(
                f,
                "the state machine is at slot {applied} and the log starts at {retained}: restore \
                 a state that reaches that far"
            ),
        }
    }
}

impl core::error::Error for PeerMisbehaved {}
impl core::error::Error for ConfigError {}
impl core::error::Error for Refusal {}
