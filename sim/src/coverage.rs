//! Fault coverage: which fault happened in which state of the cluster, and which never did.
//!
//! A fault that only ever strikes an idle cluster tests little. Each one that happens is counted
//! under the phase that the cluster was in; a cell that stays zero over a large sweep is a
//! schedule that the swarm never makes.

use std::fmt;

use synod_core::Standing;

use crate::mischief::Cause;
use crate::world::World;

/// What a cluster is busy with, as seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Phase {
    /// Nobody leads, and nobody is about to.
    #[default]
    Leaderless,
    /// Nobody leads, and somebody prepares.
    Preparing,
    /// There is a leader, and nothing to do.
    Idle,
    /// A leader waits for votes.
    Loaded,
    /// A leader leads, and a running member lacks much of what is chosen.
    CatchingUp,
}

impl Phase {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Leaderless, Self::Preparing, Self::Idle, Self::Loaded, Self::CatchingUp];

    /// The phase that `world` is in.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let chosen = world.checkers().images().chosen_end();
        let (mut prepares, mut leads, mut waits, mut lags) = (false, false, false, false);
        for service in world.members().filter_map(|member| world.service(member)) {
            let replica = service.replica();
            match replica.standing() {
                Standing::Following => {}
                Standing::Preparing => prepares = true,
                Standing::Leading => {
                    leads = true;
                    waits |= replica.next_slot() > replica.decided();
                }
            }
            lags |= replica.decided().plus(LAGS_FROM) <= chosen;
        }
        match (leads, prepares) {
            (false, false) => Self::Leaderless,
            (false, true) => Self::Preparing,
            (true, _) if lags => Self::CatchingUp,
            (true, _) if waits => Self::Loaded,
            (true, _) => Self::Idle,
        }
    }
}

/// How often each fault happened in each phase.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coverage {
    cells: [[u64; Phase::COUNT]; Cause::COUNT],
    /// How often the cluster was looked at in each phase: what the counts are to be measured by.
    looks: [u64; Phase::COUNT],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { cells: [[0; Phase::COUNT]; Cause::COUNT], looks: [0; Phase::COUNT] }
    }
}

impl Coverage {
    /// A fault happens.
    pub fn count(&mut self, cause: Cause, phase: Phase) {
        self.cells[cause.place()][phase as usize] += 1;
    }

    /// The fault counted last in `phase` found nothing to do.
    pub fn uncount(&mut self, cause: Cause, phase: Phase) {
        let cell = &mut self.cells[cause.place()][phase as usize];
        *cell = cell.saturating_sub(1);
    }

    /// The cluster is in `phase`.
    pub fn look(&mut self, phase: Phase) {
        self.looks[phase as usize] += 1;
    }

    /// Adds what another run, or another gate of this one, counted.
    pub fn add(&mut self, other: &Self) {
        let sums = self.cells.iter_mut().flatten().chain(&mut self.looks);
        for (sum, count) in sums.zip(other.cells.iter().flatten().chain(&other.looks)) {
            *sum += count;
        }
    }

    /// How often `cause` happened in `phase`.
    #[must_use]
    pub const fn of(&self, cause: Cause, phase: Phase) -> u64 {
        self.cells[cause.place()][phase as usize]
    }

    /// How often it happened at all.
    #[must_use]
    pub fn sum(&self, cause: Cause) -> u64 {
        self.cells[cause.place()].iter().sum()
    }

    /// The faults that never happened.
    pub fn missing(&self) -> impl Iterator<Item = Cause> + '_ {
        Cause::faults().filter(|cause| self.sum(*cause) == 0)
    }

    /// The cells that are zero, of faults that happened in other phases.
    pub fn gaps(&self) -> impl Iterator<Item = (Cause, Phase)> + '_ {
        let some = Cause::faults().filter(|cause| self.sum(*cause) > 0);
        let cells = some.flat_map(|cause| Phase::ALL.map(|phase| (cause, phase)));
        cells.filter(|(cause, phase)| self.of(*cause, *phase) == 0)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Leaderless => "leaderless",
            Self::Preparing => "preparing",
            Self::Idle => "idle",
            Self::Loaded => "loaded",
            Self::CatchingUp => "catching up",
        })
    }
}

/// A table of faults and phases, and under it what is missing.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16}", "fault")?;
        for phase in Phase::ALL {
            write!(f, "{phase:>13}")?;
        }
        write!(f, "\n{:<16}", "(of the time)")?;
        let looks = self.looks.iter().sum::<u64>().max(1);
        for count in self.looks {
            write!(f, "{:>11} %", count * 100 / looks)?;
        }
        for cause in Cause::faults() {
            write!(f, "\n{cause:<16}")?;
            for phase in Phase::ALL {
                write!(f, "{:>13}", self.of(cause, phase))?;
            }
        }
        writeln!(f)?;
        let missing: Vec<String> = self.missing().map(|cause| cause.to_string()).collect();
        let gap = |(cause, phase): (Cause, Phase)| format!("{cause} while {phase}");
        let gaps: Vec<String> = self.gaps().map(gap).collect();
        if missing.is_empty() && gaps.is_empty() {
            return write!(f, "every fault happened in every phase");
        }
        if !missing.is_empty() {
            writeln!(f, "never happened: {}", missing.join(", "))?;
        }
        if !gaps.is_empty() {
            write!(f, "gaps: {}", gaps.join(", "))?;
        }
        Ok(())
    }
}

/// Who lacks so many chosen slots is catching up; less is what is always under way.
const LAGS_FROM: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;
    use crate::options::{Fault, Options};
    use crate::swarm;
    use crate::trace::Lines;

    #[test]
    fn what_never_happened_is_named() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.missing().count(), Cause::faults().count());
        assert_eq!(coverage.gaps().count(), 0);
        for cause in Cause::faults() {
            for phase in Phase::ALL {
                coverage.count(cause, phase);
            }
        }
        assert!(coverage.to_string().ends_with("every fault happened in every phase"));
        let mut other = Coverage::default();
        other.count(Cause::Loss, Phase::Idle);
        assert_eq!(other.gaps().count(), Phase::COUNT - 1);
        let shown = other.to_string();
        assert!(shown.contains("never happened: double,"), "{shown}");
        assert!(shown.contains("gaps: loss while leaderless,"), "{shown}");
        other.add(&coverage);
        assert_eq!(other.sum(Cause::Loss), Phase::COUNT as u64 + 1);
        assert_eq!(other.of(Cause::Loss, Phase::Idle), 2);
    }

    #[test]
    fn clients_are_no_fault() {
        assert!(Cause::faults().all(|cause| !matches!(cause, Cause::Burst | Cause::End)));
        assert!(Cause::faults().any(|cause| cause == Cause::Begin(Fault::BitRot)));
    }

    #[test]
    fn a_run_counts_what_happens_in_the_phase_that_it_is_in() {
        let mut sum = Coverage::default();
        for seed in 0..10 {
            let report = swarm::run(Options::draw(seed, Some(3), Some(ms(2_000))), Lines::None);
            for cause in Cause::faults() {
                assert_eq!(report.coverage.sum(cause), report.happened.of(cause), "{cause}");
            }
            sum.add(&report.coverage);
        }
        for phase in Phase::ALL {
            assert!(Cause::faults().any(|cause| sum.of(cause, phase) > 0), "{sum}");
        }
    }
}
