//! What the shrinker tries, in order: what takes away most comes first.

use std::ops::Range;

use super::Search;
use crate::mischief::Cause;
use crate::plan::SETTINGS;

/// Other chances tried for each number of members, and for the run as it is then.
const DICE_FOR_NODES: u64 = 24;
const DICE: u64 = 160;

/// So often everything is tried again, unless nothing helps any more before.
const ROUNDS: u64 = 6;

impl Search<'_> {
    pub(super) fn all_passes(&mut self) {
        self.end_at_the_violation();
        for round in 0..ROUNDS {
            let before = self.best.weight;
            self.causes();
            self.settings();
            self.fewer_nodes(round);
            self.shorter();
            self.other_dice(round);
            // A little less is not worth another round of hundreds of runs.
            if self.is_spent() || self.best.weight + before / 50 >= before {
                break;
            }
        }
        loop {
            let before = self.best.weight;
            for cause in Cause::all() {
                self.numbers(cause);
            }
            self.settings();
            self.shorter();
            if self.is_spent() || self.best.weight == before {
                break;
            }
        }
        self.tidy();
    }

    /// Drops from the plan what makes no difference.
    fn tidy(&mut self) {
        for setting in &SETTINGS {
            if self.best.plan.get(setting.name).is_some() {
                self.same_without(|plan| plan.unset(setting.name));
            }
        }
        for cause in Cause::all() {
            if !self.best.plan.withheld.of(cause).is_empty() {
                self.same_without(|plan| plan.withheld.clear(cause));
            }
        }
    }

    /// Nothing needs to be planned for the time behind the violation.
    fn end_at_the_violation(&mut self) {
        let end = self.best.size.lasted_us + 1;
        self.change(|plan| {
            if plan.options().faults_for.as_micros() > u128::from(end) {
                let _ = plan.set("faults_for_us", end);
            }
        });
    }

    /// Whole kinds of faults: all of them, each alone, and all but each.
    fn causes(&mut self) {
        let faults = || Cause::all().filter(|cause| !matches!(cause, Cause::Burst | Cause::Ask));
        self.withhold(faults().map(|cause| (cause, 0..u64::MAX)).collect());
        let begins = || faults().filter(|cause| matches!(cause, Cause::Begin(_) | Cause::End));
        self.withhold(begins().map(|cause| (cause, 0..u64::MAX)).collect());
        let others = || faults().filter(|cause| !matches!(cause, Cause::Begin(_) | Cause::End));
        self.withhold(others().map(|cause| (cause, 0..u64::MAX)).collect());
        for cause in Cause::all() {
            self.withhold(vec![(cause, 0..u64::MAX)]);
        }
        for kept in faults() {
            let all = faults().filter(|cause| *cause != kept && *cause != Cause::End);
            self.withhold(all.map(|cause| (cause, 0..u64::MAX)).collect());
        }
    }

    fn withhold(&mut self, spans: Vec<(Cause, Range<u64>)>) -> bool {
        let strikes = |cause: Cause| self.best.struck.iter().any(|(c, n)| *c == cause && *n > 0);
        if !spans.iter().any(|(cause, _)| strikes(*cause)) {
            return false;
        }
        self.change(|plan| {
            for (cause, span) in spans {
                plan.withheld.add(cause, span);
            }
        })
    }

    /// Each option as plain as can be, with the chances it has and a few others.
    fn settings(&mut self) {
        for setting in &SETTINGS {
            let Some(simplest) = setting.simplest else { continue };
            if setting.of(&self.best.plan.options()) != simplest {
                self.change(|plan| {
                    let _ = plan.set(setting.name, simplest);
                });
            }
        }
    }

    fn fewer_nodes(&mut self, round: u64) {
        for nodes in 1..self.best.size.nodes {
            for dice in 0..DICE_FOR_NODES {
                let smaller = self.change(|plan| {
                    let _ = plan.set("nodes", nodes);
                    let _ = plan.set("dice", dice_of(plan.seed, round, dice));
                });
                if smaller {
                    return;
                }
            }
        }
    }

    /// Faults and clients that end earlier. It halves the time as long as that helps.
    fn shorter(&mut self) {
        for (part, whole) in [(1, 8), (1, 4), (1, 2), (3, 4), (9, 10)] {
            let lasts = self.best.plan.options().faults_for.as_micros() as u64;
            let lasts = lasts.min(self.best.size.lasted_us) * part / whole;
            self.change(|plan| {
                let _ = plan.set("faults_for_us", lasts);
            });
        }
    }

    /// Other runs of the same kind: some need far less to fail.
    fn other_dice(&mut self, round: u64) {
        for dice in 0..DICE {
            self.change(|plan| {
                let _ = plan.set("dice", dice_of(plan.seed, round, DICE_FOR_NODES + dice));
            });
            self.end_at_the_violation();
        }
    }

    /// The faults of one cause, in ever smaller parts.
    fn numbers(&mut self, cause: Cause) {
        let count = |search: &Self| {
            let struck = search.best.struck.iter().find(|(of, _)| *of == cause);
            struck.map_or(0, |(_, count)| *count)
        };
        let mut part = count(self);
        while part > 0 && !self.is_spent() {
            let mut from = 0;
            while from < count(self) && !self.is_spent() {
                let span = from..from + part;
                let withheld = &self.best.plan.withheld;
                let something = span.clone().any(|number| !withheld.has(cause, number));
                if something {
                    self.withhold(vec![(cause, span)]);
                }
                from += part;
            }
            part /= 2;
        }
    }
}

/// Small numbers, so that a plan is easy to read, and never those of another round.
const fn dice_of(seed: u64, round: u64, dice: u64) -> u64 {
    seed.wrapping_add(1 + round * (DICE + DICE_FOR_NODES) + dice)
}
