//! Time as an argument: the core never looks at a clock.

use core::fmt;
use core::time::Duration;

/// A point in time, in nanoseconds of a clock of the host's choosing.
///
/// The clock must not go back and must count suspension (`CLOCK_BOOTTIME` on Linux). The host
/// samples it **after** it has taken in the last input of a turn: a host that samples, is stopped
/// and then reads its sockets would judge fresh messages by a stale clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The start of the host's clock.
    pub const ZERO: Self = Self(0);

    /// Later than every deadline: "wake me for nothing".
    pub const NEVER: Self = Self(u64::MAX);

    /// This instant plus `duration`, at most [`Instant::NEVER`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// The time that passed since `earlier`; zero when `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}ms", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Nanoseconds; what does not fit is for ever.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
