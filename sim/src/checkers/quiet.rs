//! Which logs are quiet: for a heartbeat at least nothing was written, and the member was awake.
//! By then a mark must have proven that the tail of the log was synced (R11).

use std::time::Duration;

use synod_core::{Instant, MemberIndex};

/// How long each log has been quiet.
#[derive(Clone, Debug)]
pub struct Quiet {
    heartbeat: Duration,
    nodes: Vec<Since>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Since {
    /// When the last write of this run became durable; `None` while one is in flight, and before.
    durable: Option<Instant>,
    /// Whether it beat a heartbeat later.
    beat: bool,
    /// Whether all that was due in that turn came out, and no write among it.
    drained: bool,
}

impl Quiet {
    /// No log is.
    #[must_use]
    pub fn new(members: usize, heartbeat: Duration) -> Self {
        Self { heartbeat, nodes: vec![Since::default(); members] }
    }

    /// A run starts, or `node` writes.
    pub fn on_noise(&mut self, node: MemberIndex) {
        self.nodes[node.place()] = Since::default();
    }

    /// Writes of `node` are durable, and so many are not.
    pub fn on_persisted(&mut self, now: Instant, node: MemberIndex, in_flight: usize) {
        self.nodes[node.place()].durable = (in_flight == 0).then_some(now);
    }

    /// `node` beats.
    pub fn on_beat_sent(&mut self, now: Instant, node: MemberIndex) {
        let since = &mut self.nodes[node.place()];
        since.beat |= since.durable.is_some_and(|at| now.since(at) >= self.heartbeat);
    }

    /// Everything that was due in this turn of `node` is out.
    pub fn on_drained(&mut self, node: MemberIndex) {
        let since = &mut self.nodes[node.place()];
        since.drained = since.beat;
    }

    /// Whether the log of `node` is quiet.
    #[must_use]
    pub fn is(&self, node: MemberIndex) -> bool {
        self.nodes[node.place()].drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_quiet_when_its_member_beats_a_heartbeat_after_the_last_write() {
        let a = MemberIndex(0);
        let mut quiet = Quiet::new(1, Duration::from_nanos(10));
        quiet.on_beat_sent(Instant(100), a);
        assert!(!quiet.is(a), "nothing was written in this run");
        quiet.on_persisted(Instant(100), a, 1);
        quiet.on_beat_sent(Instant(200), a);
        assert!(!quiet.is(a), "another write is in flight");
        quiet.on_persisted(Instant(200), a, 0);
        quiet.on_beat_sent(Instant(209), a);
        quiet.on_drained(a);
        assert!(!quiet.is(a), "too early");
        quiet.on_beat_sent(Instant(210), a);
        assert!(!quiet.is(a), "a write may be due in the same turn");
        quiet.on_drained(a);
        assert!(quiet.is(a));
        quiet.on_noise(a);
        assert!(!quiet.is(a), "it writes");
    }
}
