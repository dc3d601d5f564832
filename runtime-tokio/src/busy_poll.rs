//! How long a loop goes on looking for input before it sleeps.
//!
//! To sleep and be woken costs two system calls and a switch, and a core that has gone idle takes
//! tens of microseconds to come back, most of all in a virtual machine. After a turn in which a
//! command went on, what follows from it is mostly on its way already: the answer of a follower,
//! the next command. So the loop looks again for a while, giving its core away between two looks,
//! to other tasks of the runtime and to other threads that want it. A node through which no
//! command goes sleeps at once: heartbeats alone keep no core awake.

use std::time::Duration;

use synod_core::Instant;
use synod_core::service::Output;

/// Until when a loop stays awake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BusyPoll {
    span: Duration,
    until: Instant,
}

impl BusyPoll {
    /// A loop that sleeps, until a command makes it look for `span`.
    pub(crate) const fn new(span: Duration) -> Self {
        Self { span, until: Instant::ZERO }
    }

    /// A command went on at `now`.
    pub(crate) fn stir(&mut self, now: Instant) {
        self.until = now.after(self.span);
    }

    /// Whether to look again rather than to sleep.
    pub(crate) fn is_awake(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// Whether this output shows that a command goes on.
pub(crate) const fn is_progress<R>(output: &Output<'_, R>) -> bool {
    match output {
        Output::Persist { .. } | Output::Outcome { .. } => true,
        Output::Send { .. }
        | Output::ReadBack { .. }
        | Output::CatchUp { .. }
        | Output::LeaderChanged { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use synod_core::Ballot;
    use synod_core::service::{Outcome, RequestId};

    use super::*;

    const SPAN: Duration = Duration::from_micros(100);

    #[test]
    fn only_a_command_keeps_the_loop_awake_and_not_for_longer_than_said() {
        let start = Instant(1_000_000);
        let mut busy_poll = BusyPoll::new(SPAN);
        assert!(!busy_poll.is_awake(start), "nothing has happened yet");
        busy_poll.stir(start);
        assert!(busy_poll.is_awake(start));
        assert!(busy_poll.is_awake(start.after(SPAN - Duration::from_nanos(1))));
        assert!(!busy_poll.is_awake(start.after(SPAN)));
        busy_poll.stir(start.after(SPAN));
        assert!(busy_poll.is_awake(start.after(SPAN)), "the next one counts from then on");
    }

    #[test]
    fn without_a_span_the_loop_sleeps_at_once() {
        let mut busy_poll = BusyPoll::new(Duration::ZERO);
        busy_poll.stir(Instant(7));
        assert!(!busy_poll.is_awake(Instant(7)));
    }

    #[test]
    fn a_change_of_leaders_is_no_command() {
        assert!(!is_progress::<()>(&Output::LeaderChanged { leader: None }));
        let outcome = Outcome::Unknown { ballot: Ballot::ZERO };
        assert!(is_progress::<()>(&Output::Outcome { id: RequestId(1), outcome }));
    }
}
