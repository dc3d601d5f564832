//! How long a loop goes on looking for input before it sleeps.
//!
//! To sleep and be woken costs two system calls and a switch, and a core that has gone idle takes
//! tens of microseconds to come back, most of all in a virtual machine. After a turn in which a
//! command went on, what follows from it is mostly on its way already: the answer of a follower,
//! the next command. So the loop looks again for a while. At first it keeps its core, since an
//! answer takes less time than another thread would hold that; then it gives it away between two
//! looks. A node through which no command goes sleeps at once: heartbeats alone keep no core awake.
//!
//! With a log on a device the core is given away from the start: what comes next takes as long as
//! the device does, and the thread that waits for it may want this core.

use std::mem;
use std::time::Duration;

use synod_core::Instant;
use synod_core::service::Output;

use crate::config::Transport;

/// Until when a loop stays awake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BusyPoll {
    span: Duration,
    /// For so long, from the beginning, the loop keeps its core.
    keeps: Duration,
    /// A command went on in the turn that was last.
    is_stirred: bool,
    until: Instant,
    gives_way_from: Instant,
}

impl BusyPoll {
    /// A loop that sleeps, until a command makes it look.
    pub(crate) fn new(transport: &Transport, log_is_instant: bool) -> Self {
        let span = transport.busy_poll;
        let keeps = if log_is_instant { transport.keep_core } else { Duration::ZERO };
        let (until, gives_way_from) = (Instant::ZERO, Instant::ZERO);
        Self { span, keeps, is_stirred: false, until, gives_way_from }
    }

    /// A command went on in this turn.
    pub(crate) const fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// The turn is over.
    pub(crate) fn begin(&mut self, now: Instant) {
        if mem::take(&mut self.is_stirred) {
            self.until = now.after(self.span);
            self.gives_way_from = now.after(self.keeps);
        }
    }

    /// Whether to look again rather than to sleep.
    pub(crate) fn is_awake(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Whether other threads that want this core go first.
    pub(crate) fn gives_way(&self, now: Instant) -> bool {
        now >= self.gives_way_from
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

    fn busy_poll(span: Duration, log_is_instant: bool) -> BusyPoll {
        let transport = Transport { busy_poll: span, keep_core: SPAN / 2, ..Transport::default() };
        BusyPoll::new(&transport, log_is_instant)
    }

    #[test]
    fn only_a_command_keeps_the_loop_awake_and_not_for_longer_than_said() {
        let start = Instant(1_000_000);
        let mut busy_poll = busy_poll(SPAN, true);
        busy_poll.begin(start);
        assert!(!busy_poll.is_awake(start), "nothing has happened yet");
        busy_poll.stir();
        busy_poll.begin(start);
        assert!(busy_poll.is_awake(start));
        assert!(busy_poll.is_awake(start.after(SPAN - Duration::from_nanos(1))));
        assert!(!busy_poll.is_awake(start.after(SPAN)));
        busy_poll.begin(start.after(SPAN));
        assert!(!busy_poll.is_awake(start.after(SPAN)), "a turn in which nothing went on");
        busy_poll.stir();
        busy_poll.begin(start.after(SPAN));
        assert!(busy_poll.is_awake(start.after(SPAN)), "the next one counts from then on");
    }

    #[test]
    fn the_core_is_kept_at_first_and_never_while_a_device_works() {
        let start = Instant(1_000_000);
        for (log_is_instant, keeps) in [(true, SPAN / 2), (false, Duration::ZERO)] {
            let mut busy_poll = busy_poll(SPAN, log_is_instant);
            busy_poll.stir();
            busy_poll.begin(start);
            assert_eq!(busy_poll.gives_way(start), keeps.is_zero());
            assert!(busy_poll.gives_way(start.after(keeps)));
            assert!(busy_poll.is_awake(start.after(keeps)));
        }
    }

    #[test]
    fn without_a_span_the_loop_sleeps_at_once() {
        let mut busy_poll = busy_poll(Duration::ZERO, true);
        busy_poll.stir();
        busy_poll.begin(Instant(7));
        assert!(!busy_poll.is_awake(Instant(7)));
    }

    #[test]
    fn a_change_of_leaders_is_no_command() {
        assert!(!is_progress::<()>(&Output::LeaderChanged { leader: None }));
        let outcome = Outcome::Unknown { ballot: Ballot::ZERO };
        assert!(is_progress::<()>(&Output::Outcome { id: RequestId(1), outcome }));
    }
}
