//! How far a sweep is: a bar on a terminal, and a line now and then where nobody watches.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use synod_sim::sweep::Goal;

/// Says how far a sweep is.
#[derive(Debug)]
pub(crate) struct Progress {
    goal: Goal,
    start: Instant,
    shows: Shows,
    said: Mutex<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shows {
    Nothing,
    Bar,
    Lines,
}

impl Progress {
    /// Of a sweep with this goal.
    pub(crate) fn new(goal: Goal, quiet: bool) -> Self {
        let start = Instant::now();
        let shows = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Shows::Nothing,
            (false, true) => Shows::Bar,
            (false, false) => Shows::Lines,
        };
        Self { goal, start, shows, said: Mutex::new(start) }
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// So many are done, and so many of them failed.
    pub(crate) fn tell(&self, done: u64, failed: u64) {
        let every = match self.shows {
            Shows::Nothing => return,
            Shows::Bar => Duration::from_millis(200),
            Shows::Lines => Duration::from_secs(10),
        };
        let mut said = lock(&self.said);
        if said.elapsed() < every {
            return;
        }
        *said = Instant::now();
        let line = line(&self.goal, self.start.elapsed(), done, failed);
        match self.shows {
            Shows::Nothing => {}
            // Clears what a longer line left.
            Shows::Bar => eprint!("\r{line}\x1b[K"),
            Shows::Lines => eprintln!("{line}"),
        }
        let _ = io::stderr().flush();
    }

    /// Makes room for a line of something else.
    pub(crate) fn clear(&self) {
        if self.shows == Shows::Bar {
            eprint!("\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}

fn line(goal: &Goal, passed: Duration, done: u64, failed: u64) -> String {
    let seconds = passed.as_secs_f64().max(1e-3);
    let rate = done as f64 / seconds;
    let (share, left) = match goal {
        Goal::Seeds(seeds) => {
            let total = (seeds.end - seeds.start).max(1);
            let left = (total.saturating_sub(done)) as f64 / rate.max(1e-3);
            (done as f64 / total as f64, left)
        }
        Goal::Time { lasts, .. } => {
            let lasts = lasts.as_secs_f64().max(1e-3);
            (seconds / lasts, (lasts - seconds).max(0.0))
        }
    };
    let share = share.min(1.0);
    let full = (share * BAR as f64) as usize;
    let bar = "#".repeat(full) + &"-".repeat(BAR - full);
    format!(
        "[{bar}] {:>3.0} %  {done} seeds, {rate:.0} a second, {left:.0} s left, {failed} failed",
        share * 100.0
    )
}

fn lock(said: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Letters of the bar.
const BAR: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_how_far_it_is() {
        let half = line(&Goal::Seeds(100..300), Duration::from_secs(10), 100, 2);
        assert_eq!(
            half,
            "[############------------]  50 %  100 seeds, 10 a second, 10 s left, 2 failed"
        );
        let goal = Goal::Time { from: 7, lasts: Duration::from_secs(40) };
        let quarter = line(&goal, Duration::from_secs(10), 50, 0);
        assert_eq!(
            quarter,
            "[######------------------]  25 %  50 seeds, 5 a second, 30 s left, 0 failed"
        );
        let over = line(&goal, Duration::from_secs(41), 50, 0);
        assert!(over.starts_with("[########################] 100 %"), "{over}");
    }
}
