//! Whether two runs are one: a hash of the state of the world after every step of each.
//!
//! The hash of the trace says what happened; this one also says what is about to: where every
//! generator of chance stands, what every process waits for, and how far every replica is. So two
//! runs that part are told apart at the step where they part, not where it first shows.

use std::fmt;

use synod_core::service::StateMachine;

use crate::options::Options;
use crate::swarm::{self, Report};
use crate::trace::Lines;
use crate::world::World;

/// Two runs that should have been one, and are not.
#[derive(Clone, Debug)]
pub struct Parting {
    /// The first step whose state differs, counted from 0.
    pub step: usize,
    /// What the second run noted last before its state differed.
    pub after: Option<String>,
}

impl World {
    /// A hash of everything that decides what happens next.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        let mut hash = 0x5359_4E4F_445F_5349;
        let mut mix = |part: u64| {
            let mixed = u128::from(hash ^ part) * 0xA076_1D64_78BD_642F;
            hash = mixed as u64 ^ (mixed >> 64) as u64;
        };
        mix(self.trace.hash());
        mix(self.stats.happenings);
        mix(self.now.0);
        mix(self.next_at().map_or(0, |at| at.0));
        mix(self.process_prng.fingerprint());
        mix(self.disk_prng.fingerprint());
        mix(self.network.fingerprint());
        for node in &self.nodes {
            mix(u64::from(node.life));
            mix(node.paused_until.0);
            mix(node.disk.durable().0);
            let Some(process) = &node.process else {
                mix(node.machine.digest());
                continue;
            };
            let replica = process.service.replica();
            mix(process.inbox.len() as u64);
            mix(process.timer_at.0);
            mix(process.told.0);
            mix(process.service.machine().digest());
            mix(replica.promised().round);
            mix(replica.promised().node.0);
            mix(replica.decided().0);
            mix(replica.applied().0);
            mix(replica.next_slot().0);
            mix(replica.standing() as u64);
        }
        hash
    }
}

/// Runs both, and compares the state after every step. The first keeps no trace and the second
/// does, so that looking is shown to change nothing. Returns the second run and how many steps it
/// had.
///
/// # Errors
/// Where they part.
pub fn compare(first: &Options, second: &Options) -> Result<(Report, usize), Parting> {
    let mut hashes = Vec::new();
    let _ = swarm::run_watched(first.clone(), Lines::None, &mut |world| {
        hashes.push(world.state_hash());
        true
    });
    let mut steps = 0;
    let mut parting: Option<Parting> = None;
    let report = swarm::run_watched(second.clone(), Lines::Keep, &mut |world| {
        if parting.is_none() && hashes.get(steps) != Some(&world.state_hash()) {
            let after = world.trace().kept().last().map(ToString::to_string);
            parting = Some(Parting { step: steps, after });
        }
        steps += 1;
        true
    });
    if parting.is_none() && steps < hashes.len() {
        parting =
            Some(Parting { step: steps, after: report.events.last().map(ToString::to_string) });
    }
    parting.map_or(Ok((report, steps)), Err)
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the runs part at step {}", self.step)?;
        match &self.after {
            Some(event) => write!(f, ", at or after:\n{event}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Parting {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;
    use crate::mischief::Cause;

    #[test]
    fn a_run_is_itself_step_by_step() {
        for seed in 0..8 {
            let options = Options::draw(seed, None, Some(ms(500)));
            let (report, steps) = compare(&options, &options).expect("one run");
            assert_eq!(report.violation, None);
            assert!(steps > 50, "seed {seed} has {steps} steps");
        }
    }

    #[test]
    fn the_step_where_two_runs_part_is_named() {
        let mut first = Options::draw(3, Some(3), Some(ms(500)));
        first.network.tail_ppm = 500_000;
        first.network.tail_nanos = 50_000_000;
        let mut second = first.clone();
        second.withheld.add(Cause::Tail, 9..10);
        let late = compare(&first, &second).expect_err("another run").step;
        second.withheld.add(Cause::Tail, 3..4);
        let early = compare(&first, &second).expect_err("another run");
        assert!(0 < early.step && early.step < late, "{early}, then {late}");
        second = first.clone();
        second.seed += 1;
        assert_eq!(compare(&first, &second).expect_err("another run").step, 0);
    }
}
