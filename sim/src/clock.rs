//! Time: the true time of the world, and the clock of each node, which lies.

use std::fmt;
use std::time::Duration;

use synod_core::Instant;

/// A point in the true time of the simulated world, in nanoseconds. No node ever sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// The start of every run.
    pub const ZERO: Self = Self(0);
    /// Later than everything.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment plus `nanos`.
    #[must_use]
    pub const fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// This moment plus `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.plus(nanos(duration))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}.{:03} ms", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// So many milliseconds.
#[must_use]
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The nanoseconds of a duration; the largest number for one beyond 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The clock of one node: it runs at a rate of its own, from an offset of its own, may jump, and
/// may stand still. Where it is set back its host stays at the latest time that it has seen, as the
/// core demands.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Local nanoseconds that pass in a million true ones.
    rate_ppm: u64,
    /// What it showed at `since`.
    shown: u64,
    since: Moment,
}

impl Clock {
    /// A clock that shows `offset` at the start of the world.
    #[must_use]
    pub const fn new(rate_ppm: u64, offset: u64) -> Self {
        Self { rate_ppm, shown: offset, since: Moment::ZERO }
    }

    /// What it shows.
    #[must_use]
    pub fn at(&self, moment: Moment) -> Instant {
        let passed = u128::from(moment.0.saturating_sub(self.since.0)) * u128::from(self.rate_ppm);
        Instant(self.shown + (passed / 1_000_000) as u64)
    }

    /// The first moment at which it shows `instant` or later.
    #[must_use]
    pub fn reaches(&self, instant: Instant) -> Moment {
        if instant == Instant::NEVER {
            return Moment::NEVER;
        }
        if instant.0 <= self.shown {
            return self.since;
        }
        if self.rate_ppm == 0 {
            return Moment::NEVER;
        }
        let ahead = u128::from(instant.0.saturating_sub(self.shown)) * 1_000_000;
        let passed = ahead.div_ceil(u128::from(self.rate_ppm));
        self.since.plus(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Jumps forward by `nanos` at `now`, and goes on at `rate_ppm`.
    pub fn adjust(&mut self, now: Moment, nanos: u64, rate_ppm: u64) {
        self.shown = self.at(now).0 + nanos;
        self.since = now;
        self.rate_ppm = rate_ppm;
    }

    /// Jumps back by `nanos` at `now`, at most to 0.
    pub fn set_back(&mut self, now: Moment, nanos: u64) {
        self.shown = self.at(now).0.saturating_sub(nanos);
        self.since = now;
    }

    /// Local nanoseconds that pass in a million true ones.
    #[must_use]
    pub const fn rate_ppm(&self) -> u64 {
        self.rate_ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_reaches_is_what_it_shows() {
        for rate in [1, 333_333, 999_999, 1_000_000, 1_000_001, 2_000_000] {
            let mut clock = Clock::new(rate, 17);
            clock.adjust(Moment(1_000), 5, rate);
            for ahead in [0, 1, 2, 999, 1_000_003] {
                let instant = Instant(clock.at(Moment(1_000)).0 + ahead);
                let moment = clock.reaches(instant);
                assert!(clock.at(moment) >= instant, "rate {rate}");
                if moment > Moment(1_000) {
                    assert!(clock.at(Moment(moment.0 - 1)) < instant, "rate {rate}");
                }
            }
        }
        assert_eq!(Clock::new(1, 0).reaches(Instant::NEVER), Moment::NEVER);
    }

    #[test]
    fn a_clock_that_stands_still_reaches_nothing_more() {
        let mut clock = Clock::new(1_000_000, 7);
        clock.adjust(Moment(100), 0, 0);
        assert_eq!(clock.at(Moment(1_000_000)), Instant(107));
        assert_eq!(clock.reaches(Instant(108)), Moment::NEVER);
        assert_eq!(clock.reaches(Instant(107)), Moment(100));
        clock.adjust(Moment(200), 0, 1_000_000);
        assert_eq!(clock.reaches(Instant(108)), Moment(201));
    }

    #[test]
    fn a_clock_that_is_set_back_shows_everything_twice() {
        let mut clock = Clock::new(1_000_000, 0);
        clock.set_back(Moment(1_000), 300);
        assert_eq!(clock.at(Moment(1_000)), Instant(700));
        assert_eq!(clock.reaches(Instant(1_000)), Moment(1_300));
        clock.set_back(Moment(1_000), u64::MAX);
        assert_eq!(clock.at(Moment(1_000)), Instant(0));
    }

    #[test]
    fn a_jump_goes_forward() {
        let mut clock = Clock::new(500_000, 0);
        assert_eq!(clock.at(Moment(100)), Instant(50));
        clock.adjust(Moment(100), 1_000, 2_000_000);
        assert_eq!(clock.at(Moment(100)), Instant(1_050));
        assert_eq!(clock.at(Moment(101)), Instant(1_052));
    }
}
