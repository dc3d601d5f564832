//! Timers: one tick per heartbeat, and the jitter of a campaign.

use super::Replica;
use crate::time::nanos;
use crate::{ConfigError, Decree, Instant, Timeouts};

impl<D: Decree> Replica<D> {
    /// Does what the clock asks for. Runs after every event.
    #[inline(always)]
    pub(super) fn run_timers(&mut self) {
        // A leader that has its barrier and whoever hears its leader wait for the tick.
        let is_settled = match self.phase2.ballot() {
            Some(_) => !self.barrier_is_pending() && !self.must_tell(),
            None => self.phase1.ballot().is_none() && self.election.followed().is_some(),
        };
        if !is_settled || self.now >= self.election.next_beat {
            self.run_timers_now();
        }
    }

    #[cold]
    #[inline(never)]
    fn run_timers_now(&mut self) {
        if self.stopped {
            return;
        }
        if self.now >= self.election.next_beat {
            self.tick();
        }
        if self.phase2.ballot().is_some() {
            self.raise_barrier();
            if self.must_tell() {
                self.tell_now();
            }
        } else if self.phase1.ballot().is_some() {
            // Room may have come since phase 1 was complete.
            self.try_to_lead();
            self.raise_barrier();
        } else if self.election.followed().is_none() {
            self.consider_campaign();
        }
    }

    /// Changes the timeouts of a running replica (B1). They apply from the next tick on.
    ///
    /// # Errors
    /// When one is out of its range; nothing changes then.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), ConfigError> {
        timeouts.check()?;
        self.config.timeouts = timeouts;
        self.patience = nanos(timeouts.election);
        self.signs.raise_all();
        Ok(())
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let campaign = self.election.campaign_at().unwrap_or(Instant::NEVER);
        let told = self.must_tell();
        let tell = self.phase2.tell_at().filter(|_| !told).unwrap_or(Instant::NEVER);
        self.election.next_beat.min(campaign).min(tell)
    }

    /// Whether the news of what is decided was kept back for long enough.
    fn must_tell(&self) -> bool {
        self.phase2.tell_at().is_some_and(|at| at <= self.now)
    }

    fn tick(&mut self) {
        self.signs.raise_all();
        self.election.next_beat = self.now.after(self.config.timeouts.heartbeat);
        self.election.beat_owed = true;
        if self.leader_is_silent() {
            self.lose_leader();
        }
        self.check_phase1();
        self.check_phase2();
        if self.phase2.ballot().is_some() {
            self.election.begin_round(self.now);
        }
        self.claim_vote();
        self.check_lag();
        let mark_is_new = self.writes.mark_now(self.learner.decided) > self.writes.mark();
        if self.writes.tail_is_unproven() || mark_is_new && self.writes.waiting_since().is_none() {
            // R11: when the log is idle, a mark proves that its tail was synced.
            self.writes.want_mark();
        }
    }

    /// Whether the oldest log write takes longer than it may (B4).
    pub(super) fn disk_is_stalled(&self) -> bool {
        let since = self.writes.waiting_since();
        since.is_some_and(|since| self.now.since(since) >= self.config.timeouts.disk_stall)
    }
}
