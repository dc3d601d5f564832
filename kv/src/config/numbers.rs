//! The limits and timeouts that can be set, with their ranges.

use core::time::Duration;

use synod_core::service::ServiceLimits;
use synod_core::wire;

use super::Tuning;

/// A setting that is a number.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Its name, as `section.key`.
    pub name: &'static str,
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
    /// What it limits.
    pub about: &'static str,
    /// Sets it.
    set: fn(&mut Tuning, u64),
}

impl Number {
    /// Sets it, when it is in its range.
    ///
    /// # Errors
    /// With the range.
    pub fn set(&self, tuning: &mut Tuning, value: u64) -> Result<(), String> {
        if (self.min..=self.max).contains(&value) {
            (self.set)(tuning, value);
            Ok(())
        } else {
            Err(format!("{} to {}", self.min, self.max))
        }
    }
}

/// All of them.
pub const NUMBERS: &[Number] = &[
    number("limits.clients_max", 1, 1 << 20, "clients at one time", |t, n| {
        t.clients.clients_max = n as usize;
    }),
    number("limits.pipeline_max", 1, 1 << 20, "unanswered commands of one client", |t, n| {
        t.clients.pipeline_max = n as usize;
    }),
    number("limits.requests_in_flight_max", 1, 1 << 16, "unanswered requests in all", |t, n| {
        t.clients.requests_in_flight_max = n as usize;
    }),
    number("limits.output_bytes_max", 1 << 10, 1 << 30, "answers a client did not take", |t, n| {
        t.clients.output_bytes_max = n as usize;
    }),
    number("limits.bulk_bytes_max", 1 << 10, 64 << 20, "bytes of one argument", |t, n| {
        t.clients.resp.bulk_bytes_max = n as usize;
    }),
    number("limits.query_bytes_max", 1 << 10, 1 << 30, "bytes of one command", |t, n| {
        t.clients.resp.query_bytes_max = n as usize;
    }),
    number("limits.args_max", 3, 1 << 20, "arguments of one command", |t, n| {
        t.clients.resp.args_max = n as usize;
    }),
    number("limits.request_bytes_max", 1 << 10, 64 << 20, "bytes of one request", |t, n| {
        t.service.request_bytes_max = n as usize;
    }),
    number("limits.memory_log_bytes_max", 1 << 20, 1 << 40, "a log in memory", |t, n| {
        t.memory_log_bytes_max = n as usize;
    }),
    number("timeouts.heartbeat_ms", 1, HOUR_MS, "from beat to beat", |t, ms| {
        t.timeouts.heartbeat = Duration::from_millis(ms);
    }),
    number("timeouts.election_ms", 3, HOUR_MS, "silence of a leader", |t, ms| {
        t.timeouts.election = Duration::from_millis(ms);
    }),
    number("timeouts.election_jitter_ms", 1, HOUR_MS, "spread of campaigns", |t, ms| {
        t.timeouts.election_jitter = Duration::from_millis(ms);
    }),
    number("timeouts.step_down_ms", 3, HOUR_MS, "a leader without answers", |t, ms| {
        t.timeouts.step_down = Duration::from_millis(ms);
    }),
    number("timeouts.resend_ms", 1, HOUR_MS, "until something is sent again", |t, ms| {
        t.timeouts.resend = Duration::from_millis(ms);
    }),
    number("timeouts.disk_stall_ms", 1, HOUR_MS, "a log write of a leader", |t, ms| {
        t.timeouts.disk_stall = Duration::from_millis(ms);
    }),
    number("timeouts.notice_ms", 0, HOUR_MS, "news of decided slots kept back", |t, ms| {
        t.timeouts.notice = Duration::from_millis(ms);
    }),
    number("timeouts.busy_poll_us", 0, 10_000, "looking again before sleeping", |t, us| {
        t.transport.busy_poll = Duration::from_micros(us);
    }),
    number("timeouts.keep_core_us", 0, 10_000, "of that, keeping the core", |t, us| {
        t.transport.keep_core = Duration::from_micros(us);
    }),
    number("timeouts.request_ms", 1, HOUR_MS, "until a request is given up", |t, ms| {
        t.service.request_timeout = Duration::from_millis(ms);
    }),
    number("timeouts.client_stall_ms", 1, HOUR_MS, "a client that takes no answers", |t, ms| {
        t.clients.stall = Duration::from_millis(ms);
    }),
    number("timeouts.shutdown_ms", 1, HOUR_MS, "until a shutdown is forced", |t, ms| {
        t.clients.drain = Duration::from_millis(ms);
        t.transport.shutdown_timeout = Duration::from_millis(ms);
    }),
];

const HOUR_MS: u64 = 3_600_000;

const fn number(
    name: &'static str,
    min: u64,
    max: u64,
    about: &'static str,
    set: fn(&mut Tuning, u64),
) -> Number {
    Number { name, min, max, about, set }
}

impl Tuning {
    /// Brings those limits into line that follow from others.
    pub(super) fn settle(&mut self) {
        let decree_bytes_max = self.service.request_bytes_max + ServiceLimits::OVERHEAD_BYTES;
        self.replica.decree_bytes_max = decree_bytes_max;
        let batch_bytes = &mut self.service.batch_bytes_max;
        *batch_bytes = (*batch_bytes).min(decree_bytes_max);
        // What waits for its turn here need not be refused there.
        let in_flight = self.clients.requests_in_flight_max;
        let transport = &mut self.transport;
        transport.submits_waiting_max = transport.submits_waiting_max.max(in_flight);
        self.service.requests_pending_max = self.service.requests_pending_max.max(in_flight);
        let frame_bytes_max = wire::frame_bytes_max(&self.replica);
        transport.send_queue_bytes_max = transport.send_queue_bytes_max.max(2 * frame_bytes_max);
        transport.silence_timeout =
            transport.silence_timeout.max(self.timeouts.heartbeat.saturating_mul(10));
        let pending_bytes = &mut self.service.pending_bytes_max;
        *pending_bytes = (*pending_bytes).max(2 * self.service.request_bytes_max);
    }
}
