//! Where the time of a sweep goes: a clock that is switched from part to part.
//!
//! Off unless [`measure`] was called before a run begins. It changes nothing that happens in a run,
//! only how long it takes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What takes time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Part {
    /// The production core and service.
    Core,
    /// The production log on its simulated device.
    Log,
    /// The checkers.
    Checkers,
    /// The production codec, and the simulated network.
    Network,
    /// The clients, and the judges of what they heard.
    Clients,
    /// The queue of happenings, the nemesis, the trace, and whatever else.
    #[default]
    World,
}

impl Part {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Core, Self::Log, Self::Checkers, Self::Network, Self::Clients, Self::World];
}

/// From now on runs measure where their time goes. The measuring itself takes time.
pub fn measure() {
    MEASURES.store(true, Ordering::Relaxed);
}

static MEASURES: AtomicBool = AtomicBool::new(false);

/// Nanoseconds of each part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shares([u64; Part::COUNT]);

impl Shares {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (sum, nanos) in self.0.iter_mut().zip(other.0) {
            *sum += nanos;
        }
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|nanos| *nanos == 0)
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = self.0.iter().sum::<u64>().max(1);
        for (place, (part, nanos)) in Part::ALL.into_iter().zip(self.0).enumerate() {
            let name = match part {
                Part::Core => "core and service",
                Part::Log => "log and device",
                Part::Checkers => "checkers",
                Part::Network => "codec and network",
                Part::Clients => "clients",
                Part::World => "world and trace",
            };
            let gap = if place == 0 { "" } else { ", " };
            write!(f, "{gap}{name} {} %", (nanos * 100 + sum / 2) / sum)?;
        }
        Ok(())
    }
}

/// The clock of a run.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    since: Option<Instant>,
    part: Part,
    shares: Shares,
}

impl Meter {
    /// Runs when [`measure`] was called.
    pub(crate) fn new() -> Self {
        let since = MEASURES.load(Ordering::Relaxed).then(Instant::now);
        Self { since, part: Part::default(), shares: Shares::default() }
    }

    /// From now on time goes to `part`. Returns where it went before.
    #[inline]
    pub(crate) fn enter(&mut self, part: Part) -> Part {
        if let Some(since) = &mut self.since {
            let now = Instant::now();
            let passed = now.duration_since(*since).as_nanos();
            self.shares.0[self.part as usize] += u64::try_from(passed).unwrap_or(u64::MAX);
            *since = now;
        }
        std::mem::replace(&mut self.part, part)
    }

    /// Does something whose time goes to `part`.
    #[inline]
    pub(crate) fn during<T>(&mut self, part: Part, act: impl FnOnce() -> T) -> T {
        let outer = self.enter(part);
        let done = act();
        self.enter(outer);
        done
    }

    /// What it showed so far.
    pub(crate) fn shares(&mut self) -> Shares {
        self.enter(self.part);
        self.shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_part_that_was_entered_last() {
        let mut meter = Meter { since: Some(Instant::now()), ..Meter::new() };
        let outer = meter.enter(Part::Core);
        assert_eq!(outer, Part::World);
        let start = Instant::now();
        while start.elapsed().as_micros() < 2_000 {}
        assert_eq!(meter.enter(outer), Part::Core);
        assert!(meter.shares().0[Part::Core as usize] >= 2_000_000, "{}", meter.shares());
        let mut off = Meter { since: None, ..Meter::new() };
        off.enter(Part::Log);
        assert!(off.shares().is_empty());
    }

    #[test]
    fn shares_are_parts_of_a_hundred() {
        let mut shares = Shares([50, 25, 0, 0, 0, 25]);
        shares.add(&Shares([0, 25, 0, 0, 50, 25]));
        assert_eq!(
            shares.to_string(),
            "core and service 25 %, log and device 25 %, checkers 0 %, codec and network 0 %, \
             clients 25 %, world and trace 25 %"
        );
    }
}
