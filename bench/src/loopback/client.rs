//! The client: keeps so many commands outstanding, and notes when each was submitted and answered.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Plan, Sample, Shared};
use crate::alloc;
use crate::core::client::Client;
use crate::measure::{process_time, quantile};

/// The client of one run.
pub(super) struct Loader {
    commands: Client,
    window: u64,
    /// Commands before those that are measured, and how many these are, both at least a window.
    before: u64,
    most: u64,
    /// When what is outstanding was submitted: a time, and how many at it.
    stamps: VecDeque<(Instant, u64)>,
    warm_until: Instant,
    /// The time, and the number of the command, at which it ends. Known once it is warm: however
    /// late that is noticed, something is measured.
    ends: Option<(Instant, u64)>,
    length: Duration,
    measured: Option<Measured>,
}

/// The part of a run that counts.
struct Measured {
    since: Instant,
    cpu: Duration,
    allocations: u64,
    answered: u64,
    /// Nanoseconds.
    latencies: Vec<u64>,
}

impl Loader {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            commands: Client::new(plan.size),
            window: plan.window,
            before: plan.before,
            most: plan.most,
            stamps: VecDeque::new(),
            warm_until: Instant::now() + plan.warm,
            ends: None,
            length: plan.length,
            measured: None,
        }
    }

    /// Submits as many commands as may be outstanding. Says whether there were any.
    pub(super) fn submit(&mut self, mut submit: impl FnMut(Bytes)) -> bool {
        let room = self.window.saturating_sub(self.commands.outstanding());
        let now = Instant::now();
        if room == 0 || self.is_over(now) {
            return false;
        }
        let submitted = self.commands.submitted();
        if now >= self.warm_until && submitted >= self.before && self.measured.is_none() {
            self.ends = Some((now + self.length, submitted.saturating_add(self.most)));
            self.measured = Some(Measured {
                since: now,
                cpu: process_time(),
                allocations: alloc::of_all_threads(),
                answered: 0,
                latencies: Vec::with_capacity(LATENCIES_MAX),
            });
        }
        for _ in 0..room {
            submit(self.commands.command());
        }
        self.stamps.push_back((now, room));
        true
    }

    /// Takes answers, in the order of submission.
    pub(super) fn answer(&mut self, answers: impl IntoIterator<Item = u64>) {
        let now = Instant::now();
        for number in answers {
            self.commands.answer(number);
            let Some((since, left)) = self.stamps.front_mut() else { return };
            let latency = now.saturating_duration_since(*since);
            if let Some(measured) = &mut self.measured
                && *since >= measured.since
            {
                measured.answered += 1;
                // So many are enough for any quantile; a list that grows would be measured too.
                if measured.latencies.len() < LATENCIES_MAX {
                    measured.latencies.push(latency.as_nanos() as u64);
                }
            }
            *left -= 1;
            if *left == 0 {
                self.stamps.pop_front();
            }
        }
    }

    /// Whether the time is over and everything has its answer.
    pub(super) fn is_done(&self) -> bool {
        self.commands.outstanding() == 0 && self.is_over(Instant::now())
    }

    fn is_over(&self, now: Instant) -> bool {
        let submitted = self.commands.submitted();
        self.ends.is_some_and(|(time, count)| now >= time || submitted >= count)
    }

    /// What was measured, once it is done.
    pub(super) fn end(&mut self, shared: &Shared) -> Option<Sample> {
        let mut measured = self.measured.take()?;
        let took = measured.since.elapsed().max(self.length.min(Duration::from_millis(1)));
        let cpu = process_time() - measured.cpu;
        let allocations = alloc::of_all_threads() - measured.allocations;
        shared.submitted.store(self.commands.submitted(), Ordering::Relaxed);
        measured.latencies.sort_unstable();
        let answered = measured.answered.max(1) as f64;
        let us = |share| quantile(&measured.latencies, share) as f64 / 1e3;
        Some(Sample {
            per_second: measured.answered as f64 / took.as_secs_f64(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            cpu_ns: cpu.as_nanos() as f64 / answered,
            allocations: allocations as f64 / answered,
        })
    }
}

const LATENCIES_MAX: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        size: 8,
        window: 3,
        members: 1,
        before: 0,
        most: u64::MAX,
        warm: Duration::ZERO,
        length: Duration::ZERO,
        directory: None,
    };

    #[test]
    fn commands_before_are_not_measured_and_no_more_than_asked_for_are() {
        let length = Duration::from_secs(3600);
        let mut loader = Loader::new(&Plan { before: 5, most: 7, length, ..PLAN });
        let mut answered = 0;
        while loader.submit(drop) {
            loader.answer(answered..answered + 3);
            answered += 3;
            assert!(answered < 100, "it goes on and on");
        }
        // Whole windows: two before, three measured.
        assert_eq!(answered, 15);
        assert!(loader.is_done());
        assert_eq!(loader.measured.expect("it was warm").answered, 9);
    }

    #[test]
    fn a_client_that_was_held_up_measures_something_all_the_same() {
        let plan = PLAN;
        let mut loader = Loader::new(&plan);
        std::thread::sleep(Duration::from_millis(2));
        assert!(!loader.is_done());
        assert!(loader.submit(drop) && !loader.is_done());
        loader.answer(0..3);
        assert!(!loader.submit(drop) && loader.is_done());
        let shared = Shared::new(1);
        let sample = loader.end(&shared).expect("measured");
        assert!(sample.per_second > 0.0);
        assert_eq!(shared.submitted.load(Ordering::Relaxed), 3);
    }
}
