//! The header on every message and every log record.

use core::fmt;

use crate::{Boot, ClusterId, GroupId, Incarnation, NodeId, Slot};

/// Who speaks, about which log. On every message and every record; the core itself judges it and
/// drops what does not match, without effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// The cluster that the speaker belongs to.
    pub cluster: ClusterId,
    /// The replicated log that this is about.
    pub group: GroupId,
    /// The configuration that the speaker acts under.
    pub epoch: Epoch,
    /// The speaker.
    pub node: NodeId,
    /// The life of the speaker's disk.
    pub incarnation: Incarnation,
    /// The run of the speaker's process.
    pub boot: Boot,
}

/// The name of one configuration: its number, its first slot and a digest of its members.
///
/// The digest makes two different sets that were given the same number distinct names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Epoch {
    /// Counts configurations, from 1.
    pub number: u32,
    /// The first slot that this configuration decides.
    pub first: Slot,
    /// FNV-1a over the sorted member ids and the quorum sizes.
    pub digest: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from slot {} ({:016x})", self.number, self.first, self.digest)
    }
}
