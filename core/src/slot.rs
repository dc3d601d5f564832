//! A slot: one position in the replicated log.

use core::fmt;
use core::ops::Sub;

/// A position in the replicated log. Slots are numbered from 0 without gaps.
///
/// Ranges of slots are half open everywhere: `from..end`, `end` exclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Slot(pub u64);

impl Slot {
    /// The first slot of a log.
    pub const ZERO: Self = Self(0);

    /// No log reaches this slot: messages and records that name one at or above it are refused, so
    /// arithmetic on slots cannot overflow. A group that decides a million slots a second gets
    /// there after 146,000 years.
    pub const LIMIT: Self = Self(1 << 62);

    /// The slot after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The slot `count` places further.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// The number of slots in `from..self`; 0 when `from` lies behind `self`.
    #[must_use]
    pub const fn since(self, from: Self) -> u64 {
        self.0.saturating_sub(from.0)
    }
}

/// `end - from`: the length of a range of slots.
impl Sub for Slot {
    type Output = u64;

    fn sub(self, from: Self) -> u64 {
        self.0 - from.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}
