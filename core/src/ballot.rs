//! A ballot: the number under which one proposer proposes.

use core::cmp::Ordering;
use core::fmt;

use crate::NodeId;

/// A ballot (Lamport, "The Part-Time Parliament", section 2.3).
///
/// Ballots are totally ordered, first by round and then by node. One proposer owns each ballot, so
/// two proposers never propose in the same one. A leadership is named by its ballot: ballots are
/// the fencing tokens of the library.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ballot {
    /// The round. A new ballot takes one above every round its proposer has heard of.
    pub round: u64,
    /// The proposer that owns the ballot.
    pub node: NodeId,
}

impl Ballot {
    /// Below every ballot that a proposer can own.
    pub const ZERO: Self = Self { round: 0, node: NodeId(0) };

    /// Rounds at or above this are refused, so that the next round always exists.
    pub const ROUND_LIMIT: u64 = 1 << 62;

    const fn wide(self) -> u128 {
        (self.round as u128) << 64 | self.node.0 as u128
    }

    /// The ballot that stands for "none".
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.round == 0
    }
}

/// Spelled out, because ballots are compared with every message: one comparison of 128 bits.
impl Ord for Ballot {
    fn cmp(&self, other: &Self) -> Ordering {
        self.wide().cmp(&other.wide())
    }
}

impl PartialOrd for Ballot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    fn lt(&self, other: &Self) -> bool {
        self.wide() < other.wide()
    }

    fn le(&self, other: &Self) -> bool {
        self.wide() <= other.wide()
    }

    fn gt(&self, other: &Self) -> bool {
        self.wide() > other.wide()
    }

    fn ge(&self, other: &Self) -> bool {
        self.wide() >= other.wide()
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.node.0)
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}.{}", self.round, self.node.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_outranks_node() {
        let low = Ballot { round: 1, node: NodeId(9) };
        let high = Ballot { round: 2, node: NodeId(1) };
        assert!(low < high);
        assert!(Ballot { round: 2, node: NodeId(2) } > high);
        assert!(Ballot::ZERO < low);
    }

    #[test]
    fn all_comparisons_agree_with_the_order_of_rounds_and_nodes() {
        let ballots = [(0, 0), (1, 1), (1, 2), (2, 1), (u64::MAX, u64::MAX)];
        for (left, right) in ballots.iter().flat_map(|l| ballots.iter().map(move |r| (*l, *r))) {
            let ballot = |(round, node)| Ballot { round, node: NodeId(node) };
            let (a, b) = (ballot(left), ballot(right));
            assert_eq!(a.cmp(&b), left.cmp(&right), "{a} and {b}");
            assert_eq!(a.partial_cmp(&b), left.partial_cmp(&right), "{a} and {b}");
            let compared = [a < b, a <= b, a > b, a >= b];
            assert_eq!(compared, [left < right, left <= right, left > right, left >= right]);
        }
    }
}
