//! Quorum sizes and the arithmetic on cursors that decides.

use crate::{ConfigError, MEMBERS_MAX, Slot};

/// How many members make a phase-1 and a phase-2 quorum.
///
/// Any phase-1 quorum must share a member with any phase-2 quorum ("Flexible Paxos", Howard et
/// al., section 3): `phase1 + phase2 > members`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quorums {
    /// Promises that a proposer needs before it proposes.
    pub phase1: usize,
    /// Acceptors that make a decree chosen.
    pub phase2: usize,
}

impl Quorums {
    /// A majority for both phases.
    #[must_use]
    pub const fn majority(members: usize) -> Self {
        let size = members / 2 + 1;
        Self { phase1: size, phase2: size }
    }

    /// Members needed by a set that is a quorum of both phases.
    #[must_use]
    pub const fn both(self) -> usize {
        if self.phase1 > self.phase2 { self.phase1 } else { self.phase2 }
    }

    /// Checks the sizes against the number of members.
    ///
    /// # Errors
    /// When a size is 0 or above `members`, or when quorums of the two phases could miss each
    /// other.
    pub const fn check(self, members: usize) -> Result<(), ConfigError> {
        let sound = self.phase1 >= 1
            && self.phase2 >= 1
            && self.phase1 <= members
            && self.phase2 <= members
            && self.phase1 + self.phase2 > members;
        if sound { Ok(()) } else { Err(ConfigError::QuorumsDoNotIntersect) }
    }
}

/// The highest slot that at least `quorum` of the `cursors` have reached: the `quorum`-th largest.
///
/// With one cursor per member, each the end of what that member accepted in one ballot, everything
/// below the result is chosen (rule R1).
///
/// Pre-condition: `1 <= quorum <= cursors.len() <= MEMBERS_MAX`.
#[must_use]
pub fn reached_by(quorum: usize, cursors: &[Slot]) -> Slot {
    debug_assert!(quorum >= 1 && quorum <= cursors.len() && cursors.len() <= MEMBERS_MAX);
    let mut sorted = [Slot::ZERO; MEMBERS_MAX];
    let sorted = &mut sorted[..cursors.len()];
    sorted.copy_from_slice(cursors);
    sorted.sort_unstable_by(|left, right| right.cmp(left));
    sorted[quorum - 1]
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// The definition, spelled out: the highest cursor that `quorum` members have reached.
    fn naive(quorum: usize, cursors: &[Slot]) -> Slot {
        let reached = |end: Slot| cursors.iter().filter(|cursor| **cursor >= end).count();
        cursors.iter().copied().filter(|end| reached(*end) >= quorum).max().unwrap_or(Slot::ZERO)
    }

    #[test]
    fn regression_of_openraft_1802() {
        // S13: only two voters have 6.
        let mut cursors = [5, 3, 4, 0, 0].map(Slot);
        cursors[2] = Slot(10);
        cursors[3] = Slot(6);
        assert_eq!(reached_by(3, &cursors), Slot(5));
    }

    #[test]
    fn agrees_with_the_naive_twin() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let members = 1 + (next() % 9) as usize;
            let quorum = 1 + (next() % members as u64) as usize;
            let cursors: Vec<Slot> = (0..members).map(|_| Slot(next() % 8)).collect();
            assert_eq!(reached_by(quorum, &cursors), naive(quorum, &cursors), "{cursors:?}");
        }
    }

    #[test]
    fn quorums_must_intersect() {
        for members in 1..=MEMBERS_MAX {
            assert!(Quorums::majority(members).check(members).is_ok());
            for phase1 in 0..=members + 1 {
                for phase2 in 0..=members + 1 {
                    let sizes = 1..=members;
                    let sound = sizes.contains(&phase1)
                        && sizes.contains(&phase2)
                        && disjoint_pair(members, phase1, phase2).is_none();
                    let check = Quorums { phase1, phase2 }.check(members);
                    assert_eq!(check.is_ok(), sound, "{phase1} and {phase2} of {members}");
                }
            }
        }
    }

    /// Two sets of the given sizes without a common member, by search.
    fn disjoint_pair(members: usize, left: usize, right: usize) -> Option<(u32, u32)> {
        let sets =
            |size: usize| (0..1u32 << members).filter(move |s| s.count_ones() as usize == size);
        sets(left).find_map(|l| sets(right).find(|r| l & r == 0).map(|r| (l, r)))
    }
}
