//! Decrees and proposals: what a slot can hold.

use core::fmt;

use bytes::Bytes;

use crate::{Ballot, Slot};

/// A handle on a decree. The core clones it and drops it and never looks inside.
///
/// `Bytes` by default; `u8` in a model checker, a registered buffer on RDMA. `clone` must be cheap
/// and must not allocate: the core clones a handle for each decree that it keeps.
pub trait Decree: Clone + Default {
    /// The encoded size in bytes, for the limits of the configuration.
    fn size_bytes(&self) -> usize;
}

impl Decree for Bytes {
    fn size_bytes(&self) -> usize {
        self.len()
    }
}

impl Decree for u8 {
    fn size_bytes(&self) -> usize {
        1
    }
}

impl Decree for u64 {
    fn size_bytes(&self) -> usize {
        8
    }
}

/// What kind of decree a slot holds. The core reads the kind and nothing else.
///
/// The formats keep further values free for configurations and for records found damaged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Kind<D> {
    /// No effect: the barrier of a new leader.
    #[default]
    Noop,
    /// A decree of the application.
    App(D),
}

impl<D: Decree> Kind<D> {
    /// The encoded size of the decree in bytes; 0 for a no-op.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Noop => 0,
            Self::App(decree) => decree.size_bytes(),
        }
    }
}

/// A decree proposed for a slot in a ballot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proposal<D> {
    /// Where.
    pub slot: Slot,
    /// By whom. One ballot proposes at most one decree per slot.
    pub ballot: Ballot,
    /// What.
    pub decree: Kind<D>,
}

/// As transcripts show it: `7=x@1.0`.
impl<D: fmt::Display> fmt::Display for Proposal<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decree {
            Kind::Noop => write!(f, "{}=noop@{}", self.slot, self.ballot),
            Kind::App(decree) => write!(f, "{}={decree}@{}", self.slot, self.ballot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decree_counts_with_its_encoded_bytes() {
        assert_eq!(Kind::App(Bytes::from_static(b"abc")).size_bytes(), 3);
        assert_eq!(Kind::App(7_u8).size_bytes(), 1);
        assert_eq!(Kind::App(7_u64).size_bytes(), size_of::<u64>());
        assert_eq!(Kind::<u64>::Noop.size_bytes(), 0);
    }
}
