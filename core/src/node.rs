//! The names of things: clusters, groups, nodes and their lives; sets of nodes.

use core::fmt;

/// One member, for ever. Sparse 64-bit ids are fine; 0 is reserved for "no node".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u64);

/// One cluster: a name that keeps the messages and disks of two installations apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ClusterId(pub u64);

/// One replicated log. A process hosts many groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct GroupId(pub u64);

/// One life of a member's disk, drawn at random when the disk is formatted.
///
/// A wiped or replaced disk has another incarnation, and with it no vote (rule R10).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// Reserved: "not known yet".
    pub const NONE: Self = Self(0);
}

/// One run of a process on one disk; a later run has a higher number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Boot(pub u64);

/// The place of a member in its [`Configuration`](crate::Configuration), from 0.
///
/// The table behind it is sorted by node id, so all members agree on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberIndex(pub u8);

impl MemberIndex {
    /// As an index into an array of [`MEMBERS_MAX`] places.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// A group has at most this many members: a larger quorum costs more than it protects.
pub const MEMBERS_MAX: usize = 9;

/// A set of members: bits over [`MemberIndex`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NodeSet(pub u16);

impl NodeSet {
    /// No member.
    pub const EMPTY: Self = Self(0);

    /// The first `count` members.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        Self(((1u32 << count) - 1) as u16)
    }

    /// The set that holds `member` alone.
    #[must_use]
    pub const fn of(member: MemberIndex) -> Self {
        Self(1 << member.0)
    }

    /// Whether `member` is in the set.
    #[must_use]
    pub const fn contains(self, member: MemberIndex) -> bool {
        self.0 & (1 << member.0) != 0
    }

    /// This set and `member`.
    #[must_use]
    pub const fn with(self, member: MemberIndex) -> Self {
        Self(self.0 | 1 << member.0)
    }

    /// This set without `member`.
    #[must_use]
    pub const fn without(self, member: MemberIndex) -> Self {
        Self(self.0 & !(1 << member.0))
    }

    /// The number of members in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether nobody is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, by index.
    #[must_use]
    pub const fn iter(self) -> Members {
        Members(self.0)
    }
}

/// The members of a [`NodeSet`], by index.
#[derive(Clone, Debug)]
pub struct Members(u16);

impl Iterator for Members {
    type Item = MemberIndex;

    fn next(&mut self) -> Option<MemberIndex> {
        if self.0 == 0 {
            return None;
        }
        let lowest = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(MemberIndex(lowest as u8))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|member| member.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_arithmetic() {
        let set = NodeSet::EMPTY.with(MemberIndex(0)).with(MemberIndex(8));
        assert_eq!(set.len(), 2);
        assert!(set.contains(MemberIndex(8)));
        assert_eq!(set.with(MemberIndex(8)), set, "nobody is in a set twice");
        assert!(!set.contains(MemberIndex(1)));
        assert!(set.without(MemberIndex(0)).without(MemberIndex(8)).is_empty());
        assert_eq!(NodeSet::first(MEMBERS_MAX).len(), MEMBERS_MAX);
        assert!(set.iter().eq([MemberIndex(0), MemberIndex(8)]));
    }
}
